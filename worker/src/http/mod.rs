//! The application below hyper: every request passes here on its way in, every response on its way out.

mod app;
mod cors;
pub(crate) mod forwarded;
mod probe;

pub(crate) use app::{App, conclude, is_at_one_of};
pub use cors::{Cors, CorsFuture, CorsService};
pub(crate) use probe::{Probe, ProbeError};

/// Marks a request that the worker itself makes, in its extensions: the handshake of the READY gate. It comes from no
/// client; middleware may let it pass where it would ask a client for more.
pub use engineioxide::control::Internal;
