//! Counts Engine.IO sessions from outside the engine.
//!
//! The engine keeps the extensions of the request that opened a session for as long as the session lives, so what
//! is put there is dropped at the session's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::http::{Method, Request, StatusCode};
use oxherd_contract::scoreboard::Row;

/// In the extensions of a request that may open a session.
#[derive(Clone, Debug)]
pub(crate) struct Session(Arc<Life>);

#[derive(Debug)]
struct Life {
    row: &'static Row,
    counted: AtomicBool,
}

impl Session {
    pub fn new(row: &'static Row) -> Self {
        Session(Arc::new(Life { row, counted: AtomicBool::new(false) }))
    }

    /// The request was answered: it opened a session if the answer is an open packet or an upgrade.
    pub fn answered(self, status: StatusCode) {
        let opened = matches!(status, StatusCode::OK | StatusCode::SWITCHING_PROTOCOLS);
        if opened && !self.0.counted.swap(true, Relaxed) {
            self.0.row.sessions.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if *self.counted.get_mut() {
            self.row.sessions.fetch_sub(1, Relaxed);
        }
    }
}

/// What a request is to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It opens a session.
    Handshake,
    /// It waits for packets of a session.
    Poll,
    /// Any other.
    Other,
}

/// Tells what a request is to the engines at these paths, which start with a slash and end without one.
pub(crate) fn kind<B>(request: &Request<B>, engine_paths: &[String]) -> Kind {
    if request.method() != Method::GET || !is_at_one_of(request.uri().path(), engine_paths) {
        return Kind::Other;
    }
    let parameters = || request.uri().query().unwrap_or_default().split('&');
    match parameters().any(|parameter| parameter.starts_with("sid=")) {
        false => Kind::Handshake,
        true if parameters().any(|parameter| parameter == "transport=polling") => Kind::Poll,
        true => Kind::Other,
    }
}

/// Whether a path is one of these engines'.
pub(crate) fn is_at_one_of(path: &str, engine_paths: &[String]) -> bool {
    engine_paths.iter().any(|engine_path| is_at(path, engine_path))
}

/// As the engine decides it: its path itself or one below it.
fn is_at(path: &str, engine_path: &str) -> bool {
    path.strip_prefix(engine_path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_method_path_and_query() {
        let paths = ["/socket.io".to_owned(), "/other".to_owned()];
        for (method, uri, expected) in [
            ("GET", "/socket.io/?EIO=4&transport=polling", Kind::Handshake),
            ("GET", "/other?EIO=4&transport=websocket", Kind::Handshake),
            ("GET", "/socket.io/?EIO=4&transport=polling&sid=x", Kind::Poll),
            ("GET", "/socket.io/?EIO=4&transport=websocket&sid=x", Kind::Other),
            ("POST", "/socket.io/?EIO=4&transport=polling&sid=x", Kind::Other),
            ("GET", "/socket.iona/?EIO=4", Kind::Other),
            ("GET", "/", Kind::Other),
        ] {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            assert_eq!(kind(&request, &paths), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_session_is_counted_from_its_answer_to_its_last_copy() {
        let row: &'static Row = Box::leak(Box::default());
        for (status, counted) in
            [(StatusCode::OK, 1), (StatusCode::SWITCHING_PROTOCOLS, 1), (StatusCode::BAD_REQUEST, 0)]
        {
            let session = Session::new(row);
            let held_by_the_engine = session.clone();
            assert_eq!(row.sessions.load(Relaxed), 0);
            session.answered(status);
            assert_eq!(row.sessions.load(Relaxed), counted, "{status}");
            drop(held_by_the_engine);
            assert_eq!(row.sessions.load(Relaxed), 0);
        }
    }
}
