//! The connections to Redis: one that publishes, one that subscribes, each with its own task and its own reconnect.
//!
//! ```text
//!   publish() ──▶ outbox ──▶ publisher ══▶ Redis ══▶ subscriber ──▶ Receive
//!    (sync)      (bounded)   (one task)             (one task)      (in place)
//! ```
//!
//! The publisher takes from the outbox only while the subscriptions stand, so what is asked is also heard. Nothing in
//! here waits for Redis on behalf of a caller: [`Link::publish`] returns at once.

mod backoff;
mod connect;
mod outbox;
mod publisher;
mod subscriber;
mod subscriptions;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::{config::Config, stats::Counters};

pub(crate) use outbox::Refused;
use outbox::{Item, Outbox};
pub(crate) use subscriptions::Subscription;
use subscriptions::Subscriptions;

/// Takes what the subscriber hears.
pub(crate) trait Receive: Send + Sync + 'static {
    /// `pattern` is set if a pattern matched. Called in the task that reads the connection, in Redis' order: it must
    /// not block.
    fn receive(&self, pattern: Option<&[u8]>, channel: &[u8], payload: Bytes);
}

/// What both tasks and their users share.
#[derive(Debug)]
pub(crate) struct Link {
    pub config: Config,
    pub counters: Counters,
    outbox: Outbox,
    subscriptions: Subscriptions,
    state: watch::Sender<State>,
}

/// How the connections are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub publishing: bool,
    /// The subscriber is connected, and what was wanted when it connected is confirmed.
    pub subscribed: bool,
    /// And what was wanted since then too.
    pub complete: bool,
}

/// The tasks of a link; they end with it.
#[derive(Debug)]
pub(crate) struct Tasks([tokio::task::JoinHandle<()>; 2]);

impl Link {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            outbox: Outbox::new(config.buffer_messages_max, config.buffer_bytes_max),
            subscriptions: Subscriptions::default(),
            counters: Counters::default(),
            state: watch::Sender::new(State::default()),
            config,
        }
    }

    /// Starts both tasks; must be called within a runtime.
    pub(crate) fn start(self: &Arc<Self>, receiver: Arc<dyn Receive>) -> Tasks {
        Tasks([
            tokio::spawn(publisher::run(Arc::clone(self))),
            tokio::spawn(subscriber::run(Arc::clone(self), receiver)),
        ])
    }

    /// Puts a message in line. In order with everything else that was put in line by the same caller.
    pub(crate) fn publish(&self, channel: &str, payload: Vec<u8>) -> Result<(), Refused> {
        self.counters.published.inc();
        let item = Item::Publish { channel: channel.to_owned(), payload };
        self.outbox.push(item).inspect_err(|_| self.counters.dropped.inc())
    }

    /// Puts the question in line how many servers are subscribed to `channel`. No answer comes if the connection breaks.
    pub(crate) fn count(&self, channel: &str) -> oneshot::Receiver<usize> {
        let (answer, count) = oneshot::channel();
        // Refused: the answer's end is dropped, which is how the caller learns of it.
        let _ = self.outbox.push(Item::Count { channel: channel.to_owned(), answer });
        count
    }

    pub(crate) fn subscribe(&self, subscription: Arc<Subscription>) {
        self.subscriptions.add(subscription);
        self.update_complete();
    }

    pub(crate) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        self.subscriptions.remove(subscription);
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Waits until both connections stand and every subscription is confirmed.
    pub(crate) async fn ready(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(|state| state.publishing && state.complete).await;
    }

    /// Waits until everything that was published is settled: confirmed, dropped or unknown.
    pub(crate) async fn settled(&self) {
        self.outbox.settled().await;
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = *state;
            change(state);
            *state != before
        });
    }

    /// Compares inside the state's lock, so that of two who do it at once the later one is right.
    fn update_complete(&self) {
        self.set(|state| state.complete = state.subscribed && self.subscriptions.is_complete());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
