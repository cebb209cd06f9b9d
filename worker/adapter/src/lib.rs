//! A socketioxide adapter that makes several servers one, through Redis, in the wire format of Node's
//! `@socket.io/redis-adapter`: Node servers (adapter 7 and 8) and emitters in many languages can be part of the same
//! cluster.
//!
//! ```text
//!   socketioxide ──▶ adapter.rs ─┐                       ┌─▶ link/ ══▶ Redis
//!   your code ─────▶ cluster.rs ─┼─▶ namespace.rs ───────┘      │
//!                    target.rs ──┘   (channels, questions)      │
//!   local sockets ◀─ node.rs ◀── hub.rs, answer.rs ◀────────────┘
//!                    select.rs                 wire/ : bytes in both directions, pure
//! ```
//!
//! What holds:
//! * Local sockets are served whether Redis is there or not; nothing waits for it.
//! * What one task does reaches the others in the order in which it did it, joins and broadcasts alike.
//! * A message is published at most once. Each is counted as confirmed, dropped or unknown ([`Stats`]).
//! * A broadcast to a room that has no member here is dropped without reading it.
//! * Nothing that comes from Redis can stop the server, and nothing that it writes stops a Node server. (Others can do
//!   that: whoever may publish can crash a Node fleet with one malformed message.)
//!
//! ```no_run
//! use oxherd_adapter::{Adapter, Cluster, Config};
//! use socketioxide::{SocketIo, extract::SocketRef};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::start(Config::new("redis://127.0.0.1:6379")?)?;
//! let (layer, io) = SocketIo::builder().with_adapter::<Adapter>(cluster.clone()).build_layer();
//! cluster.attach(io.clone());
//! io.ns("/", async |socket: SocketRef<Adapter>| socket.join("news")).await?;
//! cluster.ready().await;
//! // … serve `layer` with axum or hyper; then, from anywhere:
//! cluster.to("news").emit("headline", "hello")?;
//! # Ok(())
//! # }
//! ```
//!
//! Differences to a Node server: a socket's own room is not listed in `socket.rooms()`; the rooms `42` and `"42"` are
//! one; joins, leaves and disconnects take effect on the server that asks for them in the call, and not when it hears
//! itself; a server-side event without a handler is answered with nothing, and not left to time out.

#![forbid(unsafe_code)]

mod acks;
mod adapter;
mod answer;
#[cfg(test)]
mod bench;
mod cluster;
mod config;
mod describe;
mod handlers;
mod hub;
mod link;
mod namespace;
mod node;
mod questions;
mod select;
mod stats;
#[cfg(test)]
mod stub;
mod target;
mod wire;

pub use acks::AckStream;
pub use adapter::{ClassicAdapter, Opened};
pub use cluster::{Cluster, Error, RemoteSocket};
pub use config::{Answers, Config, ConfigError};
pub use describe::{Describe, Description, Peer, SocketAuth, SocketData};
pub use namespace::Gathered;
pub use stats::Stats;
pub use target::{Disconnect, Target};

/// The adapter as a server's type parameter: `SocketRef<Adapter>`, `SocketIo<Adapter>`.
pub type Adapter = ClassicAdapter<socketioxide::adapter::Emitter>;
