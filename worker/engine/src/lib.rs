//! oxherd's Engine.IO server, with the public API of engineioxide 0.17.9: `[patch.crates-io]` puts it below an unmodified
//! [socketioxide](https://docs.rs/socketioxide), whose handlers stay exactly as they are.
//!
//! ```toml
//! [patch.crates-io]
//! engineioxide = { git = "https://github.com/oxherd/oxherd" }
//! ```
//!
//! The patch counts only in the root manifest of a workspace. A crate that relies on it takes `guard.rs` as its build
//! script, which stops a build without it and says these lines.
//!
//! ```text
//!   request ──▶ service ──▶ proto::query ──▶ transport::polling ──────────▶ engine ──▶ handler (socketioxide)
//!                  │                                                          ▲            │
//!                  └─── 101 ──▶ transport::websocket ── proto::message ───────┘            │ emit
//!                              (one task per client, reads)                                ▼
//!              kernel ◀── shard::flush (one task per thread, writes for all) ◀── session (queue, phase, link)
//!                                shard::timers (one task per thread, pings)  ──────────────▲
//!                                control (options, hooks, counters, registry)  ────────────┘
//! ```
//!
//! * `proto` is pure: bytes in, packets out. `session` is state under one lock. `transport` and `shard` do the I/O.
//! * A message is held once, however many sessions it waits in; small ones are copied side by side into one write,
//!   large ones are written from where they are.
//! * No task, channel or timer per session beyond the task that reads its WebSocket; no `unsafe`.
//! * Engine.IO 3 is refused with Engine.IO's own answer (code 5): its payloads, its binary frames and its heartbeat are
//!   another protocol, and clients of version 4 exist since 2020. The feature `v3`, which socketioxide's `v4` names,
//!   changes nothing.
//!
//! What it can do beyond engineioxide is in [`control`].

#![forbid(unsafe_code)]

/// A log event, if the feature `tracing` is on. Session ids appear without their tag.
macro_rules! event {
    ($level:ident, $($rest:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::$level!($($rest)*);
    };
}

pub mod config;
pub mod control;
mod engine;
pub mod handler;
pub mod layer;
mod proto;
pub mod service;
mod session;
mod shard;
pub mod socket;
mod transport;

#[doc(hidden)]
#[cfg(feature = "__test_harness")]
pub use engineioxide_core::{OpenPacket, Packet, PacketParseError};
pub use engineioxide_core::{ProtocolVersion, Str, TransportType};
pub use socket::{DisconnectReason, Socket};
