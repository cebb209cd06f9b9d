//! The adapter itself: socketioxide's interface on one side, the cluster on the other.
//!
//! Every operation publishes in its first poll, before it waits for anything: socketioxide runs handlers in tasks, and
//! only this keeps what one of them does in order. Then it acts locally, whatever became of the publishing.

use std::{collections::BTreeSet, future, pin::Pin, str::FromStr, sync::Arc, task, time::Duration};

use serde_json::Value as Json;
use socketioxide_core::{
    Sid, Uid, Value,
    adapter::{
        BroadcastOptions, CoreAdapter, CoreLocalAdapter, DefinedAdapter, RemoteSocketData, Room, RoomParam,
        SocketEmitter, Spawnable,
        errors::{AdapterError, BroadcastError},
    },
    packet::{Packet, PacketData},
    parser::{Parse, ParserError},
};

use crate::{
    Cluster, Error,
    acks::{AckStream, Remote},
    hub::Hub,
    namespace::{AskError, Asked, Namespace, gather},
    node::{self, Node},
    questions::TooMany,
    select,
    wire::{
        Malformed,
        request::Outgoing,
        selection::{Selection, scalar},
        transcode::Dialect,
    },
};

/// The adapter of one namespace; socketioxide makes one for each. Its state is the [`Cluster`].
pub struct ClassicAdapter<E: SocketEmitter> {
    pub(crate) local: CoreLocalAdapter<E>,
    pub(crate) dialect: Dialect,
    hub: Arc<Hub>,
    namespace: Arc<Namespace>,
}

/// A namespace serves its local sockets at once, whether Redis is there or not, so there is nothing to wait for:
/// [`Cluster::ready`] tells when the other servers are heard.
#[must_use = "await it"]
#[derive(Debug)]
pub struct Opened(());

impl future::Future for Opened {
    type Output = Result<(), std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        task::Poll::Ready(Ok(()))
    }
}

impl Spawnable for Opened {
    fn spawn(self) {}
}

impl<E: SocketEmitter> DefinedAdapter for ClassicAdapter<E> {}

impl<E: SocketEmitter> CoreAdapter<E> for ClassicAdapter<E> {
    type Error = Error;
    type State = Cluster;
    type AckStream = AckStream<E>;
    type InitRes = Opened;

    fn new(cluster: &Cluster, local: CoreLocalAdapter<E>) -> Self {
        let hub = Arc::clone(&cluster.hub);
        let namespace = hub.namespace(local.path());
        // The parser is an opaque type: what it makes of something tells what it is.
        let dialect = match local.parser().encode_value(&(), None) {
            Ok(Value::Bytes(_)) => Dialect::MsgPack,
            _ => Dialect::Json,
        };
        Self { local, dialect, hub, namespace }
    }

    fn init(self: Arc<Self>, on_success: impl FnOnce() + Send + 'static) -> Opened {
        let node: Arc<dyn Node> = self.clone();
        self.hub.open(&self.namespace, Arc::downgrade(&node));
        // In this call: two clients that open a dynamic namespace at once would get one each if it took longer.
        on_success();
        Opened(())
    }

    /// Never waits: socketioxide polls it once when a namespace is deleted.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.hub.close(&self.namespace, std::ptr::from_ref(self).cast());
        future::ready(Ok(()))
    }

    async fn server_count(&self) -> Result<u16, Error> {
        if !self.namespace.is_connected() {
            return Ok(1);
        }
        let count = tokio::time::timeout(self.request_timeout(), self.namespace.count()).await;
        let count = count.ok().and_then(Result::ok).unwrap_or(1);
        Ok(u16::try_from(count).unwrap_or(u16::MAX).max(1))
    }

    fn broadcast(
        &self,
        packet: Packet,
        opts: BroadcastOptions,
    ) -> impl Future<Output = Result<(), BroadcastError>> + Send {
        let published = self.publish(&packet, &opts);
        let delivered = node::broadcast(&self.local, packet, opts);
        future::ready(published.and_then(|()| delivered.map_err(BroadcastError::from)))
    }

    fn broadcast_with_ack(
        &self,
        packet: Packet,
        opts: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<AckStream<E>, Error>> + Send {
        future::ready(self.broadcast_with_ack_now(packet, opts, timeout))
    }

    fn add_sockets(
        &self,
        opts: BroadcastOptions,
        rooms: impl RoomParam,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let rooms: Vec<Room> = rooms.into_room_iter().collect();
        self.request(&opts, |uid, who| Outgoing::join(uid, who, &rooms).encode());
        self.join(opts, &rooms);
        future::ready(Ok(()))
    }

    fn del_sockets(
        &self,
        opts: BroadcastOptions,
        rooms: impl RoomParam,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let rooms: Vec<Room> = rooms.into_room_iter().collect();
        self.request(&opts, |uid, who| Outgoing::leave(uid, who, &rooms).encode());
        self.leave(opts, &rooms);
        future::ready(Ok(()))
    }

    fn disconnect_socket(
        &self,
        opts: BroadcastOptions,
    ) -> impl Future<Output = Result<(), BroadcastError>> + Send {
        self.request(&opts, |uid, who| Outgoing::disconnect(uid, who, false).encode());
        future::ready(self.disconnect(opts).map_err(BroadcastError::Socket))
    }

    /// The rooms of the sockets that `opts` mean, on all servers that answer in time.
    async fn rooms(&self, opts: BroadcastOptions) -> Result<Vec<Room>, Error> {
        let asked = self.fetch(&opts);
        let local = self.sockets(opts).into_iter().flat_map(|sid| self.rooms_of(sid));
        let mut rooms: BTreeSet<Room> = local.collect();
        for socket in self.gather_sockets(asked?).await {
            let id = socket.get("id").and_then(scalar);
            let theirs = socket.get("rooms").and_then(Json::as_array).into_iter().flatten();
            // Node puts every socket into a room of its id.
            rooms.extend(theirs.filter_map(scalar).filter(|room| Some(room) != id.as_ref()).map(Room::Owned));
        }
        Ok(rooms.into_iter().collect())
    }

    /// Sockets of Node servers have longer ids than socketioxide's can be: [`Cluster`] shows them too.
    async fn fetch_sockets(&self, opts: BroadcastOptions) -> Result<Vec<RemoteSocketData>, Error> {
        let asked = self.fetch(&opts);
        let data = |id, server_id| RemoteSocketData { id, server_id, ns: self.local.path().clone() };
        let local = self.sockets(opts).into_iter().map(|sid| data(sid, self.local.server_id()));
        let mut sockets: Vec<_> = local.collect();
        let remote = self.gather_sockets(asked?).await;
        let ids = remote.iter().filter_map(|socket| Sid::from_str(socket.get("id")?.as_str()?).ok());
        sockets.extend(ids.map(|sid| data(sid, Uid::ZERO)));
        Ok(sockets)
    }

    fn get_local(&self) -> &CoreLocalAdapter<E> {
        &self.local
    }
}

