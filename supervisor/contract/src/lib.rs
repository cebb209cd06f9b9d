//! What the supervisor, its children and the next version of the binary agree on.
//!
//! ```text
//!   supervisor ──── link (SOCK_SEQPACKET: messages + descriptors) ────  child
//!        │                                                                │
//!        └───────── reads ──── scoreboard (shared memory) ──── writes ────┘
//! ```
//!
//! Nothing of oxherd's own is imported here, and nothing here decides anything: these are words
//! ([`ids`], [`listen`]), sentences ([`message`], [`settings`]) and the two media that carry them
//! ([`link`], [`scoreboard`]). [`VERSION`] numbers all of it together.

pub mod ids;
pub mod link;
pub mod listen;
pub mod message;
pub mod scoreboard;
pub mod settings;
mod sys;

/// The contract's version. A binary speaks its own and the one before; a field may be appended
/// within a version, anything else makes the next one.
pub const VERSION: u32 = 1;

/// The argument that makes a process a child of a supervisor instead of a supervisor. It is followed
/// by nothing: role and settings arrive over the link.
pub const CHILD_ARGUMENT: &str = "--oxherd-child";
