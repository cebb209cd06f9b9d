//! The watch over one worker: how long it had the chance to show life and did not. Pure.
//!
//! Silence alone proves nothing: a worker that waits for a core is starved, not hung. So what counts is the time
//! in which it was *served*: the time that passed less the time that it waited in a run queue, which the kernel
//! tells in `/proc/PID/schedstat` and `/proc/PID/stat`. A stopped, blocked or spinning process is served all the
//! time; one at the mercy of busy neighbours hardly at all.

use std::time::Duration;

use crate::fleet::Moment;

/// What the kernel says of a process' main thread at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheduling {
    /// Time on a core (first number of `schedstat`).
    pub(crate) ran: Duration,
    /// Time in a run queue, as of the last time that it left one (second number of `schedstat`).
    pub(crate) waited: Duration,
    /// It runs or wants to (state `R`).
    pub(crate) runnable: bool,
}

/// What is known of one worker's silence.
#[derive(Debug)]
pub(crate) struct Watch {
    beats: u64,
    silent: Duration,
    last_look: Moment,
    last_scheduling: Option<Scheduling>,
    /// Waiting that was seen while it still lasted; the kernel books it when it ends.
    foreseen: Duration,
}

impl Watch {
    pub(crate) fn new(now: Moment) -> Watch {
        Watch {
            beats: 0,
            silent: Duration::ZERO,
            last_look: now,
            last_scheduling: None,
            foreseen: Duration::ZERO,
        }
    }

    /// Begins anew, since something else has proved life or time itself is in doubt.
    pub(crate) fn reset(&mut self, now: Moment) {
        *self = Watch { beats: self.beats, ..Watch::new(now) };
    }

    /// Whether there was a beat since the last call.
    pub(crate) fn has_beaten(&mut self, beats: u64) -> bool {
        std::mem::replace(&mut self.beats, beats) != beats
    }

    /// Looks at a silent worker: how long it was silent although served.
    pub(crate) fn look(&mut self, now: Moment, scheduling: Option<Scheduling>) -> Duration {
        let passed = now.saturating_sub(self.last_look);
        let waited = match (self.last_scheduling, scheduling) {
            (Some(before), Some(after)) => self.waited(before, after, passed),
            _ => Duration::ZERO,
        };
        // A wait may be longer than this look's time: it began before, unseen, and was taken for silence then.
        self.silent = (self.silent + passed).saturating_sub(waited);
        self.last_look = now;
        self.last_scheduling = scheduling;
        self.silent
    }

    fn waited(&mut self, before: Scheduling, after: Scheduling, passed: Duration) -> Duration {
        if after.runnable && after.ran == before.ran && after.waited == before.waited {
            self.foreseen += passed; // it stood in the queue all the time, which is not yet booked
            return passed;
        }
        let booked = after.waited.saturating_sub(before.waited);
        let news = booked.saturating_sub(self.foreseen);
        self.foreseen = self.foreseen.saturating_sub(booked);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn scheduling(ran: u64, waited: u64, runnable: bool) -> Option<Scheduling> {
        Some(Scheduling { ran: ms(ran), waited: ms(waited), runnable })
    }

    /// Looks every 100 ms at what `world` says of each moment; the silence at the end.
    fn silence(looks: u64, world: impl Fn(u64) -> Option<Scheduling>) -> Duration {
        let mut watch = Watch::new(ms(0));
        (0..=looks).map(|look| watch.look(ms(look * 100), world(look * 100))).last().unwrap()
    }

    #[test]
    fn a_stopped_a_spinning_and_an_unreadable_process_are_silent_all_the_time() {
        assert_eq!(silence(20, |_| scheduling(50, 7, false)), ms(2_000));
        assert_eq!(silence(20, |now| scheduling(now, 7, true)), ms(2_000));
        assert_eq!(silence(20, |_| None), ms(2_000));
    }

    #[test]
    fn a_process_that_stands_in_the_run_queue_is_not_silent() {
        assert_eq!(silence(600, |_| scheduling(50, 7, true)), ms(0));
    }

    #[test]
    fn a_wait_that_was_foreseen_is_not_counted_again_when_the_kernel_books_it() {
        // Queued until 1,000 ms, then it spins: of 3 s it had 2.
        let world = |now: u64| match now {
            0..1_000 => scheduling(50, 0, true),
            _ => scheduling(50 + now - 1_000, 1_000, true),
        };
        assert_eq!(silence(30, world), ms(2_000));
    }

    #[test]
    fn a_spinning_process_with_a_fifth_of_a_core_is_silent_for_a_fifth_of_the_time() {
        assert_eq!(silence(50, |now| scheduling(now / 5, now * 4 / 5, true)), ms(1_000));
    }

    #[test]
    fn a_wait_that_is_booked_late_counts_for_the_looks_before_it_too() {
        // Every 250 ms a turn of 3 ms on a core: a look right after a turn sees that it ran and nothing of the wait
        // that has begun since.
        const CYCLE: u64 = 250;
        const TURN: u64 = 3;
        let world = |now: u64| {
            let (turns, within) = (now / CYCLE, now % CYCLE);
            scheduling(turns * TURN + within.min(TURN), turns * (CYCLE - TURN), true)
        };
        let on_a_core = 60_000 / CYCLE * TURN;
        let silent = silence(600, world);
        assert!(silent >= ms(on_a_core) && silent <= ms(on_a_core + CYCLE), "{silent:?}");
    }

    #[test]
    fn a_beat_is_what_moved() {
        let mut watch = Watch::new(ms(0));
        assert!(watch.has_beaten(3));
        assert!(!watch.has_beaten(3));
        assert!(watch.has_beaten(4));
        watch.reset(ms(500));
        assert!(!watch.has_beaten(4));
        assert_eq!(watch.look(ms(700), None), ms(200));
    }
}
