//! The door: what a new connection meets, whichever way it comes.
//!
//! ```text
//!   accepted ──▶ looked at ──┬──▶ given to a sibling
//!                            ├──▶ opened, half-open: looked at again ──▶ given, or served
//!                            └──▶ opened ──▶ greeted: PROXY header, TLS ──▶ served
//!   taken over from a sibling ───────▲
//! ```

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxherd_contract::handoff::{Handoff, Reason};
use oxherd_contract::ids::{ListenerId, WorkerId};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::listener::Accepted;
use crate::connection::{
    Connection, Connections, Greeter, Io, Origin, Protocol, Socket, Source, Stream, greet, serve,
};
use crate::route::peek::{Look, Prelude, look, wait};
use crate::route::{Gate, Guest, Newcomer, Routing, Verdict, Way};

/// What an accepted connection needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub connections: Arc<Connections>,
    pub protocol: Protocol,
    pub gate: Arc<Gate>,
    pub routing: Arc<Routing>,
    pub peek_timeout: Duration,
    pub greeter: Greeter,
}

impl Door {
    /// A connection that was accepted on a slot.
    pub fn welcome(&self, (socket, peer): Accepted, listener: ListenerId) {
        self.connections.row.accepted.fetch_add(1, Relaxed);
        let handoff = |reason| Handoff { listener, peer, reason };
        let source = self.source(peer);
        // What nobody can look into, or came from somebody who is going to be refused, stays.
        let Some(prelude) = self.greeter.prelude(listener, &source) else {
            return self.enter(socket, listener, source, None);
        };
        match look(&socket, prelude, |method, path, query| self.routing.verdict(method, path, query)) {
            Look::Line(Verdict::Give(worker, reason)) if self.gave(worker, &handoff(reason), &socket) => {}
            Look::Line(Verdict::Newcomer | Verdict::Give(_, Reason::Balance)) => {
                self.enter(socket, listener, source, Some(Newcomer::new(self.connections.row)));
            }
            Look::Line(Verdict::Stay | Verdict::Give(..)) | Look::Alien => {
                self.enter(socket, listener, source, None);
            }
            Look::Incomplete => {
                if let Some((io, connection)) = self.open(socket) {
                    tokio::spawn(self.clone().see(io, connection, prelude, handoff(Reason::Session)));
                }
            }
        }
    }

    /// A connection that a sibling gave: ours, whatever it is.
    pub fn take_over(&self, handoff: Handoff, connection: OwnedFd) {
        self.connections.row.handed_in.fetch_add(1, Relaxed);
        let socket = match handoff.peer {
            Some(_) => Socket::Tcp(connection.into()),
            None => Socket::Unix(connection.into()),
        };
        let newcomer = match handoff.reason {
            Reason::Session => None,
            Reason::Balance => Some(Newcomer::counted(self.connections.row)),
            Reason::Box => return self.admit(socket.register()),
        };
        self.enter(socket, handoff.listener, self.source(handoff.peer), newcomer);
    }

    /// A connection over which a sibling forwards requests.
    pub fn admit_sibling(&self, stream: UnixStream) {
        self.admit(Ok(Stream::Unix(stream)));
    }

    /// A connection of a sibling or of another box that has proved to be one.
    pub(super) fn admit(&self, registered: io::Result<Stream>) {
        let stream = registered.inspect_err(|error| tracing::error!(%error, "cannot watch a connection"));
        let Ok(stream) = stream else { return };
        if let Some((io, connection)) = self.connections.open(stream, Origin::Sibling) {
            let guest = Guest { way: Way::Sibling, connection, newcomer: Mutex::default() };
            tokio::spawn(serve(io, guest, Protocol::between_siblings(), self.gate.clone()));
        }
    }

    /// Waits for the first request's line, as a half-open connection; then it goes where it belongs.
    async fn see(self, io: Io, connection: Arc<Connection>, prelude: Prelude, mut handoff: Handoff) {
        let verdict = |method: &str, path: &str, query: &str| self.routing.verdict(method, path, query);
        let seen = timeout(self.peek_timeout, wait(io.stream(), prelude, verdict)).await;
        let newcomer = match seen.ok().flatten() {
            Some(Verdict::Give(worker, reason)) => {
                handoff.reason = reason;
                if self.gave(worker, &handoff, io.stream()) {
                    return; // our descriptor is closed, theirs stays
                }
                reason == Reason::Balance
            }
            seen => seen == Some(Verdict::Newcomer),
        };
        let newcomer = Mutex::new(newcomer.then(|| Newcomer::new(self.connections.row)));
        let guest = Guest { way: Way::Client(self.source(handoff.peer)), connection, newcomer };
        match prelude {
            Prelude::None => serve(io, guest, self.protocol, self.gate).await,
            Prelude::Proxy => {
                greet(self.greeter, handoff.listener, io, guest, self.protocol, self.gate).await
            }
        }
    }

    /// Whether a sibling has the connection now; if not, it is served here, and its requests are forwarded.
    fn gave(&self, worker: WorkerId, handoff: &Handoff, connection: &impl AsFd) -> bool {
        if handoff.reason == Reason::Balance {
            self.routing.count_newcomer(worker);
        }
        match self.routing.channels.give(worker, handoff, connection.as_fd()) {
            Ok(()) => {
                self.connections.row.handed_off.fetch_add(1, Relaxed);
                true
            }
            Err(error) => {
                tracing::debug!(%error, to = worker.0, "a connection stays");
                if handoff.reason == Reason::Balance {
                    self.routing.discount_newcomer(worker);
                }
                false
            }
        }
    }

    /// Opens a connection and serves it in a task of its own.
    fn enter(&self, socket: Socket, listener: ListenerId, source: Source, newcomer: Option<Newcomer>) {
        if let Some((io, connection)) = self.open(socket) {
            let guest = Guest { way: Way::Client(source), connection, newcomer: Mutex::new(newcomer) };
            let (protocol, gate) = (self.protocol.clone(), self.gate.clone());
            // Two kinds of tasks: the plain one is the usual one and need not have room for the other.
            if self.greeter.has_nothing_to_do(listener) {
                tokio::spawn(serve(io, guest, protocol, gate));
            } else {
                tokio::spawn(greet(self.greeter.clone(), listener, io, guest, protocol, gate));
            }
        }
    }

    fn source(&self, peer: Option<SocketAddr>) -> Source {
        Source::new(peer, &self.greeter.edge.trusted_proxies)
    }

    fn open(&self, socket: Socket) -> Option<(Io, Arc<Connection>)> {
        let registered = socket.register();
        let stream =
            registered.inspect_err(|error| tracing::error!(%error, "cannot watch a connection")).ok()?;
        self.connections.open(stream, Origin::Client)
    }
}
