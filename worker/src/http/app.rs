//! The application as the connections see it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use engineioxide::control::{Control, OpenFollows};
use hyper::body::Incoming;
use tower::Service;

use crate::catch::catching;
use crate::connection::{Connection, Connections, Peer, Phase};
use crate::row;

/// The router that the application returned, and where in it the Socket.IO servers are.
#[derive(Debug)]
pub(crate) struct App {
    router: Router,
    engine_paths: Box<[String]>,
    /// What all their sessions are under.
    pub engine: Control,
}

impl App {
    /// `engine_paths` start with a slash and end without one; the first is the one that is probed.
    pub fn new(router: Router, engine_paths: Box<[String]>, engine: Control) -> Self {
        App { router, engine_paths, engine }
    }

    /// Answers one request of one connection, which is `peer`'s.
    pub fn serve(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        connection: &Arc<Connection>,
        connections: &Arc<Connections>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        connections.head_arrived(connection);
        let engine = is_at_one_of(request.uri().path(), &self.engine_paths).then(|| self.engine.clone());
        let answer = self.answer(request, peer);
        let (connection, connections) = (connection.clone(), connections.clone());
        async move {
            let response = answer.await;
            if let Some(engine) = &engine {
                row::note_sessions(connections.row, engine);
            }
            let upgraded = if engine.is_some() { Phase::Session } else { Phase::Upgraded };
            conclude(response, &connection, &connections, upgraded)
        }
    }

    /// Answers a request of `peer` that no connection is accounted for.
    pub fn answer<B>(
        &self,
        mut request: Request<B>,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + Send + use<B>
    where
        B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if is_at_one_of(request.uri().path(), &self.engine_paths) {
            self.engine.attach(&mut request);
        }
        request.extensions_mut().insert(peer);
        if let Some(address) = peer.address {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        answer(self.router.clone(), request)
    }

    /// Answers a request that the worker itself makes to a Socket.IO server.
    pub fn call(&self, mut request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<> {
        self.engine.attach(&mut request);
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

/// What an answer makes of its connection; an upgrade, that it is in phase `upgraded`.
pub(crate) fn conclude(
    mut response: Response<Body>,
    connection: &Connection,
    connections: &Connections,
    upgraded: Phase,
) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connections.upgraded(connection, upgraded);
        if response.extensions().get::<OpenFollows>().is_some() {
            connection.write_follows();
        }
    } else if connection.is_finishing() {
        // A first request that came during a drain may be answered before hyper is told to finish.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether a path is one of these engines', as the engine decides it: its path itself or one below it.
pub(crate) fn is_at_one_of(path: &str, engine_paths: &[String]) -> bool {
    let below = |engine: &String| path.strip_prefix(engine.as_str());
    engine_paths.iter().filter_map(below).any(|rest| rest.is_empty() || rest.starts_with('/'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_the_engine_by_its_path() {
        let paths = ["/socket.io".to_owned(), "/other".to_owned()];
        for (path, expected) in [
            ("/socket.io", true),
            ("/socket.io/", true),
            ("/other/below", true),
            ("/socket.iona/", false),
            ("/sock", false),
            ("/", false),
        ] {
            assert_eq!(is_at_one_of(path, &paths), expected, "{path}");
        }
    }
}
