//! The box's listening sockets: created once, kept open for the life of the supervisor.
//!
//! ```text
//!   address ──▶ group of slots (SO_REUSEPORT) ◀── steering program picks the slot of each connection
//!                 │  │  │  │
//!                 └──┴──┴──┴── duplicates travel to workers over their links; the originals stay here,
//!                              so a dying worker resets nobody who is still queued
//! ```
//!
//! Nobody else opens, binds or attaches: the program's index counts the sockets of a group in the order of
//! their listen(2), and closing one would move the others (`socket(7)`, SO_ATTACH_REUSEPORT_CBPF).

mod group;
mod holder;
mod steering;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use oxherd_contract::ids::{ListenerId, SlotId};
use oxherd_contract::listen::Address;
use oxherd_contract::message::Slot;

use crate::control::status::ListenerStatus;
use crate::plan::Listen;
pub use group::ListenError;
pub(crate) use group::{not_a_socket, remove_unused, unix_socket};
use steering::Steering;

/// All listeners of a box and their slots.
#[derive(Debug)]
pub(crate) struct Listeners {
    listeners: Vec<Listener>,
    slots: Vec<(Slot, OwnedFd)>,
}

#[derive(Debug)]
struct Listener {
    address: Address,
    steering: Steering,
    slots: u16,
}

impl Listeners {
    /// Opens every address of the plan. An address that is in use is waited for, `patience` at most: its holder
    /// may be an orphan of an earlier supervisor that is just leaving.
    pub(crate) fn open(plan: &[Listen], slots_each: u16, patience: Duration) -> Result<Self, ListenError> {
        let mut opened = Listeners { listeners: Vec::new(), slots: Vec::new() };
        for (id, listen) in (0..).map(ListenerId).zip(plan) {
            let group = group::open(listen, slots_each, patience)?;
            let first = opened.slots.len() as u16;
            let slots = group.sockets.len() as u16;
            for (slot, socket) in (first..).map(SlotId).zip(group.sockets) {
                let address = group.address.clone();
                opened.slots.push((Slot { id: slot, listener: id, address }, socket));
            }
            tracing::info!(address = %group.address, slots, steering = group.steering.name(), "listening");
            opened.listeners.push(Listener { address: group.address, steering: group.steering, slots });
        }
        Ok(opened)
    }

    /// How many slots there are, of all listeners together.
    pub(crate) fn slots(&self) -> u16 {
        self.slots.len() as u16
    }

    /// What a worker must know of a slot, and the socket to send along.
    pub(crate) fn slot(&self, id: SlotId) -> Option<(&Slot, BorrowedFd<'_>)> {
        self.slots.get(usize::from(id.0)).map(|(slot, socket)| (slot, socket.as_fd()))
    }

    /// The port that the first TCP listener really got; 0 without one.
    pub(crate) fn first_port(&self) -> u16 {
        let port = self.listeners.iter().find_map(|listener| match &listener.address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        });
        port.unwrap_or(0)
    }

    /// Closes all slots: from now on a connection is refused instead of left waiting.
    pub(crate) fn close(&mut self) {
        self.slots.clear();
        for path in self.listeners.iter().filter_map(Listener::unix_path) {
            let _ = std::fs::remove_file(path); // somebody else may have been faster
        }
    }

    pub(crate) fn status(&self) -> Vec<ListenerStatus> {
        let status = |listener: &Listener| ListenerStatus {
            address: listener.address.to_string(),
            slots: listener.slots,
            steering: listener.steering.name().to_owned(),
        };
        self.listeners.iter().map(status).collect()
    }
}

impl Listener {
    fn unix_path(&self) -> Option<&PathBuf> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }
}
