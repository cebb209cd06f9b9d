//! The open connections of this worker: the [`Table`] with its effects, the counters that follow from it, and the
//! sweep that ends those whose peer takes nothing.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oxherd_contract::scoreboard::Row;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::handle::{Connection, ConnectionId, Origin, Phase, Tick};
use super::io::Io;
use super::limits::Limits;
use super::stream::Stream;
use super::table::{Admission, Table};

/// How often stuck writes are looked for; a write time-out may be late by two of these.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// All open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    pub row: &'static Row,
    table: Mutex<Table<Arc<Connection>>>,
    last_id: AtomicU64,
    tick: AtomicU32,
    draining: AtomicBool,
    emptied: Notify,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room(Arc<Connections>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.table().release();
    }
}

impl Connections {
    pub fn new(row: &'static Row, limits: Limits) -> Arc<Self> {
        Arc::new(Connections {
            row,
            table: Mutex::new(Table::new(limits)),
            last_id: AtomicU64::new(0),
            tick: AtomicU32::new(1),
            draining: AtomicBool::new(false),
            emptied: Notify::new(),
        })
    }

    /// Takes a stream in, a client's at the cost of an older one if need be; `None` if there is no room for it.
    /// A sibling's is as welcome as its client was there, and an owner's has a [`Room`].
    pub fn open(self: &Arc<Self>, stream: Stream, origin: Origin) -> Option<(Io, Arc<Connection>)> {
        let mut table = self.table();
        if origin == Origin::Client {
            match table.admit() {
                Admission::Welcome => {}
                Admission::InPlaceOf(older) => self.evict(&older),
                Admission::Refused => {
                    self.row.evicted.fetch_add(1, Relaxed);
                    return None;
                }
            }
            self.row.connections.fetch_add(1, Relaxed);
        }
        let id = ConnectionId(self.last_id.fetch_add(1, Relaxed) + 1);
        let connection = Arc::new(Connection::new(id, stream.as_raw_fd(), origin));
        table.insert(id, connection.clone());
        match origin {
            Origin::Client if self.is_draining() => connection.finish(), // handed over, to a session that is still here
            Origin::Client => {}
            Origin::Sibling | Origin::Owner => {
                connection.enter(Phase::Serving); // nobody goes for want of a request from a sibling
                table.head_arrived(id);
            }
        }
        Some((Io::new(stream, connection.clone(), self.clone()), connection))
    }

    /// Makes room by ending the connection that is missed least, if there is one.
    pub fn make_room(&self) {
        if let Some(connection) = self.table().evict() {
            self.evict(&connection);
        }
    }

    /// Room for a connection to an owner that is about to be made, if need be at the cost of an older one.
    pub fn reserve(self: &Arc<Self>) -> Option<Room> {
        match self.table().reserve() {
            Admission::Welcome => {}
            Admission::InPlaceOf(older) => self.evict(&older),
            Admission::Refused => return None,
        }
        Some(Room(self.clone()))
    }

    /// A connection to an owner carries nothing: it may go for another.
    pub fn spare(&self, connection: &Connection) {
        self.table().spare(connection.id);
    }

    /// A connection to an owner is to carry something again; false if it has gone.
    pub fn take(&self, connection: &Connection) -> bool {
        self.table().take(connection.id)
    }

    /// A request head arrived.
    pub fn head_arrived(&self, connection: &Connection) {
        self.row.requests.fetch_add(1, Relaxed);
        if connection.enter(Phase::Serving) == Phase::HalfOpen {
            self.table().head_arrived(connection.id);
        }
    }

    /// A connection left HTTP for this phase.
    pub fn upgraded(&self, connection: &Connection, phase: Phase) {
        connection.enter(phase);
        if connection.count() {
            self.row.connections.fetch_add(1, Relaxed);
        }
    }

    /// A request head took too long.
    pub fn timed_out(&self, connection: &Connection) {
        if matches!(connection.phase(), Phase::Greeting | Phase::HalfOpen) {
            self.row.evicted.fetch_add(1, Relaxed);
        }
    }

    /// Called by the transport's owner, once.
    pub fn closed(&self, connection: &Connection) {
        self.table().remove(connection.id);
        if connection.is_counted() && self.row.connections.fetch_sub(1, Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// The number of the sweep that was last.
    pub fn tick(&self) -> Tick {
        Tick(self.tick.load(Relaxed))
    }

    /// Ends, for ever, those that took nothing for `write_timeout`.
    pub async fn sweep(&self, write_timeout: Duration) {
        let ticks_max = write_timeout.as_millis().div_ceil(SWEEP_PERIOD.as_millis());
        let mut period = interval(SWEEP_PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            let now = Tick(self.tick.fetch_add(1, Relaxed).wrapping_add(1));
            // What is stuck between workers is so because of a client, or for its owner, who has limits of its own.
            for connection in self.table().iter().filter(|connection| connection.is_counted()) {
                // More than, since the first of the ticks was not a whole one.
                if u128::from(connection.stuck_ticks(now)) > ticks_max && !connection.is_abandoned() {
                    self.row.evicted.fetch_add(1, Relaxed);
                    connection.abandon();
                }
            }
        }
    }

    /// From now on every connection ends as soon as it can: HTTP after its request, an upgraded one at once, unless it
    /// is a session's: those are ended in steps, by the engine and by whoever takes [`Connections::piped`].
    pub fn drain(&self) {
        self.draining.store(true, Release);
        for connection in self.table().iter().filter(|connection| connection.is_counted()) {
            match connection.phase() {
                Phase::Piped => {}
                Phase::Upgraded => connection.end(),
                _ => connection.finish(),
            }
        }
    }

    /// The clients' ends of pipes to the owners of their sessions.
    pub fn piped(&self) -> Vec<Arc<Connection>> {
        self.table().iter().filter(|connection| connection.phase() == Phase::Piped).cloned().collect()
    }

    /// Whether [`Connections::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Acquire)
    }

    /// Ends all.
    pub fn end(&self) {
        self.table().iter().for_each(|connection| connection.end());
    }

    /// Ends those that bring no request: they are half-open now as they were at the call before, when `seen` was filled.
    pub fn end_silent(&self, seen: &mut BTreeSet<ConnectionId>) {
        let table = self.table();
        let half_open = || table.iter().filter(|connection| connection.phase() == Phase::HalfOpen);
        half_open().filter(|connection| seen.contains(&connection.id)).for_each(|one| one.end());
        *seen = half_open().map(|connection| connection.id).collect();
    }

    /// Waits until no client's is open.
    pub async fn all_closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.row.connections.load(Relaxed) == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn evict(&self, connection: &Connection) {
        self.row.evicted.fetch_add(1, Relaxed);
        connection.end();
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<Connection>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
