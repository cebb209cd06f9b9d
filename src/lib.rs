//! oxherd runs a [Socket.IO](https://socket.io) application, made with [socketioxide](https://docs.rs/socketioxide), on
//! every core of one machine: one supervisor, one single-threaded worker process per core, one port.
//!
//! ```text
//!                supervisor              owns the listening sockets and the processes
//!               /    |     \
//!          worker  worker … worker       each: one runtime, one Socket.IO server, your application
//! ```
//!
//! ```no_run
//! use oxherd::{Server, SocketRef, Worker};
//! use oxherd::socketioxide::extract::Data;
//!
//! fn main() -> std::process::ExitCode {
//!     Server::from_env()
//!         .run(|worker: Worker| async move {
//!             let (layer, io) = worker.socket_io(|builder| builder);
//!             io.ns("/", |socket: SocketRef| async move {
//!                 socket.on("echo", async |socket: SocketRef, Data(text): Data<String>| {
//!                     socket.emit("echo", &text).ok();
//!                 });
//!             })
//!             .await?;
//!             Ok(oxherd::axum::Router::new().layer(layer))
//!         })
//! }
//! ```
//!
//! That program has oxherd's whole command line: without arguments it serves on 127.0.0.1:3000, and `status`, `stop`,
//! `restart` and `check` do what `--help` says. `main` runs in every role, so `run` is its first statement and `main` is
//! not async. [`axum`] and [`socketioxide`] are re-exported in the versions that fit.
//!
//! `config.toml` has every key with its default. The [`stock`] server is what the plain binary serves.

#![forbid(unsafe_code)]

mod command;
mod config;
mod emission;
mod exit;
mod logging;
mod server;
mod stderr;
pub mod stock;

pub use axum;
pub use exit::Exit;
pub use oxherd_worker::{Adapter, BoxError, Cors, Peer, Scheme, SocketRef, Worker};
pub use server::Server;
pub use socketioxide;
