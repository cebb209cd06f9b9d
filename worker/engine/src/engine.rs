//! The engine: its sessions, and the way from bytes of a client to calls of the handler.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use engineioxide_core::{Packet, Sid, TransportType};
use http::request::Parts;
use tokio::runtime::{Handle, Id};

use crate::{
    config::EngineIoConfig,
    control::{CloseCode, Control, Internal, Options},
    handler::EngineIoHandler,
    proto::{message::Limits, open::open_packet},
    session::{Manner, Owner, RequestParts, Session, item::Item},
    shard::Shard,
    socket::{DisconnectReason, Socket},
    transport::io::Writer,
};

/// How often a handler whose `on_disconnect` panics is told of one end: socketioxide calls the application's disconnect
/// handlers of all namespaces in it, and one that panicked is not called again.
const DISCONNECT_CALLS_MAX: usize = 16;

/// See the module.
pub(crate) struct EngineIo<H: EngineIoHandler> {
    handler: Arc<H>,
    pub config: Arc<EngineIoConfig>,
    sockets: RwLock<HashMap<Sid, Arc<Socket<H::Data>>>>,
    groups: Mutex<Vec<Group>>,
    /// For requests that carry none.
    control: Control,
}

/// The shards of one runtime and control, filled in turn.
struct Group {
    runtime: Id,
    shards: Vec<Arc<Shard>>,
    next: AtomicUsize,
}

impl<H: EngineIoHandler> EngineIo<H> {
    pub(crate) fn new(handler: Arc<H>, config: EngineIoConfig) -> Self {
        Self {
            handler,
            config: Arc::new(config),
            sockets: RwLock::default(),
            groups: Mutex::default(),
            control: Control::new(Options::stock()),
        }
    }

    /// The control that a request carries.
    pub(crate) fn control_of(&self, extensions: &http::Extensions) -> Control {
        extensions.get::<Control>().unwrap_or(&self.control).clone()
    }

    /// How large the WebSocket messages of clients may be.
    pub(crate) fn limits(&self) -> Limits {
        let max = |limit: usize| self.config.max_payload.min(u64::try_from(limit).unwrap_or(u64::MAX));
        Limits {
            frame_max: max(self.config.ws_max_frame_size),
            message_max: max(self.config.ws_max_message_size),
        }
    }

    /// Bytes of one polling body.
    pub(crate) fn payload_max(&self) -> usize {
        usize::try_from(self.config.max_payload).unwrap_or(usize::MAX)
    }

    /// Opens a session on polling; the answer to the request is its open packet.
    pub(crate) fn open_polling(self: &Arc<Self>, control: &Control, request: Parts) -> String {
        let (session, open) = self.new_session(control, &request, None);
        self.begin(session, request);
        open
    }

    /// Opens a session on a WebSocket; its open packet is the first in its queue.
    pub(crate) fn open_websocket(
        self: &Arc<Self>,
        control: &Control,
        request: Parts,
        writer: Writer,
    ) -> Arc<Socket<H::Data>> {
        let (session, open) = self.new_session(control, &request, Some(writer));
        if !self.config.is_bare() {
            session.send(Item::Open(open.into()));
        }
        self.begin(session, request)
    }

    fn new_session(
        self: &Arc<Self>,
        control: &Control,
        request: &Parts,
        writer: Option<Writer>,
    ) -> (Arc<Session>, String) {
        let transport = if writer.is_some() { TransportType::Websocket } else { TransportType::Polling };
        let counted = request.extensions.get::<Internal>().is_none();
        let sid = Sid::new();
        let tag = control.options().tagger.as_ref().map(|tagger| tagger.tag(sid));
        let open = open_packet(sid, tag.as_deref(), transport, &self.config);
        let session = Session::new(sid, self.shard(control), self.as_owner(), writer, counted);
        session.counters().sessions(transport).add(1);
        session.counters().sessions_opened.add(1);
        event!(debug, %sid, ?transport, "session opened");
        (Arc::new(session), open)
    }

    /// Makes the session known and tells the handler.
    fn begin(self: &Arc<Self>, session: Arc<Session>, mut request: Parts) -> Arc<Socket<H::Data>> {
        // The rest is the application's.
        request.extensions.remove::<Internal>();
        request.extensions.remove::<Control>();
        request.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let socket = Arc::new(Socket::new(session.clone(), RequestParts::new(request)));
        self.sockets.write().unwrap_or_else(PoisonError::into_inner).insert(session.id, socket.clone());
        self.call(&session, || self.handler.clone().on_connect(socket.clone()));
        session.shard.begin_beat(session.id);
        socket
    }

