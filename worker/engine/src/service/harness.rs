//! What the integration tests of engineioxide and socketioxide reach into.

use std::sync::Arc;

use engineioxide_core::{Packet, ProtocolVersion, Sid};
use http::request::Parts;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::mpsc,
};

use super::{EngineIoService, RequestError};
use crate::{
    config::EngineIoConfig,
    control::{Control, Options},
    handler::EngineIoHandler,
    session::{
        Owner, RequestParts, Session,
        item::{Item, Packet as Sent},
    },
    shard::Shard,
    socket::{DisconnectReason, Socket},
    transport::{
        io,
        upgrading::{self, Purpose},
    },
};

impl<H: EngineIoHandler, S> EngineIoService<H, S> {
    /// Serves a byte stream that speaks WebSocket already.
    pub fn ws_init<St>(
        &self,
        stream: St,
        _: ProtocolVersion,
        sid: Option<Sid>,
        request: Parts,
    ) -> impl Future<Output = Result<(), RequestError>> + 'static
    where
        St: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let engine = self.engine.clone();
        async move {
            let purpose = match sid {
                Some(sid) => Purpose::take_over(&engine, sid)?,
                None => Purpose::Open(engine.control_of(&request.extensions), Box::new(request)),
            };
            let (reader, writer) = io::split(stream);
            if let Some(connection) = upgrading::begin(engine, reader, writer, Vec::new(), purpose) {
                connection.await;
            }
            Ok(())
        }
    }
}

type CloseFn = Box<dyn Fn(Sid, DisconnectReason) + Send + Sync>;

/// In place of an engine: passes a close on.
struct Dummy(CloseFn);

impl Owner for Dummy {
    fn find(&self, _: Sid) -> Option<Arc<Session>> {
        None
    }
    fn all(&self) -> Vec<Arc<Session>> {
        Vec::new()
    }
    fn closing(self: Arc<Self>, session: &Arc<Session>, reason: DisconnectReason) {
        (self.0)(session.id, reason);
    }
    fn forget(&self, _: Sid) {}
}

impl<D: Default + Send + Sync + 'static> Socket<D> {
    /// Sends a text frame as it stands: see `EngineIoConfig::bare_websocket`.
    pub fn emit_bare(&self, text: &str) {
        self.session.send(Item::Open(text.into()));
    }

    /// A socket without a client.
    pub fn new_dummy(sid: Sid, close_fn: CloseFn) -> Arc<Self> {
        let (socket, mut packets) = Self::new_dummy_piped(sid, close_fn, 1024);
        tokio::spawn(async move { while packets.recv().await.is_some() {} });
        socket
    }

    /// A socket whose client is a channel.
    pub fn new_dummy_piped(
        sid: Sid,
        close_fn: CloseFn,
        buffer_size: usize,
    ) -> (Arc<Self>, mpsc::Receiver<Packet>) {
        let owner: Arc<dyn Owner> = Arc::new(Dummy(close_fn));
        let config = EngineIoConfig { max_buffer_size: buffer_size, ..EngineIoConfig::default() };
        let shard = Shard::idle(Control::new(Options::stock()), Arc::new(config), Handle::current());
        let session = Arc::new(Session::new(sid, Arc::new(shard), Arc::downgrade(&owner), None, false));
        let parts = http::Request::new(()).into_parts().0;
        let socket = Arc::new(Self::new(session.clone(), RequestParts::new(parts)));
        let (tx, rx) = mpsc::channel(buffer_size);
        tokio::spawn(async move {
            // The session knows its owner weakly.
            let _owner = owner;
            while let Some(item) = session.next_item().await {
                for packet in packets(&item) {
                    if tx.send(packet).await.is_err() {
                        return;
                    }
                }
            }
        });
        (socket, rx)
    }
}

fn packets(item: &Item) -> Vec<Packet> {
    let packet = |sent: Sent<'_>| match sent {
        Sent::Text(Some('4'), text) => Some(Packet::Message(text.to_owned().into())),
        Sent::Text(Some('2'), _) => Some(Packet::Ping),
        Sent::Text(Some('1'), _) => Some(Packet::Close),
        Sent::Binary(data) => Some(Packet::Binary(data.to_vec().into())),
        _ => None,
    };
    item.packets().filter_map(packet).collect()
}
