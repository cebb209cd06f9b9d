//! The application below hyper: every request passes here on its way in, every response on its way out.

mod app;
mod probe;
mod session;

pub(crate) use app::{App, conclude};
pub(crate) use probe::{Probe, ProbeError};
pub(crate) use session::is_at_one_of;

/// Marks a request that the worker itself makes, in its extensions: the handshake of the READY gate and the close
/// of a session. It comes from no client; middleware may let it pass where it would ask a client for more.
#[derive(Clone, Copy, Debug)]
pub struct Internal;
