//! The application as the connections see it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use engineioxide::control::Control;
use hyper::body::Incoming;
use tower::Service;

use crate::catch::catching;
use crate::connection::{Connection, Connections, Phase};
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

    /// Answers one request of one connection.
    pub fn serve(
        &self,
        mut request: Request<Incoming>,
        peer: Option<SocketAddr>,
        connection: &Arc<Connection>,
        connections: &Connections,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        connections.head_arrived(connection);
        let engine = self.is_for_engine(request.uri().path()).then(|| self.engine.clone());
        if let Some(engine) = &engine {
            engine.attach(&mut request);
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let (router, connection, row) = (self.router.clone(), connection.clone(), connections.row);
        async move {
            let mut response = answer(router, request).await;
            if let Some(engine) = &engine {
                row::note_sessions(row, engine);
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                connection.enter(if engine.is_some() { Phase::Session } else { Phase::Upgraded });
            } else if connection.is_finishing() {
                // A first request that came during a drain may be answered before hyper is told to finish.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    }

    /// Answers a request that the worker itself makes to a Socket.IO server.
    pub fn call(&self, mut request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<> {
        self.engine.attach(&mut request);
        answer(self.router.clone(), request)
    }

    /// The path of the Socket.IO server that stands for all.
    pub fn engine_path(&self) -> &str {
        self.engine_paths.first().map_or("/socket.io", String::as_str)
    }

    /// As the engine decides it: its path itself or one below it.
    fn is_for_engine(&self, path: &str) -> bool {
        let below = |engine: &String| path.strip_prefix(engine.as_str());
        self.engine_paths.iter().filter_map(below).any(|rest| rest.is_empty() || rest.starts_with('/'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_the_engine_by_its_path() {
        let paths = ["/socket.io".to_owned(), "/other".to_owned()];
        let app = App::new(Router::new(), paths.into(), Control::new(Default::default()));
        for (path, expected) in [
            ("/socket.io", true),
            ("/socket.io/", true),
            ("/other/below", true),
            ("/socket.iona/", false),
            ("/sock", false),
            ("/", false),
        ] {
            assert_eq!(app.is_for_engine(path), expected, "{path}");
        }
    }
}
