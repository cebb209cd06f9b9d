//! What the supervisor, its children and the next version of the binary agree on.
//!
//! ```text
//!   supervisor ──── link (SOCK_SEQPACKET: messages + descriptors) ────  child
//!        │                                                                │
//!        └───────── reads ──── scoreboard (shared memory) ──── writes ────┘
//! ```
//!
//! Nothing of oxherd's own is imported here, and nothing here decides anything: these are words
//! ([`ids`], [`listen`]), sentences ([`message`], [`settings`]) and the media that carry them
//! ([`link`], [`scoreboard`], and [`handoff`] between two workers). [`VERSION`] numbers all of it together.

pub mod causes;
pub mod child;
mod datagram;
pub mod edge;
pub mod handoff;
pub mod ids;
mod last_words;
pub mod link;
pub mod listen;
pub mod message;
pub mod scoreboard;
pub mod secret;
pub mod settings;
pub mod siblings;
mod sys;

/// The contract's version. A binary speaks its own and the one before; a field may be appended
/// within a version, anything else makes the next one.
pub const VERSION: u32 = 1;

/// The argument that makes a process a child of a supervisor instead of a supervisor. A [`Role`] follows it, and
/// nothing else: settings arrive over the link.
pub const CHILD_ARGUMENT: &str = "--oxherd-child";

/// What a child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves clients.
    Worker,
    /// Carries messages between the workers.
    Bus,
}

impl Role {
    /// As it follows [`CHILD_ARGUMENT`].
    pub fn name(self) -> &'static str {
        match self {
            Role::Worker => "worker",
            Role::Bus => "bus",
        }
    }

    /// What follows [`CHILD_ARGUMENT`], if it is a role.
    pub fn of(name: &str) -> Option<Role> {
        [Role::Worker, Role::Bus].into_iter().find(|role| role.name() == name)
    }
}
