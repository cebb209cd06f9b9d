//! A socketioxide server with the adapter, in this process.

use std::str::FromStr;

use oxherd_adapter::{Adapter, Cluster, Config};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
    socket::Sid,
};

pub struct Server {
    pub cluster: Cluster,
    pub io: SocketIo<Adapter>,
    pub url: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Connected, its root namespace known to the others.
    pub async fn start(redis: &super::Redis) -> Self {
        let server = Self::unconnected(config(redis), &["/"]).await;
        server.cluster.ready().await;
        server
    }

    pub async fn with(config: Config, namespaces: &[&'static str]) -> Self {
        let server = Self::unconnected(config, namespaces).await;
        server.cluster.ready().await;
        server
    }

    /// Does not wait for Redis.
    pub async fn unconnected(config: Config, namespaces: &[&'static str]) -> Self {
        let cluster = Cluster::start(config).unwrap();
        // What a client on a busy machine has not read yet must not be dropped: it is the cluster that is tested.
        let builder = SocketIo::builder().max_buffer_size(100_000);
        let (layer, io) = builder.with_adapter::<Adapter>(cluster.clone()).build_layer();
        cluster.attach(io.clone());
        for namespace in namespaces {
            io.ns(*namespace, connected).await.unwrap();
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().layer(layer)).await.unwrap();
        });
        Self { cluster, io, url, serving }
    }

    /// The socket of the root namespace that a client calls its own.
    pub fn socket(&self, id: &str) -> SocketRef<Adapter> {
        self.socket_of("/", id)
    }

    pub fn socket_of(&self, namespace: &str, id: &str) -> SocketRef<Adapter> {
        self.io.of(namespace).unwrap().get_socket(Sid::from_str(id).unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
        self.cluster.shutdown();
    }
}

pub fn config(redis: &super::Redis) -> Config {
    Config::new(redis.url()).unwrap()
}

async fn connected(socket: SocketRef<Adapter>) {
    socket.on(
        "join",
        async |socket: SocketRef<Adapter>, Data(room): Data<String>, ack: AckSender<Adapter>| {
            socket.join(room);
            ack.send(&()).ok();
        },
    );
}
