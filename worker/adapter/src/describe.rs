//! What other servers see of a local socket beyond its id and rooms. socketioxide's adapter interface does not show it,
//! so it is looked up through the server's own handle ([`Cluster::attach`](crate::Cluster::attach)).

use std::{net::IpAddr, time::SystemTime};

use serde_json::{Map, Value as Json, json};
use socketioxide::{
    SocketIo,
    adapter::{Adapter, Emitter},
    extract::SocketRef,
};
use socketioxide_core::Sid;

use crate::{ClassicAdapter, wire::date};

/// A socket's `handshake` and `data`, as Node's `RemoteSocket` has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// An object with `headers`, `time`, `address`, `xdomain`, `secure`, `issued`, `url`, `query` and `auth`.
    pub handshake: Json,
    /// What Node calls `socket.data`.
    pub data: Json,
}

/// Knows the local sockets.
pub trait Describe: Send + Sync + 'static {
    /// Describes the socket `sid` of `namespace`; `None` if it is gone.
    fn describe(&self, namespace: &str, sid: Sid) -> Option<Description>;
}

/// `socket.data` for other servers: put it into `socket.extensions`, and put it there again when it changes.
///
/// ```
/// # use socketioxide::extract::SocketRef;
/// # use oxherd_adapter::{Adapter, SocketData};
/// fn logged_in(socket: SocketRef<Adapter>) {
///     socket.extensions.insert(SocketData(serde_json::json!({ "user": "bob" })));
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SocketData(pub Json);

/// `handshake.auth` for other servers: socketioxide gives it to the connect handler alone, which may put it into
/// `socket.extensions` so that others see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketAuth(pub Json);

/// Where a connection came from: what serves the HTTP request may put it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub address: IpAddr,
    /// The client's connection is encrypted.
    pub secure: bool,
    /// When it connected.
    pub since: SystemTime,
}

impl Description {
    /// What is said of a socket of which nothing is known: admin panels need the fields to be there.
    pub(crate) fn unknown() -> Self {
        Self {
            handshake: json!({
                "headers": {}, "time": "", "address": "", "xdomain": false, "secure": false, "issued": 0, "url": "",
                "query": {}, "auth": {},
            }),
            data: json!({}),
        }
    }
}

impl Describe for SocketIo<ClassicAdapter<Emitter>> {
    fn describe(&self, namespace: &str, sid: Sid) -> Option<Description> {
        Some(describe(&self.of(namespace)?.get_socket(sid)?))
    }
}

fn describe<A: Adapter>(socket: &SocketRef<A>) -> Description {
    let request = socket.req_parts();
    let peer: Option<Peer> = request.extensions.get().copied();
    let issued =
        peer.and_then(|peer| peer.since.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    let issued_ms = i64::try_from(issued.as_millis()).unwrap_or(0);
    let headers: Map<String, Json> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let query: Map<String, Json> = form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into()))
        .collect();
    let handshake = json!({
        "xdomain": headers.contains_key("origin"),
        "headers": headers,
        "time": date::iso(issued_ms),
        "address": peer.map_or_else(String::new, |peer| peer.address.to_string()),
        "secure": peer.is_some_and(|peer| peer.secure),
        "issued": issued_ms,
        "url": request.uri.to_string(),
        "query": query,
        "auth": socket.extensions.get().map_or_else(|| json!({}), |SocketAuth(auth)| auth),
    });
    let data = socket.extensions.get().map_or_else(|| json!({}), |SocketData(data)| data);
    Description { handshake, data }
}
