//! Operations on sockets of all servers, chosen by room.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use socketioxide_core::{
    Value,
    adapter::{BroadcastOptions, Room},
    parser::{Parse, ParserError, is_ser_tuple},
};
use socketioxide_parser_common::CommonParser;

use crate::{
    Cluster, Error, Gathered, RemoteSocket,
    adapter::unreadable,
    answer,
    namespace::{Asked, Namespace, gather},
    node::Node,
    questions::Fields,
    wire::{
        broadcast, encode,
        request::Outgoing,
        selection::{Selection, scalar},
        transcode::Dialect,
    },
};

/// Sockets of one namespace on all servers: those in any of the rooms (all, if no room is named), less those in an
/// excepted one. The id of a socket counts as a room.
///
/// What changes something takes effect on this server in the call, and on the others in the order of the calls.
#[derive(Debug, Clone)]
#[must_use = "this only chooses sockets"]
pub struct Target {
    cluster: Cluster,
    path: String,
    selection: Selection,
}

impl Target {
    pub(crate) fn new(cluster: Cluster, path: String) -> Self {
        Self { cluster, path, selection: Selection::default() }
    }

    /// Adds the sockets in `room`.
    pub fn to(mut self, room: impl Into<String>) -> Self {
        self.selection.rooms.push(Room::Owned(room.into()));
        self
    }

    /// Leaves out the sockets in `room`.
    pub fn except(mut self, room: impl Into<String>) -> Self {
        self.selection.except.push(Room::Owned(room.into()));
        self
    }

    /// Lets the event be lost for clients that are not ready for it.
    pub fn volatile(mut self) -> Self {
        self.selection.flags.volatile = true;
        self
    }

    /// Sends an event to the sockets. A tuple is several arguments; bytes (`bytes::Bytes`, `serde_bytes`) arrive as
    /// binary values.
    pub fn emit<T: ?Sized + Serialize>(&self, event: &str, data: &T) -> Result<(), Error> {
        if broadcast::is_reserved(event.as_bytes()) {
            return Err(Error::ReservedEvent(event.to_owned()));
        }
        let namespace = self.namespace();
        let event = CommonParser.encode_value(data, Some(event))?;
        namespace.broadcast(&event, &self.selection).map_err(unreadable)?;
        if let Some(node) = namespace.node() {
            // Sockets whose queues are full are the engine's to count.
            let _ = node.broadcast(in_dialect(event, node.dialect())?, self.options());
        }
        Ok(())
    }

    /// The sockets, their rooms, handshake and data.
    pub async fn fetch_sockets(&self) -> Result<Gathered<Vec<RemoteSocket>>, Error> {
        let namespace = self.namespace();
        let asked = namespace.ask(|id| Outgoing::fetch(&namespace.uid, id, &self.selection).encode())?;
        let local = match namespace.node() {
            Some(node) => answer::describe(&self.cluster.hub, &self.path, &*node, self.options()),
            None => Vec::new(),
        };
        let answers = self.gather(asked).await;
        Ok(answers.map(|answers| {
            let sockets = answers.into_iter().flat_map(|fields| list(fields, "sockets"));
            local.into_iter().chain(sockets).filter_map(remote_socket).collect()
        }))
    }

    /// How many sockets there are.
    pub async fn count(&self) -> Result<Gathered<usize>, Error> {
        let namespace = self.namespace();
        // Ids alone are much less to send than whole sockets, but that request knows no exceptions.
        let asked = match &self.selection {
            Selection { rooms, except, .. } if except.is_empty() => {
                namespace.ask(|id| Outgoing::sockets(&namespace.uid, id, rooms).encode())
            }
            selection => namespace.ask(|id| Outgoing::fetch(&namespace.uid, id, selection).encode()),
        }?;
        let local = namespace.node().map_or(0, |node| node.sockets(self.options()).len());
        let answers = self.gather(asked).await;
        Ok(answers.map(|answers| {
            let sockets = answers.into_iter().map(|fields| list(fields, "sockets").len());
            local + sockets.sum::<usize>()
        }))
    }

    /// Every room of the namespace that has a member, whatever was chosen before. To Node, each socket's id is one.
    pub async fn all_rooms(&self) -> Result<Gathered<BTreeSet<String>>, Error> {
        let namespace = self.namespace();
        let asked = namespace.ask(|id| Outgoing::all_rooms(&namespace.uid, id).encode())?;
        let local = namespace.node().map(|node| answer::all_rooms(&*node)).unwrap_or_default();
        let answers = self.gather(asked).await;
        Ok(answers.map(|answers| {
            let rooms = answers.into_iter().flat_map(|fields| list(fields, "rooms"));
            let local = local.into_iter().map(Room::into_owned);
            local.chain(rooms.filter_map(|room| scalar(&room))).collect()
        }))
    }

