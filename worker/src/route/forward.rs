//! Forwarding at HTTP level: a request that came here and belongs elsewhere is answered by its owner, through us.
//! Everything streams, and an upgraded connection becomes a pipe. What was forwarded is never forwarded again.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use oxherd_contract::ids::{BoxId, WorkerId};
use thiserror::Error;

use super::hop;
use super::pipe::pipe;
use super::pool::{Line, Pool, PoolError};
use crate::boxes::Carries;
use crate::connection::{Connection, Peer};

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
        let carries = if client.is_some() { Carries::Pipe } else { Carries::Requests };
        let request = Request::from_parts(head, body);
        let (mut response, line) = self.send(upstream, carries, request).await?;
        match client {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let owner = hyper::upgrade::on(&mut response);
                tokio::spawn(pipe(client, owner, connection.clone()));
            }
            Some(_) => {}
            None => self.pool.keep(upstream, line),
        }
        let (mut head, body) = response.into_parts();
        hop::answered(&mut head);
        Ok(Response::from_parts(head, Body::new(body)))
    }

    /// Sends over a connection that waits, or over a new one if there is none or its other end has just closed it.
    async fn send(
        &self,
        to: Upstream,
        carries: Carries,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Incoming>, Line), ForwardError> {
        while carries == Carries::Requests
            && let Some(mut line) = self.pool.take(to)
        {
            match line.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, line)),
                Err(mut unsent) => match unsent.take_message() {
                    Some(message) => request = message,
                    None => return Err(self.unanswered(to, unsent.into_error()).await),
                },
            }
        }
        let mut line = self.pool.connect(to, carries).await?;
        match line.sender.send_request(request).await {
            Ok(response) => Ok((response, line)),
            Err(error) => Err(self.unanswered(to, error).await),
        }
    }

    /// Why there is no answer: another connection tells whether there is still somebody to give one.
    async fn unanswered(&self, to: Upstream, error: hyper::Error) -> ForwardError {
        match self.pool.connect(to, Carries::Requests).await {
            Ok(line) => {
                self.pool.keep(to, line);
                ForwardError::Unanswered(error)
            }
            Err(unreachable) => unreachable.into(),
        }
    }
}
