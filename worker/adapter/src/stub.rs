//! Sockets that are only ids, for tests of what is decided about them.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::{FusedStream, Stream};
use socketioxide_core::{
    Sid, Str, Uid, Value,
    adapter::{
        AckStreamItem, BroadcastIter, CoreLocalAdapter, RemoteSocketData, SocketEmitter, errors::SocketError,
    },
    packet::Packet,
    parser::Parse,
};
use socketioxide_parser_common::CommonParser;

/// What was sent to whom.
pub(crate) type Sent = Arc<Mutex<Vec<(Sid, Value)>>>;

pub(crate) struct Stub {
    path: Str,
    sids: Vec<Sid>,
    sent: Sent,
}

pub(crate) struct NoAcks;

#[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("stub")]
pub(crate) struct StubError;

pub(crate) fn local<const N: usize>(path: &'static str, sids: [Sid; N]) -> CoreLocalAdapter<Stub> {
    recording(path, sids).0
}

pub(crate) fn recording<const N: usize>(
    path: &'static str,
    sids: [Sid; N],
) -> (CoreLocalAdapter<Stub>, Sent) {
    let sent = Sent::default();
    let stub = Stub { path: path.into(), sids: sids.to_vec(), sent: sent.clone() };
    (CoreLocalAdapter::new(stub), sent)
}

impl SocketEmitter for Stub {
    type AckError = StubError;
    type AckStream = NoAcks;

    fn get_all_sids(&self, filter: impl Fn(&Sid) -> bool) -> Vec<Sid> {
        self.sids.iter().copied().filter(|sid| filter(sid)).collect()
    }
    fn get_remote_sockets(&self, sids: BroadcastIter<'_>) -> Vec<RemoteSocketData> {
        let here = |sid: &Sid| self.sids.contains(sid);
        sids.filter(here)
            .map(|id| RemoteSocketData { id, server_id: Uid::ZERO, ns: self.path.clone() })
            .collect()
    }
    fn send_many(&self, sids: BroadcastIter<'_>, data: Value) -> Result<(), Vec<SocketError>> {
        self.sent.lock().unwrap().extend(sids.map(|sid| (sid, data.clone())));
        Ok(())
    }
    fn send_many_volatile(&self, sids: BroadcastIter<'_>, data: Value) {
        let _ = self.send_many(sids, data);
    }
    fn send_many_with_ack(&self, _: BroadcastIter<'_>, _: Packet, _: Option<Duration>) -> (NoAcks, u32) {
        (NoAcks, 0)
    }
    fn disconnect_many(&self, _: Vec<Sid>) -> Result<(), Vec<SocketError>> {
        Ok(())
    }
    fn path(&self) -> &Str {
        &self.path
    }
    fn parser(&self) -> impl Parse {
        CommonParser
    }
    fn server_id(&self) -> Uid {
        Uid::ZERO
    }
    fn ack_timeout(&self) -> Duration {
        Duration::from_secs(1)
    }
}

impl Stream for NoAcks {
    type Item = AckStreamItem<StubError>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

impl FusedStream for NoAcks {
    fn is_terminated(&self) -> bool {
        true
    }
}
