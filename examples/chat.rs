//! Rooms with typed events: what a client sends is parsed into a type before a handler sees it.
//!
//! `cargo run --release --example chat`, and in a browser's console, or in Node:
//!
//! ```js
//! const socket = io("http://127.0.0.1:3000");
//! socket.on("said", console.log);
//! socket.emit("enter", { room: "barn", name: "Babe" });
//! socket.emit("say", "moo", console.log);
//! ```

use std::process::ExitCode;

use oxherd::axum::{Router, routing::get};
use oxherd::socketioxide::extract::{AckSender, Data, TryData};
use oxherd::{Adapter, Server, SocketRef, Worker};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize)]
struct Guest {
    room: String,
    name: String,
}

#[derive(Serialize)]
struct Said<'a> {
    name: &'a str,
    text: &'a str,
}

/// Remembers who the socket is; a second `enter` moves it to another room.
async fn enter(socket: SocketRef, Data(guest): Data<Guest>) {
    socket.leave_all();
    socket.join(guest.room.clone());
    socket.extensions.insert(guest);
}

/// Tells everybody in the room, and the sender whether it worked.
///
/// It looks for the guest itself: an `Extension` among the arguments would be looked for when the event is read, which
/// may be before the body of an `enter` that came right before it has run.
async fn say(socket: SocketRef, TryData(text): TryData<String>, ack: AckSender<Adapter>) {
    let sent = match (socket.extensions.get::<Guest>(), &text) {
        (Some(guest), Ok(text)) => {
            let said = Said { name: &guest.name, text };
            socket.within(guest.room.clone()).emit("said", &said).await.is_ok()
        }
        _ => false,
    };
    ack.send(&sent).ok();
}

fn main() -> ExitCode {
    Server::from_env().run(|worker: Worker| async move {
        let (layer, io) = worker.socket_io(|builder| builder);
        io.ns("/", async |socket: SocketRef| {
            socket.on("enter", enter);
            socket.on("say", say);
        })
        .await?;
        let worker = worker.identity().index;
        Ok(Router::new().route("/", get(async move || format!("worker {worker}\n"))).layer(layer))
    })
}
