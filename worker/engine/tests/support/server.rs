//! A server in a thread of its own: socketioxide at /socket.io, a bare engine that echoes at /engine.io.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use engineioxide::{
    config::EngineIoConfig,
    control::{CloseCode, Control, Options},
    layer::EngineIoLayer,
    socket::Sid,
};
use serde::{Deserialize, Serialize};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use tokio::sync::oneshot;

use super::echo::Echo;

/// See the module. Dropping it ends all of it at once, as a crash would.
pub struct Server {
    pub addr: SocketAddr,
    pub control: Control,
    pub echo: Arc<Echo>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How a server is set up.
pub struct Setup {
    pub options: Option<Options>,
    pub config: EngineIoConfig,
    pub echo: Echo,
    pub addr: SocketAddr,
    /// 0: a runtime of the serving thread alone.
    pub worker_threads: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            options: Some(Options::default()),
            config: EngineIoConfig::builder().max_payload(4 << 20).build(),
            echo: Echo::default(),
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            worker_threads: 0,
        }
    }
}

impl Setup {
    pub fn start(self) -> Server {
        let listener = TcpListener::bind(self.addr).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let with_control = self.options.is_some();
        let control = Control::new(self.options.unwrap_or_default());
        let echo = Arc::new(self.echo);
        let (stop, stopped) = oneshot::channel();
        let (config, threads) = (self.config, self.worker_threads);
        let (own_control, own_echo) = (control.clone(), echo.clone());
        let thread = std::thread::spawn(move || {
            let runtime = match threads {
                0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
                n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
            };
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let serving = tokio::spawn(serve(listener, config, own_echo, own_control, with_control));
                let _ = stopped.await;
                serving.abort();
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Server { addr, control, echo, stop: Some(stop), thread: Some(thread) }
    }
}

impl Server {
    pub fn start() -> Self {
        Setup::default().start()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Blob {
    name: String,
    parts: Vec<Bytes>,
}

async fn serve(
    listener: TcpListener,
    config: EngineIoConfig,
    echo: Arc<Echo>,
    control: Control,
    with_control: bool,
) {
    let (layer, io) = SocketIo::builder()
        .max_payload(config.max_payload)
        .ping_interval(config.ping_interval)
        .ping_timeout(config.ping_timeout)
        .build_layer();
    let own = control.clone();
    io.ns("/", async move |socket: SocketRef| {
        socket.on("text", async |socket: SocketRef, Data::<serde_json::Value>(data)| {
            socket.emit("text", &data).unwrap();
        });
        socket.on("blob", async |socket: SocketRef, Data::<Blob>(data)| {
            socket.emit("blob", &data).unwrap();
        });
        socket.on("ask", async |Data::<Blob>(data), ack: AckSender| {
            ack.send(&data).unwrap();
        });
        socket.on("burst", async |socket: SocketRef, Data::<u32>(count)| {
            (0..count).for_each(|n| socket.emit("n", &n).unwrap());
        });
        socket.on("end me", async move |socket: SocketRef| {
            let sid: Sid = socket.id.to_string().parse().unwrap();
            own.session(sid).unwrap().end(CloseCode::SERVICE_RESTART);
        });
    });
    let mut app = axum::Router::new()
        .route("/", axum::routing::get(|| async { "ok" }))
        .layer(layer)
        .layer(EngineIoLayer::from_config(Arc::new(EchoHandle(echo)), config));
    if with_control {
        app = app.layer(axum::Extension(control));
    }
    axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
}

/// A layer wants a handler that is `Clone`.
#[derive(Debug, Clone)]
struct EchoHandle(Arc<Echo>);

impl engineioxide::handler::EngineIoHandler for EchoHandle {
    type Data = ();

    fn on_connect(self: Arc<Self>, socket: Arc<engineioxide::Socket<()>>) {
        self.0.clone().on_connect(socket);
    }
    fn on_disconnect(&self, socket: Arc<engineioxide::Socket<()>>, reason: engineioxide::DisconnectReason) {
        self.0.on_disconnect(socket, reason);
    }
    fn on_message(self: &Arc<Self>, msg: engineioxide::Str, socket: Arc<engineioxide::Socket<()>>) {
        self.0.on_message(msg, socket);
    }
    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<engineioxide::Socket<()>>) {
        self.0.on_binary(data, socket);
    }
}
