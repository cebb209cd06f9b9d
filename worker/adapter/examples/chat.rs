//! A small chat on as many servers as you start, with Node servers among them if you like:
//!
//! ```text
//! redis-server &
//! cargo run --example chat -- redis://127.0.0.1 127.0.0.1:3000 &
//! cargo run --example chat -- redis://127.0.0.1 127.0.0.1:3001 &
//! ```
//!
//! A client emits `join` with a room and `message` with `{room, text}`; every member of the room, on every server, gets
//! `message`. Every ten seconds each server prints how many sockets the cluster has.

use std::time::Duration;

use oxherd_adapter::{Adapter, Cluster, Config, SocketData};
use serde_json::json;
use socketioxide::{
    SocketIo,
    extract::{Data, SocketRef},
};

#[derive(serde::Deserialize)]
struct Message {
    room: String,
    text: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let redis = args.next().unwrap_or_else(|| "redis://127.0.0.1".to_owned());
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    let cluster = Cluster::start(Config::new(redis)?)?;
    let (layer, io) = SocketIo::builder().with_adapter::<Adapter>(cluster.clone()).build_layer();
    cluster.attach(io.clone());
    cluster.on_server_side_emit("/", "where", async |(): ()| std::process::id());
    io.ns("/", connected).await?;

    tokio::spawn(report(cluster));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}

async fn connected(socket: SocketRef<Adapter>) {
    socket.extensions.insert(SocketData(json!({ "server": std::process::id() })));
    socket.on("join", async |socket: SocketRef<Adapter>, Data(room): Data<String>| socket.join(room));
    socket.on("message", async |socket: SocketRef<Adapter>, Data(Message { room, text }): Data<Message>| {
        let data = json!({ "room": room, "from": socket.id, "text": text });
        if let Err(error) = socket.within(room).emit("message", &data).await {
            eprintln!("some did not get it: {error}");
        }
    });
}

async fn report(cluster: Cluster) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        match cluster.of("/").count().await {
            Ok(count) if count.is_complete() => {
                println!("{} sockets on {} servers", count.value, count.answered + 1)
            }
            Ok(count) => println!("at least {} sockets", count.value),
            Err(error) => eprintln!("cannot count: {error}"),
        }
    }
}
