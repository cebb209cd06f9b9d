//! The worker process: one single-threaded runtime that accepts, serves and reports.
//!
//! ```text
//!            orders (link, TERM)                         scoreboard row
//!                  │                                           ▲
//!                  ▼                                           │ counts
//!   slots ──▶ accept ──▶ connection (Io, table) ──▶ route (gate) ──▶ http ──▶ application (axum, socketioxide)
//!                │             ▲                      │
//!              route           └ ends ── drain      route
//!                ▼ hands off                          ▼ forwards
//!            siblings                              siblings
//!
//! drain ── ends sessions ──▶ the engine's Control (limits, counts, sessions)
//! ```
//!
//! Every request carries its [`Peer`]: who the client is, as far as trusted proxies tell. If its address is known, the
//! request has it as axum's `ConnectInfo<SocketAddr>` too.
//!
//! [`run`] is the life of the process from its first line to its exit status; [`Worker`] is what an
//! application is given. Called by the facade; speaks with the supervisor in the contract's words only, and
//! reads no file, argument or environment of oxherd's own.

#![forbid(unsafe_code)]

mod accept;
mod birth;
mod boot;
mod boxes;
mod catch;
mod cluster;
mod connection;
mod drain;
mod engine;
mod http;
mod keys;
mod orders;
mod panics;
mod register;
mod route;
mod row;
mod run;
mod seldom;
pub mod tls;
mod worker;

pub use connection::{Peer, Scheme};
pub use http::{Cors, CorsFuture, CorsService, Internal};
pub use oxherd_adapter::{Adapter, Cluster, Config as ClusterConfig};
pub use run::run;
pub use worker::{BoxError, SocketRef, Worker};
