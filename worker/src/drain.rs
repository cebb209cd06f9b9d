//! Letting everybody go: HTTP after its request in flight, sessions by the engine's close, in steps. Official clients
//! then come back by themselves, to somebody else.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engineioxide::control::{CloseCode, Control, Pace};
use socketioxide::SocketIo;
use tokio::join;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Adapter;
use crate::connection::Connections;
use crate::orders::{Order, Orders};

/// Sessions that are ended between two turns of everything else.
const PACE: Pace =
    Pace { sessions: NonZeroUsize::new(64).expect("not zero"), every: Duration::from_millis(2) };

/// How long a connection may still bring its first request; a handshake that is under way is waited for before.
const STRAGGLER_GRACE: Duration = Duration::from_secs(1);

/// How often it is looked for what cannot be awaited.
const ROUND: Duration = Duration::from_millis(10);

/// How long the application's disconnect handlers may take when everybody is gone.
const HANDLERS_GRACE: Duration = Duration::from_secs(2);

/// Who is left is ended this long before the deadline, so that the process is gone by then.
const CLOSING_TIME: Duration = Duration::from_millis(250);

/// For a sibling that has just seen that this worker lives to have given what it was about to give.
const LAST_GIFTS: Duration = Duration::from_millis(20);

/// What is to be let go.
pub(crate) struct Leaving<'a> {
    pub connections: &'a Connections,
    pub engine: &'a Control,
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
        connections.end();
        let _ = timeout(CLOSING_TIME, everything_ended(leaving)).await;
    }
}

/// Answers the connections that siblings gave until this worker's row was nobody's any more: an exit would reset those
/// that are still in the socket between the two. Returns when there are none, or soon.
pub(crate) async fn take_last_gifts(connections: &Connections) {
    sleep(LAST_GIFTS).await;
    let _ = timeout(CLOSING_TIME, connections.all_closed()).await;
}

/// Ends the sessions, waits until no connection is open, helps the slow ones along, then gives the handlers time.
async fn let_go(leaving: &Leaving<'_>) {
    tokio::select! {
        () = everybody_gone(leaving) => {}
        () = end_stragglers(leaving.connections) => {}
    }
    let _ = timeout(HANDLERS_GRACE, everything_ended(leaving)).await;
}

async fn everybody_gone(leaving: &Leaving<'_>) {
    let sessions = leaving.engine.shutdown(CloseCode::SERVICE_RESTART, || PACE);
    let (ended, ()) = join!(sessions, finish_pipes(leaving.connections));
    tracing::debug!(sessions = ended, "sessions ended");
    leaving.connections.all_closed().await;
}

/// Ends the sessions of others whose connections came here, too.
async fn finish_pipes(connections: &Connections) {
    for step in connections.piped().chunks(PACE.sessions.get()) {
        step.iter().for_each(|connection| connection.finish());
        sleep(PACE.every).await;
    }
}

/// Ends, after their grace and for as long as it is polled, the connections that wait for nothing that will come.
async fn end_stragglers(connections: &Connections) {
    let mut seen = BTreeSet::new();
    loop {
        connections.end_silent(&mut seen);
        sleep(STRAGGLER_GRACE).await;
    }
}

/// A disconnect handler runs in a task of its own after its session; until it is done socketioxide keeps the socket.
async fn everything_ended(leaving: &Leaving<'_>) {
    leaving.connections.all_closed().await;
    let has_sockets = |io: &SocketIo<Adapter>| io.nsps().into_iter().any(|nsp| !nsp.sockets().is_empty());
    while leaving.servers.iter().any(has_sockets) {
        sleep(ROUND).await;
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
