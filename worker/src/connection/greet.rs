//! What comes before HTTP on listeners that expect it: a PROXY header, a TLS handshake. Then [`serve`].
//!
//! Both have the time of a request head, and a connection counts as half-open until they are through and its first
//! request head has arrived.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use oxherd_contract::edge::{EdgeSettings, Layers};
use oxherd_contract::ids::ListenerId;
use thiserror::Error;
use tokio::time::{error::Elapsed, timeout};
use tokio_rustls::server::TlsStream;

use super::io::Io;
use super::open::Connections;
use super::peer::{Scheme, Source};
use super::proxy::{self, ProxyError};
use super::serve::{Protocol, serve};
use crate::route::peek::Prelude;
use crate::route::{Gate, Guest, Way};
use crate::seldom::Seldom;
use crate::tls::Tls;

/// What greeting needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub edge: Arc<EdgeSettings>,
    pub tls: Tls,
    /// How long a client may take until HTTP can begin.
    pub within: Duration,
}

/// Why a connection does not come as far as HTTP.
#[derive(Debug, Error)]
enum GreetError {
    #[error("a connection for a PROXY protocol header from somebody who is not in trusted_proxies")]
    Stranger,
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("no TLS handshake")]
    Tls(#[source] io::Error),
    #[error("not in time")]
    Late(#[from] Elapsed),
}

/// The transport under HTTP.
enum Transport {
    Plain(Io),
    Tls(Box<TlsStream<Io>>),
}

/// Greets one client and serves it until it ends or leaves HTTP.
pub(crate) async fn greet(
    greeter: Greeter,
    listener: ListenerId,
    io: Io,
    mut guest: Guest,
    protocol: Protocol,
    gate: Arc<Gate>,
) {
    let Way::Client(mut source) = guest.way else { return serve(io, guest, protocol, gate).await };
    let layers = greeter.edge.layers(listener);
    let transport = match timeout(greeter.within, greeter.before_http(layers, io, &mut source)).await {
        Ok(outcome) => outcome,
        Err(late) => Err(late.into()),
    };
    guest.way = Way::Client(source);
    match transport {
        Ok(Transport::Plain(io)) => serve(io, guest, protocol, gate).await,
        Ok(Transport::Tls(tls)) => serve(tls, guest, protocol, gate).await,
        Err(GreetError::Late(_)) => gate.connections.timed_out(&guest.connection),
        Err(error) => refuse(&error, source, &gate.connections),
    }
}

impl Greeter {
    /// Whether HTTP comes at once.
    pub fn has_nothing_to_do(&self, listener: ListenerId) -> bool {
        self.edge.layers(listener) == Layers::default()
    }

    /// What is in front of a request line that can be looked at; `None` if there is none that could be, or the
    /// connection is going to be refused.
    pub fn prelude(&self, listener: ListenerId, source: &Source) -> Option<Prelude> {
        match self.edge.layers(listener) {
            Layers { tls: true, .. } => None,
            Layers { proxy_protocol: true, .. } => source.trusted.then_some(Prelude::Proxy),
            Layers { proxy_protocol: false, .. } => Some(Prelude::None),
        }
    }

    async fn before_http(
        &self,
        layers: Layers,
        mut io: Io,
        source: &mut Source,
    ) -> Result<Transport, GreetError> {
        if layers.proxy_protocol {
            if !source.trusted {
                return Err(GreetError::Stranger);
            }
            if let Some(client) = proxy::read(&mut io).await?.client {
                *source = Source::new(Some(client), &self.edge.trusted_proxies);
            }
        }
        if !layers.tls {
            return Ok(Transport::Plain(io));
        }
        source.scheme = Scheme::Https;
        let tls = self.tls.acceptor().accept(io).await.map_err(GreetError::Tls)?;
        Ok(Transport::Tls(Box::new(tls)))
    }
}

/// Strangers try all sorts of things at a TLS port; a proxy without its header is a mistake that somebody must hear of.
fn refuse(error: &GreetError, source: Source, connections: &Connections) {
    static SAID: Seldom = Seldom::new();
    connections.row.refused.fetch_add(1, Relaxed);
    let peer = source.address.map(tracing::field::display);
    match error {
        GreetError::Stranger | GreetError::Proxy(_) if SAID.is_news(Instant::now()) => {
            tracing::warn!(peer, %error, "connection refused");
        }
        GreetError::Tls(cause) => tracing::debug!(peer, %error, %cause, "connection refused"),
        _ => tracing::debug!(peer, %error, "connection refused"),
    }
}
