//! oxherd's parent process: it owns listening sockets and child processes and touches no client byte.
//!
//! ```text
//!   signals ─┐                       ┌─▶ spawn, signal        (child, sys)
//!   links ───┤  ┌─────────────────┐  ├─▶ say over a link      (child)
//!   control ─┼─▶│ fleet: decides  │──┼─▶ answer a command     (control)
//!   watch ───┤  │ (pure)          │  └─▶ close listeners      (listen)
//!   time ────┘  └─────────────────┘
//!        supervisor: the loop that waits (reactor) and performs
//! ```
//!
//! [`run`] takes a checked [`plan::Plan`] and returns when the box has stopped. One thread, no runtime, no HTTP,
//! no Socket.IO, no Redis.

mod bus_sockets;
mod child;
mod clients;
pub mod control;
mod fleet;
mod keeper;
mod limits;
mod listen;
mod perform;
pub mod plan;
mod procfs;
mod random;
mod reactor;
mod reap;
mod reload;
mod report;
mod sibling_sockets;
mod signals;
mod supervisor;
mod sys;
mod watch;

pub use bus_sockets::BusSocketError;
pub use control::server::ControlError;
pub use listen::ListenError;
pub use reload::{Reread, Rereader};
pub use sibling_sockets::SiblingSocketsError;
pub use supervisor::{SupervisorError, run};
