//! The broker's numbers, readable from any thread while it runs: what a scoreboard row is written from.
//!
//! All are relaxed: each is exact by itself, and a reader may see two of them at different moments.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    // A load and a store instead of a locked addition: the broker's one thread is the only writer.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }
}

/// A number that follows a state.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(value as u64, Relaxed);
    }
}

/// Everything the broker counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Clients connected now.
    pub clients: Gauge,
    /// Distinct channels with at least one subscriber.
    pub channels: Gauge,
    /// Distinct patterns with at least one subscriber.
    pub patterns: Gauge,
    /// Channels and patterns of all clients together.
    pub subscriptions: Gauge,
    /// Unfinished input of all clients, in bytes.
    pub input_bytes: Gauge,
    /// 1 while publishes are held after a restart.
    pub holding: Gauge,

    /// Connections accepted.
    pub accepted: Counter,
    /// Connections refused because `clients_max` was reached.
    pub refused_full: Counter,
    /// Unix connections refused because of their uid.
    pub refused_uid: Counter,
    /// Failed accepts (out of descriptors, for example).
    pub accept_failed: Counter,
    /// Commands executed, the failed ones too.
    pub commands: Counter,
    /// Messages published.
    pub published: Counter,
    /// Messages queued to a subscriber; one publish counts once for each.
    pub delivered: Counter,
    /// Clients whose publishes waited for workers to come back.
    pub held: Counter,
    /// Holds that ended by their deadline, with a worker missing.
    pub hold_expired: Counter,
    /// Clients cut because they did not read what they subscribed to.
    pub cut_slow: Counter,
    /// Clients cut because what they sent was not the Redis protocol, or too large.
    pub cut_protocol: Counter,
    /// Clients cut because they did not authenticate in time or in as many commands as they have.
    pub cut_auth: Counter,
    /// Wrong passwords.
    pub auth_failed: Counter,
    /// Subscriptions and publishes refused by a limit.
    pub refused_limit: Counter,
    /// Bytes read from clients.
    pub bytes_in: Counter,
    /// Bytes written to clients.
    pub bytes_out: Counter,
    /// Writes (one may carry many messages).
    pub writes: Counter,
}
