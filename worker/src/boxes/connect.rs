//! The way to a worker of another box: a TCP connection on which both boxes have proved that they belong together.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use oxherd_contract::ids::{BoxId, WorkerId};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Boxes;
use super::greet::{self, GreetError, Wish};

/// For the other box to accept. The kernel sends a lost SYN again after 1 s (`tcp(7)`), which is just in time.
const CONNECT_WITHIN: Duration = Duration::from_millis(1500);

/// For the challenge.
pub(super) const GREET_WITHIN: Duration = Duration::from_secs(2);

/// A host that fell silent is noticed after about as long as a box whose announcements stop.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// Why there is no connection to another box.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("the other box is gone, or cannot be reached")]
    Nowhere,
    #[error("cannot connect to the other box")]
    Connect(#[source] io::Error),
    #[error("the other box does not talk to this one")]
    Greet(#[source] GreetError),
}

impl ConnectError {
    /// Whether the box or the worker is gone, rather than busy, or this worker out of something.
    pub fn is_gone(&self) -> bool {
        match self {
            ConnectError::Nowhere | ConnectError::Greet(GreetError::NoSuchWorker) => true,
            ConnectError::Connect(error) => is_nobody_there(error),
            ConnectError::Greet(_) => false,
        }
    }
}

impl Boxes {
    /// A connection to a worker of another box, on which HTTP may begin.
    pub async fn connect(&self, box_id: BoxId, worker: WorkerId) -> Result<TcpStream, ConnectError> {
        let address = self.address(box_id).await.ok_or(ConnectError::Nowhere)?;
        let connected = timeout(CONNECT_WITHIN, connect(address)).await;
        let connected = connected.unwrap_or_else(|late| Err(late.into()));
        let mut stream = connected.map_err(|error| {
            if is_nobody_there(&error) {
                self.fails(box_id);
            }
            ConnectError::Connect(error)
        })?;
        let wish = Wish { from: self.me.owner.box_id, to: box_id, worker };
        let greeted = timeout(GREET_WITHIN, greet::ask(&mut stream, wish, &self.secrets)).await;
        greeted.unwrap_or(Err(GreetError::Late)).map_err(|error| {
            self.say_refusal(&error, address);
            ConnectError::Greet(error)
        })?;
        Ok(stream)
    }

    /// Different secrets are a mistake of the operator, who must hear of it, at both ends.
    pub(super) fn say_refusal(&self, error: &GreetError, peer: SocketAddr) {
        match error {
            GreetError::WrongSecret if self.differing.is_news(Instant::now()) => {
                tracing::error!(%peer, "another box has another cluster.secrets: sessions of the one are unknown to the other");
            }
            error => tracing::debug!(%error, %peer, "another box does not talk to this one"),
        }
    }
}

/// Whether a failure to connect says something of the other end: the rest is a lack of something at this one.
fn is_nobody_there(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | TimedOut)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    notice_silence(&stream)?;
    Ok(stream)
}

/// A host that vanished sends no end of its connections: without this a long poll would wait for it for minutes.
pub(super) fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second).with_retries(3);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))
}
