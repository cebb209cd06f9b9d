//! Other boxes that connect: what they have to prove, and how many may do so at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use oxherd_contract::ids::WorkerId;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Boxes;
use super::challenge::Verdict;
use super::connect::{GREET_WITHIN, TAKEN_WITHIN, notice_silence};
use super::greet::{self, GreetError};

/// Connections at a time that have not yet proved anything: each has a place for as long as the challenge may take.
pub(super) const GREETINGS_MAX: usize = 256;

impl Boxes {
    /// Room for a connection that has proved nothing yet. Without it the connection is closed.
    pub fn room(&self) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.greetings).try_acquire_owned().ok();
        if room.is_none() {
            self.row.evicted.fetch_add(1, Relaxed);
        }
        room
    }

    /// Challenges who connected; the worker that is meant if it is a box of the cluster.
    pub async fn challenge(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<WorkerId> {
        let answered = async {
            notice_silence(stream, TAKEN_WITHIN)?;
            greet::answer(stream, self.me.owner.box_id, &self.secrets).await
        };
        match timeout(GREET_WITHIN, answered).await.unwrap_or(Err(GreetError::Late)) {
            Ok(worker) => Some(worker),
            Err(error) => {
                self.say_refusal(&error, peer);
                None
            }
        }
    }

    /// Tells the other box whether HTTP may begin.
    pub async fn decide(&self, stream: &mut TcpStream, verdict: Verdict) {
        if let Err(error) = greet::decide(stream, verdict).await {
            tracing::debug!(%error, "another box has left again");
        }
    }
}
