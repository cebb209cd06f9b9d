//! Numbers that a scoreboard or a metrics page reads: relaxed atomics, written where things happen.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use engineioxide_core::TransportType;

/// One number.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    fn max(&self, n: u64) {
        self.0.fetch_max(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// The counters of a [`Control`](super::Control).
        ///
        /// ```
        /// # let control = engineioxide::control::Control::new(Default::default());
        /// let before = control.counters().snapshot();
        /// let after = control.counters().snapshot();
        /// assert_eq!(after.bytes_out - before.bytes_out, 0);
        /// ```
        #[derive(Debug, Default)]
        pub struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        /// The counters at one moment. Each is exact; together they may be apart by what happened meanwhile.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Snapshot {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl Counters {
            /// Reads them all: one load each, no lock.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Sessions now on long-polling.
    sessions_polling,
    /// Sessions now on a WebSocket.
    sessions_websocket,
    /// Sessions ever opened.
    sessions_opened,
    /// Sessions ended by the peer or an error of its transport.
    sessions_lost,
    /// Sessions ended from this side.
    sessions_ended,
    /// Sessions that the admission hook, a limit or a shutdown refused.
    refused,
    /// Upgrades from polling to a WebSocket.
    upgrades,
    /// Bytes of WebSocket frames and polling bodies from clients.
    bytes_in,
    /// Bytes of WebSocket frames and polling bodies to clients.
    bytes_out,
    /// The part of `bytes_in` that the engine read from plain sockets itself: no code around them sees it.
    direct_bytes_in,
    /// The part of `bytes_out` that the engine wrote to plain sockets itself.
    direct_bytes_out,
    /// Packets from clients.
    packets_in,
    /// Queue items (one emit, ping or close each) to clients.
    packets_out,
    /// Bytes that wait for clients now, with 64 for each packet.
    queued_bytes,
    /// Sessions closed because more than the budget waited.
    slow_over_budget,
    /// Sessions closed because nothing moved for too long.
    slow_stalled,
    /// Sessions closed because a ping was not answered.
    heartbeat_timeouts,
    /// Handler calls that panicked.
    handler_panics,
    /// Pings answered.
    pings,
    /// The sum of their round trips, in microseconds.
    ping_sum_us,
    /// The longest of them, in microseconds.
    ping_max_us,
}

impl Counters {
    pub(crate) fn sessions(&self, transport: TransportType) -> &Counter {
        match transport {
            TransportType::Polling => &self.sessions_polling,
            TransportType::Websocket => &self.sessions_websocket,
        }
    }

    pub(crate) fn pong(&self, round_trip: Duration) {
        let us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.pings.add(1);
        self.ping_sum_us.add(us);
        self.ping_max_us.max(us);
    }
}

impl Snapshot {
    /// The mean round trip of a ping, if any was answered.
    pub fn ping_mean(&self) -> Option<Duration> {
        self.ping_sum_us.checked_div(self.pings).map(Duration::from_micros)
    }
}