    /// How many servers serve the namespace, this one included; 1 if Redis is out of reach.
    pub async fn server_count(&self) -> usize {
        let namespace = self.namespace();
        if !namespace.is_connected() {
            return 1;
        }
        let count =
            tokio::time::timeout(self.cluster.hub.link.config.request_timeout, namespace.count()).await;
        count.ok().and_then(Result::ok).unwrap_or(1)
    }

    /// Lets the sockets join `rooms`.
    pub fn sockets_join(&self, rooms: impl IntoIterator<Item = impl Into<String>>) {
        let rooms = owned(rooms);
        let namespace = self.namespace();
        namespace.request(Outgoing::join(&namespace.uid, &self.selection, &rooms).encode());
        self.here(&namespace, |node, opts| node.join(opts, &rooms));
    }

    /// Lets the sockets leave `rooms`.
    pub fn sockets_leave(&self, rooms: impl IntoIterator<Item = impl Into<String>>) {
        let rooms = owned(rooms);
        let namespace = self.namespace();
        namespace.request(Outgoing::leave(&namespace.uid, &self.selection, &rooms).encode());
        self.here(&namespace, |node, opts| node.leave(opts, &rooms));
    }

    /// Disconnects the sockets, from this namespace or altogether. Official clients do not come back by themselves.
    pub fn disconnect_sockets(&self, scope: Disconnect) {
        let close = scope == Disconnect::Connection;
        let namespace = self.namespace();
        namespace.request(Outgoing::disconnect(&namespace.uid, &self.selection, close).encode());
        self.here(&namespace, |node, opts| answer::disconnect(&self.cluster.hub, node, opts, close));
    }

    /// Sends an event to the other servers of the namespace, for their handlers. A tuple is several arguments.
    pub fn server_side_emit<T: ?Sized + Serialize>(&self, event: &str, data: &T) -> Result<(), Error> {
        let namespace = self.namespace();
        let data = arguments(event, data)?;
        namespace.request(Outgoing::server_side_emit(&namespace.uid, None, &data).encode());
        Ok(())
    }

    /// The same, and waits for what the other servers' handlers return. `None` stands for an answer without a value, or
    /// with one of another type.
    pub async fn server_side_emit_with_ack<T: ?Sized + Serialize, R: DeserializeOwned>(
        &self,
        event: &str,
        data: &T,
    ) -> Result<Gathered<Vec<Option<R>>>, Error> {
        let namespace = self.namespace();
        let data = arguments(event, data)?;
        let asked =
            namespace.ask(|id| Outgoing::server_side_emit(&namespace.uid, Some(id), &data).encode())?;
        let answers = self.gather(asked).await;
        let value = |mut fields: Fields| serde_json::from_value(fields.remove("data")?).ok();
        Ok(answers.map(|answers| answers.into_iter().map(value).collect()))
    }

    fn namespace(&self) -> Arc<Namespace> {
        self.cluster.hub.peek(&self.path)
    }

    fn options(&self) -> BroadcastOptions {
        self.selection.clone().into_options()
    }

    fn here(&self, namespace: &Namespace, act: impl FnOnce(&dyn Node, BroadcastOptions)) {
        if let Some(node) = namespace.node() {
            act(&*node, self.options());
        }
    }

    async fn gather(&self, asked: Option<Asked>) -> Gathered<Vec<Fields>> {
        gather(asked, self.cluster.hub.link.config.request_timeout).await
    }
}

/// How far a disconnect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// From this namespace; the client keeps its connection for the others.
    Namespace,
    /// From all namespaces, and so from the server.
    Connection,
}

fn owned(rooms: impl IntoIterator<Item = impl Into<String>>) -> Vec<Room> {
    rooms.into_iter().map(|room| Room::Owned(room.into())).collect()
}

/// An event in the form of a namespace's parser.
fn in_dialect(event: Value, dialect: Dialect) -> Result<Value, Error> {
    if dialect == Dialect::Json {
        return Ok(event);
    }
    let mut bytes = Vec::new();
    encode::value(&mut bytes, &event).map_err(unreadable)?;
    Ok(Value::Bytes(bytes.into()))
}

/// A server-side event's name and arguments.
fn arguments<T: ?Sized + Serialize>(event: &str, data: &T) -> Result<Vec<Json>, Error> {
    let mut all = vec![Json::from(event)];
    match serde_json::to_value(data).map_err(ParserError::new)? {
        Json::Array(several) if is_ser_tuple(data) => all.extend(several),
        one => all.push(one),
    }
    Ok(all)
}

fn list(mut fields: Fields, name: &str) -> Vec<Json> {
    match fields.remove(name) {
        Some(Json::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn remote_socket(mut socket: Json) -> Option<RemoteSocket> {
    let id = scalar(socket.get("id")?)?;
    let rooms = socket.get("rooms").and_then(Json::as_array).into_iter().flatten().filter_map(scalar);
    let rooms = rooms.filter(|room| *room != id).collect();
    let mut take = |name: &str| socket.get_mut(name).map(Json::take).unwrap_or_default();
    Some(RemoteSocket { rooms, handshake: take("handshake"), data: take("data"), id })
}
