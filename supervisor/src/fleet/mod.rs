//! The fleet: which workers there should be, and what to do about it. Pure: no clock, no descriptor, no process.
//!
//! ```text
//!   Starting ──ready──▶ Ready ──drain──▶ Draining ──done/deadline──▶ Gone
//!      │ boot failed       │ exit, signal, hang                        ▲
//!      └──────▶ Vacant ◀───┘ ··· a process that must die is Dying ─────┘
//! ```
//!
//! An [`Event`] comes in with the time it happened at, [`Action`]s come out in the order in which they are to be
//! performed. A *seat* is a worker's place (its index); a *member* is one process. A seat has one current member
//! at most, and one seat at a time may have a successor that is to replace it: so there are never more than N + 1
//! members Starting or Ready. Called by the supervisor's loop only.

mod backoff;
mod moves;
mod seat;
mod settle;
#[cfg(test)]
mod simulation;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use oxherd_contract::ids::{Generation, SlotId, WorkerId, WorkerIndex};

use backoff::Jitter;
pub(crate) use seat::{Occupancy, Seat};
use slots::SlotTable;

/// Time since the supervisor started, on the monotonic clock.
pub(crate) type Moment = Duration;

/// A worker that was READY for less than this died of its start.
const PROVEN_AFTER: Duration = Duration::from_secs(1);

/// Failed boots in a row, of the whole box, before it may give up.
const GIVE_UP_BOOTS: u32 = 5;

/// From SIGABRT, or from a worker's own word that it failed, to SIGKILL.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// Restarts that may wait for their turn.
const RESTARTS_QUEUED_MAX: usize = 64;

/// What the configuration decides about a fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Seats.
    pub(crate) workers: u16,
    /// Slots of all listeners together.
    pub(crate) slots: u16,
    /// From the wish to stop to the last exit.
    pub(crate) stop: Duration,
    /// From the successor's READY to the old worker's exit.
    pub(crate) drain: Duration,
    /// Without any READY worker, before giving up.
    pub(crate) give_up: Duration,
    /// Seed of the jitter.
    pub(crate) seed: u64,
}

/// Who waits for the outcome of a restart: the control connection's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u64);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time passed; sent at least as often as [`Fleet::next_deadline`] asks.
    Tick,
    /// The supervisor itself was stopped or starved: what time told means nothing.
    Late,
    /// A worker passed its gate.
    Ready(WorkerId),
    /// A worker says that it cannot start.
    BootFailed { worker: WorkerId, reason: String },
    /// A worker drains without having been asked by us: somebody sent it SIGTERM.
    Draining(WorkerId),
    /// A worker got time to run and did not use it: it hangs, or it boots for too long.
    Unresponsive(WorkerId),
    /// A process is gone, or there never was one.
    Exited { worker: WorkerId, cause: String },
    /// Somebody wants this seat's worker replaced.
    Restart { index: WorkerIndex, ticket: Ticket },
    /// Drain and stop.
    Stop,
    /// Stop now.
    StopNow,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a process.
    Spawn { worker: WorkerId, index: WorkerIndex, generation: Generation },
    /// Let it accept on these slots too.
    Accept { worker: WorkerId, slots: Vec<SlotId> },
    /// Let it leave these slots to others.
    Release { worker: WorkerId, slots: Vec<SlotId> },
    /// Let it end within this time.
    Drain { worker: WorkerId, within: Duration },
    /// Make it die with a backtrace.
    Abort(WorkerId),
    /// Make it die.
    Kill(WorkerId),
    /// Tell who asked for a restart.
    Answer { ticket: Ticket, outcome: Result<String, String> },
    /// The listeners are of no more use: refuse instead of leaving clients waiting.
    CloseListeners,
    /// Every process is gone; end, with an error if there is a reason.
    Finish(Option<String>),
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) index: WorkerIndex,
    pub(crate) generation: Generation,
    pub(crate) born: Moment,
    pub(crate) life: Life,
    /// Why it ends, if that is known before it does.
    last_words: Option<String>,
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not yet through the gate.
    Starting,
    /// Serving.
    Ready { since: Moment },
    /// Told to end; killed when it does not.
    Draining { until: Moment },
    /// Aborted, killed or failed; killed (again) at the deadline.
    Dying { kill_at: Moment },
}

/// What the box as a whole is up to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Course {
    Running,
    Stopping { reason: Option<String> },
}

/// All seats and members.
#[derive(Debug)]
pub(crate) struct Fleet {
    policy: Policy,
    course: Course,
    generation: Generation,
    next_worker: u64,
    seats: Vec<Seat>,
    members: BTreeMap<WorkerId, Member>,
    slots: SlotTable,
    restarts: VecDeque<(WorkerIndex, Ticket)>,
    /// Since when no member is Ready.
    dark_since: Option<Moment>,
    /// Boots that failed since a member was last Ready.
    failed_boots: u32,
    last_failure: String,
    jitter: Jitter,
}

impl Fleet {
    /// A fleet with every seat vacant: the first [`Event::Tick`] fills them.
    pub(crate) fn new(policy: Policy, now: Moment) -> Fleet {
        Fleet {
            policy,
            course: Course::Running,
            generation: Generation(1),
            next_worker: 1,
            seats: (0..policy.workers).map(|index| Seat::new(WorkerIndex(index), now)).collect(),
            members: BTreeMap::new(),
            slots: SlotTable::new(policy.slots),
            restarts: VecDeque::new(),
            dark_since: Some(now),
            failed_boots: 0,
            last_failure: String::new(),
            jitter: Jitter::new(policy.seed),
        }
    }

    /// Takes one event and says what follows from it.
    pub(crate) fn handle(&mut self, now: Moment, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Late => self.dark_since = self.dark_since.map(|_| now),
            Event::Ready(worker) => self.ready(now, worker, &mut actions),
            Event::BootFailed { worker, reason } => self.boot_failed(now, worker, reason),
            Event::Draining(worker) => self.draining(now, worker, &mut actions),
            Event::Unresponsive(worker) => self.unresponsive(now, worker, &mut actions),
            Event::Exited { worker, cause } => self.exited(now, worker, cause, &mut actions),
            Event::Restart { index, ticket } => self.restart(now, index, ticket, &mut actions),
            Event::Stop => self.stop(now, None, self.policy.stop, &mut actions),
            Event::StopNow => self.stop(now, None, Duration::ZERO, &mut actions),
        }
        self.settle(now, &mut actions);
        actions
    }

    /// When a [`Event::Tick`] must come at the latest, if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let members = self.members.values().filter_map(|member| match member.life {
            Life::Draining { until: at } | Life::Dying { kill_at: at } => Some(at),
            Life::Starting | Life::Ready { .. } => None,
        });
        let running = self.course == Course::Running;
        let seats = self.seats.iter().filter_map(|seat| match seat.occupancy {
            Occupancy::Vacant { until } => running.then_some(until),
            Occupancy::Held(_) => None,
        });
        let hopeless = running && self.failed_boots >= GIVE_UP_BOOTS;
        let give_up = self.dark_since.filter(|_| hopeless).map(|since| since + self.policy.give_up);
        members.chain(seats).chain(give_up).min()
    }
}

/// What the status and the watch look at.
impl Fleet {
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.course != Course::Running
    }

    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (WorkerId, &Member)> {
        self.members.iter().map(|(worker, member)| (*worker, member))
    }

    pub(crate) fn slots_of(&self, worker: WorkerId) -> Vec<SlotId> {
        self.slots.of(worker)
    }
}
