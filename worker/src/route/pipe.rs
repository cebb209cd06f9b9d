//! Pipes: a client and the owner of its session, joined through this worker when they have left HTTP.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf, sink, split};
use tokio::time::timeout;

use crate::connection::Connection;

/// What waits in a pipe at most, in each direction: one per forwarded WebSocket, so rather little.
const PIPE_BYTES: usize = 4096;

/// For the other direction of a pipe when one has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Joins two connections that have left HTTP until both directions have ended, or the other takes too long after one has.
/// A client's connection that is to finish is at its end for the owner, whose last words it still gets; how long that may
/// take is up to the drain.
pub(crate) async fn pipe(client: OnUpgrade, owner: OnUpgrade, connection: Arc<Connection>) {
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
