//! This worker's row of the scoreboard: mapped once, for the life of the process.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engineioxide::control::Control;
use oxherd_adapter::Cluster;
use oxherd_contract::ids::{RowIndex, WorkerId};
use oxherd_contract::scoreboard::{Row, Scoreboard, State};
use tokio::time::{MissedTickBehavior, interval};

/// How often the runtime shows that it turns.
const BEAT_PERIOD: Duration = Duration::from_millis(200);

/// Takes the row, if there is one of this index: first the id, then the state that gives the id its meaning.
pub(crate) fn claim(
    scoreboard: &'static Scoreboard,
    index: RowIndex,
    worker: WorkerId,
) -> Option<&'static Row> {
    let row = scoreboard.row(index)?;
    row.worker.store(worker.0, Relaxed);
    row.set_state(State::Starting);
    Some(row)
}

/// Beats for ever, in the runtime that serves, and writes down what others count: the bus' losses, the engine's numbers.
pub(crate) async fn beat(row: &'static Row, cluster: Cluster, engine: Control) {
    let (mut bytes_in, mut bytes_out) = (0, 0);
    let mut period = interval(BEAT_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        row.beats.fetch_add(1, Relaxed);
        let stats = cluster.stats();
        row.bus_lost.store(stats.dropped + stats.unknown, Relaxed);
        row.joined.store(cluster.is_ready().into(), Relaxed);
        note_sessions(row, &engine);
        // Other bytes are counted as they pass the connection, so these are added.
        let now = engine.counters().snapshot();
        row.bytes_in.fetch_add(now.direct_bytes_in - bytes_in, Relaxed);
        row.bytes_out.fetch_add(now.direct_bytes_out - bytes_out, Relaxed);
        (bytes_in, bytes_out) = (now.direct_bytes_in, now.direct_bytes_out);
    }
}

/// Writes down how many sessions there are and how they fare. Some tens of nanoseconds: also called after each request
/// to the engine, so that siblings see a rush at once.
pub(crate) fn note_sessions(row: &Row, engine: &Control) {
    let now = engine.counters().snapshot();
    row.sessions.store(now.sessions_polling + now.sessions_websocket, Relaxed);
    row.sessions_polling.store(now.sessions_polling, Relaxed);
    row.sessions_websocket.store(now.sessions_websocket, Relaxed);
    row.queued_bytes.store(now.queued_bytes, Relaxed);
    row.slow_over_budget.store(now.slow_over_budget, Relaxed);
    row.slow_stalled.store(now.slow_stalled, Relaxed);
    row.sessions_refused.store(now.refused, Relaxed);
}
