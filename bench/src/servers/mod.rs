//! The servers that are compared: how each is started, when it is ready, which processes it is.
//!
//! All of them serve the events of oxherd's stock server, so the generator does not know whom it talks to.

mod node;
mod oxherd;
mod programs;
mod running;

use std::fmt;
use std::io;
use std::str::FromStr;

use thiserror::Error;

pub use programs::Programs;
pub use running::Running;

/// A server cannot be had.
#[derive(Debug, Error)]
pub enum ServerError {
    /// A program does not start.
    #[error("cannot start {program}")]
    Start {
        /// Its path.
        program: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// No directory or port for it.
    #[error("cannot prepare a server")]
    Prepare(#[source] io::Error),
    /// It does not come up.
    #[error("{peer} is not ready after {seconds} s; it said:\n{log}")]
    NotReady {
        /// Which.
        peer: Peer,
        /// For how long it was waited for.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A build or an installation failed.
    #[error("`{0}` failed")]
    Build(String),
    /// The compiler's output directory is not known.
    #[error("cannot tell where this program was built")]
    Place(#[source] io::Error),
}

/// A server of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// One thread that writes a ready frame to each socket.
    Floor,
    /// oxherd with this many workers.
    Oxherd(u16),
    /// oxherd with this many workers and a flush window: it writes less often, and so later.
    Paced(u16),
    /// Two floors with a relay between them: what nobody can be below who carries a message between processes.
    Relay,
    /// Another build of oxherd, to tell what a change is worth.
    Baseline(u16),
    /// socketioxide as it comes, one process with this many threads.
    Stock(u16),
    /// socket.io, one process.
    Node,
    /// socket.io, a cluster of two with sticky and the cluster adapter.
    NodeCluster,
    /// socket.io, a cluster of two with sticky and the Redis adapter.
    NodeRedis,
}

impl Peer {
    /// All, in the order of a report.
    pub const ALL: [Peer; 10] = [
        Peer::Floor,
        Peer::Relay,
        Peer::Oxherd(1),
        Peer::Oxherd(2),
        Peer::Paced(1),
        Peer::Stock(1),
        Peer::Stock(2),
        Peer::Node,
        Peer::NodeCluster,
        Peer::NodeRedis,
    ];

    /// Only by name: nobody has another build by chance.
    const OTHERS: [Peer; 2] = [Peer::Baseline(1), Peer::Baseline(2)];

    /// Whether it is a build of oxherd.
    pub fn is_oxherd(self) -> bool {
        matches!(self, Peer::Oxherd(_) | Peer::Paced(_) | Peer::Baseline(_))
    }

    /// Whether no message of it has to cross from one process to another.
    pub fn is_one_process(self) -> bool {
        match self {
            Peer::Oxherd(workers) | Peer::Paced(workers) | Peer::Baseline(workers) => workers == 1,
            Peer::Floor | Peer::Stock(_) | Peer::Node => true,
            Peer::Relay | Peer::NodeCluster | Peer::NodeRedis => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Floor => f.pad("floor"),
            Peer::Oxherd(workers) => f.pad(&format!("oxherd-{workers}")),
            Peer::Relay => f.pad("relay"),
            Peer::Paced(workers) => f.pad(&format!("paced-{workers}")),
            Peer::Baseline(workers) => f.pad(&format!("baseline-{workers}")),
            Peer::Stock(threads) => f.pad(&format!("stock-{threads}")),
            Peer::Node => f.pad("node"),
            Peer::NodeCluster => f.pad("node-cluster"),
            Peer::NodeRedis => f.pad("node-redis"),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Peer::ALL.map(|peer| peer.to_string()).join(", ");
        Peer::ALL
            .into_iter()
            .chain(Peer::OTHERS)
            .find(|peer| peer.to_string() == text)
            .ok_or_else(|| format!("one of {}", names()))
    }
}

/// Starts a server and waits until all of it serves.
pub fn start(peer: Peer, programs: &Programs) -> Result<Running, ServerError> {
    let mut running = Running::new(peer)?;
    match peer {
        Peer::Floor => running.spawn(&programs.floor, &[&running.port()])?,
        Peer::Stock(threads) => running.spawn(&programs.stock, &[&running.port(), &threads.to_string()])?,
        Peer::Relay => {
            running.spawn(&programs.relay, &[&running.port()])?;
            running.until_it_says("ready")?;
        }
        Peer::Oxherd(workers) => oxherd::start(&mut running, &programs.oxherd, workers, "")?,
        Peer::Paced(workers) => oxherd::start(&mut running, &programs.oxherd, workers, oxherd::PACED)?,
        Peer::Baseline(workers) => oxherd::start(&mut running, &programs.baseline, workers, "")?,
        Peer::Node => node::start(&mut running, programs)?,
        Peer::NodeCluster => node::start_cluster(&mut running, programs, node::Over::Ipc)?,
        Peer::NodeRedis => node::start_cluster(&mut running, programs, node::Over::Redis)?,
    }
    running.until_it_answers()?;
    match peer {
        Peer::Oxherd(workers) | Peer::Paced(workers) => {
            oxherd::until_all_are_ready(&running, &programs.oxherd, workers)?
        }
        Peer::Baseline(workers) => oxherd::until_all_are_ready(&running, &programs.baseline, workers)?,
        _ => {}
    }
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_by_its_name() {
        for peer in Peer::ALL.into_iter().chain(Peer::OTHERS) {
            assert_eq!(peer.to_string().parse(), Ok(peer));
        }
        assert!("oxherd".parse::<Peer>().is_err());
    }
}
