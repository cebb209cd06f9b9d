//! Connections that change hands between two workers: channels to the siblings that take them, and the socket on
//! which this worker takes theirs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use oxherd_contract::handoff::{self, Handoff, HandoffError};
use oxherd_contract::ids::WorkerId;
use oxherd_contract::siblings::handoff_socket;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::siblings::is_of_this_user;
use crate::accept::SHORTAGE_PAUSE;
use crate::register::register;
use crate::seldom::Seldom;

/// Connections taken from one sibling before others, and those who are connected, have their turn.
const TAKES_PER_TURN: usize = 16;

/// Siblings that may be about to connect; each does it once.
const BACKLOG: i32 = 512;

/// Ways to the siblings, opened when first needed.
#[derive(Debug)]
pub(crate) struct Channels {
    directory: PathBuf,
    open: Mutex<HashMap<WorkerId, Socket>>,
}

impl Channels {
    pub fn new(directory: PathBuf) -> Self {
        Channels { directory, open: Mutex::default() }
    }

    /// Where the siblings' sockets are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Gives a connection to a sibling; the caller closes its own descriptor. Never waits: to connect to a Unix
    /// socket takes no time, and one whose queue is full refuses (`unix(7)`).
    pub fn give(
        &self,
        to: WorkerId,
        message: &Handoff,
        connection: BorrowedFd<'_>,
    ) -> Result<(), HandoffError> {
        let mut open = self.open();
        let channel = match open.entry(to) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.connect(to).map_err(unreachable)?),
        };
        let given = handoff::give(channel, message, connection);
        if matches!(given, Err(HandoffError::Closed)) {
            open.remove(&to);
        }
        given
    }

    /// Closes the channels of those that are gone.
    pub fn retain(&self, lives: impl Fn(WorkerId) -> bool) {
        self.open().retain(|worker, _| lives(*worker));
    }

    fn connect(&self, to: WorkerId) -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(handoff_socket(&self.directory, to))?)?;
        Ok(socket)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<WorkerId, Socket>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable(error: io::Error) -> HandoffError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => HandoffError::Closed,
        io::ErrorKind::WouldBlock => HandoffError::Full,
        _ => HandoffError::Io(error),
    }
}

/// Makes the socket on which this worker takes connections over.
pub(crate) fn listen(directory: &Path, me: WorkerId) -> io::Result<AsyncFd<Socket>> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(handoff_socket(directory, me))?)?;
    socket.listen(BACKLOG)?;
    register(socket, Interest::READABLE)
}

/// Takes connections over, for ever, and gives each to `door`.
pub(crate) async fn take_over<D>(listener: AsyncFd<Socket>, door: D)
where
    D: Fn(Handoff, OwnedFd) + Clone + Send + 'static,
{
    while let Ok(mut ready) = listener.readable().await {
        let Ok(accepted) = ready.try_io(|listener| listener.get_ref().accept()) else { continue };
        match accepted.and_then(|(channel, _unnamed)| adopt(channel)) {
            Ok(channel) if is_of_this_user(channel.get_ref()) => {
                tokio::spawn(take_from(channel, door.clone()));
            }
            Ok(_stranger) => {}
            Err(error) => {
                tracing::error!(%error, "cannot hear a sibling");
                sleep(SHORTAGE_PAUSE).await;
            }
        }
    }
}

fn adopt(channel: Socket) -> io::Result<AsyncFd<Socket>> {
    channel.set_nonblocking(true)?;
    register(channel, Interest::READABLE)
}

/// Takes what one sibling gives until it is gone.
async fn take_from(channel: AsyncFd<Socket>, door: impl Fn(Handoff, OwnedFd)) {
    static LOST: Seldom = Seldom::new();
    while let Ok(mut ready) = channel.readable().await {
        for _ in 0..TAKES_PER_TURN {
            match handoff::take(channel.get_ref()) {
                Ok(Some((handoff, connection))) => door(handoff, connection),
                Ok(None) => {
                    ready.clear_ready();
                    break;
                }
                Err(HandoffError::Closed) => return,
                Err(error) if LOST.is_news(Instant::now()) => {
                    tracing::error!(%error, "a sibling's connection is lost");
                }
                Err(_said) => {}
            }
        }
        yield_now().await;
    }
}
