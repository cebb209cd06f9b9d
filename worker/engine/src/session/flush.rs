//! Writing to a WebSocket: as much of the queue as the kernel takes.
//!
//! The shard's flush task writes for all its sessions; no connection task is woken for it. Only when the kernel takes
//! no more does the connection's task wait for it to be writable, and writes then.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    sync::Arc,
    task::Context,
};

use super::{Ending, Link, Phase, Session, State, gather::Scratch, queue::Left, wake};
use crate::socket::DisconnectReason;

/// Bytes that one session may write in one round before others have their turn.
const ROUND_BYTES_MAX: usize = 512 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What the connection's task should do next.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Read.
    Open,
    /// Say what is left to say: nothing, if `said`.
    Closing {
        ending: Ending,
        said: bool,
    },
    Closed,
    /// Give up: a write failed.
    Failed,
}

/// What came of a round of writes.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    All,
    /// The kernel takes no more.
    Blocked,
    /// Enough for this round.
    Paused,
    Failed,
}

impl Session {
    /// Writes what is queued: called by the flush task.
    pub(crate) fn flush(self: &Arc<Self>) {
        let mut state = self.lock();
        state.marked = false;
        if !state.blocked {
            self.write(&mut state);
            if matches!(state.phase, Phase::Closing(_)) {
                wake(&mut state);
            }
        }
    }

    /// Called by the connection's task whenever it runs: writes if it was waited for, and tells where things stand.
    pub(crate) fn tend(self: &Arc<Self>, cx: &mut Context<'_>) -> Progress {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        let closing = matches!(state.phase, Phase::Closing(_));
        if state.blocked || closing {
            let Link::Websocket(writer) = &state.link else { return Progress::Closed };
            if writer.poll_ready(cx).is_ready() {
                state.blocked = false;
                self.write(&mut state);
            }
        }
        match &state.phase {
            Phase::Open if state.broken => Progress::Failed,
            Phase::Open => Progress::Open,
            Phase::Closing(ending) => {
                Progress::Closing { ending: ending.clone(), said: state.queue.is_empty() && !state.blocked }
            }
            Phase::Closed => Progress::Closed,
        }
    }

    /// Makes room by writing at once if more than `budget` bytes wait; false if that is not enough.
    pub(super) fn makes_room(self: &Arc<Self>, state: &mut State, budget: usize) -> bool {
        let fits = |state: &State| state.queue.bytes() <= budget || state.queue.len() <= 1;
        if !fits(state) && matches!(state.link, Link::Websocket(_)) && !state.blocked {
            self.write(state);
        }
        fits(state)
    }

    fn write(self: &Arc<Self>, state: &mut State) {
        match self.write_round(state) {
            Ok(Written::All) => {}
            Ok(Written::Paused) => self.notify(state),
            Ok(Written::Blocked) => {
                state.blocked = true;
                if !state.watched && self.shard.watch(self.id, state.moves) {
                    state.watched = true;
                }
                // Its task asks to be woken when the socket is writable.
                wake(state);
            }
            Ok(Written::Failed) | Err(_) => {
                self.drop_queue(state);
                state.broken = true;
                wake(state);
            }
        }
    }

    fn write_round(&self, state: &mut State) -> io::Result<Written> {
        let State { link, queue, waker, moves, .. } = state;
        let Link::Websocket(writer) = link else { return Ok(Written::All) };
        let counters = self.counters();
        let mut round = 0;
        loop {
            counters.queued_bytes.add(queue.promote_volatile() as u64);
            if queue.is_empty() {
                return match writer.flush(waker.as_ref()) {
                    Ok(()) => Ok(Written::All),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Written::Blocked),
                    Err(error) => Err(error),
                };
            }
            if round >= ROUND_BYTES_MAX {
                return Ok(Written::Paused);
            }
            let written = SCRATCH.with_borrow_mut(|scratch| {
                let write = |slices: &[IoSlice<'_>]| writer.write(slices, waker.as_ref());
                match queue.unwritten().and_then(|items| scratch.frames_of(items)) {
                    Some(frames) => write(&[IoSlice::new(frames)]),
                    None => queue.gather(scratch.empty()).write(write),
                }
            });
            let bytes = match written {
                Ok(0) => return Ok(Written::Failed),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Written::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            round += bytes;
            *moves = moves.wrapping_add(1);
            writer.count(bytes, counters);
            self.account(queue.advance(bytes));
        }
    }

    /// Counts what left the queue.
    pub(super) fn account(&self, left: Left) {
        let counters = self.counters();
        counters.packets_out.add(left.items);
        counters.queued_bytes.add(left.joined as u64);
        counters.queued_bytes.sub(left.bytes as u64);
    }

    /// The shard looks whether bytes moved since it began to watch, when `moves` had this value.
    pub(crate) fn stall_due(self: &Arc<Self>, moves: u32) {
        let stalled = {
            let mut state = self.lock();
            state.watched = false;
            let waits = state.blocked && matches!(state.phase, Phase::Open);
            if waits && state.moves != moves {
                state.watched = self.shard.watch(self.id, state.moves);
            }
            waits && state.moves == moves
        };
        if stalled {
            self.close_slow(&self.counters().slow_stalled);
        }
    }

    /// The transport failed.
    pub(crate) fn lose(self: &Arc<Self>) {
        self.close(DisconnectReason::TransportError, super::Manner::Silent);
    }
}