    pub(crate) fn get(&self, sid: Sid) -> Option<Arc<Socket<H::Data>>> {
        self.sockets.read().unwrap_or_else(PoisonError::into_inner).get(&sid).cloned()
    }

    /// A packet of a client. False if nothing may follow it.
    pub(crate) fn receive(&self, socket: &Arc<Socket<H::Data>>, packet: Packet) -> bool {
        let session = &socket.session;
        session.counters().packets_in.add(1);
        match packet {
            Packet::Message(text) => {
                self.call(session, || self.handler.on_message(text, socket.clone()));
            }
            Packet::Binary(data) => {
                self.call(session, || self.handler.on_binary(data, socket.clone()));
            }
            Packet::Ping | Packet::Pong => session.pong(),
            Packet::Close => {
                session.close(DisconnectReason::TransportClose, Manner::Answer(CloseCode::NORMAL))
            }
            Packet::Open(_)
            | Packet::PingUpgrade
            | Packet::PongUpgrade
            | Packet::Upgrade
            | Packet::Noop
            | Packet::BinaryV3(_) => session.close(DisconnectReason::PacketParsingError, Manner::NORMAL),
        }
        session.is_open()
    }

    /// The end of a session has been said, or there is nobody to say it to: tells everybody.
    pub(crate) fn finish(&self, socket: &Arc<Socket<H::Data>>, reason: DisconnectReason) {
        let session = &socket.session;
        if session.has_farewell() {
            session.shard.keep_farewell(session.id);
        } else {
            self.remove(session.id);
            session.discard_unless_polled();
        }
        if session.set_closed() {
            event!(debug, sid = %session.id, ?reason, "session closed");
            let tell = || self.call(session, || self.handler.on_disconnect(socket.clone(), reason.clone()));
            (0..DISCONNECT_CALLS_MAX).find(|_| tell());
        }
    }

    /// The connection's task is gone without an end: its runtime was shut down.
    pub(crate) fn abandon(&self, session: &Session) {
        if session.set_closed() {
            self.remove(session.id);
        }
    }

    pub(crate) fn remove(&self, sid: Sid) {
        self.sockets.write().unwrap_or_else(PoisonError::into_inner).remove(&sid);
    }

    /// Calls the handler; a panic ends the session and nothing else. False if it panicked.
    fn call(&self, session: &Arc<Session>, call: impl FnOnce()) -> bool {
        let returned = catch_unwind(AssertUnwindSafe(call)).is_ok();
        if !returned {
            session.counters().handler_panics.add(1);
            event!(warn, sid = %session.id, "a handler panicked, its session ends");
            session.close(DisconnectReason::TransportError, Manner::NORMAL);
        }
        returned
    }

    fn as_owner(self: &Arc<Self>) -> Weak<dyn Owner> {
        let weak: Weak<Self> = Arc::downgrade(self);
        weak
    }

    /// A shard of the current runtime for a session of `control`.
    fn shard(self: &Arc<Self>, control: &Control) -> Arc<Shard> {
        let runtime = Handle::current();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let known = groups
            .iter()
            .find(|group| group.runtime == runtime.id() && group.shards[0].control().is(control));
        if let Some(group) = known {
            let turn = group.next.fetch_add(1, Ordering::Relaxed);
            return group.shards[turn % group.shards.len()].clone();
        }
        groups.retain(|group| group.shards.iter().all(|shard| shard.is_alive()));
        control.serve(self.as_owner());
        let start = || Shard::start(control.clone(), self.config.clone(), runtime.clone(), self.as_owner());
        let shards: Vec<_> = (0..runtime.metrics().num_workers().max(1)).map(|_| start()).collect();
        let first = shards[0].clone();
        groups.push(Group { runtime: runtime.id(), shards, next: AtomicUsize::new(1) });
        first
    }
}

impl<H: EngineIoHandler> Owner for EngineIo<H> {
    fn find(&self, sid: Sid) -> Option<Arc<Session>> {
        self.get(sid).map(|socket| socket.session.clone())
    }

    fn all(&self) -> Vec<Arc<Session>> {
        let sockets = self.sockets.read().unwrap_or_else(PoisonError::into_inner);
        sockets.values().map(|socket| socket.session.clone()).collect()
    }

    fn closing(self: Arc<Self>, session: &Arc<Session>, reason: DisconnectReason) {
        // A WebSocket has a task, which was woken; polling has none.
        if session.transport() == TransportType::Polling
            && let Some(socket) = self.get(session.id)
        {
            session.shard.runtime().spawn(async move { self.finish(&socket, reason) });
        }
    }

    fn forget(&self, sid: Sid) {
        if let Some(socket) = self.get(sid)
            && socket.session.is_closed()
        {
            self.remove(sid);
            socket.session.discard();
        }
    }
}
