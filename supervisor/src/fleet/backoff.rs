//! How long a seat waits after a failed start: exponential with full jitter.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// A small seeded generator (SplitMix64): the same seed gives the same waits, which the simulation needs.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// The wait after this many failures in a row (1 is the first): anything between [`SHORTEST`] and its doubling
    /// for each failure, [`LONGEST`] at most.
    pub(super) fn backoff(&mut self, failures: u32) -> Duration {
        let ceiling = SHORTEST.saturating_mul(1 << failures.min(16)).min(LONGEST);
        let range = (ceiling - SHORTEST).as_millis() as u64 + 1;
        SHORTEST + Duration::from_millis(self.next() % range)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_tenth_of_a_second_to_thirty_and_no_further() {
        let mut jitter = Jitter::new(7);
        for failures in [1, 2, 5, 8, 9, 40, u32::MAX] {
            let waits: Vec<_> = (0..1000).map(|_| jitter.backoff(failures)).collect();
            let ceiling = SHORTEST.saturating_mul(1 << failures.min(16)).min(LONGEST);
            assert!(waits.iter().all(|wait| (SHORTEST..=ceiling).contains(wait)), "{failures}");
            let mean = waits.iter().sum::<Duration>() / 1000;
            assert!(mean > (SHORTEST + ceiling).mul_f32(0.45) && mean < (SHORTEST + ceiling).mul_f32(0.55));
        }
    }
}
