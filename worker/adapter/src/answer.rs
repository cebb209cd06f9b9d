//! Does what other servers and emitters ask, and answers.

use std::{str::FromStr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use socketioxide_core::{
    Sid,
    adapter::{BroadcastOptions, Room},
};

use crate::{
    hub::Hub,
    namespace::Namespace,
    node::Node,
    wire::{
        Malformed,
        request::{Kind, Request, Who},
        response::{self, Outgoing},
        selection::{Selection, scalar},
        transcode,
    },
};

/// The longest that a client's acknowledgement is waited for, whatever the asking server says.
const ACK_TIMEOUT_MAX: Duration = Duration::from_secs(600);

pub(crate) enum Done {
    Yes,
    /// As many questions are being answered as may be.
    OverLimit,
}

/// Acts on a request of another server. Never waits: what takes time goes on in a task of its own.
pub(crate) fn answer(
    hub: &Hub,
    namespace: &Arc<Namespace>,
    node: &dyn Node,
    request: Request,
) -> Result<Done, Malformed> {
    let asker = Asker { namespace: Arc::clone(namespace), uid: request.uid, id: request.id };
    match request.kind {
        Kind::Sockets { rooms } => {
            let ids = node.sockets(Selection { rooms, ..Selection::default() }.into_options());
            asker.answer(|id| Outgoing::sockets(id, ids.iter().map(|sid| sid.as_str().into()).collect()));
        }
        Kind::AllRooms => {
            let rooms = all_rooms(node);
            asker.answer(|id| Outgoing::rooms(id, &rooms));
        }
        Kind::Join { who, rooms } => {
            if let Some(opts) = asker.acknowledge(node, who) {
                node.join(opts, &rooms);
            }
        }
        Kind::Leave { who, rooms } => {
            if let Some(opts) = asker.acknowledge(node, who) {
                node.leave(opts, &rooms);
            }
        }
        Kind::Disconnect { who, close } => {
            if let Some(opts) = asker.acknowledge(node, who) {
                disconnect(hub, node, opts, close);
            }
        }
        Kind::Fetch { selection } => {
            let sockets = describe(hub, &namespace.path, node, selection.into_options());
            asker.answer(|id| Outgoing::sockets(id, sockets));
        }
        Kind::ServerSideEmit { data } => return Ok(server_side_event(asker, data)),
        Kind::Broadcast { message, event, namespace: path, selection } => {
            if path != namespace.path {
                return Err(Malformed::Shape("a broadcast for another namespace"));
            }
            let Some(permit) = namespace.may_answer() else { return Ok(Done::OverLimit) };
            let event = transcode::value(&message, event, node.dialect())?;
            let timeout = selection.flags.timeout.map(|timeout| timeout.min(ACK_TIMEOUT_MAX));
            let (mut acks, clients) = node.broadcast_with_ack(event, selection.into_options(), timeout);
            asker.answer(|id| Outgoing::client_count(id, clients));
            tokio::spawn(async move {
                while let Some(ack) = acks.next().await {
                    asker.ack(&ack);
                }
                drop(permit);
            });
        }
    }
    Ok(Done::Yes)
}

/// Disconnects; with `close` from every namespace, after which a client has no reason to keep its connection.
pub(crate) fn disconnect(hub: &Hub, node: &dyn Node, opts: BroadcastOptions, close: bool) {
    // Sockets that are gone already, or too slow to be told, are no concern of the asker.
    if !close {
        let _ = node.disconnect(opts);
        return;
    }
    // A client's sockets have the same id in all namespaces.
    let sids = node.sockets(opts);
    for node in hub.nodes() {
        for sid in &sids {
            let _ = node.disconnect(BroadcastOptions::new(*sid));
        }
    }
}

/// The sockets that `opts` mean, as Node's `RemoteSocket` wants them: their own id is among their rooms.
pub(crate) fn describe(hub: &Hub, path: &str, node: &dyn Node, opts: BroadcastOptions) -> Vec<Json> {
    let describe = |sid: Sid| {
        let mut rooms = vec![Room::Owned(sid.to_string())];
        rooms.extend(node.rooms_of(sid));
        let description = hub.describe(path, sid);
        json!({
            "id": sid.as_str(),
            "handshake": description.handshake,
            "rooms": rooms,
            "data": description.data,
        })
    };
    node.sockets(opts).into_iter().map(describe).collect()
}

/// All rooms; to Node, every socket's id is one.
pub(crate) fn all_rooms(node: &dyn Node) -> Vec<Room> {
    let ids = node.sockets(Selection::default().into_options());
    let mut rooms: Vec<Room> = ids.iter().map(|sid| Room::Owned(sid.to_string())).collect();
    rooms.extend(node.rooms());
    rooms
}

fn server_side_event(asker: Asker, mut data: Vec<Json>) -> Done {
    let event = data.first().and_then(scalar).unwrap_or_default();
    data.drain(..1);
    match asker.namespace.handlers.call(&event, data) {
        Some(result) => {
            let Some(permit) = asker.namespace.may_answer() else { return Done::OverLimit };
            tokio::spawn(async move {
                let result = result.await;
                asker.answer(|id| Outgoing::server_side(id, result));
                drop(permit);
            });
        }
        // Nobody cares for the event here. The asker counts answers, and would wait in vain for this server's.
        None => asker.answer(|id| Outgoing::server_side(id, None)),
    }
    Done::Yes
}

/// Who gets the answer, if anybody wants one.
struct Asker {
    namespace: Arc<Namespace>,
    uid: Option<String>,
    id: Option<String>,
}

impl Asker {
    fn answer<'a>(&'a self, answer: impl FnOnce(&'a str) -> Outgoing<'a>) {
        if let Some(id) = &self.id {
            self.namespace.respond(self.uid.as_deref(), answer(id).encode());
        }
    }

    fn ack(&self, ack: &socketioxide_core::Value) {
        let Some(id) = &self.id else { return };
        match response::encode_ack(id, ack) {
            Ok(message) => self.namespace.respond(self.uid.as_deref(), message),
            Err(error) => tracing::debug!(%error, "a client's acknowledgement cannot be passed on"),
        }
    }

    /// Whom a request without an answer means. The legacy forms mean one socket, and are acknowledged by its owner.
    fn acknowledge(&self, node: &dyn Node, who: Who) -> Option<BroadcastOptions> {
        match who {
            Who::Selection(selection) => Some(selection.into_options()),
            Who::Socket(id) => {
                let opts = BroadcastOptions::new(Sid::from_str(&id).ok()?);
                if node.sockets(opts.clone()).is_empty() {
                    return None;
                }
                self.answer(Outgoing::done);
                Some(opts)
            }
        }
    }
}
