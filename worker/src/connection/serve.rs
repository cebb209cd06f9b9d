//! One connection's HTTP: hyper drives the transport, our service answers. One task each; it ends with the connection
//! or with the upgrade, after which the engine owns the transport.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use oxherd_contract::settings::HttpSettings;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::handle::{Connection, Phase};
use crate::route::{Gate, Guest, HEADERS_MAX};

/// A request head at most: hyper answers 431 to a longer one. It bounds the memory of a half-open connection too.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// HTTP as all connections speak it.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    http: http1::Builder,
    /// For the first head of a connection; none between siblings.
    header_timeout: Option<Duration>,
}

impl Protocol {
    /// hyper counts the time to the end of the next head from the answer before it, or from the beginning. So this is
    /// the time between requests, and the first head has a time of its own in [`serve`]. Somebody who had an answer
    /// may stay silent anyhow; that he may send the next head slowly adds nothing to it.
    pub fn new(settings: &HttpSettings) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(settings.keep_alive.max(settings.header_timeout))
            .half_close(false)
            .max_buf_size(HEAD_BYTES_MAX);
        Protocol { http, header_timeout: Some(settings.header_timeout) }
    }

    /// As siblings speak it: they keep connections for as long as they like.
    pub fn between_siblings() -> Self {
        let mut http = http1::Builder::new();
        http.header_read_timeout(None)
            .half_close(false)
            .max_buf_size(HEAD_BYTES_MAX * 2)
            .max_headers(HEADERS_MAX);
        Protocol { http, header_timeout: None }
    }
}

/// Serves one connection until it ends or leaves HTTP.
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    guest: Guest,
    protocol: Protocol,
    gate: Arc<Gate>,
) {
    let (connections, connection) = (gate.connections.clone(), guest.connection.clone());
    let guest = Arc::new(guest);
    let service = service_fn(move |request| gate.clone().serve(request, guest.clone()));
    let mut http = pin!(protocol.http.serve_connection(TokioIo::new(io), service).with_upgrades());
    let (mut known, mut told) = (false, false);
    // hyper takes a connection that it has read nothing from for idle and closes it, though its first request may be
    // waiting in the kernel: only one that has had a request can be told to finish.
    let may_finish = || connection.is_finishing() && connection.phase() != Phase::HalfOpen;
    let driven = poll_fn(|context| {
        if !known {
            connection.driven_by(Some(context.waker().clone()));
            known = true;
        }
        loop {
            if !told && may_finish() {
                http.as_mut().graceful_shutdown();
                told = true;
            }
            let polled = http.as_mut().poll(context);
            if polled.is_ready() || told || !may_finish() {
                return polled;
            }
        }
    });
    let outcome = tokio::select! {
        biased;
        outcome = driven => outcome,
        () = first_head_is_late(&connection, protocol.header_timeout) => {
            connections.timed_out(&connection);
            Ok(())
        }
    };
    connection.driven_by(None);

    match outcome {
        Ok(()) if connection.phase() == Phase::Upgraded && connections.is_draining() => connection.end(),
        Err(error) if error.is_timeout() => connections.timed_out(&connection),
        Err(error) => tracing::debug!(%error, "a connection broke"),
        Ok(()) => {}
    }
}

/// Ends when nothing like a whole request came in time; never, if one did.
async fn first_head_is_late(connection: &Connection, within: Option<Duration>) {
    let Some(within) = within else { return pending().await };
    sleep(within).await;
    if connection.phase() != Phase::HalfOpen {
        pending().await
    }
}
