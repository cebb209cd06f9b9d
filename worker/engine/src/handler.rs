//! What an application implements to hear from its sessions.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use engineioxide_core::Str;

use crate::socket::{DisconnectReason, Socket};

/// The application's side of the engine. socketioxide implements it.
///
/// The calls for one session come one after the other, from the task that reads its transport. A call that panics
/// ends its session with [`DisconnectReason::TransportError`] and nothing else.
pub trait EngineIoHandler: fmt::Debug + Send + Sync + 'static {
    /// What the application keeps with each session.
    type Data: Default + Send + Sync + 'static;

    /// A session begins. Nothing of it has been read, and what is emitted here follows the open packet.
    fn on_connect(self: Arc<Self>, socket: Arc<Socket<Self::Data>>);

    /// A session has ended: called after [`Socket::closed`] resolves, and never inside [`Socket::close`]. Called once, but
    /// again if it panics, so that whatever follows the panic in it is let go too.
    fn on_disconnect(&self, socket: Arc<Socket<Self::Data>>, reason: DisconnectReason);

    /// A text message.
    fn on_message(self: &Arc<Self>, msg: Str, socket: Arc<Socket<Self::Data>>);

    /// A binary message.
    fn on_binary(self: &Arc<Self>, data: Bytes, socket: Arc<Socket<Self::Data>>);
}
