//! The state that all clients share, and what moves it: joining, leaving, subscribing, publishing. No I/O.
//!
//! One broker per bus, on one thread, borrowed for as long as one client's batch of commands runs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::client::{Client, ClientId, Origin};
use crate::counters::Counters;
use crate::hold::{Gate, Opened};
use crate::message::Frames;
use crate::settings::BusSettings;
use crate::table::{Name, Table};

/// The two kinds of subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
}

pub(crate) struct Broker {
    pub settings: Arc<BusSettings>,
    pub counters: Arc<Counters>,
    pub clients: BTreeMap<ClientId, Rc<Client>>,
    pub table: Table<Rc<Client>>,
    pub gate: Gate,
    pub started: Instant,
    /// The time of the batch that runs now: one reading of the clock for all its commands.
    pub now: Instant,
    /// What has been done so far, in steps of about the cost of a delivery; a turn ends after a share of it.
    pub work: u64,
    last_id: u64,
    tcp_clients: usize,
    subscriptions: usize,
    input_bytes: usize,
}

/// A limit that refused a subscription; the client is told and stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    #[error("ERR channel or pattern is longer than {0} bytes")]
    NameTooLong(usize),
    #[error("ERR max number of subscriptions of this client reached")]
    ClientFull,
    #[error("ERR max number of subscriptions reached")]
    BusFull,
    #[error("ERR max size of glob patterns reached")]
    WildFull,
}

impl Broker {
    pub(crate) fn new(settings: Arc<BusSettings>, counters: Arc<Counters>, gate: Gate, now: Instant) -> Self {
        Self {
            settings,
            counters,
            clients: BTreeMap::new(),
            table: Table::default(),
            gate,
            started: now,
            now,
            work: 0,
            last_id: 0,
            tcp_clients: 0,
            subscriptions: 0,
            input_bytes: 0,
        }
    }

    /// A new client, or `None` when there is no room for one.
    pub(crate) fn join(&mut self, origin: Origin, now: Instant) -> Option<Rc<Client>> {
        let is_tcp = matches!(origin, Origin::Tcp(_));
        let is_full = is_tcp && self.tcp_clients >= self.settings.tcp_clients_max;
        if is_full || self.clients.len() >= self.settings.clients_max {
            self.counters.refused_full.add(1);
            return None;
        }
        self.last_id += 1;
        self.tcp_clients += usize::from(is_tcp);
        let client = Client::new(ClientId(self.last_id), origin, &self.settings, now);
        self.clients.insert(client.id, client.clone());
        self.counters.accepted.add(1);
        self.counters.clients.set(self.clients.len());
        Some(client)
    }

    pub(crate) fn leave(&mut self, client: &Rc<Client>) {
        self.unsubscribe_all(client, Kind::Channel);
        self.unsubscribe_all(client, Kind::Pattern);
        let was_here = self.clients.remove(&client.id).is_some(); // a connection's end and its Drop both come here
        self.tcp_clients -= usize::from(was_here && matches!(client.origin, Origin::Tcp(_)));
        self.counters.clients.set(self.clients.len());
    }

    /// Whether `client` is subscribed now; it may have been before.
    pub(crate) fn subscribe(
        &mut self,
        client: &Rc<Client>,
        kind: Kind,
        name: &[u8],
    ) -> Result<(), SubscribeError> {
        let mut session = client.session.borrow_mut();
        let known = match kind {
            Kind::Channel => session.channels.contains(name),
            Kind::Pattern => session.patterns.contains(name),
        };
        if known {
            return Ok(());
        }
        let refused = if name.len() > self.settings.name_bytes_max {
            Some(SubscribeError::NameTooLong(self.settings.name_bytes_max))
        } else if session.subscriptions() >= self.settings.subscriptions_per_client_max {
            Some(SubscribeError::ClientFull)
        } else if self.subscriptions >= self.settings.subscriptions_max {
            Some(SubscribeError::BusFull)
        } else if kind == Kind::Pattern && self.table.wild_bytes_with(name) > self.settings.wild_bytes_max {
            Some(SubscribeError::WildFull)
        } else {
            None
        };
        if let Some(error) = refused {
            self.counters.refused_limit.add(1);
            return Err(error);
        }
        let name: Name = name.into();
        match kind {
            Kind::Channel => {
                self.table.subscribe(&name, client.id, client.clone());
                session.channels.insert(name);
            }
            Kind::Pattern => {
                self.table.psubscribe(&name, client.id, client.clone());
                session.patterns.insert(name);
            }
        }
        self.subscriptions += 1;
        self.count_subscriptions();
        Ok(())
    }

    pub(crate) fn unsubscribe(&mut self, client: &Client, kind: Kind, name: &[u8]) {
        let mut session = client.session.borrow_mut();
        let was_subscribed = match kind {
            Kind::Channel => session.channels.remove(name),
            Kind::Pattern => session.patterns.remove(name),
        };
        if was_subscribed {
            match kind {
                Kind::Channel => self.table.unsubscribe(name, client.id),
                Kind::Pattern => self.table.punsubscribe(name, client.id),
            }
            self.subscriptions -= 1;
            self.count_subscriptions();
        }
    }

    pub(crate) fn unsubscribe_all(&mut self, client: &Client, kind: Kind) {
        for name in self.names(client, kind) {
            self.unsubscribe(client, kind, &name);
        }
    }

    /// What a client listens to, in byte order.
    pub(crate) fn names(&self, client: &Client, kind: Kind) -> Vec<Name> {
        let session = client.session.borrow();
        match kind {
            Kind::Channel => session.channels.iter().cloned().collect(),
            Kind::Pattern => session.patterns.iter().cloned().collect(),
        }
    }

    /// Queues a message to all who listen; returns to how many.
    pub(crate) fn publish(&mut self, channel: &[u8], payload: &[u8]) -> usize {
        let now = self.now;
        let mut receivers = 0;
        self.table.receivers(channel, |pattern, members| {
            let mut frames = Frames::new(pattern.map(|text| &**text), channel, payload);
            for client in members.iter().filter(|client| client.cut.get().is_none()) {
                receivers += usize::from(client.deliver(now, frames.get(client.protocol.get())));
            }
        });
        self.counters.published.add(1);
        self.counters.delivered.add(receivers as u64);
        self.work += (receivers + self.table.wild()) as u64;
        receivers
    }

    /// Opens the gate if it is time to.
    pub(crate) fn settle(&mut self) -> Option<Opened> {
        let clients = &self.clients;
        let is_back = |name: &str| {
            clients.values().any(|client| {
                let session = client.session.borrow();
                session.name == name && session.subscriptions() > 0
            })
        };
        self.gate.settle(self.now, is_back)
    }

    /// Takes note that a client's input buffer went from `before` to `after` bytes; whether all fit.
    pub(crate) fn account_input(&mut self, before: usize, after: usize) -> bool {
        self.input_bytes = self.input_bytes - before + after;
        self.counters.input_bytes.set(self.input_bytes);
        self.input_bytes <= self.settings.input_bytes_max
    }

    fn count_subscriptions(&self) {
        self.counters.subscriptions.set(self.subscriptions);
        self.counters.channels.set(self.table.channels());
        self.counters.patterns.set(self.table.patterns());
    }
}
