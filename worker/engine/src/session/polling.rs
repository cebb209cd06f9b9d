//! Long-polling: one poll and one post at a time.

use std::{
    sync::Arc,
    task::{self, Waker},
};

use super::{Link, Manner, Phase, Session, upgrade::Upgrade};
use crate::{
    proto::{payload::Payload, refused::Refused},
    socket::DisconnectReason,
};

/// What a polling session keeps.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    polled: bool,
    posted: bool,
    pub(super) upgrade: Upgrade,
    /// The task of the WebSocket that is to take over.
    pub(super) probe: Option<Waker>,
}

impl Polling {
    pub(super) fn is_polled(&self) -> bool {
        self.polled
    }

    pub(super) fn wake_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            probe.wake();
        }
    }
}

/// The right to wait for the next packets; another poll meanwhile ends the session.
#[derive(Debug)]
pub(crate) struct PollClaim {
    session: Arc<Session>,
}

/// The answer of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    Payload(String),
    /// Engine.IO's "6": nothing to say, go on elsewhere.
    Noop,
}

/// The right to bring packets; two posts at once could put a message between another and its attachments.
#[derive(Debug)]
pub(crate) struct PostClaim {
    session: Arc<Session>,
}

impl Session {
    /// Begins a poll.
    pub(crate) fn claim_poll(self: &Arc<Self>) -> Result<PollClaim, Refused> {
        let second = {
            let state = &mut *self.lock();
            match (&state.phase, &mut state.link) {
                (Phase::Closed, _) => return Err(Refused::UnknownSession),
                (_, Link::Websocket(_) | Link::Gone(_)) => return Err(Refused::BadRequest),
                (_, Link::Polling(polling)) => std::mem::replace(&mut polling.polled, true),
            }
        };
        if second {
            self.close(DisconnectReason::MultipleHttpPollingError, Manner::NORMAL);
            return Err(Refused::BadPacket);
        }
        Ok(PollClaim { session: self.clone() })
    }

    /// Begins a post.
    pub(crate) fn claim_post(self: &Arc<Self>) -> Result<PostClaim, Refused> {
        let second = {
            let state = &mut *self.lock();
            match (&state.phase, &mut state.link) {
                (Phase::Closing(_) | Phase::Closed, _) => return Err(Refused::UnknownSession),
                (_, Link::Websocket(_) | Link::Gone(_)) => return Err(Refused::BadRequest),
                (_, Link::Polling(polling)) => std::mem::replace(&mut polling.posted, true),
            }
        };
        if second {
            self.close(DisconnectReason::TransportError, Manner::NORMAL);
            return Err(Refused::BadPacket);
        }
        Ok(PostClaim { session: self.clone() })
    }
}

impl PollClaim {
    /// Ready with the answer as soon as there is something to say.
    pub(crate) fn poll(&self, cx: &mut task::Context<'_>, max: usize) -> task::Poll<Poll> {
        let session = &self.session;
        let mut state = session.lock();
        let is_open = matches!(state.phase, Phase::Open);
        match &state.link {
            // What waits goes over the WebSocket, unless the session ends before it is there.
            Link::Polling(polling) if polling.upgrade == Upgrade::Granted && is_open => {
                return task::Poll::Ready(Poll::Noop);
            }
            Link::Websocket(_) | Link::Gone(_) => return task::Poll::Ready(Poll::Noop),
            Link::Polling(_) => {}
        }
        let mut payload = Payload::default();
        let left = state.queue.fill(&mut payload, max);
        session.account(left);
        session.counters().bytes_out.add(payload.len() as u64);
        if !payload.is_empty() || !is_open {
            return task::Poll::Ready(Poll::Payload(payload.into_text()));
        }
        state.waker = Some(cx.waker().clone());
        task::Poll::Pending
    }
}

impl Drop for PollClaim {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        if matches!(state.phase, Phase::Closed) {
            self.session.drop_queue(&mut state);
        }
        if let Link::Polling(polling) = &mut state.link {
            polling.polled = false;
            state.waker = None;
        }
    }
}

impl Drop for PostClaim {
    fn drop(&mut self) {
        if let Link::Polling(polling) = &mut self.session.lock().link {
            polling.posted = false;
        }
    }
}

#[cfg(feature = "__test_harness")]
impl Session {
    /// The next item of the queue, for a socket whose client is a channel; none when the session closes.
    pub(crate) async fn next_item(&self) -> Option<super::item::Item> {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(item) = state.queue.take_first() {
                return task::Poll::Ready(Some(item));
            }
            if !matches!(state.phase, Phase::Open) {
                return task::Poll::Ready(None);
            }
            state.waker = Some(cx.waker().clone());
            task::Poll::Pending
        })
        .await
    }
}
