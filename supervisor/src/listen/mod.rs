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

use oxherd_contract::edge::Layers;
use oxherd_contract::ids::{ListenerId, SlotId};
use oxherd_contract::listen::{Address, Affinity, Purpose};
use oxherd_contract::message::Slot;

use crate::control::status::ListenerStatus;
use crate::plan::{Listen, Plan};
use group::Group;
pub use group::ListenError;
pub(crate) use group::{not_a_socket, remove_unused, unix_socket};
use steering::Steering;

/// All listeners of a box and their slots.
#[derive(Debug)]
pub(crate) struct Listeners {
    listeners: Vec<Listener>,
    /// In the order of their ids; `None` once it is closed.
    slots: Vec<(Slot, Option<OwnedFd>)>,
}

#[derive(Debug)]
struct Listener {
    address: Address,
    steering: Steering,
    slots: u16,
    purpose: Purpose,
}

impl Listeners {
    /// Opens every address of the plan, and last the one for other boxes. An address that is in use is waited for,
    /// `patience` at most: its holder may be an orphan of an earlier supervisor that is just leaving.
    pub(crate) fn open(plan: &Plan, patience: Duration) -> Result<Self, ListenError> {
        let mut opened = Listeners { listeners: Vec::new(), slots: Vec::new() };
        let group = |listen| group::open(listen, plan.slots, patience, &plan.shared.edge.trusted_proxies);
        for listen in &plan.listeners {
            opened.add(group(listen)?, Purpose::Clients);
        }
        if let Some(address) = plan.box_listener {
            // Few addresses with many connections each: they are spread by connection.
            let (address, affinity) = (Address::Tcp(address), Affinity::Connection);
            let listen = Listen { address, affinity, mode: 0, layers: Layers::default() };
            opened.add(group(&listen)?, Purpose::Boxes);
        }
        Ok(opened)
    }

    fn add(&mut self, group: Group, purpose: Purpose) {
        let listener = ListenerId(self.listeners.len() as u16);
        let first = self.slots.len() as u16;
        let slots = group.sockets.len() as u16;
        for (id, socket) in (first..).map(SlotId).zip(group.sockets) {
            let address = group.address.clone();
            self.slots.push((Slot { id, listener, address, purpose }, Some(socket)));
        }
        tracing::info!(address = %group.address, slots, steering = group.steering.name(), ?purpose, "listening");
        self.listeners.push(Listener { address: group.address, steering: group.steering, slots, purpose });
    }

    /// How many slots there are, of all listeners together.
    pub(crate) fn slots(&self) -> u16 {
        self.slots.len() as u16
    }

    /// What a worker must know of a slot, and the socket to send along.
    pub(crate) fn slot(&self, id: SlotId) -> Option<(&Slot, BorrowedFd<'_>)> {
        let (slot, socket) = self.slots.get(usize::from(id.0))?;
        Some((slot, socket.as_ref()?.as_fd()))
    }

    /// The port that the first TCP listener for clients really got; 0 without one.
    pub(crate) fn first_port(&self) -> u16 {
        let port = self.listeners.iter().find_map(|listener| match (&listener.address, listener.purpose) {
            (Address::Tcp(address), Purpose::Clients) => Some(address.port()),
            (Address::Tcp(_), Purpose::Boxes) | (Address::Unix(_), _) => None,
        });
        port.unwrap_or(0)
    }

    /// Closes all slots for clients: from now on a connection is refused instead of left waiting. Those for other boxes
    /// stay to the end, since the sessions that are let go are still used through them.
    pub(crate) fn close(&mut self) {
        for (_, socket) in self.slots.iter_mut().filter(|(slot, _)| slot.purpose == Purpose::Clients) {
            *socket = None;
        }
        for path in self.listeners.iter().filter_map(Listener::unix_path) {
            let _ = std::fs::remove_file(path); // somebody else may have been faster
        }
    }

    pub(crate) fn status(&self) -> Vec<ListenerStatus> {
        let status = |listener: &Listener| ListenerStatus {
            address: listener.address.to_string(),
            slots: listener.slots,
            steering: listener.steering.name().to_owned(),
            purpose: listener.purpose,
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
