//! socketioxide on this engine with an own connection loop: where a control is put into the requests, and what it tells.
//!
//! `cargo run -p engineioxide --example server`, then connect a Socket.IO client to http://127.0.0.1:3000.

use std::{error::Error, num::NonZeroUsize, time::Duration};

use engineioxide::control::{CloseCode, Control, Options, Pace};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socketioxide::{
    SocketIo,
    extract::{Data, SocketRef},
};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (service, io) = SocketIo::builder().build_svc();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |socket: SocketRef, Data::<serde_json::Value>(data)| {
            let _ = socket.emit("echo", &data);
        });
    });

    let control = Control::new(Options {
        slow_budget: NonZeroUsize::new(1 << 20),
        slow_after: Some(Duration::from_secs(10)),
        ..Options::default()
    });
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let accepted = control.clone();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (service, control) = (service.clone(), accepted.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                control.attach(&mut request);
                hyper::service::Service::call(&service, request)
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });

    tokio::time::sleep(Duration::from_secs(60)).await;
    println!("{:#?}", control.counters().snapshot());
    let pace = Pace { sessions: NonZeroUsize::MIN, every: Duration::from_millis(1) };
    let ended = control.shutdown(CloseCode::SERVICE_RESTART, || pace).await;
    println!("{ended} sessions ended");
    serving.abort();
    Ok(())
}
