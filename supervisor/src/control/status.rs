//! What `oxherd status --json` prints: a stable interface, fields are only ever added.

use oxherd_contract::ids::{BoxId, Generation, SlotId, WorkerId, WorkerIndex};
use oxherd_contract::listen::Purpose;
use serde::{Deserialize, Serialize};

/// The whole box at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The parent process.
    pub supervisor: SupervisorStatus,
    /// Where the box listens.
    pub listeners: Vec<ListenerStatus>,
    /// The broker between the workers.
    pub bus: BusStatus,
    /// The Redis that takes the bus' place and connects this box with others, if there is one.
    pub redis: Option<RedisStatus>,
    /// Every living child that serves clients, draining ones too, and the places that wait for a new one.
    pub workers: Vec<WorkerStatus>,
}

/// The parent process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SupervisorStatus {
    /// Its process id.
    pub pid: u32,
    /// oxherd's version.
    pub version: String,
    /// The box's id, 16 hex digits in text.
    pub box_id: BoxId,
    /// The box's name.
    pub host: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// The generation that new workers belong to.
    pub generation: Generation,
    /// How many workers it keeps.
    pub workers_wanted: u16,
    /// Open files allowed (RLIMIT_NOFILE), for the supervisor and for each worker.
    pub open_files_max: u64,
    /// Whether it is stopping.
    pub stopping: bool,
}

/// One listen address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Where it is really bound.
    pub address: String,
    /// How many slots it has.
    pub slots: u16,
    /// How a connection finds its slot: `source-ip`, `connection`, `auto` (connection from this machine and trusted proxies, else
    /// source-ip), `kernel` (no BPF), `single` (one slot).
    pub steering: String,
    /// `clients` or `boxes`: who connects there.
    #[serde(default)]
    pub purpose: Purpose,
}

/// The broker between the workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusStatus {
    /// `starting`, `ready`, `dying`, `backoff`, or `off`: the workers are connected to a Redis instead.
    pub state: String,
    /// Its process id; absent in `backoff` and `off`.
    pub pid: Option<u32>,
    /// Its Unix socket; empty in `off`.
    pub path: String,
    /// Where it is really bound for Redis clients.
    pub listen: Vec<String>,
    /// Milliseconds since it was spawned; in `backoff`, until the next attempt.
    pub uptime_ms: u64,
    /// Clients connected; each worker has two.
    pub clients: u64,
    /// Messages published ever.
    pub published: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Clients cut because they did not read, or did not speak the protocol.
    pub evicted: u64,
    /// How often there was a new one, by reason.
    pub restarts: Restarts,
    /// How the last one ended; `id` is its life.
    pub last_death: Option<LastDeath>,
}

/// How the READY workers are connected to Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisStatus {
    /// Where it is, without user and password.
    pub place: String,
    /// `connected`, `partial` (not every READY worker is) or `disconnected`.
    pub state: String,
    /// How many are.
    pub joined: u16,
    /// How many other boxes are known there; 0 for a box without `cluster.secrets`.
    #[serde(default)]
    pub boxes: u64,
    /// Announcements of boxes that were ignored: of another version, with another secret, or old.
    #[serde(default)]
    pub box_noise: u64,
}

/// One place and its process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The place.
    pub index: WorkerIndex,
    /// `starting`, `ready`, `draining`, `dying` (told to go or killed), or `backoff` (no process: the next attempt waits).
    pub state: String,
    /// The worker's id; absent in `backoff`.
    pub id: Option<WorkerId>,
    /// Its process id; absent in `backoff`.
    pub pid: Option<u32>,
    /// The reload that made it.
    pub generation: Generation,
    /// The slots that it accepts on.
    pub slots: Vec<SlotId>,
    /// Milliseconds since it was spawned; in `backoff`, until the next attempt.
    pub uptime_ms: u64,
    /// Open client connections.
    pub connections: u64,
    /// Open Engine.IO sessions.
    pub sessions: u64,
    /// HTTP requests ever.
    pub requests: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Connections accepted ever.
    pub accepted: u64,
    /// Connections closed because of a limit or time-out.
    pub evicted: u64,
    /// Panics of handlers.
    pub panics: u64,
    /// Messages that it gave to the bus or Redis and that did not surely arrive there.
    pub bus_lost: u64,
    /// Of the sessions, those on long-polling.
    pub sessions_polling: u64,
    /// Of the sessions, those on a WebSocket.
    pub sessions_websocket: u64,
    /// Bytes that wait for clients now.
    pub queued_bytes: u64,
    /// Sessions closed because more than `slow.budget` waited for their client.
    pub slow_over_budget: u64,
    /// Sessions closed because their client took nothing for `slow.after`.
    pub slow_stalled: u64,
    /// Sessions refused because there were too many, or because the worker drained.
    pub sessions_refused: u64,
    /// Accepted connections ever given to a sibling.
    pub handed_off: u64,
    /// Connections ever taken over from siblings.
    pub handed_in: u64,
    /// Requests ever forwarded to a sibling.
    pub forwarded: u64,
    /// Requests ever served for a sibling that forwarded them.
    pub forwarded_in: u64,
    /// Connections that did not come as far as HTTP: no PROXY header where one is due, or no TLS handshake.
    #[serde(default)]
    pub refused: u64,
    /// Whether messages pass to and from the bus or Redis.
    #[serde(default)]
    pub joined: bool,
    /// How often this place got a new worker, by reason.
    pub restarts: Restarts,
    /// How the place's last worker ended.
    pub last_death: Option<LastDeath>,
}

/// How often a place got a new worker, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// It exited or was killed by a signal that was not ours.
    pub crash: u64,
    /// It was killed because it hung.
    pub hang: u64,
    /// It never became READY.
    pub boot: u64,
    /// Somebody asked for it.
    pub request: u64,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDeath {
    /// Which one.
    pub id: WorkerId,
    /// The cause in words: `killed by SIGSEGV`, `exited with status 1: cannot bind …`.
    pub cause: String,
    /// Milliseconds ago.
    pub ago_ms: u64,
}
