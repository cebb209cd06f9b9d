//! The application as the connections see it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use engineioxide::control::{Control, Options, SessionTagger};
use hyper::body::Incoming;
use tower::Service;

use super::session::{self, Kind, Session};
use crate::catch::catching;
use crate::connection::{Connection, Connections, Phase};

/// The router that the application returned, and where in it the Socket.IO servers are.
#[derive(Debug)]
pub(crate) struct App {
    router: Router,
    engine_paths: Box<[String]>,
    engine: Control,
}

/// Bytes that may wait for one client; one that is further behind is closed, rather than left with a hole in its
/// stream. A burst of a hundred messages of the largest kind that chats send fits many times.
const SLOW_BUDGET_BYTES: NonZeroUsize = NonZeroUsize::new(1 << 20).expect("not zero");

impl App {
    /// `engine_paths` start with a slash and end without one; the first is the one that is probed.
    /// A client that takes nothing for `slow_after` while something waits for it is closed.
    pub fn new(
        router: Router,
        engine_paths: Box<[String]>,
        slow_after: Duration,
        tagger: Arc<dyn SessionTagger>,
    ) -> Self {
        let (slow_budget, slow_after) = (Some(SLOW_BUDGET_BYTES), Some(slow_after));
        let options = Options { slow_budget, slow_after, tagger: Some(tagger), ..Options::default() };
        App { router, engine_paths, engine: Control::new(options) }
    }

    /// Answers one request of one connection, which is `peer`'s.
    pub fn serve(
        &self,
        mut request: Request<Incoming>,
        peer: Option<SocketAddr>,
        connection: &Arc<Connection>,
        connections: &Arc<Connections>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let kind = session::kind(&request, &self.engine_paths);
        let phase = if kind == Kind::Poll { Phase::Polling } else { Phase::Serving };
        connections.head_arrived(connection, phase);
        let session = (kind == Kind::Handshake).then(|| Session::new(connections.row));
        if let Some(session) = &session {
            request.extensions_mut().insert(session.clone());
        }
        let answer = self.answer(request, peer);
        let (connection, connections) = (connection.clone(), connections.clone());
        async move {
            let response = answer.await;
            if let Some(session) = session {
                session.answered(response.status());
            }
            conclude(response, &connection, &connections)
        }
    }

    /// Answers a request of `peer` that no connection is accounted for.
    pub fn answer<B>(
        &self,
        mut request: Request<B>,
        peer: Option<SocketAddr>,
    ) -> impl Future<Output = Response<Body>> + Send + use<B>
    where
        B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if session::is_at_one_of(request.uri().path(), &self.engine_paths) {
            self.engine.attach(&mut request);
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        answer(self.router.clone(), request)
    }

    /// Answers a request that the worker itself makes.
    pub fn call(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<> {
        answer(self.router.clone(), request)
    }

    /// The paths of all Socket.IO servers.
    pub fn engine_paths(&self) -> &[String] {
        &self.engine_paths
    }

    /// The path of the Socket.IO server that stands for all.
    pub fn engine_path(&self) -> &str {
        self.engine_paths.first().map_or("/socket.io", String::as_str)
    }
}

/// What an answer makes of its connection.
pub(crate) fn conclude(
    mut response: Response<Body>,
    connection: &Connection,
    connections: &Connections,
) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connections.upgraded(connection);
    } else if connection.is_finishing() {
        // A first request that came during a drain may be answered before hyper is told to finish.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A handler's panic costs its own request an error 500.
async fn answer<B>(mut router: Router, request: Request<B>) -> Response<Body>
where
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    match catching(async { router.call(request).await }).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_logged) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
