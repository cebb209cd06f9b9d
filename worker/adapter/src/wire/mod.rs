//! The wire format of Node's classic `@socket.io/redis-adapter`, as pure functions over bytes.
//!
//! Nothing in here does I/O, holds a clock or trusts its input: Redis is shared with emitters in any language, and
//! whatever they write must end as a value or as a [`Malformed`], never as a panic. In the other direction nothing is
//! written that could stop a Node peer, whose adapter does not catch what its decoder throws.
//!
//! ```text
//!  broadcast.rs   [uid, packet, opts]            K#NSP#…            msgpack
//!  request.rs     {uid, requestId, type, …}      K-request#NSP#     JSON, type 7 msgpack
//!  response.rs    {requestId, …}                 K-response#NSP#…   JSON, type 9 msgpack
//!      │ use
//!  channel.rs · selection.rs · transcode.rs (msgpack → JSON text) · encode.rs (JSON text → msgpack)
//!      │ use
//!  msgpack.rs (tokens) · write.rs (minimal forms) · date.rs
//! ```

pub(crate) mod broadcast;
pub(crate) mod channel;
pub(crate) mod date;
pub(crate) mod encode;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod interop;
pub(crate) mod msgpack;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod selection;
pub(crate) mod transcode;
mod write;

/// Containers inside containers that a message may have; deeper ones are refused, since readers recurse.
pub(crate) const DEPTH_MAX: usize = 128;

/// Binary attachments that one message may have: each becomes a frame of its own for every recipient.
pub(crate) const ATTACHMENTS_MAX: usize = 10_000;

/// Why a message that came from Redis was dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// A length points behind the end of the message.
    #[error("message ends inside a value")]
    Truncated,
    /// `0xc1`, the one byte that msgpack never uses.
    #[error("byte 0xc1 is not msgpack")]
    Reserved,
    /// Something follows the first value; Node's decoders throw on it too.
    #[error("bytes after the message")]
    Trailing,
    /// More than [`DEPTH_MAX`] containers inside each other.
    #[error("nested too deeply")]
    Deep,
    /// More than [`ATTACHMENTS_MAX`] binary values.
    #[error("too many binary values")]
    Attachments,
    /// Well-formed, but not what the protocol has in this place.
    #[error("{0}")]
    Shape(&'static str),
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
}
