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
use super::known::Whereabouts;

/// For the other box to accept. The kernel sends a lost SYN again after 1 s (`tcp(7)`), which is just in time.
const CONNECT_WITHIN: Duration = Duration::from_millis(1500);

/// For the challenge.
pub(super) const GREET_WITHIN: Duration = Duration::from_secs(2);

/// For the other end to take a request. A host that fell silent is noticed after about as long as a box whose
/// announcements stop.
const REQUEST_TAKEN_WITHIN: Duration = Duration::from_secs(4);

/// For the other end to take an answer, or what goes through a pipe: its client may be slow, and has its own limits. The
/// kernel counts from when the other end had no room any more, though it answers (`TCP_USER_TIMEOUT` of `tcp(7)`).
pub(super) const TAKEN_WITHIN: Duration = Duration::from_secs(60);

/// What a connection to an owner is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// One request after the other.
    Requests,
    /// One that leaves HTTP.
    Pipe,
}

/// Why there is no connection to another box.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("the other box is gone")]
    Gone,
    #[error("the other box cannot be reached")]
    Unreachable,
    #[error("cannot connect to the other box")]
    Connect(#[source] io::Error),
    #[error("the other box does not talk to this one")]
    Greet(#[source] GreetError),
}

impl ConnectError {
    /// Whether the box or the worker is gone, rather than busy, or this worker out of something.
    pub fn is_gone(&self) -> bool {
        match self {
            ConnectError::Gone | ConnectError::Greet(GreetError::NoSuchWorker) => true,
            ConnectError::Connect(error) => told_by(error) == Some(Whereabouts::Gone),
            ConnectError::Unreachable | ConnectError::Greet(_) => false,
        }
    }
}

impl Boxes {
    /// A connection to a worker of another box, on which HTTP may begin.
    pub async fn connect(
        &self,
        box_id: BoxId,
        worker: WorkerId,
        carries: Carries,
    ) -> Result<TcpStream, ConnectError> {
        let address = self.address(box_id).await?;
        let connected = timeout(CONNECT_WITHIN, connect(address, carries)).await;
        let connected = connected.unwrap_or_else(|late| Err(late.into()));
        let mut stream = connected.map_err(|error| {
            if let Some(whereabouts) = told_by(&error) {
                self.known().fails(box_id, address, whereabouts, Instant::now());
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

/// What a failure to connect tells of the other box; others are a lack of something here.
fn told_by(error: &io::Error) -> Option<Whereabouts> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Whereabouts::Gone),
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Some(Whereabouts::Unreachable),
        _ => None,
    }
}

async fn connect(address: SocketAddr, carries: Carries) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let taken_within = match carries {
        Carries::Requests => REQUEST_TAKEN_WITHIN,
        Carries::Pipe => TAKEN_WITHIN,
    };
    notice_silence(&stream, taken_within)?;
    Ok(stream)
}

/// A host that vanished sends no end of its connections: without this a long poll would wait for it for minutes.
pub(super) fn notice_silence(stream: &TcpStream, taken_within: Duration) -> io::Result<()> {
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second).with_retries(3);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(taken_within))
}
