//! An open-loop schedule: message `n` is due at a time that does not depend on how the server fares. Pure.
//!
//! Latency is counted from the due time, so a server (or a generator) that falls behind cannot hide it by slowing its
//! clients down.

use std::time::Duration;

/// When each message of a phase is due, counted from the phase's begin.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval: Duration,
    count: u64,
    taken: u64,
}

impl Schedule {
    /// `per_second` messages a second for `duration`; at least one.
    pub fn new(per_second: f64, duration: Duration) -> Self {
        let count = (per_second * duration.as_secs_f64()).round().max(1.0) as u64;
        Schedule { interval: duration.div_f64(count as f64), count, taken: 0 }
    }

    /// The number of the next message if it is due at `now`.
    pub fn take(&mut self, now: Duration) -> Option<u64> {
        let next = self.taken;
        (next < self.count && self.due(next) <= now).then(|| {
            self.taken += 1;
            next
        })
    }

    /// When the next message is due; `None` after the last.
    pub fn next_due(&self) -> Option<Duration> {
        (self.taken < self.count).then(|| self.due(self.taken))
    }

    /// When message `n` is due.
    pub fn due(&self, n: u64) -> Duration {
        Duration::from_nanos((self.interval.as_nanos() as u64).saturating_mul(n))
    }

    /// Messages in all.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Messages that were due so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_equal_distances() {
        let mut schedule = Schedule::new(100.0, Duration::from_secs(2));
        assert_eq!(schedule.count(), 200);
        assert_eq!(schedule.take(Duration::ZERO), Some(0));
        assert_eq!(schedule.take(Duration::ZERO), None);
        assert_eq!(schedule.next_due(), Some(Duration::from_millis(10)));
        assert_eq!(schedule.take(Duration::from_millis(10)), Some(1));
    }

    #[test]
    fn one_that_falls_behind_catches_up_and_due_times_do_not_move() {
        let mut schedule = Schedule::new(10.0, Duration::from_secs(1));
        let late = Duration::from_secs(5);
        let taken: Vec<u64> = std::iter::from_fn(|| schedule.take(late)).collect();
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
        assert_eq!(schedule.due(9), Duration::from_millis(900));
        assert_eq!(schedule.next_due(), None);
    }
}
