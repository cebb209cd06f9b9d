//! This worker's row of the scoreboard: mapped once, for the life of the process.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

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

/// Beats for ever, in the runtime that serves, and writes down how the cluster is.
pub(crate) async fn beat(row: &'static Row, cluster: Cluster) {
    let mut period = interval(BEAT_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        row.beats.fetch_add(1, Relaxed);
        let stats = cluster.stats();
        row.bus_lost.store(stats.dropped + stats.unknown, Relaxed);
        row.joined.store(cluster.is_ready().into(), Relaxed);
    }
}
