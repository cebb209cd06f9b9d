//! The plan: all that the checked configuration tells a supervisor. After this nothing is optional or unchecked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use oxherd_contract::edge::{Certificate, Layers};
use oxherd_contract::listen::{Address, Affinity};
use oxherd_contract::secret::Secret;
use oxherd_contract::settings::{LogSettings, SharedSettings};

/// What a supervisor runs. Made by the configuration, never changed by the supervisor.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The box's name, as users see it.
    pub host: String,
    /// Where the box listens, at least one address.
    pub listeners: Vec<Listen>,
    /// Where the box listens for other boxes of its cluster.
    pub box_listener: Option<SocketAddr>,
    /// Slots of each TCP listener; at least as many as `workers`.
    pub slots: u16,
    /// Workers at the start; at least one.
    pub workers: u16,
    /// Where the control socket is.
    pub control: ControlPath,
    /// How long things may take.
    pub timing: Timing,
    /// The broker between the workers.
    pub bus: BusPlan,
    /// For TLS; they may change while the box runs.
    pub certificates: Vec<Certificate>,
    /// What every worker is told.
    pub shared: SharedSettings,
    /// Who wants as many connections for each worker as `shared.http` says.
    pub connections_max: Choice,
}

/// Who decided on a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nobody: it is the built-in default.
    Default,
    /// Somebody who will want to know if it cannot be had.
    Operator,
}

/// One listen address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// Which slot a connection goes to. Without meaning for a Unix socket, which has one slot.
    pub affinity: Affinity,
    /// Permission bits of a Unix socket, such as 0o600.
    pub mode: u32,
    /// What comes before HTTP.
    pub layers: Layers,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From spawn to READY.
    pub boot: Duration,
    /// Without a beat, not counting what a worker waited for a core.
    pub hang: Duration,
    /// From the wish to stop to the last exit.
    pub stop: Duration,
    /// Without any READY worker, before the supervisor gives up.
    pub give_up: Duration,
}

/// The broker between the workers. Its Unix socket is beside the control socket and has its name with `.bus` behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusPlan {
    /// Where it also listens for Redis clients: emitters, Node servers.
    pub listen: Vec<SocketAddr>,
    /// What they must present; needed beyond the loopback address.
    pub password: Option<Secret>,
}

/// Where the control socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlPath {
    /// Just there.
    At(PathBuf),
    /// `PORT.sock` in this directory, where PORT is what the first TCP listener really got (0 without one).
    /// The directory is made, mode 0700, if it is missing.
    ByPort(PathBuf),
}

impl ControlPath {
    /// The path for a box whose first TCP listener has this port.
    pub fn resolve(&self, port: u16) -> PathBuf {
        match self {
            ControlPath::At(path) => path.clone(),
            ControlPath::ByPort(directory) => directory.join(format!("{port}.sock")),
        }
    }
}

impl Plan {
    /// How the supervisor itself logs: as its workers do.
    pub fn log(&self) -> &LogSettings {
        &self.shared.log
    }
}
