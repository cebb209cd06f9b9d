//! From an HTTP request to the task of a WebSocket.

use std::sync::Arc;

use engineioxide_core::Sid;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;

use super::{
    io::{self, Reader, Writer},
    websocket::Connection,
};
use crate::{
    control::Control, engine::EngineIo, handler::EngineIoHandler, proto::refused::Refused,
    session::ProbeClaim,
};

/// What a new WebSocket will be.
pub(crate) enum Purpose {
    /// A session of its own.
    Open(Control, Box<Parts>),
    /// The successor of polling.
    TakeOver(ProbeClaim),
}

impl Purpose {
    fn control(&self) -> &Control {
        match self {
            Self::Open(control, _) => control,
            Self::TakeOver(claim) => claim.session.shard.control(),
        }
    }

    /// The upgrade of a session that exists and has none under way.
    pub(crate) fn take_over<H: EngineIoHandler>(engine: &EngineIo<H>, sid: Sid) -> Result<Self, Refused> {
        let socket = engine.get(sid).ok_or(Refused::UnknownSession)?;
        socket.session.claim_upgrade().map(Self::TakeOver)
    }
}

/// Spawns the task that lives as long as the connection. The future that waits for hyper is boxed and gone by then, so
/// that it adds nothing to the size of the task.
pub(crate) fn spawn<H: EngineIoHandler>(engine: Arc<EngineIo<H>>, upgrade: OnUpgrade, purpose: Purpose) {
    tokio::spawn(async move {
        let opened = Box::pin(async move {
            let dismantle = purpose.control().options().dismantle;
            let (reader, writer, early) = io::split_upgraded(upgrade.await.ok()?, dismantle);
            begin(engine, reader, writer, early, purpose)
        });
        if let Some(connection) = opened.await {
            connection.await;
        }
    });
}

/// The connection of a byte stream that speaks WebSocket from here on; none if its session is not to be any more.
pub(crate) fn begin<H: EngineIoHandler>(
    engine: Arc<EngineIo<H>>,
    reader: Reader,
    writer: Writer,
    early: Vec<u8>,
    purpose: Purpose,
) -> Option<Connection<H>> {
    match purpose {
        // A shutdown may have begun since the request was admitted.
        Purpose::Open(control, _) if control.is_leaving() => None,
        Purpose::Open(control, request) => {
            let socket = engine.open_websocket(&control, *request, writer);
            Some(Connection::open(engine, socket, reader, early))
        }
        Purpose::TakeOver(claim) => {
            let socket = engine.get(claim.session.id)?;
            let timeout = engine.config.upgrade_timeout;
            Some(Connection::probing(engine, socket, reader, early, writer, claim, timeout))
        }
    }
}
