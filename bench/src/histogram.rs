//! Latencies: a histogram from a microsecond to a minute, to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;

const MAX: Duration = Duration::from_secs(60);

/// Many durations.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        // The bounds are valid ones; a histogram that resizes itself takes what these do not.
        let bounded = Histogram::new_with_bounds(1_000, MAX.as_nanos() as u64, 3);
        Latencies(bounded.unwrap_or_else(|_| unreachable!("1 µs to 60 s with three digits")))
    }

    /// One more; what is longer than a minute counts as a minute.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    /// The shortest that `share` (0 to 1) of all do not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = latencies.quantile(share).as_secs_f64() * 1000.0;
            assert!((found / ms - 1.0).abs() < 0.002, "{share}: {found}");
        }
        latencies.record(Duration::from_secs(600));
        assert!(latencies.max() >= MAX);
        assert_eq!(latencies.count(), 1001);
    }
}
