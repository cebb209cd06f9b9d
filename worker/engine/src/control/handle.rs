//! One session, from outside of its handler.

use std::sync::Arc;

use engineioxide_core::{Sid, TransportType};

use super::CloseCode;
use crate::{
    session::{Manner, Session},
    socket::DisconnectReason,
};

/// An open session, found by its id. socketioxide's `socket.id` is that id.
///
/// ```
/// # use engineioxide::{control::{CloseCode, Control}, socket::Sid};
/// async fn kick(control: &Control, sid: Sid) {
///     if let Some(session) = control.session(sid) {
///         session.end(CloseCode::new(4001).unwrap_or(CloseCode::NORMAL));
///         session.closed().await;
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct SessionHandle {
    session: Arc<Session>,
}

impl SessionHandle {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }

    /// The session's id, without a tag.
    pub fn id(&self) -> Sid {
        self.session.id
    }

    /// What it runs over now.
    pub fn transport(&self) -> TransportType {
        self.session.transport()
    }

    /// Bytes that wait for the client, with 64 for each packet.
    pub fn queued_bytes(&self) -> usize {
        self.session.queued_bytes()
    }

    /// Ends the session: on a WebSocket a close frame with this code, on polling a close packet. Official clients
    /// reconnect. The handler hears [`DisconnectReason::ClosingServer`].
    pub fn end(&self, code: CloseCode) {
        self.session.close(DisconnectReason::ClosingServer, Manner::Orderly(code));
    }

    /// Resolves when the session has ended.
    pub async fn closed(&self) {
        self.session.closed().await;
    }
}
