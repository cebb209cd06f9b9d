//! A WebSocket that echoes, through all of the engine but for Engine.IO's own packets: what `tests/autobahn.sh` tests.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use engineioxide::{
    DisconnectReason, Socket, Str,
    config::EngineIoConfig,
    control::{Control, Options},
    handler::EngineIoHandler,
    service::EngineIoService,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The suite's largest message has 16 MiB.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

#[derive(Debug)]
struct Echo;

impl EngineIoHandler for Echo {
    type Data = ();

    fn on_connect(self: Arc<Self>, _: Arc<Socket<()>>) {}

    fn on_disconnect(&self, _: Arc<Socket<()>>, _: DisconnectReason) {}

    fn on_message(self: &Arc<Self>, text: Str, socket: Arc<Socket<()>>) {
        socket.emit_bare(&text);
    }

    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<Socket<()>>) {
        let _ = socket.emit_binary(data);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = EngineIoConfig {
        max_payload: MESSAGE_BYTES_MAX as u64,
        ws_max_frame_size: MESSAGE_BYTES_MAX,
        ws_max_message_size: MESSAGE_BYTES_MAX,
        max_buffer_size: usize::MAX,
        ping_interval: Duration::from_secs(3600),
        bare_websocket: true,
        ..EngineIoConfig::default()
    };
    let service = EngineIoService::with_config(Arc::new(Echo), config);
    let control = Control::new(Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (service, control) = (service.clone(), control.clone());
        let service = service_fn(move |mut request| {
            control.attach(&mut request);
            hyper::service::Service::call(&service, request)
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}
