//! The slots of this worker, each with a task that accepts on it.

mod boxes;
mod door;
mod failure;
mod listener;
mod siblings;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oxherd_contract::ids::SlotId;
use oxherd_contract::listen::Purpose;
use oxherd_contract::message::Slot;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;

pub(crate) use self::door::Door;
use self::failure::Failure;
use self::listener::Listener;
pub(crate) use self::siblings::open_to_siblings;
use crate::seldom::Seldom;

/// Connections taken from one slot before another one, and those who are connected, have their turn.
const ACCEPTS_PER_TURN: usize = 16;

/// How long a listening socket rests when the kernel has no descriptor or no memory for a connection.
pub(crate) const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);

/// The slots that this worker accepts on. Dropping it closes them here; the supervisor's copies keep the queues.
pub(crate) struct Slots {
    door: Door,
    shortage: Arc<Seldom>,
    accepting: HashMap<SlotId, (Purpose, AbortHandle)>,
}

impl Slots {
    pub fn new(door: Door) -> Self {
        Slots { door, shortage: Arc::default(), accepting: HashMap::new() }
    }

    /// Accepts on these too; one that is here already is replaced by the new copy of its socket.
    pub fn accept(&mut self, slots: Vec<(Slot, OwnedFd)>) {
        for (slot, socket) in slots {
            match Listener::new(&slot.address, socket) {
                Ok(listener) => {
                    let (id, purpose) = (slot.id, slot.purpose);
                    let task = tokio::spawn(accept(listener, slot, self.door.clone(), self.shortage.clone()));
                    let older = self.accepting.insert(id, (purpose, task.abort_handle()));
                    older.inspect(|(_, older)| older.abort());
                }
                Err(error) => tracing::error!(slot = slot.id.0, %error, "cannot accept on a slot"),
            }
        }
    }

    /// Closes these; the connections that were accepted stay.
    pub fn release(&mut self, slots: &[SlotId]) {
        slots.iter().filter_map(|slot| self.accepting.remove(slot)).for_each(|(_, task)| task.abort());
    }

    /// Takes no client any more. Other boxes come in to the end, since the sessions that are let go are used by them.
    pub fn close_to_clients(&mut self) {
        self.accepting.retain(|_, (purpose, task)| {
            if *purpose == Purpose::Clients {
                task.abort();
            }
            *purpose == Purpose::Boxes
        });
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.accepting.values().for_each(|(_, task)| task.abort());
    }
}

/// Accepts on one slot until aborted.
async fn accept(listener: Listener, slot: Slot, door: Door, shortage: Arc<Seldom>) {
    loop {
        let failure = match take_turn(&listener, &slot, &door).await {
            Ok(()) => {
                yield_now().await;
                continue;
            }
            Err(error) => error,
        };
        match Failure::of(&failure) {
            Failure::OfTheConnection => {}
            Failure::Shortage => {
                if shortage.is_news(Instant::now()) {
                    tracing::error!(error = %failure, "cannot accept: the process is short of descriptors or memory");
                }
                door.connections.make_room();
                sleep(SHORTAGE_PAUSE).await;
            }
            Failure::OfTheListener => {
                return tracing::error!(slot = slot.id.0, error = %failure, "a slot accepts no more");
            }
        }
    }
}

/// Waits for connections and takes a bounded number of them.
async fn take_turn(listener: &Listener, slot: &Slot, door: &Door) -> std::io::Result<()> {
    listener.ready().await?;
    for _ in 0..ACCEPTS_PER_TURN {
        let Some(accepted) = listener.accept()? else { break };
        match slot.purpose {
            Purpose::Clients => door.welcome(accepted, slot.listener),
            Purpose::Boxes => door.challenge(accepted, slot.listener),
        }
    }
    Ok(())
}
