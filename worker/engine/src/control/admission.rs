//! The hook that decides whether a session may begin.

use std::time::Duration;

use http::request::Parts;

use super::{Control, Refusal};

/// Asked with the request that wants a session, before anything of the session exists.
///
/// Any `Fn(&Parts) -> Result<(), Refusal>` is one:
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use engineioxide::control::{Admission, Options, Refusal};
/// use http::request::Parts;
///
/// let full = |_: &Parts| Err(Refusal::unavailable("full", Duration::from_secs(5)));
/// let options = Options { admission: Some(Arc::new(full)), ..Options::default() };
/// ```
pub trait Admission: Send + Sync + 'static {
    /// Lets the session begin, or says why not.
    fn admit(&self, request: &Parts) -> Result<(), Refusal>;
}

impl<F> Admission for F
where
    F: Fn(&Parts) -> Result<(), Refusal> + Send + Sync + 'static,
{
    fn admit(&self, request: &Parts) -> Result<(), Refusal> {
        self(request)
    }
}

/// A request extension for a session that serves the server itself, such as a readiness probe through the whole stack:
/// no hook is asked about it and no counter sees it.
///
/// ```
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(engineioxide::control::Internal);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Internal;

/// What a client is told that finds no place: sessions end at any time.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);

impl Control {
    pub(crate) fn admit(&self, request: &Parts) -> Result<(), Refusal> {
        if request.extensions.get::<Internal>().is_some() {
            return Ok(());
        }
        let admitted = if self.is_leaving() {
            Err(Refusal::unavailable("Server is leaving", Duration::ZERO))
        } else if self.is_full() {
            Err(Refusal::unavailable("Server is full", RETRY_WHEN_FULL))
        } else {
            self.options().admission.as_ref().map_or(Ok(()), |hook| hook.admit(request))
        };
        if admitted.is_err() {
            self.counters().refused.add(1);
        }
        admitted
    }

    fn is_full(&self) -> bool {
        let sessions = self.counters().sessions_polling.get() + self.counters().sessions_websocket.get();
        self.options().sessions_max.is_some_and(|max| sessions >= max.get() as u64)
    }
}
