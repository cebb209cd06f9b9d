//! What this engine can do beyond engineioxide's API, and how it is reached below an unmodified socketioxide.
//!
//! A [`Control`] travels in the extensions of each request: the code that accepts connections puts it there, because
//! socketioxide's builder overwrites the engine's config and has no place for more. A session keeps the control of
//! the request that opened it. The control holds the [`Options`] and hooks, counts, and finds sessions by id, whatever
//! the handler's type. Requests without one get engineioxide's behaviour ([`Conduct::Stock`]) and no limits.
//!
//! ```
//! use engineioxide::control::{Control, Options};
//! use http::Request;
//!
//! # fn example() {
//! let control = Control::new(Options::default());
//! // In the connection's service, before the request goes to axum, tower or socketioxide:
//! let mut request = Request::new(());
//! control.attach(&mut request);
//! // Anywhere: what is going on?
//! let now = control.counters().snapshot();
//! println!("{} sessions, {} bytes wait", now.sessions_websocket + now.sessions_polling, now.queued_bytes);
//! # }
//! ```

mod admission;
mod counters;
mod dismantle;
mod handle;
mod options;
mod shutdown;
mod tag;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use engineioxide_core::Sid;
use http::Request;

pub(crate) use self::counters::Counter;
pub use self::{
    admission::{Admission, Internal},
    counters::{Counters, Snapshot},
    dismantle::{BareSocket, Dismantle, Dismantled, OpenFollows},
    handle::SessionHandle,
    options::{Conduct, Options},
    shutdown::Pace,
    tag::SessionTagger,
};
pub use crate::proto::{close::CloseCode, query::SidParam, refused::Refusal};
use crate::session::Owner;

/// Options, hooks, counters and the registry of the sessions that were opened with them. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    counters: Counters,
    /// The engines that have sessions of this control: one per socketioxide instance.
    engines: Mutex<Vec<Weak<dyn Owner>>>,
    leaving: AtomicBool,
}

impl Control {
    /// A control for the requests that will carry it.
    pub fn new(options: Options) -> Self {
        let engines = Mutex::new(Vec::new());
        let counters = Counters::default();
        Self { inner: Arc::new(Inner { options, counters, engines, leaving: AtomicBool::new(false) }) }
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// The open session with this id.
    pub fn session(&self, sid: Sid) -> Option<SessionHandle> {
        self.owners()
            .iter()
            .find_map(|owner| owner.find(sid))
            .filter(|s| s.is_of(self))
            .map(SessionHandle::new)
    }

    /// All open sessions, in no order.
    pub fn sessions(&self) -> Vec<SessionHandle> {
        let mut sessions: Vec<_> = self.owners().iter().flat_map(|owner| owner.all()).collect();
        sessions.retain(|session| session.is_of(self) && session.is_open());
        sessions.into_iter().map(SessionHandle::new).collect()
    }

    /// Puts the control into a request.
    ///
    /// The URI is replaced by a copy of its own: as it comes it is a view into hyper's read buffer, and an axum `Router`
    /// keeps a clone of it in the extensions, which would pin those 8 KB for the life of the session.
    pub fn attach<B>(&self, request: &mut Request<B>) {
        if let Ok(copy) = request.uri().to_string().parse() {
            *request.uri_mut() = copy;
        }
        request.extensions_mut().insert(self.clone());
    }

    pub(crate) fn serve(&self, engine: Weak<dyn Owner>) {
        let mut engines = self.engines();
        engines.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&engine));
        engines.push(engine);
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether [`shutdown`](Self::shutdown) has begun: no session may be opened any more.
    pub fn is_leaving(&self) -> bool {
        self.inner.leaving.load(Ordering::Acquire)
    }

    fn owners(&self) -> Vec<Arc<dyn Owner>> {
        self.engines().iter().filter_map(Weak::upgrade).collect()
    }

    fn engines(&self) -> MutexGuard<'_, Vec<Weak<dyn Owner>>> {
        self.inner.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("options", self.options()).finish_non_exhaustive()
    }
}
