//! Newtypes for what would otherwise be bare numbers. Each says how long it stays valid.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One child process that serves clients. Never used again in the life of a box.
    WorkerId(u64)
}
number! {
    /// A worker's place, 0…N−1: stable over replacements.
    WorkerIndex(u16)
}
number! {
    /// Which reload a worker belongs to; the first is 1.
    Generation(u32)
}
number! {
    /// One listening socket of the box. Valid for the life of the supervisor.
    SlotId(u16)
}
number! {
    /// One listen address of the box, in the order of the configuration.
    ListenerId(u16)
}
number! {
    /// A worker's row in the scoreboard. Used again after the worker is gone.
    RowIndex(u16)
}

impl WorkerId {
    /// What this worker calls itself on the bus (`CLIENT SETNAME`), so that a bus that takes over knows when it is back.
    pub fn client_name(self) -> String {
        format!("worker-{}", self.0)
    }
}

/// One life of a supervisor: 64 random bits, kept through an upgrade. Written as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoxId(pub u64);

impl fmt::Display for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
