//! The middle: all namespaces of one server, and what happens with each message that comes from Redis.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};

use bytes::Bytes;
use socketioxide_core::Sid;

use crate::{
    answer,
    config::{Config, ConfigError},
    describe::{Describe, Description},
    link::{Link, Receive, Subscription, Tasks},
    namespace::Namespace,
    node::Node,
    wire::{Malformed, broadcast, request, response, transcode},
};

/// One server of the cluster.
pub(crate) struct Hub {
    pub link: Arc<Link>,
    uid: String,
    namespaces: RwLock<Table>,
    describe: RwLock<Option<Arc<dyn Describe>>>,
    tasks: Mutex<Option<Tasks>>,
}

#[derive(Default)]
struct Table {
    by_path: HashMap<String, Arc<Namespace>>,
    by_pattern: HashMap<Vec<u8>, Arc<Namespace>>,
    by_channel: HashMap<Vec<u8>, Role>,
}

/// What a message on a channel is.
#[derive(Clone)]
enum Role {
    Request(Arc<Namespace>),
    Response(Arc<Namespace>),
    /// Somebody else's, who hears it as it is.
    Plain(Arc<dyn Fn(Bytes) + Send + Sync>),
}

/// What became of a message.
enum Outcome {
    Own,
    Skipped,
    Delivered,
    Request,
    Response,
    /// An answer to somebody else's question.
    Foreign,
    OverLimit,
    /// Not the protocol's.
    Plain,
}

impl Hub {
    /// Connects; must be called within a runtime.
    pub(crate) fn start(config: Config) -> Result<Arc<Self>, ConfigError> {
        tokio::runtime::Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let hub = Arc::new(Self {
            link: Arc::new(Link::new(config)),
            uid: Sid::new().to_string(),
            namespaces: RwLock::default(),
            describe: RwLock::default(),
            tasks: Mutex::default(),
        });
        let tasks = hub.link.start(Arc::new(Ear(Arc::downgrade(&hub))));
        *hub.tasks.lock().unwrap_or_else(PoisonError::into_inner) = Some(tasks);
        Ok(hub)
    }

