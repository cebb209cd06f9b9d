//! What is said over a link. One message is one datagram; a descriptor travels with the message that names it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edge::Keys;
use crate::ids::{ListenerId, SlotId};
use crate::listen::{Address, Purpose};
use crate::settings::{BusSettings, WorkerSettings};

/// From the supervisor to a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToChild {
    /// Always a worker's first. Carries one descriptor: the scoreboard.
    Settings(Box<WorkerSettings>),
    /// Always the bus' first. Carries the scoreboard, then its listening sockets: the Unix socket, then those for TCP.
    Bus(Box<BusSettings>),
    /// Accept on these slots, in addition to those you have. Carries one listening socket for each, in this order,
    /// [`link::DESCRIPTORS_MAX`](crate::link::DESCRIPTORS_MAX) at most.
    Accept(Vec<Slot>),
    /// Stop accepting on these slots and close them; connections that you accepted stay yours.
    Release(Vec<SlotId>),
    /// Take nothing new, let your sessions go and exit with status 0, all within this time.
    Drain {
        /// From receipt to exit.
        within: Duration,
    },
    /// Use these from now on, and say so ([`ToSupervisor::Applied`]). A worker gets its first certificates this way,
    /// before its first slots.
    Keys(Keys),
}

/// One slot, as a worker needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The slot.
    pub id: SlotId,
    /// The listener that it is a part of.
    pub listener: ListenerId,
    /// The address that the listener is really bound to.
    pub address: Address,
    /// Who connects there.
    #[serde(default)]
    pub purpose: Purpose,
}

/// From a child to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// I serve. From a worker: the application is built and answered its own handshake, give me slots.
    Ready,
    /// I drain without having been asked by you (SIGTERM): have my slots adopted.
    Draining,
    /// It could not start; the process exits after this.
    BootFailed {
        /// What to show to the operator, causes included.
        reason: String,
    },
    /// From now on I use the keys of this number.
    Applied {
        /// [`Keys::number`].
        number: u64,
        /// Or why I stay with what I have.
        outcome: Result<(), String>,
    },
}