impl<E: SocketEmitter> ClassicAdapter<E> {
    /// Whom `opts` mean on other servers; `None` if nobody.
    fn others(&self, opts: &BroadcastOptions) -> Option<Selection> {
        if opts.is_local(self.local.server_id()) { None } else { Selection::from_options(opts) }
    }

    fn publish(&self, packet: &Packet, opts: &BroadcastOptions) -> Result<(), BroadcastError> {
        match (event(packet), self.others(opts)) {
            (Some(event), Some(selection)) => {
                Ok(self.namespace.broadcast(event, &selection).map_err(unreadable)?)
            }
            _ => Ok(()),
        }
    }

    fn request(&self, opts: &BroadcastOptions, request: impl FnOnce(&str, &Selection) -> Vec<u8>) {
        if let Some(who) = self.others(opts) {
            self.namespace.request(request(&self.namespace.uid, &who));
        }
    }

    fn broadcast_with_ack_now(
        &self,
        packet: Packet,
        opts: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> Result<AckStream<E>, Error> {
        let timeout = timeout.unwrap_or_else(|| self.local.ack_timeout());
        let remote = match (event(&packet), self.others(&opts)) {
            (Some(event), Some(mut selection)) => {
                selection.flags.timeout = Some(timeout);
                self.namespace.ask_clients(event, &selection)?
            }
            _ => None,
        };
        let local: Vec<_> = select::targets(&self.local, opts)
            .each(false)
            .map(|opts| self.local.broadcast_with_ack(packet.clone(), opts, Some(timeout)).0)
            .collect();
        Ok(AckStream::new(local, remote.map(|asked| Remote::new(asked, timeout, self.dialect))))
    }

    fn fetch(&self, opts: &BroadcastOptions) -> Result<Option<Asked>, TooMany> {
        let Some(who) = self.others(opts) else { return Ok(None) };
        self.namespace.ask(|id| Outgoing::fetch(&self.namespace.uid, id, &who).encode())
    }

    async fn gather_sockets(&self, asked: Option<Asked>) -> Vec<Json> {
        let mut answers = gather(asked, self.request_timeout()).await.value;
        let lists = answers.iter_mut().filter_map(|fields| fields.get_mut("sockets")?.as_array_mut());
        lists.flat_map(std::mem::take).collect()
    }

    fn request_timeout(&self) -> Duration {
        self.hub.link.config.request_timeout
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::TooMany => Self::TooManyRequests,
            AskError::Event(error) => Self::Encode(unreadable(error)),
        }
    }
}

impl From<TooMany> for Error {
    fn from(TooMany: TooMany) -> Self {
        Self::TooManyRequests
    }
}

impl From<Error> for AdapterError {
    fn from(error: Error) -> Self {
        Self(Box::new(error))
    }
}

/// An event's `[name, …]`.
fn event(packet: &Packet) -> Option<&Value> {
    match &packet.inner {
        PacketData::Event(event, _) | PacketData::BinaryEvent(event, _) => Some(event),
        _ => None,
    }
}

pub(crate) fn unreadable(error: Malformed) -> ParserError {
    ParserError::new(error)
}
