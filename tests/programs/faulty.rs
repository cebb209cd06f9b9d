//! An application that misbehaves when it is told to, for the end-to-end tests.
//!
//! | variable              | what happens at boot                                       |
//! |-----------------------|------------------------------------------------------------|
//! | `FAULTY_CRASH=all`    | every worker exits with status 3                           |
//! | `FAULTY_CRASH=INDEX`  | the worker of this index exits with status 3               |
//! | `FAULTY_REFUSE=PATH`  | the application fails as long as this file exists          |
//!
//! | request               | event   | what happens                                     |
//! |-----------------------|---------|--------------------------------------------------|
//! | `GET /who`            |         | the pid of the worker that answers               |
//! | `GET /peer`           |         | who the client is, and which headers claim it    |
//! | `GET /slow?ms=N`      |         | the same, N milliseconds later                   |
//! | `GET /compute?ms=N`   |         | the same, after N milliseconds on a core         |
//! | `GET /orphan`         |         | a process that outlives its parent for a moment  |
//! | `GET /spin`           | `spin`  | the worker's only thread computes for ever       |
//! | `GET /panic`          | `panic` | the handler panics                               |
//! |                       | `panic at once` | the handler panics before it has a future |

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use axum::extract::{ConnectInfo, Query, Request};
use axum::http::HeaderName;
use axum::routing::get;
use nix::time::{ClockId, clock_gettime};
use oxherd::{Peer, Server, SocketRef, Worker};
use serde::Deserialize;

fn main() -> ExitCode {
    Server::from_env().run(|worker: Worker| async move {
        misbehave_at_boot(worker.identity().index.0)?;
        let (layer, io) = worker.socket_io(|builder| builder);
        io.ns("/", |socket: SocketRef| async move {
            socket.on("spin", async || spin());
            socket.on("panic", async || misbehave());
            socket.on("panic at once", || {
                misbehave();
                std::future::ready(())
            });
        })
        .await?;
        let router = axum::Router::new()
            .route("/who", get(who))
            .route("/peer", get(peer))
            .route("/slow", get(slow))
            .route("/compute", get(compute))
            .route("/orphan", get(orphan))
            .route("/spin", get(async || spin()))
            .route("/panic", get(async || misbehave()));
        Ok(router.layer(layer))
    })
}

fn misbehave_at_boot(index: u16) -> Result<(), String> {
    let crash = std::env::var("FAULTY_CRASH").unwrap_or_default();
    if crash == "all" || crash == index.to_string() {
        std::process::exit(3);
    }
    match std::env::var("FAULTY_REFUSE") {
        Ok(path) if Path::new(&path).exists() => Err(format!("{path} is in the way")),
        _ => Ok(()),
    }
}

async fn who() -> String {
    std::process::id().to_string()
}

async fn peer(request: Request) -> String {
    let seen = request.extensions().get::<Peer>();
    let address = seen.and_then(|peer| peer.address).map(|address| address.to_string());
    let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let claims = request.headers().keys().map(HeaderName::as_str);
    let mut claims: Vec<_> = claims.filter(|name| name.starts_with("x-") || *name == "forwarded").collect();
    claims.sort_unstable();
    serde_json::json!({
        "address": address,
        "scheme": seen.map(|peer| format!("{:?}", peer.scheme)),
        "connect_info": connected.map(|ConnectInfo(address)| address.to_string()),
        "claims": claims,
    })
    .to_string()
}

#[derive(Deserialize)]
struct Effort {
    ms: u64,
}

async fn slow(Query(Effort { ms }): Query<Effort>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    who().await
}

async fn compute(Query(Effort { ms }): Query<Effort>) -> String {
    let end = time_on_a_core() + Duration::from_millis(ms);
    while time_on_a_core() < end {
        std::hint::spin_loop();
    }
    who().await
}

fn time_on_a_core() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::MAX, Duration::from) // Linux has this clock
}

/// The shell, which is waited for, leaves a process behind.
async fn orphan() -> String {
    let shell = Command::new("sh").args(["-c", "sleep 0.1 &"]).stdout(Stdio::null()).status();
    shell.map_or_else(|error| error.to_string(), |status| status.to_string())
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

fn misbehave() {
    panic!("as it was told");
}
