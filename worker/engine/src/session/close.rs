//! The end of a session: how it is said, and when it is over.

use std::sync::Arc;

use engineioxide_core::TransportType;

use super::{Link, Phase, Session, State, item::Item, wake};
use crate::{
    control::{CloseCode, Conduct, Counter},
    proto::payload::Payload,
    socket::DisconnectReason,
};

/// What is said at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// What is queued, a close packet and, on a WebSocket, a close frame.
    Orderly(CloseCode),
    /// On a WebSocket only a close frame: an answer to the peer's, or what was wrong with its bytes.
    Answer(CloseCode),
    /// Nothing: the transport is gone.
    Silent,
    /// Nothing, and the kernel forgets what it holds for the peer, which does not read.
    Reset,
}

impl Manner {
    pub(crate) const NORMAL: Self = Self::Orderly(CloseCode::NORMAL);
}

/// Why and how a session ends.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub reason: DisconnectReason,
    pub manner: Manner,
}

impl Session {
    /// Begins the end; only the first call counts. The handler hears of it later, from a task.
    pub(crate) fn close(self: &Arc<Self>, reason: DisconnectReason, manner: Manner) {
        {
            let mut state = self.lock();
            if !matches!(state.phase, Phase::Open) {
                return;
            }
            let is_websocket = matches!(state.link, Link::Websocket(_));
            match manner {
                Manner::Orderly(_) => self.counters().queued_bytes.add(state.queue.settle_volatile() as u64),
                Manner::Answer(_) => self.counters().queued_bytes.sub(state.queue.clear_unstarted() as u64),
                Manner::Silent | Manner::Reset => self.drop_queue(&mut state),
            }
            let says_close = match (&state.link, manner) {
                (_, Manner::Orderly(_)) => true,
                // A poll has to be answered; without one, a client that has said goodbye itself does not come for it.
                (Link::Polling(polling), Manner::Answer(_)) => polling.is_polled(),
                (Link::Polling(_), _) => true,
                (Link::Websocket(_) | Link::Gone(_), _) => false,
            };
            if says_close {
                self.enqueue(&mut state, Item::Close);
            }
            if let (true, Manner::Orderly(code) | Manner::Answer(code)) = (is_websocket, manner) {
                self.enqueue(&mut state, Item::WsClose(code));
            }
            state.phase = Phase::Closing(Ending { reason: reason.clone(), manner });
            wake(&mut state);
            if let Link::Polling(polling) = &mut state.link {
                polling.wake_probe();
            }
        }
        if let Some(owner) = self.owner.upgrade() {
            owner.closing(self, reason);
        }
    }

    /// Closes a session whose client does not keep up.
    pub(crate) fn close_slow(self: &Arc<Self>, counter: &Counter) {
        if self.is_open() {
            counter.add(1);
            event!(info, sid = %self.id, queued_bytes = self.queued_bytes(), "client does not keep up, session ends");
            self.close(DisconnectReason::TransportError, Manner::Reset);
        }
    }

    /// The end has been said: wakes everybody who waits for it. False if it was over before.
    pub(crate) fn set_closed(&self) -> bool {
        let mut state = self.lock();
        let ending = match std::mem::replace(&mut state.phase, Phase::Closed) {
            Phase::Closed => return false,
            Phase::Closing(ending) => Some(ending),
            // The task was dropped with its runtime.
            Phase::Open => None,
        };
        let transport = match state.link {
            Link::Websocket(ref writer) => {
                if matches!(&ending, Some(ending) if ending.manner == Manner::Reset) {
                    writer.reset_on_close();
                }
                state.link = Link::Gone(TransportType::Websocket);
                TransportType::Websocket
            }
            Link::Polling(_) => TransportType::Polling,
            Link::Gone(last) => last,
        };
        if transport == TransportType::Websocket {
            self.drop_queue(&mut state);
            state.waker = None;
        }
        drop(state);
        let counters = self.counters();
        counters.sessions(transport).sub(1);
        match ending.map(|ending| ending.manner) {
            Some(Manner::Orderly(_) | Manner::Reset) => counters.sessions_ended.add(1),
            Some(Manner::Answer(_) | Manner::Silent) | None => counters.sessions_lost.add(1),
        }
        self.ended.notify_waiters();
        true
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.lock().phase, Phase::Closed)
    }

    /// Resolves when the session has ended.
    pub(crate) async fn closed(&self) {
        // Made before the look, so an end in between is not missed.
        let ended = self.ended.notified();
        if !self.is_closed() {
            ended.await;
        }
    }

    /// Whether a polling client should find a close packet at its next poll.
    pub(crate) fn has_farewell(&self) -> bool {
        let state = self.lock();
        let polls = matches!(&state.link, Link::Polling(polling) if !polling.is_polled());
        polls && !state.queue.is_empty() && self.shard.control().options().conduct == Conduct::Node
    }

    /// What a closed polling session still has to say.
    pub(crate) fn take_farewell(&self, max: usize) -> Option<String> {
        let mut state = self.lock();
        if !matches!((&state.phase, &state.link), (Phase::Closed, Link::Polling(_))) || state.queue.is_empty()
        {
            return None;
        }
        let mut payload = Payload::default();
        let left = state.queue.fill(&mut payload, max);
        self.account(left);
        self.counters().bytes_out.add(payload.len() as u64);
        Some(payload.into_text())
    }

    /// Drops what is left, unless a poll is there to take it.
    pub(crate) fn discard_unless_polled(&self) {
        let mut state = self.lock();
        if !matches!(&state.link, Link::Polling(polling) if polling.is_polled()) {
            self.drop_queue(&mut state);
        }
    }

    /// Nobody will fetch what is left.
    pub(crate) fn discard(&self) {
        self.drop_queue(&mut self.lock());
    }

    pub(super) fn drop_queue(&self, state: &mut State) {
        let bytes = state.queue.clear();
        self.counters().queued_bytes.sub(bytes as u64);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.discard();
    }
}
