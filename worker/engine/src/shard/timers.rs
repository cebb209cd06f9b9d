//! The time-keeping task: pings, their answers, stalled writes, farewells nobody fetched.
//!
//! All deadlines of one kind have the same length, so insertion order is time order: one FIFO queue each, 32 bytes an
//! entry, no heap and no timer per session. An entry names its session by id and does not keep it alive; what it is
//! about is looked at when it is due.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use engineioxide_core::Sid;
use tokio::sync::Notify;

use super::Moment;
use crate::session::Owner;

/// Entries handled between two yields.
const TURN_ENTRIES_MAX: usize = 128;

/// The queues of a shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queues: Mutex<Queues>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    first_pings: VecDeque<Entry>,
    pings: VecDeque<Entry>,
    pongs: VecDeque<Entry>,
    stalls: VecDeque<Entry>,
    farewells: VecDeque<Entry>,
    /// When the task will look again; none while it runs or waits for an entry.
    wakes: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: Moment,
    sid: Sid,
    /// Number of the ping, or moves at the time: whether the entry is still about the present.
    mark: u32,
}

/// What an entry of a queue means.
type Kind = fn(Entry) -> Due;

/// Something to look at now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Ping(Sid),
    Pong(Sid, u32),
    Stall(Sid, u32),
    Farewell(Sid),
}

impl Timers {
    pub(super) fn ping(&self, at: Moment, sid: Sid) {
        self.push(|queues| &mut queues.pings, Entry { at, sid, mark: 0 });
    }

    /// Out of line: the others wait a whole interval.
    pub(super) fn ping_first(&self, at: Moment, sid: Sid) {
        self.push(|queues| &mut queues.first_pings, Entry { at, sid, mark: 0 });
    }

    pub(super) fn pong(&self, at: Moment, sid: Sid, seq: u32) {
        self.push(|queues| &mut queues.pongs, Entry { at, sid, mark: seq });
    }

    pub(super) fn stall(&self, at: Moment, sid: Sid, moves: u32) {
        self.push(|queues| &mut queues.stalls, Entry { at, sid, mark: moves });
    }

    pub(super) fn farewell(&self, at: Moment, sid: Sid) {
        self.push(|queues| &mut queues.farewells, Entry { at, sid, mark: 0 });
    }

    fn push(&self, queue: fn(&mut Queues) -> &mut VecDeque<Entry>, entry: Entry) {
        let mut queues = self.lock();
        queue(&mut queues).push_back(entry);
        let is_earlier = queues.wakes.is_none_or(|wakes| entry.at < wakes);
        if is_earlier {
            queues.wakes = Some(entry.at);
            drop(queues);
            self.earlier.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Moves what is due at `now` to `due`, at most [`TURN_ENTRIES_MAX`]; returns when to look again.
    fn take(&mut self, now: Moment, due: &mut Vec<Due>) -> Option<Moment> {
        let kinds: [(&mut VecDeque<Entry>, Kind); 5] = [
            (&mut self.first_pings, |entry| Due::Ping(entry.sid)),
            (&mut self.pings, |entry| Due::Ping(entry.sid)),
            (&mut self.pongs, |entry| Due::Pong(entry.sid, entry.mark)),
            (&mut self.stalls, |entry| Due::Stall(entry.sid, entry.mark)),
            (&mut self.farewells, |entry| Due::Farewell(entry.sid)),
        ];
        let mut next = None;
        for (queue, kind) in kinds {
            while due.len() < TURN_ENTRIES_MAX
                && let Some(entry) = queue.pop_front_if(|entry| entry.at <= now)
            {
                due.push(kind(entry));
            }
            next = [next, queue.front().map(|entry| entry.at)].into_iter().flatten().min();
        }
        self.wakes = next;
        next
    }
}

/// Runs until it is aborted, or the engine is gone.
pub(super) async fn run(timers: Arc<Timers>, started: Instant, owner: Weak<dyn Owner>) {
    let mut due = Vec::new();
    loop {
        let next = timers.lock().take(Moment::at(started, Instant::now()), &mut due);
        let Some(owner) = owner.upgrade() else { return };
        let full = due.len() == TURN_ENTRIES_MAX;
        due.drain(..).for_each(|due| act(&*owner, due));
        drop(owner);
        if full {
            tokio::task::yield_now().await;
            continue;
        }
        match next {
            None => timers.earlier.notified().await,
            Some(at) => {
                let at = started + std::time::Duration::from_micros(at.0);
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    () = timers.earlier.notified() => {}
                }
            }
        }
    }
}

fn act(owner: &dyn Owner, due: Due) {
    let (Due::Ping(sid) | Due::Pong(sid, _) | Due::Stall(sid, _) | Due::Farewell(sid)) = due;
    let Some(session) = owner.find(sid) else { return };
    match due {
        Due::Ping(_) => session.ping(),
        Due::Pong(_, seq) => session.pong_due(seq),
        Due::Stall(_, moves) => session.stall_due(moves),
        Due::Farewell(_) => owner.forget(sid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_when_they_are_due_and_the_next_look_is_the_earliest_of_all_kinds() {
        let mut queues = Queues::default();
        let entry = |at, mark| Entry { at: Moment(at), sid: Sid::ZERO, mark };
        queues.pings.extend([entry(10, 0), entry(30, 0)]);
        queues.pongs.extend([entry(20, 1), entry(40, 2)]);
        queues.stalls.extend([entry(20, 7)]);
        let mut due = Vec::new();
        assert_eq!(queues.take(Moment(5), &mut due), Some(Moment(10)));
        assert!(due.is_empty());
        assert_eq!(queues.take(Moment(25), &mut due), Some(Moment(30)));
        assert_eq!(due, [Due::Ping(Sid::ZERO), Due::Pong(Sid::ZERO, 1), Due::Stall(Sid::ZERO, 7)]);
        due.clear();
        assert_eq!(queues.take(Moment(100), &mut due), None);
        assert_eq!(due, [Due::Ping(Sid::ZERO), Due::Pong(Sid::ZERO, 2)]);
    }

    #[test]
    fn a_turn_takes_a_bounded_number_of_entries() {
        let mut queues = Queues::default();
        let entry = Entry { at: Moment(1), sid: Sid::ZERO, mark: 0 };
        queues.pings.extend([entry; TURN_ENTRIES_MAX + 1]);
        let mut due = Vec::new();
        assert_eq!(queues.take(Moment(1), &mut due), Some(Moment(1)));
        assert_eq!(due.len(), TURN_ENTRIES_MAX);
    }
}
