//! This worker's place in the cluster: the adapter over the bus, from its first attempt to connect to its last word.

use std::time::Duration;

use oxherd_adapter::{Cluster, Config, ConfigError};
use oxherd_contract::settings::WorkerSettings;
use tokio::time::timeout;

/// How long READY waits for the bus; after it the worker serves its own clients and joins when it can.
const BOOT_WAIT: Duration = Duration::from_secs(5);

/// How long a worker that ends waits for the bus to confirm what it published.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// Begins to connect to the bus of this box, under a name by which the bus knows the worker.
pub(crate) fn start(settings: &WorkerSettings) -> Result<Cluster, ConfigError> {
    let name = settings.identity.worker.client_name();
    Cluster::start(Config::new(format!("unix://{}", settings.bus.display()))?.client_name(name)?)
}

/// Waits until messages pass in both directions.
pub(crate) async fn joined(cluster: &Cluster) {
    if timeout(BOOT_WAIT, cluster.ready()).await.is_err() {
        tracing::warn!("the bus does not answer: serving without the other workers until it does");
    }
}

/// Lets the last messages out.
pub(crate) async fn leave(cluster: &Cluster) {
    if timeout(LEAVE_WAIT, cluster.settled()).await.is_err() {
        tracing::warn!(stats = ?cluster.stats(), "the bus did not confirm everything");
    }
    cluster.shutdown();
}
