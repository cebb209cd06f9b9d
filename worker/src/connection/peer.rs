//! Who is at the other end: of a connection as the kernel or a PROXY header says it ([`Source`]), and of a request
//! as trusted proxies say it ([`Peer`]).

use std::net::SocketAddr;

use oxherd_contract::edge::TrustedProxies;

/// Where a request came from, in its extensions. The truth, as far as the configuration knows whom to trust; the
/// headers that claim such things are only there when a trusted proxy sent them.
///
/// axum's `ConnectInfo<SocketAddr>` shows the same address, for extractors that know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, IPv4 never in its IPv6-mapped form; port 0 if a proxy told the address alone. `None` for
    /// a client behind a Unix socket whose proxy told nothing.
    pub address: Option<SocketAddr>,
    /// What the client speaks, perhaps to a proxy.
    pub scheme: Scheme,
    /// Whether another worker accepted it and passed it on.
    pub forwarded: bool,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP inside TLS.
    Https,
}

impl Scheme {
    /// As URLs and headers name it.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// By its name, or by that of the WebSocket in it.
    pub(crate) fn named(name: &str) -> Option<Scheme> {
        match name {
            "http" | "ws" => Some(Scheme::Http),
            "https" | "wss" => Some(Scheme::Https),
            _ => None,
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub address: Option<SocketAddr>,
    pub scheme: Scheme,
    /// Whether its headers about clients are believed.
    pub trusted: bool,
}

impl Source {
    /// Of a connection from this address; without one it came over a Unix socket, whose permissions say who may
    /// connect: a proxy of this machine.
    pub fn new(address: Option<SocketAddr>, proxies: &TrustedProxies) -> Self {
        let address = address.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let trusted = address.is_none_or(|peer| proxies.contains(peer.ip()));
        Source { address, scheme: Scheme::Http, trusted }
    }
}
