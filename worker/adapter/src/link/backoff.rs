//! How long to wait before the next attempt to connect.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

const MIN_MS: u64 = 50;
const MAX_MS: u64 = 500;

/// A connection that lasted this long was a good one.
const PROVEN_AFTER: Duration = Duration::from_secs(1);

/// After a good connection the first attempt is made at once: a server that was merely replaced is there again, and
/// what is published meanwhile is missed. Then it doubles from attempt to attempt within 50–500 ms, and is drawn at random from the upper half: many servers that lost
/// one Redis do not come back at one moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    connected: Option<Instant>,
}

impl Backoff {
    /// A connection stands.
    pub(super) fn connected(&mut self) {
        *self = Self { attempts: 0, connected: Some(Instant::now()) };
    }

    pub(super) fn next(&mut self) -> Duration {
        if self.connected.take().is_some_and(|since| since.elapsed() >= PROVEN_AFTER) {
            return Duration::ZERO;
        }
        // A fresh hasher's seed is the one random number that std gives.
        self.draw(RandomState::new().hash_one(self.attempts))
    }

    fn draw(&mut self, random: u64) -> Duration {
        let ceiling = (MIN_MS << 1).saturating_mul(1 << self.attempts.min(8)).min(MAX_MS);
        self.attempts += 1;
        let floor = (ceiling / 2).max(MIN_MS);
        Duration::from_millis(floor + random % (ceiling - floor + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_after_a_good_connection_is_made_at_once() {
        let mut backoff = Backoff { attempts: 0, connected: Instant::now().checked_sub(PROVEN_AFTER) };
        assert_eq!(backoff.next(), Duration::ZERO);
        assert!(backoff.next() >= Duration::from_millis(MIN_MS));
        backoff.connected();
        assert!(backoff.next() >= Duration::from_millis(MIN_MS), "a short one is no good sign");
    }

    #[test]
    fn waits_grow_and_stay_within_bounds() {
        for random in [0, 1, 12_345, u64::MAX] {
            let mut backoff = Backoff::default();
            let waits: Vec<_> = (0..20).map(|_| backoff.draw(random).as_millis() as u64).collect();
            assert!(waits.iter().all(|wait| (MIN_MS..=MAX_MS).contains(wait)), "{waits:?}");
            assert!(waits[0] <= 100 && waits[19] >= 250, "{waits:?}");
        }
    }
}
