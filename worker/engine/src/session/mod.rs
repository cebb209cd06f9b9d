//! A session without its handler's types: queue, transport, heartbeat, end. What the engine's tasks, permits and the
//! registry share.
//!
//! One mutex guards all of it. Nothing of the application runs under it, and no lock of ours is taken under it but the
//! shard's lists.
//!
//! ```text
//!              close                    farewell said, or its time is up
//!     Open ───────────▶ Closing ─────────────────────────────────────────▶ Closed
//!   emits,              no emits; what is queued                           waiters and the
//!   reads               may still go out                                   handler were told
//! ```

mod beat;
mod close;
mod flush;
pub(crate) mod gather;
pub(crate) mod item;
mod parts;
mod polling;
mod queue;
mod upgrade;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
};

use engineioxide_core::{Sid, TransportType};
use tokio::sync::{Notify, mpsc::error::TrySendError};

pub use self::parts::RequestParts;
use self::{beat::Beat, item::Item, polling::Polling, queue::Queue};
pub(crate) use self::{
    close::{Ending, Manner},
    flush::Progress,
    polling::Poll,
    upgrade::ProbeClaim,
};
use crate::{control::Control, shard::Shard, socket::DisconnectReason, transport::io::Writer};

/// The engine as its sessions know it, whatever the handler's type.
pub(crate) trait Owner: Send + Sync {
    fn find(&self, sid: Sid) -> Option<Arc<Session>>;
    fn all(&self) -> Vec<Arc<Session>>;
    /// The session has begun to close: sees to it that it gets closed, but not within this call.
    fn closing(self: Arc<Self>, session: &Arc<Session>, reason: DisconnectReason);
    /// Forgets a closed session whose client did not fetch its farewell.
    fn forget(&self, sid: Sid);
}

/// One client.
pub(crate) struct Session {
    pub id: Sid,
    pub shard: Arc<Shard>,
    owner: Weak<dyn Owner>,
    /// False for the server's own probes.
    counted: bool,
    state: Mutex<State>,
    ended: Notify,
}

struct State {
    phase: Phase,
    link: Link,
    queue: Queue,
    beat: Beat,
    /// Who waits for something to happen: the task of the WebSocket, or of the pending poll.
    waker: Option<Waker>,
    /// The session is in its shard's flush list.
    marked: bool,
    /// The kernel takes no more; the connection's task waits until it does.
    blocked: bool,
    /// A write failed.
    broken: bool,
    /// The shard watches whether bytes move.
    watched: bool,
    /// Goes up with each write.
    moves: u32,
}

enum Phase {
    Open,
    Closing(Ending),
    Closed,
}

enum Link {
    Polling(Polling),
    Websocket(Writer),
    /// Closed; what it ran over last.
    Gone(TransportType),
}

impl Session {
    pub(crate) fn new(
        sid: Sid,
        shard: Arc<Shard>,
        owner: Weak<dyn Owner>,
        writer: Option<Writer>,
        counted: bool,
    ) -> Self {
        let link = writer.map_or_else(|| Link::Polling(Polling::default()), Link::Websocket);
        let state = State {
            phase: Phase::Open,
            link,
            queue: Queue::default(),
            beat: Beat::default(),
            waker: None,
            marked: false,
            blocked: false,
            broken: false,
            watched: false,
            moves: 0,
        };
        Self { id: sid, shard, owner, counted, state: Mutex::new(state), ended: Notify::new() }
    }

    /// Takes a place in the queue for one later [`emit_reserved`](Self::emit_reserved).
    pub(crate) fn reserve(&self) -> Result<(), TrySendError<()>> {
        let state = &mut *self.lock();
        match &state.phase {
            Phase::Open if state.queue.reserve(self.shard.emits_max()) => Ok(()),
            Phase::Open => Err(TrySendError::Full(())),
            Phase::Closing(_) | Phase::Closed => Err(TrySendError::Closed(())),
        }
    }

    pub(crate) fn release(&self) {
        self.lock().queue.release();
    }

    /// Queues an item, or gives it back if there is no place or the session is closing.
    pub(crate) fn emit(self: &Arc<Self>, item: Item) -> Result<(), TrySendError<Item>> {
        match self.reserve() {
            Ok(()) => {
                self.emit_reserved(item);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(TrySendError::Full(item)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(item)),
        }
    }

    /// Queues an item in a place that was taken before. If the session is closing by now, it is dropped.
    pub(crate) fn emit_reserved(self: &Arc<Self>, item: Item) {
        let mut state = self.lock();
        state.queue.release();
        if !matches!(state.phase, Phase::Open) {
            return;
        }
        self.enqueue(&mut state, item);
        let over = self.shard.slow_budget().is_some_and(|budget| !self.makes_room(&mut state, budget.get()));
        drop(state);
        if over {
            self.close_slow(&self.counters().slow_over_budget);
        }
    }

    /// Replaces the volatile item.
    pub(crate) fn emit_volatile(self: &Arc<Self>, item: Item) -> bool {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open) {
            return false;
        }
        state.queue.set_volatile(item);
        self.notify(&mut state);
        true
    }

    /// Queues what the engine itself sends: it takes no place.
    pub(crate) fn send(self: &Arc<Self>, item: Item) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Open) {
            self.enqueue(&mut state, item);
        }
    }

    fn enqueue(self: &Arc<Self>, state: &mut State, item: Item) {
        let cost = state.queue.push(item);
        self.counters().queued_bytes.add(cost as u64);
        self.notify(state);
    }

    /// Lets whoever writes know that there is something to write.
    fn notify(self: &Arc<Self>, state: &mut State) {
        match state.link {
            Link::Polling(_) => wake(state),
            Link::Websocket(_) if !state.marked => {
                state.marked = true;
                self.shard.mark(self.clone());
            }
            Link::Websocket(_) | Link::Gone(_) => {}
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.lock().phase, Phase::Open)
    }

    pub(crate) fn transport(&self) -> TransportType {
        match self.lock().link {
            Link::Polling(_) => TransportType::Polling,
            Link::Websocket(_) => TransportType::Websocket,
            Link::Gone(last) => last,
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    pub(crate) fn is_of(&self, control: &Control) -> bool {
        self.shard.control().is(control)
    }

    /// The counters of the session's control, or a blind set for the server's own probes.
    pub(crate) fn counters(&self) -> &crate::control::Counters {
        if self.counted { self.shard.control().counters() } else { self.shard.uncounted() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No invariant spans a call that could panic, so a poisoned state is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport();
        f.debug_struct("Session").field("id", &self.id).field("transport", &transport).finish_non_exhaustive()
    }
}

fn wake(state: &mut State) {
    if let Some(waker) = &state.waker {
        waker.wake_by_ref();
    }
}
