//! The life of a bus: check, listen, accept, hold, and at the end close everything.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::connection::Connection;
use crate::counters::Counters;
use crate::hold::{Gate, Hold, Opened};
use crate::listen::{Accepted, Listener, Listeners, is_local};
use crate::settings::BusSettings;

/// After a failed accept (out of descriptors, mostly): the connection still waits, and so would a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One read, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// The broker, before it serves.
pub struct Bus {
    settings: Arc<BusSettings>,
    counters: Arc<Counters>,
    hold: Option<Hold>,
}

/// Why a bus does not serve.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Whoever reaches this address could publish to every user.
    #[error("the bus listens on {0}, beyond this machine, without a password")]
    Open(SocketAddr),
    /// A listener could not be taken over.
    #[error("cannot take over a listener")]
    Listener(#[source] io::Error),
    /// What accepts connections panicked; all connections are closed.
    #[error("a task of the bus panicked")]
    Task(#[source] JoinError),
}

/// What the tasks of one bus share.
pub(crate) struct Shared {
    /// Where every read goes first, so that an idle client occupies none.
    pub buffer: RefCell<Box<[u8]>>,
    pub broker: RefCell<Broker>,
    /// False while publishes are held; goes true once.
    pub open: watch::Sender<bool>,
    pub counters: Arc<Counters>,
    pub shutdown: CancellationToken,
}

impl Bus {
    /// A bus with these settings, which holds nothing.
    pub fn new(settings: BusSettings) -> Self {
        Self { settings: Arc::new(settings), counters: Arc::default(), hold: None }
    }

    /// Starts in holding mode: for a bus that takes the place of one that died.
    #[must_use]
    pub fn hold(mut self, hold: Hold) -> Self {
        self.hold = Some(hold);
        self
    }

    /// Its numbers: alive from before it serves until after.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Serves until `shutdown`, then closes every connection after one attempt to send what it is owed.
    ///
    /// Runs on a single-threaded tokio runtime with I/O and time; the future is not `Send`.
    ///
    /// # Errors
    /// [`BusError`]; all but [`BusError::Task`] before anything was accepted.
    pub async fn serve(self, listeners: Listeners, shutdown: CancellationToken) -> Result<(), BusError> {
        let listeners = take_over(listeners, &self.settings)?;
        let now = Instant::now();
        let gate = match &mut { self.hold.clone() } {
            None => Gate::Open,
            Some(hold) => Gate::Holding {
                expected: hold.expected.borrow_and_update().clone(),
                until: now + hold.at_most,
            },
        };
        self.counters.holding.set(usize::from(gate.is_holding()));
        let shared = Rc::new(Shared {
            buffer: RefCell::new(vec![0; READ_BYTES].into()),
            open: watch::Sender::new(!gate.is_holding()),
            broker: RefCell::new(Broker::new(self.settings, self.counters.clone(), gate, now)),
            counters: self.counters,
            shutdown,
        });
        LocalSet::new()
            .run_until(async {
                let mut tasks = JoinSet::new();
                if let Some(hold) = self.hold {
                    tasks.spawn_local(watch_hold(shared.clone(), hold, now));
                }
                for listener in listeners {
                    tasks.spawn_local(accept(shared.clone(), listener));
                }
                // They end at shutdown. One that panicked would leave the bus deaf: better to end and be replaced.
                while let Some(ended) = tasks.join_next().await {
                    ended.map_err(BusError::Task)?;
                }
                // Nothing to listen on.
                shared.shutdown.cancelled().await;
                Ok(())
            })
            .await
    }
}

fn take_over(listeners: Listeners, settings: &BusSettings) -> Result<Vec<Listener>, BusError> {
    let mut all = Vec::new();
    for listener in listeners.tcp {
        let address = listener.local_addr().map_err(BusError::Listener)?;
        if settings.password.is_none() && !is_local(address) {
            return Err(BusError::Open(address));
        }
        all.push(Listener::tcp(listener).map_err(BusError::Listener)?);
    }
    for listener in listeners.unix {
        all.push(Listener::unix(listener).map_err(BusError::Listener)?);
    }
    Ok(all)
}

/// Accepts until shutdown; owns the tasks of all connections that came in here.
async fn accept(shared: Rc<Shared>, listener: Listener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => {
                    if let Some(connection) = admit(&shared, accepted) {
                        connections.spawn_local(connection.run());
                    }
                }
                Err(error) => {
                    shared.counters.accept_failed.add(1);
                    tracing::warn!(%error, "bus cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => report_panic(ended),
            () = shared.shutdown.cancelled() => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report_panic(ended);
    }
}

fn admit(shared: &Rc<Shared>, accepted: Accepted) -> Option<Connection> {
    let (mut stream, origin) = match accepted {
        Accepted::Client(stream, origin) => (stream, origin),
        Accepted::Foreign { uid } => {
            shared.counters.refused_uid.add(1);
            tracing::warn!(uid, "bus client of another user refused");
            return None;
        }
    };
    let joined = shared.broker.borrow_mut().join(origin, Instant::now());
    match joined {
        Some(client) => Some(Connection::new(shared.clone(), stream, client)),
        None => {
            // Best effort, as in Redis: the peer may be gone.
            let _ = stream.write(&[IoSlice::new(b"-ERR max number of clients reached\r\n")]);
            None
        }
    }
}

/// Passes changes of the expected set and the deadline on to the gate.
async fn watch_hold(shared: Rc<Shared>, mut hold: Hold, start: Instant) {
    let mut open = shared.open.subscribe();
    let deadline = tokio::time::sleep_until((start + hold.at_most).into());
    tokio::pin!(deadline);
    let mut may_change = true;
    loop {
        shared.settle();
        tokio::select! {
            () = &mut deadline => shared.settle(),
            changed = hold.expected.changed(), if may_change => {
                // A sender that is gone leaves its last word.
                may_change = changed.is_ok();
                let names = hold.expected.borrow_and_update().clone();
                shared.broker.borrow_mut().gate.expect(names);
            }
            _ = open.wait_for(|open| *open) => return,
            () = shared.shutdown.cancelled() => return,
        }
    }
}

impl Shared {
    /// Opens the gate if it is time to, and wakes who waits for it.
    pub(crate) fn settle(&self) {
        let opened = {
            let mut broker = self.broker.borrow_mut();
            if !broker.gate.is_holding() {
                return;
            }
            broker.now = Instant::now();
            broker.settle()
        };
        match opened {
            None => return,
            Some(Opened::AllBack) => tracing::info!("bus releases publishes: all subscribers are back"),
            Some(Opened::Deadline { missing }) => {
                self.counters.hold_expired.add(1);
                tracing::warn!(?missing, "bus releases publishes: subscribers are missing");
            }
        }
        self.counters.holding.set(0);
        self.open.send_replace(true);
    }
}

/// A panic costs the connection in which it happened; the rest goes on.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "bus connection panicked");
    }
}
