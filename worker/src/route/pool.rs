//! HTTP connections to the siblings and to the workers of other boxes, kept alive in a small number.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use oxherd_contract::siblings::http_socket;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::forward::Upstream;
use super::hop::HEADERS_MAX;
use crate::boxes::{Boxes, Carries, ConnectError};
use crate::connection::{Connection, Connections, Origin, Stream};

/// Connections that are kept for each sibling. More may be in use, each by a client's connection, which are limited.
const IDLE_MAX: usize = 16;

/// Before the second try.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum PoolError {
    #[error("cannot connect to the other worker")]
    Connect(#[source] io::Error),
    #[error("as many connections are open as may be: http.connections_max")]
    Full,
    #[error("this box knows no others")]
    Alone,
    #[error(transparent)]
    Box(#[from] ConnectError),
    #[error("cannot speak HTTP with the other worker")]
    Handshake(#[source] hyper::Error),
}

impl PoolError {
    /// Whether the other worker is gone, rather than busy, or this one out of something.
    pub fn is_gone(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        match self {
            PoolError::Connect(error) => matches!(error.kind(), ConnectionRefused | NotFound),
            PoolError::Box(error) => error.is_gone(),
            PoolError::Alone => true,
            PoolError::Full | PoolError::Handshake(_) => false,
        }
    }
}

/// A connection to an owner that speaks HTTP.
pub(crate) struct Line {
    pub sender: SendRequest<Incoming>,
    connection: Arc<Connection>,
}

/// Lines that wait for their next request.
pub(crate) struct Pool {
    directory: PathBuf,
    boxes: Option<Arc<Boxes>>,
    connections: Arc<Connections>,
    idle: Mutex<HashMap<Upstream, Vec<Line>>>,
}

impl Pool {
    pub fn new(directory: PathBuf, boxes: Option<Arc<Boxes>>, connections: Arc<Connections>) -> Self {
        Pool { directory, boxes, connections, idle: Mutex::default() }
    }

    /// One that has answered all it was asked; its other end may be closing it at this moment.
    pub fn take(&self, to: Upstream) -> Option<Line> {
        let mut idle = self.idle();
        let waiting = idle.get_mut(&to)?;
        waiting.retain(|line| !line.sender.is_closed());
        // The body of its last answer may still be under way.
        while let Some(ready) = waiting.iter().rposition(|line| line.sender.is_ready()) {
            let line = waiting.swap_remove(ready);
            if self.connections.take(&line.connection) {
                return Some(line);
            }
        }
        None
    }

    /// A new one. What fails for another reason than that the worker is gone, or that there is no room here, is tried
    /// twice.
    pub async fn connect(&self, to: Upstream, carries: Carries) -> Result<Line, PoolError> {
        match self.try_connect(to, carries).await {
            Err(error) if !error.is_gone() && !matches!(error, PoolError::Full) => {
                sleep(PAUSE).await;
                self.try_connect(to, carries).await
            }
            outcome => outcome,
        }
    }

    async fn try_connect(&self, to: Upstream, carries: Carries) -> Result<Line, PoolError> {
        let room = self.connections.reserve().ok_or(PoolError::Full)?;
        let stream = match to {
            Upstream::Sibling(worker) => {
                let socket = http_socket(&self.directory, worker);
                Stream::Unix(UnixStream::connect(socket).await.map_err(PoolError::Connect)?)
            }
            Upstream::Box { box_id, worker } => {
                let boxes = self.boxes.as_ref().ok_or(PoolError::Alone)?;
                Stream::Tcp(boxes.connect(box_id, worker, carries).await?)
            }
        };
        let (io, connection) = self.connections.open(stream, Origin::Owner).ok_or(PoolError::Full)?;
        drop(room); // the connection has it now
        let http = Builder::new().max_headers(HEADERS_MAX).handshake(TokioIo::new(io));
        let (sender, driver) = http.await.map_err(PoolError::Handshake)?;
        tokio::spawn(async move {
            // What goes wrong is told to whoever waits for an answer.
            let _ = driver.with_upgrades().await;
        });
        Ok(Line { sender, connection })
    }

    /// Keeps one whose answer has begun.
    pub fn keep(&self, to: Upstream, line: Line) {
        let mut idle = self.idle();
        let waiting = idle.entry(to).or_default();
        if waiting.len() < IDLE_MAX {
            waiting.push(line);
        }
    }

    /// Drops those that are closed, or whose other end is gone, and says which of the others carry nothing.
    pub fn tend(&self, lives: impl Fn(Upstream) -> bool) {
        let mut idle = self.idle();
        idle.retain(|upstream, waiting| {
            waiting.retain(|line| !line.sender.is_closed());
            lives(*upstream) && !waiting.is_empty()
        });
        let ready = idle.values().flatten().filter(|line| line.sender.is_ready());
        ready.for_each(|line| self.connections.spare(&line.connection));
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Upstream, Vec<Line>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
