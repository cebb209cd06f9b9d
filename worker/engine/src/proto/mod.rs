//! The protocols as pure functions: bytes and text in, packets and bytes out. No socket, no clock, no session.
//!
//! Engine.IO 4 (query, open packet, polling payload) over RFC 6455 (handshake, frames, messages, close codes).

pub(crate) mod close;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod message;
pub(crate) mod open;
pub(crate) mod payload;
pub(crate) mod query;
pub(crate) mod refused;
