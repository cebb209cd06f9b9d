//! HTTP connections to the siblings and to the workers of other boxes, kept alive in a small number.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use oxherd_contract::siblings::http_socket;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::forward::Upstream;
use crate::boxes::{Boxes, ConnectError};

/// Connections that are kept for each sibling. More may be in use, each by a client's connection, which are limited.
const IDLE_MAX: usize = 16;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum PoolError {
    #[error("cannot connect to the other worker")]
    Connect(#[source] std::io::Error),
    #[error("this box knows no others")]
    Alone,
    #[error(transparent)]
    Box(#[from] ConnectError),
    #[error("cannot speak HTTP with the other worker")]
    Handshake(#[source] hyper::Error),
}

/// Connections that wait for their next request.
pub(crate) struct Pool {
    directory: PathBuf,
    boxes: Option<Arc<Boxes>>,
    idle: Mutex<HashMap<Upstream, Vec<SendRequest<Incoming>>>>,
}

impl Pool {
    pub fn new(directory: PathBuf, boxes: Option<Arc<Boxes>>) -> Self {
        Pool { directory, boxes, idle: Mutex::default() }
    }

    /// One that has answered all it was asked; its other end may be closing it at this moment.
    pub fn take(&self, to: Upstream) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle();
        let waiting = idle.get_mut(&to)?;
        waiting.retain(|connection| !connection.is_closed());
        // The body of its last answer may still be under way.
        let ready = waiting.iter().rposition(SendRequest::is_ready)?;
        Some(waiting.swap_remove(ready))
    }

    /// A new one.
    pub async fn connect(&self, to: Upstream) -> Result<SendRequest<Incoming>, PoolError> {
        match to {
            Upstream::Sibling(worker) => {
                let socket = http_socket(&self.directory, worker);
                speak(UnixStream::connect(socket).await.map_err(PoolError::Connect)?).await
            }
            Upstream::Box { box_id, worker } => {
                let boxes = self.boxes.as_ref().ok_or(PoolError::Alone)?;
                speak(boxes.connect(box_id, worker).await?).await
            }
        }
    }

    /// Keeps one whose answer has begun.
    pub fn keep(&self, to: Upstream, connection: SendRequest<Incoming>) {
        let mut idle = self.idle();
        let waiting = idle.entry(to).or_default();
        if waiting.len() < IDLE_MAX {
            waiting.push(connection);
        }
    }

    /// Drops those to workers and boxes that are gone.
    pub fn retain(&self, lives: impl Fn(Upstream) -> bool) {
        self.idle().retain(|upstream, _| lives(*upstream));
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Upstream, Vec<SendRequest<Incoming>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Incoming>, PoolError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(PoolError::Handshake)?;
    tokio::spawn(async move {
        // What goes wrong is told to whoever waits for an answer.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}
