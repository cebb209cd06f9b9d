//! The control socket: one JSON object a line each way, over a Unix stream socket of mode 0600.
//!
//! ```text
//!   {"Status":null}\n            ──▶
//!                                ◀──   {"Ok":{"Status":{…}}}\n
//! ```
//!
//! [`client`] is what the command line uses; the server side is the supervisor's loop.

pub mod client;
pub(crate) mod server;
pub mod status;

use oxherd_contract::secret::Secret;
use serde::{Deserialize, Serialize};

use status::Status;

/// What the command line may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// How the box is; answered at once.
    Status,
    /// Where to publish for the clients of the box; answered at once.
    Broker,
    /// Drain and stop; answered when the last child is gone.
    Stop,
    /// Replace a worker, named by its index; answered when the new one is READY or failed.
    Restart {
        /// A worker's index.
        index: u16,
    },
    /// Replace the bus; answered when the new one serves or failed.
    RestartBus,
    /// Read the configuration again and apply it; answered when every worker has it, or why nothing was changed.
    Reload,
}

/// What it hears: the outcome, or why not, for people.
pub type Outcome = Result<Answer, String>;

/// A good outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Broker`]: the URL of the bus or of the Redis, which may contain a password. Whoever may ask owns
    /// the box.
    Broker(Secret),
    /// To everything else: what was done, for people.
    Done(String),
}
