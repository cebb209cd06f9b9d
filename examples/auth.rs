//! Nobody gets in without a token: a middleware looks at a client's `auth` before it is connected.
//!
//! `TOKENS=babe:s3cret,moo:hay cargo run --release --example auth`, and in a browser's console, or in Node:
//!
//! ```js
//! const socket = io("http://127.0.0.1:3000", { auth: { token: "s3cret" } });
//! socket.on("connect_error", (error) => console.log(error.message));
//! socket.emit("whoami", console.log);
//! ```

use std::collections::HashMap;
use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use oxherd::axum::Router;
use oxherd::socketioxide::extract::{AckSender, Extension, TryData};
use oxherd::socketioxide::handler::ConnectHandler;
use oxherd::{Adapter, Server, SocketRef, Worker};
use serde::Deserialize;

#[derive(Deserialize)]
struct Auth {
    token: String,
}

/// A name, for whoever has its token.
#[derive(Clone)]
struct User(Arc<str>);

async fn whoami(Extension(User(name)): Extension<User>, ack: AckSender<Adapter>) {
    ack.send(&*name).ok();
}

fn main() -> ExitCode {
    Server::from_env().run(|worker: Worker| async move {
        // An application's own variables reach its workers; only OXHERD_… are kept from them. Without it nobody gets in.
        let tokens = env::var("TOKENS").unwrap_or_default();
        let users: HashMap<String, User> = tokens
            .split(',')
            .filter_map(|pair| pair.split_once(':'))
            .map(|(name, token)| (token.to_owned(), User(name.into())))
            .collect();
        let users = Arc::new(users);

        let admit = async move |socket: SocketRef, TryData(auth): TryData<Auth>| {
            let user = auth.ok().and_then(|auth| users.get(&auth.token).cloned()).ok_or("wrong token")?;
            socket.extensions.insert(user);
            Ok::<(), &str>(())
        };
        let connected = async |socket: SocketRef| socket.on("whoami", whoami);

        let (layer, io) = worker.socket_io(|builder| builder);
        io.ns("/", connected.with(admit));
        Ok(Router::new().layer(layer))
    })
}
