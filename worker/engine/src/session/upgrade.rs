//! From polling to a WebSocket: who may, and when.
//!
//! ```text
//!                probe claimed              "2probe"                 "5"
//!      Idle ────────────────────▶ Claimed ────────────▶ Granted ───────────▶ the link is a WebSocket
//!        ▲  polls as ever                   polls are answered │
//!        └─────────────────────────────────"6"─────────────────┘
//!                             claim dropped
//! ```

use std::{sync::Arc, task::Context};

use super::{Link, Phase, Session, wake};
use crate::{proto::refused::Refused, transport::io::Writer};

/// How far an upgrade is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    #[default]
    Idle,
    Claimed,
    Granted,
}

/// The right to take a polling session over; given back when dropped.
#[derive(Debug)]
pub(crate) struct ProbeClaim {
    pub(crate) session: Arc<Session>,
}

impl Session {
    /// Claims the upgrade for one WebSocket.
    pub(crate) fn claim_upgrade(self: &Arc<Self>) -> Result<ProbeClaim, Refused> {
        let state = &mut *self.lock();
        match (&state.phase, &mut state.link) {
            (Phase::Closing(_) | Phase::Closed, _) => Err(Refused::UnknownSession),
            (Phase::Open, Link::Polling(polling)) if polling.upgrade == Upgrade::Idle => {
                polling.upgrade = Upgrade::Claimed;
                Ok(ProbeClaim { session: self.clone() })
            }
            (Phase::Open, _) => Err(Refused::BadRequest),
        }
    }
}

impl ProbeClaim {
    /// Asks to be woken when the session closes; false if it does already.
    pub(crate) fn tend(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.session.lock();
        if let Link::Polling(polling) = &mut state.link {
            polling.probe = Some(cx.waker().clone());
        }
        matches!(state.phase, Phase::Open)
    }

    /// The probe came: lets go of the pending poll.
    pub(crate) fn grant(&self) {
        let mut state = self.session.lock();
        if let Link::Polling(polling) = &mut state.link {
            polling.upgrade = Upgrade::Granted;
            wake(&mut state);
        }
    }

    /// The client is ready: from here on the session is a WebSocket's. False if it has begun to close.
    pub(crate) fn complete(self, writer: Writer) -> bool {
        let session = &self.session;
        let mut state = session.lock();
        if !matches!(state.phase, Phase::Open) {
            return false;
        }
        wake(&mut state);
        state.waker = None;
        state.link = Link::Websocket(writer);
        if !state.queue.is_empty() {
            session.notify(&mut state);
        }
        let counters = session.counters();
        counters.sessions_polling.sub(1);
        counters.sessions_websocket.add(1);
        counters.upgrades.add(1);
        true
    }
}

impl Drop for ProbeClaim {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        if let Link::Polling(polling) = &mut state.link {
            polling.upgrade = Upgrade::Idle;
            polling.probe = None;
            wake(&mut state);
        }
    }
}
