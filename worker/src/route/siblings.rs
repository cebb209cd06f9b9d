//! The other workers of the box, as the scoreboard shows them.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use oxherd_contract::ids::WorkerId;
use oxherd_contract::scoreboard::{Row, Scoreboard, State};

use super::balance::Load;

/// A sibling whose beat has not moved for so many looks is given nothing new. It may be starved, it may be stopped.
const SILENT_LOOKS_MAX: u32 = 5;

/// All workers of the box but this one.
#[derive(Debug)]
pub(crate) struct Siblings {
    me: WorkerId,
    board: &'static Scoreboard,
    known: Mutex<Vec<Sibling>>,
}

/// One that was there at the last look.
#[derive(Clone, Copy, Debug)]
struct Sibling {
    worker: WorkerId,
    row: &'static Row,
    beats: u64,
    silent_looks: u32,
}

impl Siblings {
    pub fn new(me: WorkerId, board: &'static Scoreboard) -> Self {
        Siblings { me, board, known: Mutex::new(Vec::new()) }
    }

    /// The row of a worker that lives. One that is not known is looked for in the whole scoreboard: it may be new.
    pub fn row(&self, worker: WorkerId) -> Option<&'static Row> {
        let known = self.known().iter().find(|sibling| sibling.worker == worker).map(|sibling| sibling.row);
        known
            .filter(|row| is_row_of(row, worker))
            .or_else(|| self.board.rows().find(|row| is_row_of(row, worker)))
    }

    /// Those that may be given something new, with what they carry.
    pub fn loads(&self) -> Vec<Load> {
        let known = self.known();
        let fit = known.iter().filter(|sibling| {
            sibling.silent_looks < SILENT_LOOKS_MAX
                && is_row_of(sibling.row, sibling.worker)
                && sibling.row.state() == State::Ready
        });
        fit.map(|sibling| Load { worker: sibling.worker, sessions: load(sibling.row) }).collect()
    }

    /// One that may be given something new: the lightest, or if none is fit, any that says it is READY. It may have come
    /// since the last look.
    pub fn any_ready(&self) -> Option<WorkerId> {
        let lightest = self.loads().into_iter().min_by_key(|load| load.sessions);
        lightest.map(|load| load.worker).or_else(|| {
            let ready = self.board.rows().filter(|row| row.state() == State::Ready);
            ready.map(|row| WorkerId(row.worker.load(Relaxed))).find(|worker| *worker != self.me)
        })
    }

    /// Looks through the scoreboard: who is there, and whose beat has moved since the last look.
    pub fn look(&self) {
        let mut known = self.known();
        let before = std::mem::take(&mut *known);
        let living = self.board.rows().filter(|row| is_worker(row.state()));
        *known = living
            .map(|row| {
                let (worker, beats) = (WorkerId(row.worker.load(Relaxed)), row.beats.load(Relaxed));
                let then = before.iter().find(|sibling| sibling.worker == worker);
                let silent = then.filter(|then| then.beats == beats).map(|then| then.silent_looks + 1);
                Sibling { worker, row, beats, silent_looks: silent.unwrap_or(0) }
            })
            .filter(|sibling| sibling.worker != self.me)
            .collect();
    }

    fn known(&self) -> MutexGuard<'_, Vec<Sibling>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker carries: sessions, and those that are just coming.
pub(crate) fn load(row: &Row) -> u64 {
    row.sessions.load(Relaxed) + row.newcomers.load(Relaxed)
}

/// Whether the other end of a Unix socket is a process of this user (SO_PEERCRED of `unix(7)`).
pub(crate) fn is_of_this_user(socket: &impl AsFd) -> bool {
    getsockopt(socket, PeerCredentials).is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

fn is_row_of(row: &Row, worker: WorkerId) -> bool {
    row.worker.load(Relaxed) == worker.0 && is_worker(row.state())
}

fn is_worker(state: State) -> bool {
    matches!(state, State::Starting | State::Ready | State::Draining)
}

#[cfg(test)]
mod tests {
    use oxherd_contract::ids::RowIndex;

    use super::*;

    fn board() -> &'static Scoreboard {
        Box::leak(Box::new(Scoreboard::create(8).unwrap()))
    }

    fn row(board: &'static Scoreboard, index: u16, worker: u64, state: State) -> &'static Row {
        let row = board.row(RowIndex(index)).unwrap();
        row.worker.store(worker, Relaxed);
        row.set_state(state);
        row
    }

    #[test]
    fn a_sibling_is_found_while_it_lives_even_before_it_was_looked_for() {
        let board = board();
        let siblings = Siblings::new(WorkerId(1), board);
        for (index, state) in [(1, State::Starting), (2, State::Ready), (3, State::Draining)] {
            row(board, index, u64::from(index) + 10, state);
            assert!(siblings.row(WorkerId(u64::from(index) + 10)).is_some());
        }
        row(board, 4, 14, State::Bus);
        assert!(siblings.row(WorkerId(14)).is_none() && siblings.row(WorkerId(0)).is_none());
        siblings.look();
        let reused = siblings.row(WorkerId(12)).unwrap();
        reused.clear();
        assert!(siblings.row(WorkerId(12)).is_none());
        row(board, 2, 15, State::Ready);
        assert!(siblings.row(WorkerId(12)).is_none() && siblings.row(WorkerId(15)).is_some());
    }

    #[test]
    fn whoever_is_ready_is_better_than_nobody() {
        let board = board();
        let siblings = Siblings::new(WorkerId(1), board);
        row(board, 0, 1, State::Ready);
        row(board, 1, 2, State::Starting);
        siblings.look();
        assert_eq!(siblings.any_ready(), None);
        row(board, 2, 3, State::Ready);
        assert_eq!(siblings.any_ready(), Some(WorkerId(3)), "although nobody has looked");
    }

    #[test]
    fn only_ready_siblings_whose_heart_beats_are_given_something_new() {
        let board = board();
        let siblings = Siblings::new(WorkerId(1), board);
        row(board, 0, 1, State::Ready);
        row(board, 1, 2, State::Draining);
        row(board, 2, 3, State::Starting);
        let beating = row(board, 3, 4, State::Ready);
        let stopped = row(board, 4, 5, State::Ready);
        beating.sessions.store(7, Relaxed);
        beating.newcomers.store(2, Relaxed);
        for _ in 0..=SILENT_LOOKS_MAX {
            beating.beats.fetch_add(1, Relaxed);
            siblings.look();
        }
        assert_eq!(siblings.loads(), [Load { worker: WorkerId(4), sessions: 9 }]);
        assert_eq!(siblings.any_ready(), Some(WorkerId(4)));
        stopped.beats.fetch_add(1, Relaxed);
        siblings.look();
        assert_eq!(siblings.loads().len(), 2);
        assert_eq!(siblings.any_ready(), Some(WorkerId(5)));
    }
}
