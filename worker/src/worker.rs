//! What an application is given: who this worker is, and its Socket.IO server.

use std::sync::{Arc, Mutex, PoisonError};

use oxherd_adapter::{Adapter, Cluster};
use oxherd_contract::scoreboard::{Row, Scoreboard};
use oxherd_contract::settings::{Identity, SharedSettings, WorkerSettings};
use socketioxide::layer::SocketIoLayer;
use socketioxide::{SocketIo, SocketIoBuilder};

use crate::http::Cors;

/// A connected socket, so that handlers need no generics.
pub type SocketRef = socketioxide::extract::SocketRef<Adapter>;

/// What an application may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One worker process, as its application sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: WorkerSettings,
    scoreboard: &'static Scoreboard,
    row: &'static Row,
    servers: Mutex<Vec<SocketIo<Adapter>>>,
    cluster: Cluster,
}

impl Worker {
    pub(crate) fn new(
        settings: WorkerSettings,
        scoreboard: &'static Scoreboard,
        row: &'static Row,
        cluster: Cluster,
    ) -> Self {
        Worker { shared: Arc::new(Shared { settings, scoreboard, row, servers: Mutex::default(), cluster }) }
    }

    /// Who this worker is.
    pub fn identity(&self) -> &Identity {
        &self.shared.settings.identity
    }

    /// What the configuration decided for all workers of this generation.
    pub fn settings(&self) -> &SharedSettings {
        &self.shared.settings.shared
    }

    /// A Socket.IO server as a layer for the application's router, and the handle for its namespaces.
    ///
    /// `customize` gets socketioxide's builder and may use all of it but the adapter. The layer belongs on the
    /// router that the application returns; a worker is READY when its handshake answers there.
    pub fn socket_io(
        &self,
        customize: impl FnOnce(SocketIoBuilder) -> SocketIoBuilder,
    ) -> (SocketIoLayer<Adapter>, SocketIo<Adapter>) {
        let builder = SocketIo::builder().max_payload(self.settings().engine.payload_bytes_max.into());
        // One limit on every transport: these two only ever lower it.
        let builder = builder.ws_max_message_size(usize::MAX).ws_max_frame_size(usize::MAX);
        let builder = customize(builder).with_adapter::<Adapter>(self.shared.cluster.clone());
        let (layer, io) = builder.build_layer();
        self.shared.cluster.attach(io.clone());
        self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).push(io.clone());
        (layer, io)
    }

    /// `cors.origins` and `cors.credentials` as a layer. It belongs on the outside of the router that the application
    /// returns; one with a CORS layer of its own has no use for it.
    pub fn cors(&self) -> Cors {
        Cors::new(&self.shared.settings.shared.edge.cors)
    }

    /// Everybody: all sockets of all workers, and of the other servers of the cluster, with no socket at hand.
    pub fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    /// The numbers of every worker of the box.
    pub fn scoreboard(&self) -> &'static Scoreboard {
        self.shared.scoreboard
    }

    /// This worker's own numbers.
    pub fn row(&self) -> &'static Row {
        self.shared.row
    }

    /// The Socket.IO servers that the application made so far.
    pub(crate) fn servers(&self) -> Vec<SocketIo<Adapter>> {
        self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
