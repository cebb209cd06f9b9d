//! The load generator: thousands of clients on one thread, over raw non-blocking sockets.
//!
//! ```text
//!   Swarm ──owns──▶ Client ──owns──▶ Socket      one epoll, edge-triggered, one shared read buffer
//!     │                └── frame, http, packet, message: pure, bytes in and meanings out
//!     └── load: an open-loop schedule, receipts, latency from the time at which a message was due
//! ```
//!
//! It never waits for a server: what is late counts as latency, what does not come counts as lost.

pub mod client;
pub mod frame;
pub mod http;
pub mod load;
pub mod message;
pub mod packet;
pub mod schedule;
pub mod socket;
pub mod swarm;
mod yardstick;

pub use client::{Stage, Transport};
pub use load::{Load, Measured, Outcome};
pub use swarm::{Arrival, Swarm, SwarmError};
