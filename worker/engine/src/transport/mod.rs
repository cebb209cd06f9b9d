//! The transports: what happens to a request or a connection of a session.

pub(crate) mod io;
pub(crate) mod polling;
mod probe;
pub(crate) mod upgrading;
pub(crate) mod websocket;

/// Packets of one client that are handled before everything else has a turn: a handler may start a task for each, and a
/// polling body or the kernel's buffer holds tens of thousands.
const TURN_PACKETS_MAX: usize = 128;
