//! Whose turn it is to speak for the box. Pure.
//!
//! The first of the box's workers speaks; the next one does when the first has been silent for longer than it should
//! be, and so on. Nobody has to know who hangs: what a worker says comes back to all of them.

use std::time::{Duration, Instant};

use oxherd_contract::ids::WorkerId;
use oxherd_contract::scoreboard::State;

/// How often the box says that it lives.
const PERIOD: Duration = Duration::from_secs(1);

/// How much longer each further worker waits for the ones before it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The same, when somebody asked who is there.
const PATIENCE_ASKED: Duration = Duration::from_millis(50);

/// However often it is asked, the box does not answer oftener.
const PAUSE: Duration = Duration::from_millis(100);

/// Workers that may get their turn; with all of these silent the box is as good as gone.
const RANKS_MAX: u32 = 4;

/// What one worker knows about its box's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    last: Option<Instant>,
    asked: Option<Instant>,
}

impl Turn {
    /// Nothing was heard yet.
    pub fn new() -> Self {
        Turn { last: None, asked: None }
    }

    /// The box spoke: this worker, or another one was heard.
    pub fn spoken(&mut self, now: Instant) {
        *self = Turn { last: Some(now), asked: None };
    }

    /// Somebody asked who is there.
    pub fn asked(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// When the worker of this rank should speak; at once if nobody ever did.
    pub fn due(&self, rank: u32, now: Instant) -> Instant {
        let Some(last) = self.last else { return now };
        let regularly = last + PERIOD + PATIENCE * rank;
        match self.asked {
            Some(asked) => regularly.min((asked + PATIENCE_ASKED * rank).max(last + PAUSE)),
            None => regularly,
        }
    }
}

/// A worker's rank among those that may speak: READY ones first, then draining ones, the oldest first. `None` if it may
/// not, or is not needed.
pub(super) fn rank(me: WorkerId, workers: impl Iterator<Item = (State, WorkerId)>) -> Option<u32> {
    let order = |state: State| match state {
        State::Ready => Some(0),
        State::Draining => Some(1),
        State::Free | State::Starting | State::Bus => None,
    };
    let mut speakers: Vec<_> = workers.filter_map(|(state, worker)| Some((order(state)?, worker))).collect();
    speakers.sort_unstable();
    let rank = speakers.iter().position(|(_, worker)| *worker == me)? as u32;
    (rank < RANKS_MAX).then_some(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_speaks_every_second_and_the_next_when_it_does_not() {
        let start = Instant::now();
        let mut turn = Turn::new();
        assert_eq!(turn.due(0, start), start);
        turn.spoken(start);
        assert_eq!(turn.due(0, start), start + ms(1000));
        assert_eq!(turn.due(1, start), start + ms(1500));
        assert_eq!(turn.due(2, start), start + ms(2000));
    }

    #[test]
    fn a_question_is_answered_once_by_the_first_who_can() {
        let start = Instant::now();
        let mut turn = Turn::new();
        turn.spoken(start);
        turn.asked(start + ms(500));
        turn.asked(start + ms(600));
        assert_eq!([0, 1].map(|rank| turn.due(rank, start)), [start + ms(500), start + ms(550)]);
        turn.spoken(start + ms(501));
        assert_eq!(turn.due(0, start), start + ms(1501));
        turn.asked(start + ms(502));
        assert_eq!(turn.due(0, start), start + ms(601), "not oftener than that");
        let mut nearly = Turn::new();
        nearly.spoken(start);
        nearly.asked(start + ms(995));
        assert_eq!(nearly.due(1, start), start + ms(1045));
    }

    #[test]
    fn the_oldest_ready_worker_is_first_and_draining_ones_are_last() {
        let rows = [
            (State::Draining, WorkerId(1)),
            (State::Ready, WorkerId(7)),
            (State::Starting, WorkerId(2)),
            (State::Ready, WorkerId(5)),
            (State::Free, WorkerId(3)),
            (State::Bus, WorkerId(4)),
        ];
        let rank_of = |worker| rank(WorkerId(worker), rows.into_iter());
        assert_eq!([5, 7, 1].map(rank_of), [Some(0), Some(1), Some(2)]);
        assert_eq!([2, 3, 4, 9].map(rank_of), [None; 4]);
        let many = || (1..=9).map(|worker| (State::Ready, WorkerId(worker)));
        assert_eq!((rank(WorkerId(4), many()), rank(WorkerId(5), many())), (Some(3), None));
    }
}
