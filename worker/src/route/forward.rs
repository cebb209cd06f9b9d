//! Forwarding at HTTP level: a request that came here and belongs elsewhere is answered by its owner, through us.
//! Everything streams, and an upgraded connection becomes a pipe. What was forwarded is never forwarded again.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use oxherd_contract::ids::{BoxId, WorkerId};
use thiserror::Error;
use tokio::io::copy_bidirectional_with_sizes;

use super::hop;
use super::pool::{Pool, PoolError};
use crate::connection::Peer;

/// What waits in a pipe at most, in each direction: one per forwarded WebSocket, so rather little.
const PIPE_BYTES: usize = 4096;

/// Who answers a forwarded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Upstream {
    Sibling(WorkerId),
    /// A worker of another box.
    Box {
        box_id: BoxId,
        worker: WorkerId,
    },
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ForwardError {
    #[error(transparent)]
    Unreachable(#[from] PoolError),
    #[error("the other worker did not answer")]
    Unanswered(#[source] hyper::Error),
}

/// The way to those who own the sessions of others.
pub(crate) struct Forwarder {
    me: WorkerId,
    pool: Pool,
}

impl Forwarder {
    pub fn new(me: WorkerId, pool: Pool) -> Self {
        Forwarder { me, pool }
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The owner's answer to a client's request.
    pub async fn forward(
        &self,
        request: Request<Incoming>,
        upstream: Upstream,
        peer: Peer,
    ) -> Result<Response<Body>, ForwardError> {
        let (mut head, body) = request.into_parts();
        hop::forwarded(&mut head, peer, self.me); // which keeps an upgrade's headers only while its way is there
        let client = if hop::is_upgrade(&head) { head.extensions.remove::<OnUpgrade>() } else { None };
        head.extensions.clear();
        let (mut response, connection) = self.send(upstream, Request::from_parts(head, body)).await?;
        match client {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                tokio::spawn(pipe(client, hyper::upgrade::on(&mut response)));
            }
            _ => self.pool.keep(upstream, connection),
        }
        let (mut head, body) = response.into_parts();
        hop::answered(&mut head);
        Ok(Response::from_parts(head, Body::new(body)))
    }

    /// Sends over a connection that waits, or over a new one if there is none or its other end has just closed it.
    async fn send(
        &self,
        to: Upstream,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Incoming>, SendRequest<Incoming>), ForwardError> {
        while let Some(mut connection) = self.pool.take(to) {
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut unsent) => match unsent.take_message() {
                    Some(message) => request = message,
                    None => return Err(ForwardError::Unanswered(unsent.into_error())),
                },
            }
        }
        let mut connection = self.pool.connect(to).await?;
        let response = connection.send_request(request).await.map_err(ForwardError::Unanswered)?;
        Ok((response, connection))
    }
}

/// Joins two connections that have left HTTP, until both have ended.
async fn pipe(client: OnUpgrade, owner: OnUpgrade) {
    let (Ok(client), Ok(owner)) = (client.await, owner.await) else { return };
    let (mut client, mut owner) = (TokioIo::new(client), TokioIo::new(owner));
    // That either breaks is how such a connection usually ends.
    let _ = copy_bidirectional_with_sizes(&mut client, &mut owner, PIPE_BYTES, PIPE_BYTES).await;
}
