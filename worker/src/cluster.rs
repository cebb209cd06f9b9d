//! This worker's place in the cluster: the adapter over the bus or over Redis, from its first attempt to connect to its
//! last word.

use std::time::Duration;

use oxherd_adapter::{Cluster, Config, ConfigError};
use oxherd_contract::settings::{RedisSettings, WorkerSettings};
use tokio::time::timeout;

/// How long READY waits for the bus; after it the worker serves its own clients and joins when it can.
const BUS_BOOT_WAIT: Duration = Duration::from_secs(5);

/// How long a worker that ends waits for a confirmation of what it published.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// Begins to connect, under a name by which the bus knows the worker.
pub(crate) fn start(settings: &WorkerSettings) -> Result<Cluster, ConfigError> {
    let name = settings.identity.worker.client_name();
    let config = match &settings.shared.redis {
        Some(redis) => Config::new(redis.url.reveal())?,
        None => Config::new(format!("unix://{}", settings.bus.display()))?,
    };
    Cluster::start(config.client_name(name)?)
}

/// Waits until messages pass in both directions, for as long as READY may wait for it.
pub(crate) async fn joined(cluster: &Cluster, redis: Option<&RedisSettings>) {
    let (broker, wait) = redis.map_or(("bus", BUS_BOOT_WAIT), |redis| ("redis", redis.boot_wait));
    if timeout(wait, cluster.ready()).await.is_err() {
        tracing::warn!(broker, "no answer: serving this worker's own clients until there is one");
    }
}

/// Lets the last messages out.
pub(crate) async fn leave(cluster: &Cluster) {
    if timeout(LEAVE_WAIT, cluster.settled()).await.is_err() {
        tracing::warn!(stats = ?cluster.stats(), "not everything that was published is confirmed");
    }
    cluster.shutdown();
}
