//! The handle of one connection: what the worker knows about it, and how it is ended from outside.
//!
//! ```text
//!   (Greeting ──▶) HalfOpen ──first request head──▶ Serving ──101──▶ Session, Piped or Upgraded
//! ```

use std::future::poll_fn;
use std::os::fd::RawFd;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use nix::sys::socket::{Shutdown, shutdown};

/// Names a connection; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub u64);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Half-open, in front of HTTP: a PROXY header or a TLS handshake is under way.
    Greeting,
    /// It has not yet delivered a whole request head.
    HalfOpen,
    /// It speaks HTTP: in a request or between two.
    Serving,
    /// It left HTTP: a WebSocket of the engine, which ends it.
    Session,
    /// It left HTTP: something of the application's own.
    Upgraded,
    /// It left HTTP: its other end is at a session's owner.
    Piped,
}

/// Who is at the other end of a connection.
///
/// | | takes room | counts as a connection | gives way when there is no room | ends in a drain |
/// |---|---|---|---|---|
/// | client | yes | yes | half-open | yes |
/// | sibling, or a worker of another box | always gets it | once a client's WebSocket is on it | no | then |
/// | owner | yes | no | idle | no |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client.
    Client,
    /// A worker of this box that forwards its clients' requests. Only when one of them is upgraded is the connection
    /// a client's. Until then it counts nowhere and is not ended: a request that is just arriving would get no
    /// answer, and its client would take its session for gone.
    Sibling,
    /// The owner of a session, whom this worker forwards requests to. It has a descriptor as a client has one, so it
    /// takes a client's room; else it counts nowhere.
    Owner,
}

/// Counts the sweeps of a worker's connections; 0 is before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick(pub u32);

/// One connection. Small, because there is one for every client; the connection's [`Io`](super::Io) and the table
/// of all connections share it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub id: ConnectionId,
    phase: AtomicU8,
    finishing: AtomicBool,
    abandoned: AtomicBool,
    /// Whether it is a client's.
    counted: AtomicBool,
    /// Another write follows the next one at once.
    write_follows: AtomicBool,
    /// The tick at which a write first found no room, since when none succeeded; 0 if there is none.
    stuck_since: AtomicU32,
    reach: Mutex<Reach>,
}

/// What reaches the connection from outside.
#[derive(Debug)]
struct Reach {
    /// `None` once the transport's owner is about to close it, so that a number which the kernel has since given
    /// to another file is never touched.
    socket: Option<RawFd>,
    /// The task that drives HTTP; `None` before its first turn and after its last, because a waker keeps the
    /// task's memory.
    driver: Option<Waker>,
}

const _: () = assert!(size_of::<Connection>() <= 64, "every client costs one of these");

impl Connection {
    pub fn new(id: ConnectionId, socket: RawFd, origin: Origin) -> Self {
        Connection {
            id,
            phase: AtomicU8::new(Phase::HalfOpen as u8),
            finishing: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            counted: AtomicBool::new(origin == Origin::Client),
            write_follows: AtomicBool::new(false),
            stuck_since: AtomicU32::new(0),
            reach: Mutex::new(Reach { socket: Some(socket), driver: None }),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Greeting,
            1 => Phase::HalfOpen,
            2 => Phase::Serving,
            3 => Phase::Session,
            4 => Phase::Upgraded,
            _ => Phase::Piped,
        }
    }

    /// Enters a phase and returns the one before.
    pub fn enter(&self, phase: Phase) -> Phase {
        let before = self.phase();
        if before != phase {
            self.phase.store(phase as u8, Relaxed);
        }
        before
    }

    /// Whether it is a client's connection, and so counted.
    pub fn is_counted(&self) -> bool {
        self.counted.load(Relaxed)
    }

    /// It is a client's from now on; whether it was not before.
    pub fn count(&self) -> bool {
        !self.counted.swap(true, Relaxed)
    }

    /// The next write is an answer that the engine adds a packet to at once.
    pub fn write_follows(&self) {
        self.write_follows.store(true, Relaxed);
    }

    /// Whether another write follows this one at once. Said once; only the connection's own task asks.
    pub fn takes_write_follows(&self) -> bool {
        let follows = self.write_follows.load(Relaxed);
        if follows {
            self.write_follows.store(false, Relaxed);
        }
        follows
    }

    /// Ends the transport now: the peer reads end of file, and so does whoever reads here.
    pub fn end(&self) {
        if let Some(socket) = self.reach().socket {
            let _ = shutdown(socket, Shutdown::Both); // fails only if the peer has ended it already
        }
    }

    /// Ends the transport of a peer that takes nothing, together with what it did not take.
    pub fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
        self.end();
    }

    /// Whether what is unsent is to be thrown away.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Asks HTTP to end after the request in flight, at once if there is none.
    pub fn finish(&self) {
        self.finishing.store(true, Release);
        if let Some(driver) = &self.reach().driver {
            driver.wake_by_ref();
        }
    }

    /// Whether [`Connection::finish`] was called.
    pub fn is_finishing(&self) -> bool {
        self.finishing.load(Acquire)
    }

    /// Waits for [`Connection::finish`], in the task that drives the connection.
    pub async fn finished(&self) {
        let mut known = false;
        poll_fn(|context| {
            if !std::mem::replace(&mut known, true) {
                self.driven_by(Some(context.waker().clone()));
            }
            if self.is_finishing() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    /// Says which task to wake for [`Connection::finish`]; `None` when it is at its end.
    pub fn driven_by(&self, driver: Option<Waker>) {
        self.reach().driver = driver;
    }

    /// Called by the owner of the transport before it closes it.
    pub fn closing(&self) {
        self.reach().socket = None;
    }

    /// A write found no room.
    pub fn stuck(&self, now: Tick) {
        if self.stuck_since.load(Relaxed) == 0 {
            self.stuck_since.store(now.0, Relaxed);
        }
    }

    /// A write made progress.
    pub fn moved(&self) {
        if self.stuck_since.load(Relaxed) != 0 {
            self.stuck_since.store(0, Relaxed);
        }
    }

    /// For how many ticks the peer has taken nothing of what waits for it; 0 if nothing waits.
    pub fn stuck_ticks(&self, now: Tick) -> u32 {
        match self.stuck_since.load(Relaxed) {
            0 => 0,
            since => now.0.wrapping_sub(since),
        }
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
