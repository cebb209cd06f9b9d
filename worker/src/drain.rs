//! Letting everybody go: HTTP after its request in flight, WebSockets by end of file, polling sessions by their
//! close packet. Official clients then come back by themselves, to somebody else.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socketioxide::{SocketIo, TransportType};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::connection::{Connections, Phase};
use crate::http::{App, Probe};
use crate::orders::{Order, Orders};
use crate::worker::Adapter;

/// How often polling sessions are looked for: a client may open one until its connection ends.
const ROUND: Duration = Duration::from_millis(50);

/// How long a connection may still bring its first request, and a long poll that has no session which could be
/// closed may still be answered.
const STRAGGLER_GRACE: Duration = Duration::from_secs(1);

/// How long the application's disconnect handlers may take when everybody is gone.
const HANDLERS_GRACE: Duration = Duration::from_secs(2);

/// Who is left is ended this long before the deadline, so that the process is gone by then.
const CLOSING_TIME: Duration = Duration::from_millis(250);

/// What is to be let go.
pub(crate) struct Leaving<'a> {
    pub connections: &'a Connections,
    pub app: &'a App,
    pub servers: Vec<SocketIo<Adapter>>,
}

/// Returns when nobody is left, or when the time is over.
pub(crate) async fn drain(leaving: &Leaving<'_>, orders: &mut Orders, within: Duration) {
    let connections = leaving.connections;
    tracing::info!(within_ms = within.as_millis() as u64, "draining");
    connections.drain();
    let in_time = tokio::select! {
        () = let_go(leaving) => true,
        () = time_is_over(orders, within) => false,
    };
    if !in_time {
        tracing::warn!(connections = connections.row.connections.load(Relaxed), "ending who is left");
        connections.end_if(|_| true);
        let _ = timeout(CLOSING_TIME, everything_ended(connections)).await;
    }
}

/// Waits until no connection is open, helps the slow ones along, then gives the handlers time.
async fn let_go(leaving: &Leaving<'_>) {
    tokio::select! {
        () = leaving.connections.all_closed() => {}
        () = close_polling_sessions(leaving) => {}
        () = end_stragglers(leaving.connections) => {}
    }
    let _ = timeout(HANDLERS_GRACE, everything_ended(leaving.connections)).await;
}

/// Closes them for as long as it is polled. A session without a namespace is not found; its poll is a straggler.
async fn close_polling_sessions(leaving: &Leaving<'_>) {
    loop {
        for io in &leaving.servers {
            let path = format!("{}/", io.config().engine_config.req_path.trim_end_matches('/'));
            let sockets = io.nsps().into_iter().flat_map(|namespace| namespace.sockets());
            let polling = sockets.filter(|socket| socket.transport_type() == TransportType::Polling);
            // A session may have a socket in several namespaces.
            for session in polling.map(|socket| socket.id).collect::<HashSet<_>>() {
                Probe(leaving.app).close(&path, &session.to_string()).await;
            }
        }
        sleep(ROUND).await;
    }
}

/// Ends, after their grace and for as long as it is polled, the connections that wait for nothing that will come.
async fn end_stragglers(connections: &Connections) {
    sleep(STRAGGLER_GRACE).await;
    loop {
        connections.end_if(|phase| matches!(phase, Phase::HalfOpen | Phase::Polling));
        sleep(ROUND).await;
    }
}

/// A session ends in a task of its own after its connection, and lives as long as a handler holds its socket.
async fn everything_ended(connections: &Connections) {
    connections.all_closed().await;
    while connections.row.sessions.load(Relaxed) > 0 {
        sleep(ROUND / 10).await; // a number in shared memory wakes nobody
    }
}

/// A later order to leave may shorten the time, never lengthen it.
async fn time_is_over(orders: &mut Orders, within: Duration) {
    let deadline = |within: Duration| Instant::now() + within.saturating_sub(CLOSING_TIME);
    let mut until = deadline(within);
    loop {
        tokio::select! {
            () = sleep_until(until) => return,
            order = orders.next() => if let Order::Leave(within) = order {
                until = until.min(deadline(within));
            },
        }
    }
}
