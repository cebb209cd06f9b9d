//! What is counted. Every message that is lost anywhere moves one of these.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the adapter began. `published == confirmed + dropped + unknown + buffered` at any time at which
        /// nothing is being written.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Waiting for Redis, or written and not replied to yet.
            pub buffered: u64,
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                let mut stats = Stats { buffered: 0, $($name: self.$name.get(),)* };
                let settled = stats.confirmed + stats.dropped + stats.unknown;
                stats.buffered = stats.published.saturating_sub(settled);
                stats
            }
        }
    };
}

counters! {
    /// Messages that were given to Redis, or should have been: broadcasts, requests, answers, and what
    /// is on channels of your own.
    published,
    /// Of these, those that Redis confirmed.
    confirmed,
    /// Of these, those that Redis never got: the buffer was full, or Redis refused them.
    dropped,
    /// Of these, those that were written before the connection broke, without a reply. They are never sent again.
    unknown,
    /// Messages that came from Redis.
    received,
    /// Of these, broadcasts to a room that no local socket is in: dropped without reading them.
    skipped,
    /// Of these, those that this server sent itself.
    own,
    /// Of these, broadcasts that went to local sockets.
    delivered,
    /// Of these, questions that were acted on or answered.
    requests,
    /// Of these, answers to a question that was open.
    responses,
    /// Of these, those that were dropped because they are not what the protocol says.
    malformed,
    /// Of these, those that were dropped because a limit was reached.
    over_limit,
    /// Connections to Redis that were made anew after one was lost.
    reconnects,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
