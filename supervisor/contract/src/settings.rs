//! What a worker is told at birth. It reads no file, environment or argument of oxherd's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edge::EdgeSettings;
use crate::ids::{BoxId, Generation, RowIndex, WorkerId, WorkerIndex};
use crate::secret::Secret;

/// The first message on the link, made by the supervisor out of the checked configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// The contract that the supervisor speaks; a worker that does not know it refuses to start.
    pub contract: u32,
    /// Who this worker is.
    pub identity: Identity,
    /// Where it reports.
    pub row: RowIndex,
    /// The bus' Unix socket; there is no bus if the box has a Redis ([`SharedSettings::redis`]).
    pub bus: PathBuf,
    /// The directory in which each worker of the box has its sockets, for the others to find.
    pub siblings: PathBuf,
    /// What all workers of one generation share.
    pub shared: SharedSettings,
}

/// The first message to the bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusSettings {
    /// The contract that the supervisor speaks.
    pub contract: u32,
    /// Where it reports.
    pub row: RowIndex,
    /// How it logs.
    pub log: LogSettings,
    /// How long an orphan may live.
    pub orphan_grace: Duration,
    /// What TCP clients must present.
    pub password: Option<Secret>,
    /// Whether it takes the place of one that died: then publishes wait until every READY worker is back.
    pub takes_over: bool,
}

/// Who a worker is; what `welcome`, logs and the status show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The box it belongs to.
    pub box_id: BoxId,
    /// The box's configured name.
    pub host: String,
    /// Its id, never used again.
    pub worker: WorkerId,
    /// Its place, stable over replacements.
    pub index: WorkerIndex,
    /// The reload that made it.
    pub generation: Generation,
}

/// The part of a worker's settings that the configuration decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedSettings {
    /// How it logs.
    pub log: LogSettings,
    /// What a stranger may open and for how long.
    pub http: HttpSettings,
    /// What lies between clients and HTTP.
    pub edge: EdgeSettings,
    /// What a session may cost.
    pub engine: EngineSettings,
    /// What the workers of a cluster share.
    pub cluster: ClusterSettings,
    /// How long an orphan may live.
    pub orphan_grace: Duration,
    /// The Redis through which the workers of this box and other boxes hear each other; `None`: the bus alone.
    pub redis: Option<RedisSettings>,
    /// This box among others; `None` if it is alone, or has no secret in common with them.
    pub boxes: Option<BoxesSettings>,
    /// What the stock server serves; an application ignores it.
    pub stock: StockSettings,
}

/// This box among others, which find each other in their Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxesSettings {
    /// Where the others can reach it; `None`: nowhere.
    pub advertise: Option<SocketAddr>,
}

/// Where messages go instead of to the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisSettings {
    /// The whole URL, which may contain a password.
    pub url: Secret,
    /// The URL's place, without user and password, for people.
    pub place: String,
    /// How long READY waits for it.
    pub boot_wait: Duration,
}

/// How a process of the box logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// A filter in `tracing_subscriber::EnvFilter`'s language, such as `info,oxherd=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Limits of the HTTP side of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSettings {
    /// Open connections at most; with more, the oldest that has not yet sent a whole request head goes first.
    pub connections_max: u32,
    /// Connections that have not yet sent a whole request head, at most.
    pub half_open_max: u32,
    /// How long the first request head of a connection may take.
    pub header_timeout: Duration,
    /// How long a connection may be without a request after an answer.
    pub keep_alive: Duration,
    /// How long a new connection's first request line is waited for before the connection is taken for the
    /// worker's own.
    pub peek_timeout: Duration,
    /// How long a peer may take nothing of what is written to it.
    pub write_timeout: Duration,
}

/// Descriptors that connections leave to everything else: slots, the log, the application's own connections.
const RESERVE_DESCRIPTORS: u64 = 128;

impl HttpSettings {
    /// Open connections at most in a process that may have so many descriptors. One that may have very few keeps at
    /// least half of them for connections: what is too much fails by EMFILE.
    pub fn connections_within(&self, descriptors: u64) -> u32 {
        let affordable = descriptors.saturating_sub(RESERVE_DESCRIPTORS.min(descriptors / 2));
        self.connections_max.min(u32::try_from(affordable).unwrap_or(u32::MAX)).max(1)
    }
}

/// Limits of the Engine.IO sessions of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// Bytes that a client may send in one message or polling body; an application may set another on its builder.
    pub payload_bytes_max: u32,
    /// Bytes that may wait for one client; with more it is closed.
    pub slow_budget_bytes: u32,
    /// How long a client may take nothing of what waits for it.
    pub slow_after: Duration,
    /// The least time between two rounds of writes; zero for none.
    pub flush_window: Duration,
}

/// What the workers of a cluster share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSettings {
    /// Keys of the tags in session ids: the first signs, all verify. The supervisor fills in one of its own, for the
    /// life of the box, if there is none.
    pub secrets: Vec<Secret>,
}

/// What the stock server may be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockSettings {
    /// The official client's bundle, served at `/socket.io/socket.io.js`.
    pub client_bundle: Option<PathBuf>,
    /// What a backend must present to `POST /api/emit`; without it nobody may.
    pub api_key: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_the_last_descriptors() {
        let second = Duration::from_secs(1);
        let http = HttpSettings {
            connections_max: 10_000,
            half_open_max: 1,
            header_timeout: second,
            keep_alive: second,
            peek_timeout: second,
            write_timeout: second,
        };
        for (descriptors, connections) in
            [(u64::MAX, 10_000), (10_128, 10_000), (1024, 896), (256, 128), (64, 32), (0, 1)]
        {
            assert_eq!(http.connections_within(descriptors), connections);
        }
    }
}
