//! The options of a control: limits, pacing, hooks. Each has a default that changes nothing.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use super::{Admission, Dismantle, SessionTagger};

/// What the sessions of a [`Control`](super::Control) may do.
///
/// ```
/// use std::{num::NonZeroUsize, time::Duration};
/// use engineioxide::control::Options;
///
/// let options = Options {
///     slow_budget: NonZeroUsize::new(1 << 20),
///     slow_after: Some(Duration::from_secs(10)),
///     ..Options::default()
/// };
/// assert_eq!(options.flush_window, Duration::ZERO);
/// ```
#[derive(Clone)]
pub struct Options {
    /// Whose habits the engine has where Node's and engineioxide's differ. Default: [`Conduct::Node`].
    pub conduct: Conduct,
    /// Makes and checks what is appended to session ids. Default: nothing is.
    pub tagger: Option<Arc<dyn SessionTagger>>,
    /// Asked before a session exists. Default: all are welcome.
    pub admission: Option<Arc<dyn Admission>>,
    /// Sessions at most; further ones are refused (503). A session on polling needs no connection, so a limit on
    /// connections alone lets one client open any number. Default: none.
    pub sessions_max: Option<NonZeroUsize>,
    /// How the socket comes out of what the server has put around it. Default: it has put nothing around it.
    pub dismantle: Option<Dismantle>,
    /// Bytes that may wait for one client (on the wire, and 64 for each packet). Beyond them the session is closed and
    /// counted ([`Snapshot::slow_over_budget`](super::Snapshot::slow_over_budget)), unless writing at once makes room;
    /// a single message may be larger. Takes the place of `max_buffer_size`, which drops packets in silence.
    /// Default: none.
    pub slow_budget: Option<NonZeroUsize>,
    /// Time without a byte moved, while some wait, after which a WebSocket session is closed and counted
    /// ([`Snapshot::slow_stalled`](super::Snapshot::slow_stalled)). A polling client that stops polling is found by the
    /// heartbeat. Default: none.
    pub slow_after: Option<Duration>,
    /// The least time between two rounds of writes. Messages of one window share a write, so CPU falls and latency
    /// rises by half a window. Default: zero.
    pub flush_window: Duration,
    /// Time that a closing session has to take what is queued and to close its side. Default: 1 s.
    pub close_linger: Duration,
}

/// Where Node's engine and engineioxide differ in what a client or a test can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conduct {
    /// First ping after one interval. An upgrade that is not completed leaves the session on polling. A polling session
    /// that the server ends answers one more poll with a close packet. Error codes are numbers.
    #[default]
    Node,
    /// First ping at once. An upgrade that runs out of time ends the session. A session that ended is unknown at once.
    /// Error codes are strings.
    Stock,
}

impl Options {
    /// What a request without a control gets.
    pub(crate) fn stock() -> Self {
        Self { conduct: Conduct::Stock, ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            conduct: Conduct::default(),
            tagger: None,
            admission: None,
            sessions_max: None,
            dismantle: None,
            slow_budget: None,
            slow_after: None,
            flush_window: Duration::ZERO,
            close_linger: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("conduct", &self.conduct)
            .field("tagger", &self.tagger.is_some())
            .field("admission", &self.admission.is_some())
            .field("sessions_max", &self.sessions_max)
            .field("dismantle", &self.dismantle.is_some())
            .field("slow_budget", &self.slow_budget)
            .field("slow_after", &self.slow_after)
            .field("flush_window", &self.flush_window)
            .field("close_linger", &self.close_linger)
            .finish()
    }
}
