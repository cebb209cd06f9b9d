//! The application as the connections see it.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use engineioxide::control::{Control, Options};
use hyper::body::Incoming;
use oxherd_contract::edge::TrustedProxies;
use tower::Service;

use super::forwarded;
use super::session::{self, Kind, Session};
use crate::catch::catching;
use crate::connection::{Connection, Connections, Phase, Source};

/// The router that the application returned, and where in it the Socket.IO servers are.
#[derive(Debug)]
pub(crate) struct App {
    router: Router,
    engine_paths: Box<[String]>,
    engine: Control,
    proxies: TrustedProxies,
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
        proxies: TrustedProxies,
    ) -> Self {
        let (slow_budget, slow_after) = (Some(SLOW_BUDGET_BYTES), Some(slow_after));
        let engine = Control::new(Options { slow_budget, slow_after, ..Options::default() });
        App { router, engine_paths, engine, proxies }
    }

    /// Answers one request of one connection.
    pub fn serve(
        &self,
        mut request: Request<Incoming>,
        source: &Source,
        connection: &Arc<Connection>,
        connections: &Connections,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let kind = session::kind(&request, &self.engine_paths);
        let phase = if kind == Kind::Poll { Phase::Polling } else { Phase::Serving };
        connections.head_arrived(connection, phase);
        if session::is_at_one_of(request.uri().path(), &self.engine_paths) {
            self.engine.attach(&mut request);
        }
        let peer = forwarded::peer(source, &self.proxies, request.headers_mut());
        request.extensions_mut().insert(peer);
        if let Some(address) = peer.address {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        let session = (kind == Kind::Handshake).then(|| Session::new(connections.row));
        if let Some(session) = &session {
            request.extensions_mut().insert(session.clone());
        }
        let (router, connection) = (self.router.clone(), connection.clone());
        async move {
            let mut response = answer(router, request).await;
            if let Some(session) = session {
                session.answered(response.status());
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                connection.enter(Phase::Upgraded);
            } else if connection.is_finishing() {
                // A first request that came during a drain may be answered before hyper is told to finish.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    }

    /// Answers a request that the worker itself makes.
    pub fn call(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<> {
        answer(self.router.clone(), request)
    }

    /// The path of the Socket.IO server that stands for all.
    pub fn engine_path(&self) -> &str {
        self.engine_paths.first().map_or("/socket.io", String::as_str)
    }
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
