//! What is done to a server, and what is counted.

mod fan_out;
mod idle;
mod saturation;
mod storm;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::generate::load::room_name;
use crate::generate::swarm::Arrived;
use crate::generate::{Arrival, Measured, Swarm, SwarmError, Transport};
use crate::sample::Sample;
use crate::servers::{Peer, Running};

/// Clients on their way at one time where the connecting itself is not what is measured.
const IN_FLIGHT: usize = 64;
/// Bytes of padding in a message, where a workload does not say otherwise.
const PADDING: usize = 64;

/// A run has no result.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// The clients.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// A hop needs members on two workers.
    #[error("all clients are on one worker")]
    OneWorker,
}

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Workload {
    /// Everybody in one room; `per_second` messages.
    FanOut {
        /// Clients, all of them members.
        clients: usize,
        /// Messages a second, of four senders.
        per_second: f64,
        /// How the clients are connected.
        transport: Transport,
    },
    /// A fan-out whose rate rises until the server is behind.
    Saturation {
        /// Clients, all of them members.
        clients: usize,
    },
    /// Rooms of ten, each with one sender.
    Rooms {
        /// Clients in all rooms.
        clients: usize,
        /// Messages a second in all rooms.
        per_second: f64,
    },
    /// One sender; receivers on another worker.
    Hop {
        /// Receivers.
        receivers: usize,
        /// Messages a second.
        per_second: f64,
    },
    /// Many clients connect as fast as the server lets them.
    Storm {
        /// How many.
        clients: usize,
        /// How they connect.
        transport: Transport,
    },
    /// Many clients that say nothing.
    Idle {
        /// How many.
        clients: usize,
    },
}

/// For how long things are done.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before anything is counted; Node's compiler needs it.
    pub warm_up: Duration,
    /// While it is counted.
    pub measure: Duration,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Workload::FanOut { clients, per_second, transport: Transport::WebSocket } => {
                format!("fan-out {clients} x {per_second}/s")
            }
            Workload::FanOut { clients, per_second, .. } => format!("polling {clients} x {per_second}/s"),
            Workload::Saturation { clients } => format!("saturation {clients}"),
            Workload::Rooms { clients, per_second } => format!("rooms {clients} / 10 x {per_second}/s"),
            Workload::Hop { receivers, per_second } => format!("hop to {receivers} x {per_second}/s"),
            Workload::Storm { clients, transport } => {
                let over = match transport {
                    Transport::WebSocket => "websocket",
                    Transport::Polling => "polling",
                    Transport::Upgrade => "upgrade",
                };
                format!("storm {clients} {over}")
            }
            Workload::Idle { clients } => format!("idle {clients}"),
        };
        f.pad(&text)
    }
}

impl Workload {
    /// The first word of its name, by which it is chosen.
    pub fn kind(&self) -> String {
        self.to_string().split(' ').next().unwrap_or_default().to_owned()
    }

    /// Whether it means anything to this server.
    pub fn suits(&self, peer: Peer) -> bool {
        let over_http = match self {
            Workload::FanOut { transport, .. } | Workload::Storm { transport, .. } => {
                *transport != Transport::WebSocket
            }
            _ => false,
        };
        match (peer, self) {
            // What crosses processes needs two; the floor tells what the rest of the way costs.
            (_, Workload::Hop { .. }) => peer == Peer::Floor || !peer.is_one_process(),
            (Peer::Relay, _) => false,
            // A window is for what is said to many.
            (Peer::Paced(_), Workload::FanOut { .. } | Workload::Saturation { .. }) => !over_http,
            (Peer::Paced(_), _) => false,
            (Peer::Floor, _) => !over_http,
            _ => true,
        }
    }

    /// Does it.
    pub fn run(&self, server: &Running, pace: Pace, round: usize) -> Result<Sample, WorkloadError> {
        let mut sample = Sample::new(server.peer().to_string(), self.to_string(), round);
        match *self {
            Workload::FanOut { clients, per_second, transport } => {
                let crowd = Crowd { clients, transport, room: &|_| 0 };
                let senders = fan_out::senders(clients);
                let talk = fan_out::Talk { senders: &senders, per_second, measured: Measured::Everybody };
                fan_out::run(server, pace, &crowd, &talk, &mut sample)?;
            }
            Workload::Rooms { clients, per_second } => {
                let crowd = Crowd { clients, transport: Transport::WebSocket, room: &|client| client / 10 };
                let senders: Vec<usize> = (0..clients).step_by(10).collect();
                let talk = fan_out::Talk { senders: &senders, per_second, measured: Measured::Everybody };
                fan_out::run(server, pace, &crowd, &talk, &mut sample)?;
            }
            Workload::Hop { receivers, per_second } => {
                fan_out::hop(server, pace, receivers, per_second, &mut sample)?;
            }
            Workload::Saturation { clients } => saturation::run(server, pace, clients, &mut sample)?,
            Workload::Storm { clients, transport } => storm::run(server, clients, transport, &mut sample)?,
            Workload::Idle { clients } => idle::run(server, clients, &mut sample)?,
        }
        sample.put("start ms", server.start().as_secs_f64() * 1e3);
        Ok(sample)
    }
}

/// Clients with their rooms.
struct Crowd<'a> {
    clients: usize,
    transport: Transport,
    room: &'a dyn Fn(usize) -> usize,
}

impl Crowd<'_> {
    fn connect(&self, server: &Running) -> Result<(Swarm, Arrived), SwarmError> {
        let mut swarm = Swarm::new(server.address())?;
        let room = |client| room_name((self.room)(client));
        let arrived = swarm.connect(&Arrival {
            count: self.clients,
            transport: self.transport,
            in_flight: IN_FLIGHT,
            room: Some(&room),
        })?;
        Ok((swarm, arrived))
    }
}
