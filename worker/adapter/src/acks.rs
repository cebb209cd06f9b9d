//! The acknowledgements of a broadcast: those of the local sockets, and those that other servers send.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::{FusedStream, Stream};
use futures_util::stream::SelectAll;
use socketioxide_core::{
    Sid, Value,
    adapter::{AckStreamItem, SocketEmitter},
};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use crate::{namespace::Asked, questions::Question, wire::transcode::Dialect};

/// How much longer than the clients' own time the other servers' news of them may take.
const GRACE: Duration = Duration::from_millis(200);

/// The acknowledgements of a broadcast, in the order in which they come. It ends when every server and every client
/// has answered, or when the time is up; who did not answer on another server is then missing. Acknowledgements from
/// other servers carry no socket id, and come with [`Sid::ZERO`].
pub struct AckStream<E: SocketEmitter> {
    local: SelectAll<Pin<Box<E::AckStream>>>,
    remote: Option<Remote>,
}

/// What comes from the other servers.
pub(crate) struct Remote {
    question: Question,
    /// How many servers there are, until it is known.
    servers: Option<oneshot::Receiver<usize>>,
    deadline: Pin<Box<Sleep>>,
    dialect: Dialect,
}

impl<E: SocketEmitter> AckStream<E> {
    pub(crate) fn new(local: impl IntoIterator<Item = E::AckStream>, remote: Option<Remote>) -> Self {
        Self { local: local.into_iter().map(Box::pin).collect(), remote }
    }
}

impl Remote {
    /// Waits for as long as the clients have, which is `timeout`.
    pub(crate) fn new(asked: Asked, timeout: Duration, dialect: Dialect) -> Self {
        Self {
            question: asked.question,
            servers: Some(asked.servers),
            deadline: Box::pin(sleep(timeout.saturating_add(GRACE))),
            dialect,
        }
    }

    /// The next acknowledgement; `None` after the last one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Value>> {
        if let Some(servers) = &mut self.servers
            && let Poll::Ready(servers) = Pin::new(servers).poll(cx)
        {
            self.servers = None;
            match servers {
                // This server is one of them.
                Ok(servers) => self.question.asked(servers.saturating_sub(1)),
                // The connection broke, and whether the question got through is unknown.
                Err(_) => return Poll::Ready(None),
            }
        }
        while let Poll::Ready(next) = self.question.poll_ack(cx) {
            let Some((message, argument)) = next else { return Poll::Ready(None) };
            match argument.into_value(&message, self.dialect) {
                Ok(value) => return Poll::Ready(Some(value)),
                Err(error) => tracing::debug!(%error, "dropped a malformed acknowledgement"),
            }
        }
        self.deadline.as_mut().poll(cx).map(|()| None)
    }
}

impl<E: SocketEmitter> Stream for AckStream<E> {
    type Item = AckStreamItem<E::AckError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let local = Pin::new(&mut self.local).poll_next(cx);
        if let Poll::Ready(Some(ack)) = local {
            return Poll::Ready(Some(ack));
        }
        if let Some(remote) = &mut self.remote {
            match remote.poll_next(cx) {
                Poll::Ready(Some(value)) => return Poll::Ready(Some((Sid::ZERO, Ok(value)))),
                Poll::Ready(None) => self.remote = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        ready!(local);
        Poll::Ready(None)
    }
}

impl<E: SocketEmitter> FusedStream for AckStream<E> {
    fn is_terminated(&self) -> bool {
        self.remote.is_none() && self.local.is_empty()
    }
}
