//! Forwarding at HTTP level: a request that came here and belongs elsewhere is answered by its owner, through us.
//! Everything streams, and an upgraded connection becomes a pipe. What was forwarded is never forwarded again.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use oxherd_contract::ids::{BoxId, WorkerId};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf, sink, split};
use tokio::time::timeout;

use super::hop;
use super::pool::{Pool, PoolError};
use crate::connection::{Connection, Peer};

/// What waits in a pipe at most, in each direction: one per forwarded WebSocket, so rather little.
const PIPE_BYTES: usize = 4096;

/// For the other direction of a pipe when one has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

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

impl ForwardError {
    /// Whether the session is gone, too, with the worker that owned it.
    pub fn is_gone(&self) -> bool {
        matches!(self, ForwardError::Unreachable(error) if error.is_gone())
    }
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

    /// The owner's answer to a client's request, which came by `connection`.
    pub async fn forward(
        &self,
        request: Request<Incoming>,
        upstream: Upstream,
        peer: Peer,
        connection: &Arc<Connection>,
    ) -> Result<Response<Body>, ForwardError> {
        let (mut head, body) = request.into_parts();
        hop::forwarded(&mut head, peer, self.me); // which keeps an upgrade's headers only while its way is there
        let client = if hop::is_upgrade(&head) { head.extensions.remove::<OnUpgrade>() } else { None };
        head.extensions.clear();
        let (mut response, sender) = self.send(upstream, Request::from_parts(head, body)).await?;
        match client {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let owner = hyper::upgrade::on(&mut response);
                tokio::spawn(pipe(client, owner, connection.clone()));
            }
            _ => self.pool.keep(upstream, sender),
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
                    None => return Err(self.unanswered(to, unsent.into_error()).await),
                },
            }
        }
        let mut connection = self.pool.connect(to).await?;
        match connection.send_request(request).await {
            Ok(response) => Ok((response, connection)),
            Err(error) => Err(self.unanswered(to, error).await),
        }
    }

    /// Why there is no answer: another connection tells whether there is still somebody to give one.
    async fn unanswered(&self, to: Upstream, error: hyper::Error) -> ForwardError {
        match self.pool.connect(to).await {
            Ok(connection) => {
                self.pool.keep(to, connection);
                ForwardError::Unanswered(error)
            }
            Err(unreachable) => unreachable.into(),
        }
    }
}

/// Joins two connections that have left HTTP until both directions have ended, or one has and the other takes too long.
/// A client's connection that is to finish is at its end for the owner, whose last words it still gets.
async fn pipe(client: OnUpgrade, owner: OnUpgrade, connection: Arc<Connection>) {
    let (Ok(client), Ok(owner)) = (client.await, owner.await) else { return };
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_owner, to_owner) = split(TokioIo::new(owner));
    let mut up = pin!(carry(from_client, to_owner, connection.finished()));
    let mut down = pin!(carry(from_owner, to_client, pending()));
    let _late = tokio::select! {
        () = &mut up => timeout(LAST_WORDS, down).await,
        () = &mut down => timeout(LAST_WORDS, up).await,
    };
    connection.driven_by(None);
}

/// One direction of a pipe: until its end, or until it is `over`. What comes then is thrown away, because to close a
/// socket with something unread resets it, and the other end may lose what it has not read yet.
async fn carry(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    over: impl Future<Output = ()>,
) {
    let mut from = BufReader::with_capacity(PIPE_BYTES, from);
    // That either end breaks is how such a connection usually ends.
    tokio::select! {
        _ = copy_buf(&mut from, &mut to) => {}
        () = over => {}
    }
    let _ = to.shutdown().await;
    let _ = copy_buf(&mut from, &mut sink()).await;
}
