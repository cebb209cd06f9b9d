//! Whose is it? Sessions stick to their workers wherever their requests arrive.
//!
//! ```text
//!   accepted ──▶ peek ──▶ decide ──┬── ours ───────────────▶ open ──▶ hyper ──▶ gate ──▶ the application
//!                  │               ├── a sibling's ─▶ handoff ┄┄┄┄▶ open there   │
//!                  │               └── a new session ─▶ balance ─▶ either        ├── a sibling's ─▶ forward
//!                  └── incomplete: waits, half-open                              └── another box's
//! ```
//!
//! A session id names its owner and proves it ([`tag`]). The first request of a connection is looked at before
//! anything of it is read, and the connection goes to its owner whole; later requests are forwarded one by one. Every
//! failure of a handoff leaves the connection here, where its requests are forwarded: a client meets "Session ID
//! unknown" only if its session is gone, and 503 if its owner cannot be reached now.

mod balance;
mod decide;
mod forward;
mod gate;
pub(crate) mod handoff;
mod hop;
pub(crate) mod peek;
mod pipe;
mod pool;
mod request_line;
mod siblings;
pub(crate) mod tag;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::http::Request;
use engineioxide::socket::Sid;
use oxherd_contract::handoff::Reason;
use oxherd_contract::ids::{BoxId, WorkerId};
use oxherd_contract::scoreboard::{Row, Scoreboard};
use tokio::time::{MissedTickBehavior, interval};

use self::decide::{Claim, Peers, Route};
use self::forward::{Forwarder, Upstream};
pub(crate) use self::gate::{Gate, Guest, Newcomer, Way};
use self::handoff::Channels;
pub(crate) use self::hop::HEADERS_MAX;
use self::pool::Pool;
use self::siblings::Siblings;
pub(crate) use self::siblings::is_of_this_user;
use self::tag::{Owner, Secrets};
use crate::boxes::Boxes;
use crate::connection::Connections;

/// How often the siblings are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// What decides where a request is served, and the ways there.
pub(crate) struct Routing {
    pub row: &'static Row,
    me: Owner,
    secrets: Arc<Secrets>,
    engine_paths: Box<[String]>,
    siblings: Siblings,
    /// `None` if this box is alone.
    boxes: Option<Arc<Boxes>>,
    pub channels: Channels,
    forwarder: Forwarder,
}

/// What becomes of a connection whose first request is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays.
    Stay,
    /// It stays and is about to start a session.
    Newcomer,
    /// It goes to this sibling.
    Give(WorkerId, Reason),
}

impl Routing {
    pub fn new(
        me: Owner,
        secrets: Arc<Secrets>,
        engine_paths: Box<[String]>,
        board: &'static Scoreboard,
        directory: PathBuf,
        boxes: Option<Arc<Boxes>>,
        connections: Arc<Connections>,
    ) -> Self {
        Routing {
            row: connections.row,
            me,
            secrets,
            engine_paths,
            siblings: Siblings::new(me.worker, board),
            channels: Channels::new(directory.clone()),
            forwarder: Forwarder::new(me.worker, Pool::new(directory, boxes.clone(), connections)),
            boxes,
        }
    }

    /// Where the siblings' sockets are.
    pub fn directory(&self) -> &Path {
        self.channels.directory()
    }

    /// What is known of the other boxes.
    pub fn boxes(&self) -> Option<&Arc<Boxes>> {
        self.boxes.as_ref()
    }

    pub fn worker(&self) -> WorkerId {
        self.me.worker
    }

    /// Keeps its knowledge of the siblings fresh, for ever.
    pub async fn watch(&self) {
        let mut period = interval(LOOK_PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            self.siblings.look();
            self.channels.retain(|worker| self.is_alive(worker));
            self.forwarder.pool().tend(|upstream| match upstream {
                Upstream::Sibling(worker) => self.is_alive(worker),
                Upstream::Box { box_id, .. } => self.may_be_alive(box_id),
            });
        }
    }

    /// What is to become of a connection, by the line of its first request.
    pub fn verdict(&self, method: &str, path: &str, query: &str) -> Verdict {
        let claim = Claim::of(method, path, query, &self.engine_paths, &self.secrets);
        if claim == Claim::NewSession {
            let relief = balance::relief(siblings::load(self.row), &self.siblings.loads(), rand::random());
            return relief.map_or(Verdict::Newcomer, |worker| Verdict::Give(worker, Reason::Balance));
        }
        match claim.route(self.me, self) {
            Ok(Route::Sibling(worker)) => Verdict::Give(worker, Reason::Session),
            Ok(Route::Ours | Route::Box { .. }) | Err(_) => Verdict::Stay,
        }
    }

    /// Counts a connection that is about to start a session at a worker that lives.
    pub fn count_newcomer(&self, at: WorkerId) {
        if let Some(row) = self.siblings.row(at) {
            row.newcomers.fetch_add(1, Relaxed);
        }
    }

    /// Takes [`Routing::count_newcomer`] back.
    pub fn discount_newcomer(&self, at: WorkerId) {
        if let Some(row) = self.siblings.row(at) {
            row.newcomers.fetch_sub(1, Relaxed);
        }
    }

    /// What a request says of a session, and where it is to be served; why the engine is going to refuse it is said
    /// here.
    fn route<B>(&self, request: &Request<B>) -> (Claim, Route) {
        let (uri, method) = (request.uri(), request.method().as_str());
        let query = uri.query().unwrap_or_default();
        let claim = Claim::of(method, uri.path(), query, &self.engine_paths, &self.secrets);
        let route = claim.route(self.me, self).unwrap_or_else(|why| {
            tracing::debug!(%why, sid = bare_sid(query).map(tracing::field::display), "a session id leads nowhere");
            Route::Ours
        });
        (claim, route)
    }

    /// A sibling that may be given something new.
    fn any_ready(&self) -> Option<WorkerId> {
        self.siblings.any_ready()
    }
}

impl Peers for Routing {
    fn is_alive(&self, worker: WorkerId) -> bool {
        self.siblings.row(worker).is_some()
    }

    fn may_be_alive(&self, box_id: BoxId) -> bool {
        self.boxes.as_ref().is_some_and(|boxes| boxes.may_be_alive(box_id))
    }
}

/// The id in a query without its tag, as logs show it.
fn bare_sid(query: &str) -> Option<Sid> {
    let id = query.split('&').find_map(|parameter| parameter.strip_prefix("sid="))?;
    id.get(..16)?.parse().ok()
}
