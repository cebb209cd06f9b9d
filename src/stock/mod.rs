//! The stock server: what the plain binary serves without a line of Rust.
//!
//! Events on namespace `/`; every answer is the acknowledgement, if the client asked for one:
//!
//! | client sends | answer | effect |
//! |---|---|---|
//! | connects | | gets event `welcome` `{id, host, worker, generation}`; `worker` is the worker's index |
//! | `join` `"room"` | `{ok:true, room}` | member of the room |
//! | `leave` `"room"` | `{ok:true, room}` | |
//! | `message` `{room, data}` | `{ok:true, id}` | every member gets `message` `{id, room, from, at, data}`; `from` is a socket's id, `at` milliseconds since 1970 |
//! | anything else | `{ok:false, error}` | nothing; the connection stays |
//!
//! Over HTTP: `POST /api/emit` publishes for a backend that has the key, `GET /` is a chat page, `GET /healthz` and `GET /readyz` answer for the box, and
//! `GET /socket.io/socket.io.js` is the official client if `client_bundle` names it.

mod api;
mod bundle;
mod chat;
mod event;
mod health;
mod page;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use oxherd_worker::{BoxError, SocketRef, Worker};
use tower::Layer;
use tower::util::MapResponse;

/// The stock server as an application for [`Server::run`](crate::Server::run).
pub async fn application(worker: Worker) -> Result<Router, BoxError> {
    let bundle = bundle::load(worker.settings().stock.client_bundle.as_deref())?;
    let (layer, io) = worker.socket_io(|builder| builder);
    let cors = worker.cors();
    let chat = chat::Chat::new(worker.identity().clone());
    io.ns("/", async move |socket: SocketRef| chat.connected(&socket)).await?;

    let api = api::routes(worker.cluster().clone(), worker.settings().stock.api_key.clone());
    let pages = page::routes().merge(api).merge(health::routes(worker));
    // Not `Router::layer`: that boxes every layer of every request, and a poll costs a tenth more.
    let served = cors.layer(MapResponse::new(layer.layer(pages), IntoResponse::into_response));
    // The bundle's path is below the Socket.IO server's, which would take it for a handshake.
    let bundle = get(|| async move { bundle }).layer(cors);
    Ok(Router::new().route(bundle::PATH, bundle).fallback_service(served))
}
