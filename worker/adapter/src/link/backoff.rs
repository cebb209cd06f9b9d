//! How long to wait before the next attempt to connect.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const MIN_MS: u64 = 50;
const MAX_MS: u64 = 500;

/// Doubles from attempt to attempt within 50–500 ms, and is drawn at random from the upper half: many servers that lost
/// one Redis do not come back at one moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
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
    fn waits_grow_and_stay_within_bounds() {
        for random in [0, 1, 12_345, u64::MAX] {
            let mut backoff = Backoff::default();
            let waits: Vec<_> = (0..20).map(|_| backoff.draw(random).as_millis() as u64).collect();
            assert!(waits.iter().all(|wait| (MIN_MS..=MAX_MS).contains(wait)), "{waits:?}");
            assert!(waits[0] <= 100 && waits[19] >= 250, "{waits:?}");
        }
    }
}
