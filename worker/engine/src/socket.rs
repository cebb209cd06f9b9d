//! The socket that handlers hold: engineioxide's API over a session.

use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;
pub use engineioxide_core::Sid;
use engineioxide_core::{ProtocolVersion, Str, TransportType};
use tokio::sync::mpsc::error::TrySendError;

pub use crate::session::RequestParts;
use crate::session::{
    Manner, Session,
    item::{Group, Head, Item},
};

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client said goodbye: a close frame or a close packet.
    TransportClose,
    /// The client polled while it was polling.
    MultipleHttpPollingError,
    /// The client sent a packet that cannot be read.
    PacketParsingError,
    /// End of the stream, an I/O error, a breach of the WebSocket protocol, a client that did not keep up.
    TransportError,
    /// A ping was not answered in time.
    HeartbeatTimeout,
    /// The server ended it.
    ClosingServer,
}

/// One client. What is emitted is queued and written at the end of the runtime's turn, in order.
pub struct Socket<D: Default + Send + Sync + 'static> {
    /// The id of the session, without a tag.
    pub id: Sid,
    /// Always [`ProtocolVersion::V4`].
    pub protocol: ProtocolVersion,
    /// The application's own data.
    pub data: D,
    /// The request that opened the session; after an upgrade still the one that opened it.
    pub req_parts: RequestParts,
    pub(crate) session: Arc<Session>,
}

impl<D: Default + Send + Sync + 'static> Socket<D> {
    pub(crate) fn new(session: Arc<Session>, req_parts: RequestParts) -> Self {
        Self { id: session.id, protocol: ProtocolVersion::V4, data: D::default(), req_parts, session }
    }

    /// What the session runs over now.
    pub fn transport_type(&self) -> TransportType {
        self.session.transport()
    }

    /// Takes a place in the queue: one emit through the permit cannot fail for want of room.
    #[inline]
    pub fn reserve(&self) -> Result<Permit<'_>, TrySendError<()>> {
        self.session.reserve()?;
        Ok(Permit { session: Some(&self.session) })
    }

    /// Sends a text message, or gives it back.
    pub fn emit(&self, msg: impl Into<Str>) -> Result<(), TrySendError<Str>> {
        let text = |item| match item {
            Item::Text(text) => text,
            _ => Str::default(),
        };
        self.session.emit(Item::Text(msg.into())).map_err(|error| give_back(error, text))
    }

    /// Sends a binary message, or gives it back.
    pub fn emit_binary<B: Into<Bytes>>(&self, data: B) -> Result<(), TrySendError<Bytes>> {
        let binary = |item| match item {
            Item::Binary(data) => data,
            _ => Bytes::new(),
        };
        self.session.emit(Item::Binary(data.into())).map_err(|error| give_back(error, binary))
    }

    /// Sends a text message when nothing else waits, unless a newer volatile one comes first. False if the session has
    /// ended.
    #[inline]
    pub fn emit_volatile(&self, msg: impl Into<Str>) -> bool {
        self.session.emit_volatile(Item::Text(msg.into()))
    }

    /// As [`emit_volatile`](Self::emit_volatile).
    #[inline]
    pub fn emit_binary_volatile<B: Into<Bytes>>(&self, data: B) -> bool {
        self.session.emit_volatile(Item::Binary(data.into()))
    }

    /// As [`emit_volatile`](Self::emit_volatile), for a message with attachments.
    #[inline]
    pub fn emit_many_volatile(&self, msg: Str, data: VecDeque<Bytes>) -> bool {
        self.session.emit_volatile(group(Head::Text(msg), data))
    }

    /// Ends the session: what is queued, a close packet, on a WebSocket a close frame. Returns at once; a client that
    /// does not read delays the end by the linger time at most.
    pub fn close(&self, reason: DisconnectReason) {
        self.session.close(reason, Manner::NORMAL);
    }

    /// Whether the session has ended or is about to: nothing can be emitted any more.
    pub fn is_closed(&self) -> bool {
        !self.session.is_open()
    }

    /// Resolves when the session has ended, before `on_disconnect` is called.
    pub async fn closed(&self) {
        self.session.closed().await;
    }
}

impl<D: Default + Send + Sync + 'static> fmt::Debug for Socket<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("sid", &self.id)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// A place in a session's queue. Dropped unused, it gives the place back.
#[derive(Debug)]
pub struct Permit<'a> {
    session: Option<&'a Arc<Session>>,
}

impl Permit<'_> {
    /// Sends a text message.
    #[inline]
    pub fn emit(self, msg: Str) {
        self.send(Item::Text(msg));
    }

    /// Sends a binary message.
    #[inline]
    pub fn emit_binary(self, data: Bytes) {
        self.send(Item::Binary(data));
    }

    /// Sends a text message and its attachments, with nothing in between.
    pub fn emit_many(self, msg: Str, data: VecDeque<Bytes>) {
        self.send(group(Head::Text(msg), data));
    }

    /// Sends binary messages with nothing in between.
    pub fn emit_many_binary(self, bin: Bytes, data: Vec<Bytes>) {
        self.send(group(Head::Binary(bin), data.into()));
    }

    fn send(mut self, item: Item) {
        if let Some(session) = self.session.take() {
            session.emit_reserved(item);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.release();
        }
    }
}

fn group(head: Head, attachments: VecDeque<Bytes>) -> Item {
    Item::Group(Box::new(Group { head, attachments }))
}

fn give_back<T>(error: TrySendError<Item>, payload: impl FnOnce(Item) -> T) -> TrySendError<T> {
    match error {
        TrySendError::Full(item) => TrySendError::Full(payload(item)),
        TrySendError::Closed(item) => TrySendError::Closed(payload(item)),
    }
}
