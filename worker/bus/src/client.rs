//! One client as everybody else sees it: what its task, the table and the broker share.
//!
//! The broker runs on one thread, so sharing is an `Rc` and cells; no borrow is held across an await.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::outbox::{Excess, Outbox};
use crate::reply::{Protocol, Reply};
use crate::scan::FrameLimits;
use crate::settings::BusSettings;
use crate::table::Name;

/// A client's number: never used again while the broker runs, and what `CLIENT ID` answers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClientId(pub u64);

/// Where a client came in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// A peer whose uid the kernel has told and the listener has checked.
    Unix,
    /// A peer that must present the password, if there is one.
    Tcp(std::net::SocketAddr),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix => f.write_str("unix:0"),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// Whether a client hears the answers to its commands (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Answers {
    #[default]
    On,
    Off,
    /// Not to the command that said so, nor to the next one.
    SkipNext,
    /// Not to the command that runs now.
    Skip,
}

/// A client that owes too much: which limit it reached, and with how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub excess: Excess,
    pub owed_bytes: usize,
}

pub(crate) struct Client {
    pub id: ClientId,
    pub origin: Origin,
    pub since: Instant,
    /// Told when there is something to write, or when the client was cut.
    pub wake: Notify,
    pub protocol: Cell<Protocol>,
    pub answers: Cell<Answers>,
    pub authenticated: Cell<bool>,
    /// Commands received before authentication.
    pub stranger_commands: Cell<u32>,
    pub session: RefCell<Session>,
    pub outbox: RefCell<Outbox>,
    /// Set once; from then on the outbox takes nothing and the task only has to leave.
    pub cut: Cell<Option<Cut>>,
}

/// What a client has said about itself and what it listens to.
#[derive(Debug)]
pub(crate) struct Session {
    /// Empty until `CLIENT SETNAME`.
    pub name: String,
    pub library: String,
    pub library_version: String,
    pub channels: BTreeSet<Name>,
    pub patterns: BTreeSet<Name>,
    pub last_command: &'static str,
    pub last_at: Instant,
}

impl Session {
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}

impl Client {
    pub(crate) fn new(id: ClientId, origin: Origin, settings: &BusSettings, now: Instant) -> Rc<Self> {
        let client = Self {
            id,
            since: now,
            wake: Notify::new(),
            protocol: Cell::default(),
            answers: Cell::default(),
            authenticated: Cell::new(false),
            stranger_commands: Cell::new(0),
            session: RefCell::new(Session {
                name: String::new(),
                library: String::new(),
                library_version: String::new(),
                channels: BTreeSet::new(),
                patterns: BTreeSet::new(),
                last_command: "NULL",
                last_at: now,
            }),
            outbox: RefCell::new(Outbox::new(settings.output)),
            cut: Cell::new(None),
            origin,
        };
        client.authenticated.set(client.is_trusted(settings));
        Rc::new(client)
    }

    /// Whether this client needs no password.
    pub(crate) fn is_trusted(&self, settings: &BusSettings) -> bool {
        self.origin == Origin::Unix || settings.password.is_none()
    }

    pub(crate) fn frame_limits(&self, settings: &BusSettings) -> FrameLimits {
        if !self.authenticated.get() {
            return FrameLimits::STRANGER;
        }
        FrameLimits {
            args_max: settings.args_max,
            bulk_bytes_max: settings.frame_bytes_max,
            frame_bytes_max: settings.frame_bytes_max,
            authenticated: true,
        }
    }

    /// Answers the command that runs now.
    pub(crate) fn reply(&self, now: Instant, write: impl FnOnce(&mut Reply<'_>)) {
        if self.answers.get() == Answers::On && self.cut.get().is_none() {
            let protocol = self.protocol.get();
            let mut outbox = self.outbox.borrow_mut();
            outbox.append(|tail| write(&mut Reply::new(tail, protocol)));
            self.judge(&mut outbox, now);
        }
    }

    /// Queues a message for it. Whether it took it: a client that is cut does not.
    pub(crate) fn deliver(&self, now: Instant, frame: &Bytes) -> bool {
        if self.cut.get().is_some() {
            return false;
        }
        let mut outbox = self.outbox.borrow_mut();
        let was_empty = outbox.is_empty();
        outbox.push(frame);
        self.judge(&mut outbox, now);
        // A queue that was not empty belongs to a task that is already awake or waits for its socket.
        if was_empty {
            self.wake.notify_one();
        }
        true
    }

    /// Cuts the client if it owes too much at `now`.
    pub(crate) fn judge(&self, outbox: &mut Outbox, now: Instant) {
        let had_deadline = outbox.soft_deadline().is_some();
        if let Some(excess) = outbox.excess(now) {
            self.cut.set(Some(Cut { excess, owed_bytes: outbox.owed_bytes() }));
            outbox.clear();
            self.wake.notify_one();
        } else if !had_deadline && outbox.soft_deadline().is_some() {
            // Its task may wait for a socket that never becomes writable: it has to learn of the deadline.
            self.wake.notify_one();
        }
    }
}
