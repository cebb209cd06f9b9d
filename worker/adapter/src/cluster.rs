//! The handle to everybody: all sockets of all servers, with no socket at hand.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use socketioxide::{SocketIo, adapter::Emitter};
use socketioxide_core::parser::ParserError;

use crate::{ClassicAdapter, Config, ConfigError, Stats, Target, describe::Describe, hub::Hub};

/// One server's place in the cluster: the adapter's state, and a handle to everybody. Clones are cheap and mean the
/// same; each server needs its own.
///
/// ```no_run
/// # use socketioxide::SocketIo;
/// # use oxherd_adapter::{Adapter, Cluster, Config};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::start(Config::new("redis://127.0.0.1")?)?;
/// let (layer, io) = SocketIo::builder().with_adapter::<Adapter>(cluster.clone()).build_layer();
/// cluster.attach(io.clone());
/// io.ns("/", async || {}).await?;
/// cluster.ready().await;
/// cluster.of("/").to("news").emit("headline", "it works")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cluster {
    pub(crate) hub: Arc<Hub>,
}

/// Why an operation on the cluster failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// As many questions as are allowed wait for their answers.
    #[error("too many questions to other servers are open")]
    TooManyRequests,
    /// The data cannot be serialized.
    #[error("cannot encode the data: {0}")]
    Encode(#[from] ParserError),
    /// Clients take events of this name for their own.
    #[error("{0:?} is a reserved event name")]
    ReservedEvent(String),
}

impl Cluster {
    /// Begins to connect, and returns at once: [`ready`](Self::ready) tells when the connections stand. Must be called
    /// within a tokio runtime.
    pub fn start(config: Config) -> Result<Self, ConfigError> {
        Hub::start(config).map(|hub| Self { hub })
    }

    /// Lets other servers see the handshake and data of this server's sockets. The server then lives until
    /// [`shutdown`](Self::shutdown), since it and this handle hold each other.
    pub fn attach(&self, io: SocketIo<ClassicAdapter<Emitter>>) {
        self.describe_with(io);
    }

    /// Lets other servers see of this server's sockets what `describe` knows.
    pub fn describe_with(&self, describe: impl Describe) {
        self.hub.set_describe(Arc::new(describe));
    }

    /// Waits until both connections stand and every subscription is confirmed.
    pub async fn ready(&self) {
        self.hub.link.ready().await;
    }

    /// Both connections stand and every subscription is confirmed.
    pub fn is_ready(&self) -> bool {
        let state = self.hub.link.state();
        state.publishing && state.complete
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.hub.link.counters.snapshot()
    }

    /// Waits until everything that was published is confirmed, or known to be lost.
    pub async fn settled(&self) {
        self.hub.link.settled().await;
    }

    /// Ends both connections; what still waits is dropped, so wait for [`settled`](Self::settled) before, for as long as
    /// there is time.
    pub fn shutdown(&self) {
        self.hub.stop();
    }

    /// All sockets of a namespace.
    pub fn of(&self, namespace: impl Into<String>) -> Target {
        Target::new(self.clone(), namespace.into())
    }

    /// The sockets of the root namespace that are in `room`; further rooms may be added.
    pub fn to(&self, room: impl Into<String>) -> Target {
        self.of("/").to(room)
    }

    /// Publishes on a channel of your own, in line with everything else. Its name must be none that Node's adapter
    /// listens to, which is what begins with the [`key`](Config::key). Dropped and counted when too much waits for Redis.
    pub fn publish(&self, channel: &str, message: Vec<u8>) {
        let _ = self.hub.link.publish(channel, message);
    }

    /// Gives every message on a channel of your own to `hear`, also those from here, in Redis' order. It is called by the
    /// task that reads the connection, so it must not block. One at a time hears a channel: the latest.
    pub fn listen(&self, channel: &str, hear: impl Fn(Bytes) + Send + Sync + 'static) {
        self.hub.listen(channel, Arc::new(hear));
    }

    /// Handles an event that another server sends to the servers of a namespace (Node's `serverSideEmit`): what the
    /// handler returns is the answer. A tuple takes all arguments, another type the first. One handler for an event.
    ///
    /// ```no_run
    /// # fn on(cluster: &oxherd_adapter::Cluster) {
    /// cluster.on_server_side_emit("/", "load", async |(): ()| 0.7);
    /// cluster.on_server_side_emit("/", "add", async |(a, b): (i64, i64)| a + b);
    /// # }
    /// ```
    pub fn on_server_side_emit<T, R, F, Fut>(&self, namespace: &str, event: &str, handler: F)
    where
        T: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
    {
        self.hub.namespace(namespace).handlers.on(event, handler);
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("ready", &self.is_ready()).field("stats", &self.stats()).finish()
    }
}

/// A socket somewhere in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteSocket {
    /// Its id: 16 characters here, 20 at Node.
    pub id: String,
    /// Its rooms, its own id not among them.
    pub rooms: BTreeSet<String>,
    /// What is known of the request that opened it: `headers`, `address`, `query`, `auth` and more.
    pub handshake: Json,
    /// Node's `socket.data`.
    pub data: Json,
}
