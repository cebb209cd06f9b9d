//! What this process is told: the supervisor's messages, its disappearance, and SIGTERM, as one stream of orders.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use oxherd_contract::ids::SlotId;
use oxherd_contract::link::{ChildLink, LinkError};
use oxherd_contract::message::{Slot, ToChild, ToSupervisor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::keys::KeyRing;
use crate::register::register;

/// What a worker takes for its drain when a SIGTERM, which carries no time, tells it to.
const WITHIN_UNTOLD: Duration = Duration::from_secs(10);

/// What a worker is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Accept on these slots too.
    Accept(Vec<(Slot, OwnedFd)>),
    /// Stop accepting on these slots.
    Release(Vec<SlotId>),
    /// Let everybody go and exit, all within this time.
    Leave(Duration),
}

/// The orders of this process, in the order in which they came.
pub(crate) struct Orders {
    /// `None` when the supervisor is gone.
    link: Option<AsyncFd<ChildLink>>,
    terminate: Signal,
    /// What came before the worker was READY: next to nothing, since only then is there something to tell it.
    early: VecDeque<Order>,
    /// What an orphan takes for its drain.
    within_orphaned: Duration,
    /// A change of keys is no order: it is carried out at once, in every phase of the worker's life.
    keys: KeyRing,
}

impl Orders {
    /// Listens, from now on, inside the current runtime.
    pub fn new(link: ChildLink, orphan_grace: Duration, keys: KeyRing) -> io::Result<Self> {
        Ok(Orders {
            link: Some(register(link, Interest::READABLE | Interest::WRITABLE)?),
            terminate: signal(SignalKind::terminate())?,
            early: VecDeque::new(),
            within_orphaned: orphan_grace * 4 / 5, // the guard thread's abort must not be how it leaves
            keys,
        })
    }

    /// The next order.
    pub async fn next(&mut self) -> Order {
        match self.early.pop_front() {
            Some(order) => order,
            None => self.hear().await,
        }
    }

    /// Waits until this worker is told to leave; other orders are kept for [`Orders::next`].
    pub async fn leave(&mut self) -> Duration {
        loop {
            match self.hear().await {
                Order::Leave(within) => return within,
                order => self.early.push_back(order),
            }
        }
    }

    /// Tells the supervisor; nothing to tell is lost but to one that is gone.
    pub async fn tell(&self, message: &ToSupervisor) {
        let Some(link) = &self.link else { return };
        loop {
            match link.get_ref().send(message, &[]) {
                Ok(()) | Err(LinkError::Closed) => return,
                Err(LinkError::Full) => match link.writable().await {
                    Ok(mut writable) => writable.clear_ready(),
                    Err(_) => return,
                },
                Err(error) => return tracing::error!(%error, "cannot tell the supervisor"),
            }
        }
    }

    async fn hear(&mut self) -> Order {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {
                    self.tell(&ToSupervisor::Draining).await; // it did not ask, so it must be told
                    return Order::Leave(WITHIN_UNTOLD);
                }
                heard = receive(self.link.as_ref()) => match heard {
                    Ok((ToChild::Keys(keys), _)) => {
                        let outcome = self.keys.change(&keys).map_err(|error| error.to_string());
                        self.tell(&ToSupervisor::Applied { number: keys.number, outcome }).await;
                    }
                    Ok((message, descriptors)) => {
                        if let Some(order) = understand(message, descriptors) {
                            return order;
                        }
                    }
                    Err(LinkError::Garbled(error)) => tracing::error!(%error, "cannot understand the supervisor"),
                    Err(error) => {
                        tracing::error!(%error, "the supervisor is gone");
                        self.link = None;
                        return Order::Leave(self.within_orphaned);
                    }
                },
            }
        }
    }
}

/// The next message; waits for ever when there is no supervisor.
async fn receive(link: Option<&AsyncFd<ChildLink>>) -> Result<(ToChild, Vec<OwnedFd>), LinkError> {
    let Some(link) = link else { return pending().await };
    loop {
        let mut readable = link.readable().await.map_err(LinkError::Io)?;
        match link.get_ref().receive()? {
            Some(message) => return Ok(message),
            None => readable.clear_ready(),
        }
    }
}

/// The order in a message; `None` for one that makes no sense, which is logged.
fn understand(message: ToChild, descriptors: Vec<OwnedFd>) -> Option<Order> {
    match message {
        ToChild::Accept(slots) if slots.len() == descriptors.len() => {
            Some(Order::Accept(slots.into_iter().zip(descriptors).collect()))
        }
        ToChild::Release(slots) => Some(Order::Release(slots)),
        ToChild::Drain { within } => Some(Order::Leave(within)),
        ToChild::Accept(_) | ToChild::Keys(_) | ToChild::Settings(_) | ToChild::Bus(_) => {
            tracing::error!(descriptors = descriptors.len(), "the supervisor said something out of place");
            None
        }
    }
}
