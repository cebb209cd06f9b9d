//! The request that the worker makes to its own application: the handshake that shows that it serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use engineioxide::control::CloseCode;
use thiserror::Error;
use tokio::time::timeout;

use super::{App, Internal};
use crate::connection::{Peer, Scheme};

/// How long an application may take to answer itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why an application does not serve.
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    #[error("the application's own handshake at {path} was answered by {status}")]
    Refused { path: String, status: StatusCode },
    #[error("the application's own handshake at {path} was not answered within {} s", ANSWER_WITHIN.as_secs())]
    Silent { path: String },
}

/// Asks an application from inside the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'a>(pub &'a App);

impl Probe<'_> {
    /// Makes a handshake and closes its session at once. An answer below 500 will do: the application may demand
    /// from a client what a probe does not have.
    pub async fn handshake(self) -> Result<(), ProbeError> {
        let path = format!("{}/", self.0.engine_path());
        let Ok(response) = timeout(ANSWER_WITHIN, self.0.call(request(&path))).await else {
            return Err(ProbeError::Silent { path });
        };
        if response.status().is_server_error() {
            return Err(ProbeError::Refused { path, status: response.status() });
        }
        // Nobody is connected yet, so it is the only one.
        for session in self.0.engine.sessions() {
            session.end(CloseCode::NORMAL);
            session.closed().await;
        }
        Ok(())
    }
}

fn request(path: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let uri = format!("{path}?EIO=4&transport=polling");
    *request.uri_mut() = uri.parse().unwrap_or_default(); // a path that is no URI finds nobody: 404
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
    request.extensions_mut().insert(Internal);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    request.extensions_mut().insert(ConnectInfo(address));
    let peer = Peer { address: Some(address), scheme: Scheme::Http, forwarded: false };
    request.extensions_mut().insert(peer);
    request
}
