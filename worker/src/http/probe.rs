//! Requests that the worker makes to its own application: the handshake that shows that it serves, and the close
//! packet that ends a polling session.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;

use super::{App, Internal};
use crate::connection::{Peer, Scheme};

/// How long an application may take to answer itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An open packet is a small JSON object; what is longer is something else, and fine too.
const OPEN_PACKET_BYTES_MAX: usize = 4096;

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
        let answer = async {
            let response = self.0.call(request(Method::GET, handshake_uri(&path), Body::empty())).await;
            let (status, body) = (response.status(), response.into_body());
            (status, to_bytes(body, OPEN_PACKET_BYTES_MAX).await.unwrap_or_default())
        };
        let Ok((status, body)) = timeout(ANSWER_WITHIN, answer).await else {
            return Err(ProbeError::Silent { path });
        };
        if status.is_server_error() {
            return Err(ProbeError::Refused { path, status });
        }
        if let Some(sid) = session_of(&body) {
            self.close(&path, &sid).await;
        }
        Ok(())
    }

    /// Posts the close packet of a polling session, as its client would.
    pub async fn close(self, path: &str, sid: &str) {
        let uri = format!("{}&sid={sid}", handshake_uri(path));
        let answer = self.0.call(request(Method::POST, uri, Body::from("1")));
        if timeout(ANSWER_WITHIN, answer).await.is_err() {
            tracing::debug!("the application did not answer the close of a session");
        }
    }
}

fn handshake_uri(path: &str) -> String {
    format!("{path}?EIO=4&transport=polling")
}

fn request(method: Method, uri: String, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().unwrap_or_default(); // a path that is no URI finds nobody: 404
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
    request.extensions_mut().insert(Internal);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    request.extensions_mut().insert(ConnectInfo(address));
    let peer = Peer { address: Some(address), scheme: Scheme::Http, forwarded: false };
    request.extensions_mut().insert(peer);
    request
}

/// The session id in an open packet: `0{"sid":"…",…}`.
fn session_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct OpenPacket {
        sid: String,
    }
    serde_json::from_slice::<OpenPacket>(body.strip_prefix(b"0")?).ok().map(|packet| packet.sid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_found_in_an_open_packet_only() {
        assert_eq!(session_of(br#"0{"sid":"abc","upgrades":[]}"#).as_deref(), Some("abc"));
        for other in [&b""[..], b"0", b"ok", b"0{}", br#"{"sid":"abc"}"#] {
            assert_eq!(session_of(other), None);
        }
    }
}
