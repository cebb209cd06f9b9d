//! The application that the tested workers run. The variable `APPLICATION` chooses how it behaves at birth.

use std::fs::File;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::routing::get;
use oxherd_contract::scoreboard::State;
use oxherd_contract::settings::{LogFormat, WorkerSettings};
use oxherd_worker::{BoxError, SocketRef, Worker};
use socketioxide::extract::{AckSender, Data};
use std::net::SocketAddr;

/// Descriptors that `/hog` took.
static HOG: Mutex<Vec<File>> = Mutex::new(Vec::new());

pub fn main() -> ExitCode {
    oxherd_worker::run(start_logging, application)
}

fn start_logging(settings: &WorkerSettings) {
    assert_eq!(settings.shared.log.format, LogFormat::Json);
    tracing_subscriber::fmt().json().with_env_filter(&settings.shared.log.filter).init();
}

async fn application(worker: Worker) -> Result<Router, BoxError> {
    let mode = std::env::var("APPLICATION").unwrap_or_default();
    match mode.as_str() {
        "error" => return Err(Box::new(std::io::Error::other(TwoCauses))),
        "panic" => panic!("no database"),
        "500" => return Ok(Router::new().fallback(|| async { StatusCode::SERVICE_UNAVAILABLE })),
        "404" => return Ok(Router::new()),
        "silent" => return Ok(Router::new().fallback(std::future::pending::<()>)),
        _ => {}
    }
    let (layer, io) = worker.socket_io(|builder| builder.ping_interval(Duration::from_secs(300)));
    let identity = worker.identity().clone();
    io.ns("/", async move |socket: SocketRef| {
        socket.emit("welcome", &identity.worker.0).ok();
        socket.on_disconnect(async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tracing::info!("goodbye");
        });
        socket.on("echo", async |Data::<String>(text), ack: AckSender<_>| drop(ack.send(&text)));
        socket.on("flood", async |socket: SocketRef| {
            let message = "x".repeat(100_000);
            while socket.emit("flood", &message).is_ok() {}
        });
        socket.on("large", async |socket: SocketRef| drop(socket.emit("large", &"x".repeat(32 << 20))));
        socket.on("panic", async || panic!("one event"));
        socket.on("panic at once", |_: SocketRef| panics_at_once());
        socket.on("panic at the end", async |socket: SocketRef| {
            socket.on_disconnect(|_: SocketRef| panics_at_once());
        });
    })
    .await?;
    io.ns("/panics", |_: SocketRef| panics_at_once()).await?;
    let row = worker.row();
    Ok(Router::new()
        .route("/sockets", get(async move || io.sockets().len().to_string()))
        .route("/", get(async || "hello"))
        .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
        .route("/panic", get(panics))
        .route("/spin", get(spin))
        .route("/hog", get(hog))
        .route("/free", get(async || HOG.lock().unwrap().clear()))
        .route("/endless", get(async || Body::new(Endless)))
        .route(
            "/until-draining",
            get(async move || {
                while row.state() != State::Draining {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                "done"
            }),
        )
        .layer(layer))
}

/// Panics in the part of a handler that is not its future.
fn panics_at_once() -> std::future::Ready<()> {
    panic!("before the handler's future");
}

async fn panics() -> &'static str {
    panic!("one request")
}

async fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

/// Takes every descriptor that this process may have.
async fn hog() -> String {
    let mut hog = HOG.lock().unwrap();
    while let Ok(file) = File::open("/dev/null") {
        hog.push(file);
    }
    hog.len().to_string()
}

/// A response that never ends.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 8192])))))
    }
}

/// An error with a cause.
#[derive(Debug)]
struct TwoCauses;

impl std::fmt::Display for TwoCauses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot reach the database")
    }
}

impl std::error::Error for TwoCauses {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&std::fmt::Error)
    }
}
