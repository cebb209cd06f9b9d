//! Heartbeat of one session (Engine.IO 4: the server pings, the client answers).

use std::{sync::Arc, time::Duration};

use super::{Manner, Phase, Session, item::Item};
use crate::{shard::Moment, socket::DisconnectReason};

/// Which ping is out.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    /// The number of the last ping.
    seq: u32,
    /// When it was queued, until it is answered.
    unanswered: Option<Moment>,
}

impl Session {
    /// Pings now, and has the shard look for the answer when its time is up.
    pub(crate) fn ping(self: &Arc<Self>) {
        let now = self.shard.now();
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open) {
            return;
        }
        state.beat.seq = state.beat.seq.wrapping_add(1);
        state.beat.unanswered = Some(now);
        self.enqueue(&mut state, Item::Ping);
        self.shard.expect_pong(self.id, state.beat.seq);
    }

    /// The client answered. Without a ping that waits for it a pong means nothing, however many come.
    pub(crate) fn pong(&self) {
        let sent = self.lock().beat.unanswered.take();
        if let Some(sent) = sent {
            let round_trip = self.shard.now().since(sent);
            self.counters().pong(Duration::from_micros(round_trip.as_micros() as u64));
            self.shard.schedule_ping(self.id);
        }
    }

    /// The time to answer ping `seq` is up.
    pub(crate) fn pong_due(self: &Arc<Self>, seq: u32) {
        let missed = {
            let state = self.lock();
            matches!(state.phase, Phase::Open) && state.beat.seq == seq && state.beat.unanswered.is_some()
        };
        if missed {
            self.counters().heartbeat_timeouts.add(1);
            self.close(DisconnectReason::HeartbeatTimeout, Manner::NORMAL);
        }
    }
}