    /// Ends both connections and lets go of the server.
    pub(crate) fn stop(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.describe.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The namespace `path`, to be served or handled here.
    pub(crate) fn namespace(&self, path: &str) -> Arc<Namespace> {
        let mut table = self.table_mut();
        let namespace = table.by_path.entry(path.to_owned()).or_insert_with(|| self.unknown(path));
        Arc::clone(namespace)
    }

    /// The namespace `path`, to send to. One that is not served here is not remembered.
    pub(crate) fn peek(&self, path: &str) -> Arc<Namespace> {
        let known = self.table().by_path.get(path).cloned();
        known.unwrap_or_else(|| self.unknown(path))
    }

    /// All namespaces that are served here.
    pub(crate) fn nodes(&self) -> Vec<Arc<dyn Node>> {
        self.table().by_path.values().filter_map(|namespace| namespace.node()).collect()
    }

    /// `namespace` has local sockets from now on, and hears the others.
    pub(crate) fn open(&self, namespace: &Arc<Namespace>, node: Weak<dyn Node>) {
        if !namespace.set_node(node) {
            return;
        }
        let mut table = self.table_mut();
        if table.by_pattern.len() >= self.link.config.namespaces_max {
            tracing::error!(
                namespace = namespace.path,
                "too many namespaces: this one hears no other server"
            );
            return;
        }
        let names = &namespace.channels;
        table.by_pattern.insert(names.pattern.clone().into(), Arc::clone(namespace));
        for (name, role) in [
            (&names.request, Role::Request(Arc::clone(namespace))),
            (&names.response, Role::Response(Arc::clone(namespace))),
            (&names.own_response, Role::Response(Arc::clone(namespace))),
        ] {
            table.by_channel.insert(name.clone().into(), role);
        }
        drop(table);
        self.link.subscribe(Arc::clone(&namespace.subscription));
    }

    /// The end of a namespace's local sockets.
    pub(crate) fn close(&self, namespace: &Arc<Namespace>, node: *const ()) {
        if !namespace.unset_node(node) {
            return;
        }
        self.link.unsubscribe(&namespace.subscription);
        let mut table = self.table_mut();
        let names = &namespace.channels;
        table.by_pattern.remove(names.pattern.as_bytes());
        for name in [&names.request, &names.response, &names.own_response] {
            table.by_channel.remove(name.as_bytes());
        }
        if namespace.handlers.is_empty() {
            table.by_path.remove(&namespace.path);
        }
    }

    /// Gives every message on this channel to `hear`; one at a time hears a channel, the latest.
    pub(crate) fn listen(&self, channel: &str, hear: Arc<dyn Fn(Bytes) + Send + Sync>) {
        self.table_mut().by_channel.insert(channel.into(), Role::Plain(hear));
        self.link.subscribe(Arc::new(Subscription::plain(channel)));
    }

    pub(crate) fn set_describe(&self, describe: Arc<dyn Describe>) {
        *self.describe.write().unwrap_or_else(PoisonError::into_inner) = Some(describe);
    }

    /// What others may know of a local socket.
    pub(crate) fn describe(&self, namespace: &str, sid: Sid) -> Description {
        let describe = self.describe.read().unwrap_or_else(PoisonError::into_inner).clone();
        describe.and_then(|known| known.describe(namespace, sid)).unwrap_or_else(Description::unknown)
    }

    fn broadcast(
        &self,
        namespace: &Namespace,
        channel: &[u8],
        message: &Bytes,
    ) -> Result<Outcome, Malformed> {
        let channel = str::from_utf8(channel).map_err(|_| Malformed::Shape("a channel is not UTF-8"))?;
        let Some(room) = namespace.channels.room(channel) else { return Ok(Outcome::Skipped) };
        let Some(node) = namespace.node() else { return Ok(Outcome::Skipped) };
        if !room.is_empty() && !node.has_room(room) {
            return Ok(Outcome::Skipped);
        }
        let Some(broadcast) = broadcast::decode(message, &namespace.uid, &namespace.path)? else {
            return Ok(Outcome::Own);
        };
        let event = transcode::value(message, broadcast.event, node.dialect())?;
        // Sockets whose queues are full are the engine's to count.
        let _ = node.broadcast(event, broadcast.selection.into_options());
        Ok(Outcome::Delivered)
    }

    fn request(&self, namespace: &Arc<Namespace>, message: &Bytes) -> Result<Outcome, Malformed> {
        let request = request::decode(message)?;
        if request.uid.as_deref() == Some(namespace.uid.as_str())
            || request.id.as_deref().is_some_and(|id| namespace.questions.contains(id))
        {
            return Ok(Outcome::Own);
        }
        let Some(node) = namespace.node() else { return Ok(Outcome::Skipped) };
        Ok(match answer::answer(self, namespace, &*node, request)? {
            answer::Done::Yes => Outcome::Request,
            answer::Done::OverLimit => Outcome::OverLimit,
        })
    }

    fn response(namespace: &Namespace, message: &Bytes) -> Result<Outcome, Malformed> {
        // Most answers on the common channel are somebody else's.
        if namespace.questions.is_empty() {
            return Ok(Outcome::Foreign);
        }
        let response = response::decode(message)?;
        Ok(if namespace.questions.answer(message, response) { Outcome::Response } else { Outcome::Foreign })
    }

    fn unknown(&self, path: &str) -> Arc<Namespace> {
        Arc::new(Namespace::new(path, &self.uid, &self.link))
    }

    fn table(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Handles one message, and counts it once.
    pub(crate) fn receive(&self, pattern: Option<&[u8]>, channel: &[u8], message: &Bytes) {
        let counters = &self.link.counters;
        counters.received.inc();
        if message.len() > self.link.config.message_bytes_max {
            counters.over_limit.inc();
            return;
        }
        let outcome = match pattern {
            Some(pattern) => {
                let namespace = self.table().by_pattern.get(pattern).cloned();
                namespace.map(|namespace| self.broadcast(&namespace, channel, message))
            }
            None => {
                let found = self.table().by_channel.get(channel).cloned();
                found.map(|role| match role {
                    Role::Request(namespace) => self.request(&namespace, message),
                    Role::Response(namespace) => Self::response(&namespace, message),
                    Role::Plain(hear) => {
                        hear(message.clone());
                        Ok(Outcome::Plain)
                    }
                })
            }
        };
        match outcome.unwrap_or(Ok(Outcome::Skipped)) {
            Ok(Outcome::Own) => counters.own.inc(),
            Ok(Outcome::Skipped) => counters.skipped.inc(),
            Ok(Outcome::Delivered) => counters.delivered.inc(),
            Ok(Outcome::Request) => counters.requests.inc(),
            Ok(Outcome::Response) => counters.responses.inc(),
            Ok(Outcome::Foreign | Outcome::Plain) => {}
            Ok(Outcome::OverLimit) => counters.over_limit.inc(),
            Err(error) => {
                counters.malformed.inc();
                tracing::debug!(%error, channel = %String::from_utf8_lossy(channel), "dropped a malformed message");
            }
        }
    }
}

/// The subscriber's way to the hub, which does not keep it alive.
struct Ear(Weak<Hub>);

impl Receive for Ear {
    fn receive(&self, pattern: Option<&[u8]>, channel: &[u8], payload: Bytes) {
        if let Some(hub) = self.0.upgrade() {
            hub.receive(pattern, channel, &payload);
        }
    }
}
