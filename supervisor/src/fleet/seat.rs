//! A seat: a worker's place, which outlives the workers that hold it.

use oxherd_contract::ids::{WorkerId, WorkerIndex};

use super::{Moment, Ticket};
use crate::control::status::Restarts;

/// One place of the fleet.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) index: WorkerIndex,
    pub(crate) occupancy: Occupancy,
    /// Starting, to replace the occupant once it is Ready.
    pub(super) successor: Option<WorkerId>,
    /// Who waits for this seat's next Ready worker.
    pub(super) awaited: Option<Ticket>,
    /// Deaths in a row that make the next attempt wait.
    pub(super) failures: u32,
    pub(crate) restarts: Restarts,
    pub(crate) last_death: Option<Death>,
}

/// Who has a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupancy {
    /// Nobody; the next attempt is made then.
    Vacant { until: Moment },
    /// This member, in whatever state it is.
    Held(WorkerId),
}

impl Occupancy {
    pub(crate) fn worker(self) -> Option<WorkerId> {
        match self {
            Occupancy::Held(worker) => Some(worker),
            Occupancy::Vacant { .. } => None,
        }
    }
}

/// How the last member of a seat ended.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) worker: WorkerId,
    pub(crate) cause: String,
    pub(crate) at: Moment,
}

impl Seat {
    pub(super) fn new(index: WorkerIndex, now: Moment) -> Seat {
        Seat {
            index,
            occupancy: Occupancy::Vacant { until: now },
            successor: None,
            awaited: None,
            failures: 0,
            restarts: Restarts::default(),
            last_death: None,
        }
    }
}
