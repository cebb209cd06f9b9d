//! oxherd's bus: a publish/subscribe broker that speaks the Redis protocol on a Unix socket and on TCP.
//!
//! It connects the workers of one box without a Redis, and lets Redis clients of any language take part. It keeps no
//! keys, writes no file and starts no thread: [`Bus::serve`] is one future for one single-threaded runtime.
//!
//! ```text
//!            ┌──────────────── one per client ────────────────┐
//!  socket ─▶ │ input ─▶ scan ─▶ (RESP decoder) ─▶ command ────┼──▶ broker ─▶ table: who listens
//!            │ (bytes)  limits   or inline words              │      │       hold: publishes wait after a restart
//!  socket ◀─ │ outbox ◀───────────────────────────────────────┼──────┘
//!            └─ connection: the only file that does I/O ──────┘   message: encoded once, shared by its receivers
//! ```
//!
//! What it promises: order per publisher and channel; one write for all that a client has waiting; a bound on whatever a
//! client can make it keep. A subscriber that does not read is cut by Redis' rule ([`OutputLimit`]), counted and named.
//!
//! ```
//! use oxherd_bus::{Bus, BusSettings, Listeners};
//! use tokio_util::sync::CancellationToken;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let shutdown = CancellationToken::new();
//! # shutdown.cancel();
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! let bus = Bus::new(BusSettings::default());
//! runtime.block_on(bus.serve(Listeners { unix: vec![], tcp: vec![listener] }, shutdown))?;
//! # Ok(())
//! # }
//! ```

mod broker;
mod client;
mod command;
mod connection;
mod counters;
mod glob;
mod hold;
mod inline;
mod input;
mod listen;
mod message;
mod outbox;
mod prefix;
pub mod process;
mod reply;
mod scan;
mod serve;
mod settings;
mod stream;
mod sys;
mod table;

pub use counters::{Counter, Counters, Gauge};
pub use hold::{BadClientName, ClientName, Hold};
pub use listen::{ListenError, Listeners, bind_unix};
pub use serve::{Bus, BusError};
pub use settings::{BusOptions, BusSettings, OutputLimit, Password, SettingsError};
