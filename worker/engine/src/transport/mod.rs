//! The transports: what happens to a request or a connection of a session.

pub(crate) mod io;
pub(crate) mod polling;
mod probe;
pub(crate) mod upgrading;
pub(crate) mod websocket;
