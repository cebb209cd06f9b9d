//! HTTP connections to the siblings, kept alive in a small number.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use oxherd_contract::ids::WorkerId;
use oxherd_contract::siblings::http_socket;
use thiserror::Error;
use tokio::net::UnixStream;

/// Connections that are kept for each sibling. More may be in use, each by a client's connection, which are limited.
const IDLE_MAX: usize = 16;

/// Why there is no connection to a sibling.
#[derive(Debug, Error)]
pub(crate) enum PoolError {
    #[error("cannot connect to the other worker")]
    Connect(#[source] std::io::Error),
    #[error("cannot speak HTTP with the other worker")]
    Handshake(#[source] hyper::Error),
}

/// Connections that wait for their next request.
#[derive(Debug)]
pub(crate) struct Pool {
    directory: PathBuf,
    idle: Mutex<HashMap<WorkerId, Vec<SendRequest<Incoming>>>>,
}

impl Pool {
    pub fn new(directory: PathBuf) -> Self {
        Pool { directory, idle: Mutex::default() }
    }

    /// One that has answered all it was asked; its other end may be closing it at this moment.
    pub fn take(&self, to: WorkerId) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle();
        let waiting = idle.get_mut(&to)?;
        waiting.retain(|connection| !connection.is_closed());
        // The body of its last answer may still be under way.
        let ready = waiting.iter().rposition(SendRequest::is_ready)?;
        Some(waiting.swap_remove(ready))
    }

    /// A new one.
    pub async fn connect(&self, to: WorkerId) -> Result<SendRequest<Incoming>, PoolError> {
        let stream =
            UnixStream::connect(http_socket(&self.directory, to)).await.map_err(PoolError::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(PoolError::Handshake)?;
        tokio::spawn(async move {
            // What goes wrong is told to whoever waits for an answer.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// Keeps one whose answer has begun.
    pub fn keep(&self, to: WorkerId, connection: SendRequest<Incoming>) {
        let mut idle = self.idle();
        let waiting = idle.entry(to).or_default();
        if waiting.len() < IDLE_MAX {
            waiting.push(connection);
        }
    }

    /// Drops those to workers that are gone.
    pub fn retain(&self, lives: impl Fn(WorkerId) -> bool) {
        self.idle().retain(|worker, _| lives(*worker));
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<WorkerId, Vec<SendRequest<Incoming>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
