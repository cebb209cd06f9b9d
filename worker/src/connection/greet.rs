//! What comes before HTTP on listeners that expect it: a PROXY header, a TLS handshake. Then [`serve`].
//!
//! Both have the time of a request head, and a connection counts as half-open until they are through and its first
//! request head has arrived.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use oxherd_contract::edge::{EdgeSettings, Layers};
use thiserror::Error;
use tokio::time::{error::Elapsed, timeout};
use tokio_rustls::server::TlsStream;

use super::handle::Connection;
use super::io::Io;
use super::open::Connections;
use super::peer::{Scheme, Source};
use super::proxy::{self, ProxyError};
use super::serve::{Protocol, serve};
use crate::http::App;
use crate::seldom::Seldom;
use crate::tls::Tls;

/// What greeting needs to know.
#[derive(Clone)]
pub(crate) struct Greeter {
    pub layers: Layers,
    pub edge: Arc<EdgeSettings>,
    pub tls: Tls,
}

/// Why a connection does not come as far as HTTP.
#[derive(Debug, Error)]
enum GreetError {
    #[error("a PROXY protocol header from somebody who is not in trusted_proxies")]
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

/// Greets one connection and serves it until it ends or leaves HTTP.
pub(crate) async fn greet(
    greeter: Greeter,
    io: Io,
    source: Source,
    connection: Arc<Connection>,
    connections: Arc<Connections>,
    protocol: Protocol,
    app: Arc<App>,
) {
    let greeted = match timeout(protocol.header_timeout(), greeter.before_http(io, source)).await {
        Ok(greeted) => greeted,
        Err(late) => Err(late.into()),
    };
    match greeted {
        Ok((Transport::Plain(io), source)) => serve(io, source, connection, connections, protocol, app).await,
        Ok((Transport::Tls(tls), source)) => serve(tls, source, connection, connections, protocol, app).await,
        Err(GreetError::Late(_)) => connections.timed_out(&connection),
        Err(error) => refuse(&error, source, &connections),
    }
}

impl Greeter {
    async fn before_http(&self, mut io: Io, mut source: Source) -> Result<(Transport, Source), GreetError> {
        if self.layers.proxy_protocol {
            if !source.trusted {
                return Err(GreetError::Stranger);
            }
            if let Some(client) = proxy::read(&mut io).await?.client {
                source = Source::new(Some(client), source.scheme, &self.edge.trusted_proxies);
            }
        }
        if !self.layers.tls {
            return Ok((Transport::Plain(io), source));
        }
        source.scheme = Scheme::Https;
        let tls = self.tls.acceptor().accept(io).await.map_err(GreetError::Tls)?;
        Ok((Transport::Tls(Box::new(tls)), source))
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
