//! The events of the stock server: handlers, their answers and their effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use oxherd_contract::ids::{Generation, WorkerIndex};
use oxherd_contract::settings::Identity;
use oxherd_worker::{Adapter, SocketRef};
use rmpv::Value;
use serde::Serialize;
use socketioxide::BroadcastError;
use socketioxide::extract::{AckSender, TryData};
use socketioxide::socket::Sid;

use super::event::{self, ROOMS_PER_SOCKET_MAX, Refusal};

/// What all sockets of a worker share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chat {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    /// Messages that this worker has numbered.
    messages: AtomicU64,
}

#[derive(Serialize)]
struct Welcome<'a> {
    id: Sid,
    host: &'a str,
    worker: WorkerIndex,
    generation: Generation,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    room: &'a str,
    from: Sid,
    /// Milliseconds since 1970.
    at: u64,
    data: Value,
}

/// What an acknowledgement says.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Room { ok: bool, room: String },
    Sent { ok: bool, id: String },
    Refused { ok: bool, error: String },
}

type Ack = AckSender<Adapter>;

impl Chat {
    pub(crate) fn new(identity: Identity) -> Self {
        Chat { shared: Arc::new(Shared { identity, messages: AtomicU64::new(0) }) }
    }

    /// Registers what the socket may say, and greets it. Handlers run in the order of their events up to their first
    /// wait, so what a client sent first takes effect first.
    pub(crate) fn connected(&self, socket: &SocketRef) {
        socket
            .on("join", async |socket: SocketRef, TryData(room), ack: Ack| answer(ack, join(&socket, room)));
        socket.on("leave", async |socket: SocketRef, TryData(room), ack: Ack| {
            answer(ack, leave(&socket, room))
        });
        let chat = self.clone();
        socket.on("message", move |socket: SocketRef, TryData(message), ack: Ack| async move {
            answer(ack, chat.message(&socket, message).await);
        });
        socket.on_fallback(async |ack: Ack| answer(ack, Err(Refusal::Event)));

        let Identity { host, index, generation, .. } = &self.shared.identity;
        let welcome = Welcome { id: socket.id, host, worker: *index, generation: *generation };
        if let Err(error) = socket.emit("welcome", &welcome) {
            tracing::debug!(sid = %socket.id, %error, "no welcome");
        }
    }

    async fn message<E>(&self, socket: &SocketRef, argument: Result<Value, E>) -> Result<Answer, Refusal> {
        let (room, data) = event::message(argument.unwrap_or(Value::Nil))?;
        let id = self.next_id();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let message = Message { id: &id, room: &room, from: socket.id, at, data };
        match socket.within(room.clone()).emit("message", &message).await {
            Ok(()) => {}
            Err(BroadcastError::Serialize(_)) => return Err(Refusal::Send),
            // It is on its way to everybody else; one slow member is no fault of the sender.
            Err(error) => tracing::debug!(sid = %socket.id, %error, "message not taken by all"),
        }
        Ok(Answer::Sent { ok: true, id })
    }

    /// Unique for good: a box and a worker never use their ids again.
    fn next_id(&self) -> String {
        let Identity { box_id, worker, .. } = &self.shared.identity;
        format!("{box_id}-{worker}-{}", self.shared.messages.fetch_add(1, Relaxed))
    }
}

fn join<E>(socket: &SocketRef, argument: Result<Value, E>) -> Result<Answer, Refusal> {
    let room = event::room(argument.unwrap_or(Value::Nil))?;
    let rooms = socket.rooms();
    if rooms.len() >= ROOMS_PER_SOCKET_MAX && !rooms.iter().any(|other| *other == room) {
        return Err(Refusal::TooManyRooms);
    }
    socket.join(room.clone());
    Ok(Answer::Room { ok: true, room })
}

fn leave<E>(socket: &SocketRef, argument: Result<Value, E>) -> Result<Answer, Refusal> {
    let room = event::room(argument.unwrap_or(Value::Nil))?;
    socket.leave(room.clone());
    Ok(Answer::Room { ok: true, room })
}

/// Acknowledges, if the client asked for it.
fn answer(ack: Ack, outcome: Result<Answer, Refusal>) {
    let refused = |refusal: Refusal| Answer::Refused { ok: false, error: refusal.to_string() };
    if let Err(error) = ack.send(&outcome.unwrap_or_else(refused)) {
        tracing::debug!(%error, "no acknowledgement");
    }
}
