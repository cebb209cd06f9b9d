//! The gate: every request of every connection passes here before the application sees it, and is answered by it or
//! by its session's owner.

use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use engineioxide::control::Refusal;
use hyper::body::Incoming;
use oxherd_contract::edge::EdgeSettings;
use oxherd_contract::scoreboard::Row;

use super::decide::{Claim, Route};
use super::forward::Upstream;
use super::{Routing, hop};
use crate::connection::{Connection, Connections, Peer, Phase, Source};
use crate::http::{App, conclude, forwarded};

/// What a client is told whose session may live, where it cannot be reached at this moment.
const UNREACHABLE: &str = "The session's worker cannot be reached";

/// When it may be reached again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How requests came to this worker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// From a client, or from a proxy in front of it.
    Client(Source),
    /// From a sibling or another box, whose word on the client is taken.
    Sibling,
}

/// One connection as the gate sees it.
pub(crate) struct Guest {
    pub way: Way,
    pub connection: Arc<Connection>,
    /// Until its first request is answered.
    pub newcomer: Mutex<Option<Newcomer>>,
}

/// Counts a connection that is about to start a session; dropped when it has, or will not.
#[derive(Debug)]
pub(crate) struct Newcomer(&'static Row);

impl Newcomer {
    /// Counts it.
    pub fn new(row: &'static Row) -> Self {
        row.newcomers.fetch_add(1, Relaxed);
        Newcomer(row)
    }

    /// The sibling that gave it has counted it already.
    pub fn counted(row: &'static Row) -> Self {
        Newcomer(row)
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.0.newcomers.fetch_sub(1, Relaxed);
    }
}

/// What stands between the connections and the application.
pub(crate) struct Gate {
    pub app: Arc<App>,
    pub connections: Arc<Connections>,
    pub routing: Arc<Routing>,
    pub edge: Arc<EdgeSettings>,
}

impl Gate {
    /// Answers one request of one connection.
    pub async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        guest: Arc<Guest>,
    ) -> Result<Response<Body>, Infallible> {
        let _newcomer = guest.newcomer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let peer = match guest.way {
            Way::Client(source) => {
                hop::remove_internal(request.headers_mut());
                let peer = forwarded::peer(&source, &self.edge.trusted_proxies, request.headers_mut());
                if let Some(upstream) = self.elsewhere(&request) {
                    // Boxed, since it is seldom and large, and every connection has room for the largest.
                    return Ok(Box::pin(self.forward(request, upstream, peer, &guest.connection)).await);
                }
                peer
            }
            Way::Sibling => {
                self.routing.row.forwarded_in.fetch_add(1, Relaxed);
                hop::client_of(request.headers_mut())
            }
        };
        Ok(self.app.serve(request, peer, &guest.connection, &self.connections).await)
    }

    /// Who else is to answer. A worker that drains starts no sessions if there is somebody who does.
    fn elsewhere(&self, request: &Request<Incoming>) -> Option<Upstream> {
        match self.routing.route(request) {
            (_, Route::Sibling(worker)) => Some(Upstream::Sibling(worker)),
            (Claim::NewSession, Route::Ours) if self.connections.is_draining() => {
                self.routing.any_ready().map(Upstream::Sibling)
            }
            (_, Route::Box { box_id, worker }) => Some(Upstream::Box { box_id, worker }),
            (_, Route::Ours) => None,
        }
    }

    /// The owner's answer; if there is none, our own engine's, inside the application's CORS layer: that it does not
    /// know the session if the owner is gone, else that the client may try again.
    async fn forward(
        &self,
        request: Request<Incoming>,
        upstream: Upstream,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        // A long poll that waits elsewhere is not ended when this worker drains: its session lives on.
        self.connections.head_arrived(connection);
        self.routing.row.forwarded.fetch_add(1, Relaxed);
        let mut again = Request::new(Body::empty());
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        match self.routing.forwarder.forward(request, upstream, peer, connection).await {
            Ok(response) => conclude(response, connection, &self.connections, Phase::Piped),
            Err(error) => {
                tracing::debug!(%error, ?upstream, "a forwarded request is answered here");
                if !error.is_gone() {
                    again.extensions_mut().insert(Refusal::unavailable(UNREACHABLE, RETRY_AFTER));
                }
                conclude(self.app.answer(again, peer).await, connection, &self.connections, Phase::Session)
            }
        }
    }
}
