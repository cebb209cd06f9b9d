//! Connections of other boxes: each proves first that it belongs to the cluster, then goes to the worker that it names.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use oxherd_contract::handoff::{Handoff, HandoffError, Reason};
use oxherd_contract::ids::{ListenerId, WorkerId};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Door;
use super::listener::Accepted;
use crate::boxes::{Boxes, Verdict};
use crate::connection::{Socket, Stream};

/// A sibling that takes nothing now is tried this often, with a pause.
const GIVES_MAX: u32 = 20;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

impl Door {
    /// A connection that was accepted on a slot for other boxes.
    pub fn challenge(&self, (socket, peer): Accepted, listener: ListenerId) {
        let (Some(boxes), Socket::Tcp(tcp), Some(peer)) = (self.routing.boxes(), socket, peer) else {
            return;
        };
        let Some(room) = boxes.room() else { return };
        let (door, boxes) = (self.clone(), boxes.clone());
        tokio::spawn(async move {
            if let Err(error) = door.introduce(&boxes, tcp, peer, listener).await {
                tracing::debug!(%error, %peer, "a box did not come in");
            }
            drop(room);
        });
    }

    async fn introduce(
        &self,
        boxes: &Arc<Boxes>,
        tcp: std::net::TcpStream,
        peer: SocketAddr,
        listener: ListenerId,
    ) -> io::Result<()> {
        tcp.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(tcp)?;
        let Some(worker) = boxes.challenge(&mut stream, peer).await else { return Ok(()) };
        if worker == self.routing.worker() {
            boxes.decide(&mut stream, Verdict::Welcome).await;
            self.admit(Ok(Stream::Tcp(stream)));
            return Ok(());
        }
        // The sibling has it before the other box may speak, so nothing that it says is read here.
        let handoff = Handoff { listener, peer: Some(peer), reason: Reason::Box };
        match self.give_box(worker, &handoff, &stream).await {
            Ok(()) => boxes.decide(&mut stream, Verdict::Welcome).await,
            Err(HandoffError::Closed) => boxes.decide(&mut stream, Verdict::NoSuchWorker).await,
            Err(busy) => return Err(io::Error::other(busy)), // no verdict: it may try again
        }
        Ok(())
    }

    async fn give_box(
        &self,
        worker: WorkerId,
        handoff: &Handoff,
        stream: &TcpStream,
    ) -> Result<(), HandoffError> {
        for _ in 0..GIVES_MAX {
            match self.routing.channels.give(worker, handoff, stream.as_fd()) {
                Err(HandoffError::Full) => sleep(PAUSE).await,
                given => return given,
            }
        }
        Err(HandoffError::Full)
    }
}
