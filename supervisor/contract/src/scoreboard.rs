//! The scoreboard: shared memory with one row a worker.
//!
//! Each worker writes its own row, the supervisor and the siblings read it. Every cell is one atomic number
//! written with relaxed order: a reader sees each number whole, and no two belong together. A row costs its
//! worker one uncontended add; nobody waits for anybody.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::VERSION;
use crate::ids::RowIndex;
use crate::sys::{self, SharedMemory};

/// `oxherd` and a NUL pair: what the first bytes of a scoreboard are.
const MAGIC: u64 = u64::from_le_bytes(*b"oxherd\0\0");

/// The head of the shared memory.
#[repr(C, align(64))]
pub(crate) struct Header {
    magic: AtomicU64,
    version: AtomicU64,
    stride: AtomicU64,
    rows: AtomicU64,
}

/// One worker's numbers. Fields are only ever appended, so that an older reader finds what it knows.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Row {
    /// Who writes here: the worker's id; meaningless while `state` is [`State::Free`].
    pub worker: AtomicU64,
    /// A [`State`].
    pub state: AtomicU64,
    /// Counts up while the worker's runtime turns; only its movement means something.
    pub beats: AtomicU64,
    /// Client connections that are open now.
    pub connections: AtomicU64,
    /// Engine.IO sessions that are open now.
    pub sessions: AtomicU64,
    /// HTTP requests ever.
    pub requests: AtomicU64,
    /// Bytes ever read from clients.
    pub bytes_in: AtomicU64,
    /// Bytes ever written to clients.
    pub bytes_out: AtomicU64,
    /// Connections ever accepted.
    pub accepted: AtomicU64,
    /// Connections closed because of a limit or a time-out of ours.
    pub evicted: AtomicU64,
    /// Panics of the application that cost one event each.
    pub panics: AtomicU64,
    /// Messages that this worker gave to the bus and that did not surely arrive there: dropped, or without a reply.
    pub bus_lost: AtomicU64,
    /// Of the sessions, those on long-polling.
    pub sessions_polling: AtomicU64,
    /// Of the sessions, those on a WebSocket.
    pub sessions_websocket: AtomicU64,
    /// Bytes that wait for clients now.
    pub queued_bytes: AtomicU64,
    /// Sessions ever closed because more waited for their client than it may.
    pub slow_over_budget: AtomicU64,
    /// Sessions ever closed because their client took nothing for too long.
    pub slow_stalled: AtomicU64,
    /// Sessions ever refused because there were too many, or because the worker drained.
    pub sessions_refused: AtomicU64,
    /// Connections that are about to start a session and have not yet. A sibling that hands one over counts it here.
    pub newcomers: AtomicU64,
    /// Accepted connections ever given to a sibling.
    pub handed_off: AtomicU64,
    /// Connections ever taken over from siblings.
    pub handed_in: AtomicU64,
    /// Requests ever forwarded to a sibling.
    pub forwarded: AtomicU64,
    /// Requests ever served for a sibling that forwarded them.
    pub forwarded_in: AtomicU64,
    /// Connections ever that did not come as far as HTTP: no PROXY header where one is due, or no TLS handshake.
    pub refused: AtomicU64,
    /// 1 while messages pass to and from the bus or Redis, else 0.
    pub joined: AtomicU64,
    /// Other boxes that this worker knows of now.
    pub boxes: AtomicU64,
    /// Announcements of boxes ever ignored: of another version, not signed with the cluster's secret, old, or of one box
    /// too many.
    pub box_noise: AtomicU64,
}

/// What a worker says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nobody's row, or that of a worker which is about to exit.
    Free = 0,
    /// Building the application.
    Starting = 1,
    /// Serving.
    Ready = 2,
    /// Taking nothing new.
    Draining = 3,
    /// Not a worker's row: the bus'.
    Bus = 4,
}

impl Row {
    /// Empties the row for its next owner. Only the supervisor calls this, while nobody owns it.
    pub fn clear(&self) {
        // Without the pattern a new cell could be forgotten here.
        macro_rules! cells {
            ($($cell:ident),* $(,)?) => {{
                let Row { $($cell),* } = self;
                [$($cell),*]
            }};
        }
        let cells = cells![
            state,
            worker,
            beats,
            connections,
            sessions,
            requests,
            bytes_in,
            bytes_out,
            accepted,
            evicted,
            panics,
            bus_lost,
            sessions_polling,
            sessions_websocket,
            queued_bytes,
            slow_over_budget,
            slow_stalled,
            sessions_refused,
            newcomers,
            handed_off,
            handed_in,
            forwarded,
            forwarded_in,
            refused,
            joined,
            boxes,
            box_noise,
        ];
        cells.iter().for_each(|cell| cell.store(0, Relaxed));
    }

