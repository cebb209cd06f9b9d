//! What oxherd is compared with: one process with socketioxide as it comes, on one thread or more.
//!
//! `stock PORT THREADS` serves the events of oxherd's stock server on the loopback address.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::socket::Sid;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

#[derive(Serialize)]
struct Welcome {
    id: Sid,
    host: &'static str,
    worker: u16,
    generation: u16,
}

#[derive(Serialize)]
struct Done {
    ok: bool,
    room: String,
}

#[derive(Serialize)]
struct Sent<'a> {
    ok: bool,
    id: &'a str,
}

#[derive(Deserialize)]
struct Request {
    room: String,
    data: serde_json::Value,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    room: &'a str,
    from: Sid,
    /// Milliseconds since 1970.
    at: u64,
    data: serde_json::Value,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().ok_or("stock PORT THREADS")?.parse::<u16>().map_err(|_| "not a number");
    let (port, threads) = (number()?, number()?);
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.into()).enable_all().build()?.block_on(serve(port))
}

async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let (layer, io) = SocketIo::new_layer();
    let messages = Arc::new(AtomicU64::new(0));
    io.ns("/", async move |socket: SocketRef| connected(&socket, &messages));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true); // fails only if the client is gone
    });
    println!("ready");
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}

fn connected(socket: &SocketRef, messages: &Arc<AtomicU64>) {
    socket.on("join", async |socket: SocketRef, Data(room): Data<String>, ack: AckSender| {
        socket.join(room.clone());
        let _ = ack.send(&Done { ok: true, room }); // fails if it was not asked for
    });
    socket.on("leave", async |socket: SocketRef, Data(room): Data<String>, ack: AckSender| {
        socket.leave(room.clone());
        let _ = ack.send(&Done { ok: true, room });
    });
    let messages = messages.clone();
    socket.on("message", move |socket: SocketRef, Data(request): Data<Request>, ack: AckSender| {
        // As long as oxherd's ids, so that all servers send messages of one size.
        let id = format!("0000000000000000-0-{}", messages.fetch_add(1, Relaxed));
        async move {
            let Request { room, data } = request;
            let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            let message = Message { id: &id, room: &room, from: socket.id, at, data };
            let _ = socket.within(room.clone()).emit("message", &message).await; // a full queue is what is measured
            let _ = ack.send(&Sent { ok: true, id: &id });
        }
    });
    let welcome = Welcome { id: socket.id, host: "stock", worker: 0, generation: 0 };
    let _ = socket.emit("welcome", &welcome); // fails if the client is gone
}
