//! The heads of forwarded requests and answers: what belongs to one connection goes, what the owner must know of the
//! client comes. Pure.
//!
//! Headers whose name begins with [`PREFIX`] are ours alone: they are taken out of every request from outside, and
//! believed only where a sibling speaks.

use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, StatusCode, Uri, Version, request, response};
use oxherd_contract::ids::WorkerId;

use crate::connection::{Peer, Scheme};

/// What the name of every internal header begins with.
const PREFIX: &str = "oxherd-";

/// Headers in a head between two workers at most: the 100 that hyper takes from a client, and what is said of it.
pub(crate) const HEADERS_MAX: usize = 128;

/// The client's address, if it has one.
const PEER: HeaderName = HeaderName::from_static("oxherd-peer");

/// What the client speaks.
const SCHEME: HeaderName = HeaderName::from_static("oxherd-scheme");

/// The worker at which the request arrived.
const ARRIVED_AT: HeaderName = HeaderName::from_static("oxherd-worker");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// RFC 9110 §7.6.1: what an intermediary must not pass on. `Expect` is answered where the request arrives.
const OF_ONE_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    EXPECT,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes out what only a sibling may say.
pub(crate) fn remove_internal(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| name.as_str().starts_with(PREFIX)).cloned() {
        headers.remove(name);
    }
}

/// Makes the head of a client's request that of a forwarded one.
pub(crate) fn forwarded(head: &mut request::Parts, peer: Peer, arrived_at: WorkerId) {
    let upgrades = is_upgrade(head);
    remove_of_one_connection(&mut head.headers, upgrades);
    if let Some(address) = peer.address.and_then(|peer| HeaderValue::try_from(peer.to_string()).ok()) {
        head.headers.insert(PEER, address);
    }
    head.headers.insert(SCHEME, HeaderValue::from_static(peer.scheme.name()));
    head.headers.insert(ARRIVED_AT, HeaderValue::from(arrived_at.0));
    head.version = Version::HTTP_11;
    if let Some(target) = head.uri.path_and_query().cloned() {
        head.uri = Uri::from(target);
    }
}

/// Whose request a sibling forwarded.
pub(crate) fn client_of(headers: &mut HeaderMap) -> Peer {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let address = text(PEER).and_then(|peer| peer.parse().ok());
    let scheme = text(SCHEME).and_then(Scheme::named).unwrap_or(Scheme::Http);
    remove_internal(headers);
    Peer { address, scheme, forwarded: true }
}

/// Makes the head of an owner's answer one for the client.
pub(crate) fn answered(head: &mut response::Parts) {
    remove_of_one_connection(&mut head.headers, head.status == StatusCode::SWITCHING_PROTOCOLS);
}

/// Whether a client wants to leave HTTP.
pub(crate) fn is_upgrade(head: &request::Parts) -> bool {
    head.headers.contains_key(UPGRADE) && head.extensions.get::<hyper::upgrade::OnUpgrade>().is_some()
}

/// Removes what is said to the next hop only; of an upgrade, all but that.
fn remove_of_one_connection(headers: &mut HeaderMap, upgrades: bool) {
    let upgrade = headers.get(UPGRADE).cloned().filter(|_| upgrades);
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != CONTENT_LENGTH) // else a client could have its body's end be forgotten
        .collect();
    for name in OF_ONE_CONNECTION.into_iter().chain(named) {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response};

    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> request::Parts {
        let mut head = Request::new(()).into_parts().0;
        head.headers.extend(
            headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
        head
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nobody_outside_can_say_what_a_sibling_says() {
        let mut head = request(&[
            ("oxherd-peer", "10.0.0.1:1"),
            ("oxherd-worker", "3"),
            ("oxherd-", "x"),
            ("x-oxherd", "kept"),
            ("host", "a"),
        ]);
        head.headers.append(PEER, HeaderValue::from_static("10.0.0.2:2"));
        remove_internal(&mut head.headers);
        assert_eq!(names(&head.headers), ["host", "x-oxherd"]);
    }

    #[test]
    fn the_owner_learns_who_the_client_is_and_the_application_sees_no_trace_of_it() {
        for (address, scheme) in [
            (Some("127.0.0.1:80"), Scheme::Http),
            (Some("[fe80::1%2]:65535"), Scheme::Https),
            (None, Scheme::Https),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            let peer = Peer { address, scheme, forwarded: false };
            let mut head = request(&[("host", "a"), ("cookie", "b")]);
            forwarded(&mut head, peer, WorkerId(7));
            assert_eq!(head.headers[ARRIVED_AT], "7");
            assert_eq!(client_of(&mut head.headers), Peer { forwarded: true, ..peer });
            assert_eq!(names(&head.headers), ["cookie", "host"]);
        }
    }

    #[test]
    fn what_belongs_to_one_connection_is_not_passed_on() {
        let mut head = request(&[
            ("connection", "close, X-Hop, content-length"),
            ("x-hop", "1"),
            ("content-length", "2"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        head.version = Version::HTTP_10;
        head.uri = "http://host/path?query".parse().unwrap();
        let nobody = Peer { address: None, scheme: Scheme::Http, forwarded: false };
        forwarded(&mut head, nobody, WorkerId(7));
        assert_eq!(names(&head.headers), ["accept", "content-length", "oxherd-scheme", "oxherd-worker"]);
        assert_eq!((head.version, head.uri.to_string().as_str()), (Version::HTTP_11, "/path?query"));
    }

    #[test]
    fn an_answer_that_changes_the_protocol_says_so_to_the_client() {
        let answer = |status: u16| {
            let response = Response::builder().status(status);
            let response = response.header("upgrade", "websocket").header("connection", "close, Upgrade");
            let mut head = response.body(()).unwrap().into_parts().0;
            answered(&mut head);
            names(&head.headers).join(" ")
        };
        assert_eq!(answer(101), "connection upgrade");
        assert_eq!(answer(200), "");
    }
}