    /// What the owner last said.
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            1 => State::Starting,
            2 => State::Ready,
            3 => State::Draining,
            4 => State::Bus,
            _ => State::Free,
        }
    }

    /// Said by the owner.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u64, Relaxed);
    }
}

/// Why shared memory is no scoreboard.
#[derive(Debug, Error)]
pub enum ScoreboardError {
    /// The kernel refused.
    #[error("cannot map the scoreboard")]
    Io(#[source] std::io::Error),
    /// Another program's memory, or a contract that this binary does not speak.
    #[error("the scoreboard is not of contract version {VERSION}")]
    Foreign,
}

/// The mapped scoreboard. Cheap to share by reference; unmapped when dropped.
#[derive(Debug)]
pub struct Scoreboard {
    memory: SharedMemory,
    descriptor: OwnedFd,
    rows: u16,
    stride: usize,
}

impl Scoreboard {
    /// Makes one with this many free rows. Sealed against resizing, so a mapping of it never faults.
    pub fn create(rows: u16) -> Result<Self, ScoreboardError> {
        let descriptor =
            memfd_create(c"oxherd-scoreboard", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
                .map_err(|errno| ScoreboardError::Io(errno.into()))?;
        let bytes = size_of::<Header>() + size_of::<Row>() * usize::from(rows);
        let memory = sys::size_and_map(&descriptor, bytes).map_err(ScoreboardError::Io)?;
        let header: &Header = memory.at(0);
        header.magic.store(MAGIC, Relaxed);
        header.version.store(VERSION.into(), Relaxed);
        header.stride.store(size_of::<Row>() as u64, Relaxed);
        header.rows.store(rows.into(), Relaxed);
        Ok(Scoreboard { memory, descriptor, rows, stride: size_of::<Row>() })
    }

    /// Maps one that somebody else made.
    pub fn open(descriptor: OwnedFd) -> Result<Self, ScoreboardError> {
        let memory = sys::map_whole(&descriptor).map_err(ScoreboardError::Io)?;
        if memory.len() < size_of::<Header>() {
            return Err(ScoreboardError::Foreign);
        }
        let header: &Header = memory.at(0);
        let (rows, stride) = (header.rows.load(Relaxed), header.stride.load(Relaxed));
        let fits = stride
            .checked_mul(rows)
            .and_then(|bytes| bytes.checked_add(size_of::<Header>() as u64))
            .is_some_and(|bytes| bytes <= memory.len() as u64);
        let ours = header.magic.load(Relaxed) == MAGIC && header.version.load(Relaxed) == u64::from(VERSION);
        let aligned = stride >= size_of::<Row>() as u64 && stride.is_multiple_of(align_of::<Row>() as u64);
        match u16::try_from(rows) {
            Ok(rows) if fits && ours && aligned => {
                Ok(Scoreboard { stride: stride as usize, memory, descriptor, rows })
            }
            _ => Err(ScoreboardError::Foreign),
        }
    }

    /// A row, if there is one of this index.
    pub fn row(&self, index: RowIndex) -> Option<&Row> {
        (index.0 < self.rows)
            .then(|| self.memory.at(size_of::<Header>() + self.stride * usize::from(index.0)))
    }

    /// All rows, free ones too.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        (0..self.rows).filter_map(|index| self.row(RowIndex(index)))
    }
}

impl AsFd for Scoreboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_writes_the_other_reads() {
        let ours = Scoreboard::create(3).unwrap();
        let theirs = Scoreboard::open(ours.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let row = theirs.row(RowIndex(2)).unwrap();
        row.sessions.fetch_add(7, Relaxed);
        row.set_state(State::Ready);
        assert_eq!(ours.row(RowIndex(2)).unwrap().sessions.load(Relaxed), 7);
        assert_eq!(ours.rows().map(Row::state).collect::<Vec<_>>(), [State::Free, State::Free, State::Ready]);
        assert!(ours.row(RowIndex(3)).is_none());
        ours.row(RowIndex(2)).unwrap().clear();
        assert_eq!(row.state(), State::Free);
    }

    #[test]
    fn what_is_no_scoreboard_is_refused() {
        let empty = memfd_create(c"empty", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert!(Scoreboard::open(empty).is_err());
        let ours = Scoreboard::create(1).unwrap();
        ours.memory.at::<Header>(0).version.store(u64::from(VERSION) + 9, Relaxed);
        assert!(matches!(
            Scoreboard::open(ours.as_fd().try_clone_to_owned().unwrap()),
            Err(ScoreboardError::Foreign)
        ));
        ours.memory.at::<Header>(0).version.store(VERSION.into(), Relaxed);
        ours.memory.at::<Header>(0).rows.store(u64::MAX, Relaxed);
        assert!(Scoreboard::open(ours.as_fd().try_clone_to_owned().unwrap()).is_err());
    }
}
