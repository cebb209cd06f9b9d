//! One namespace as the cluster sees it: its channels, its open questions, its handlers for other servers' events, and
//! the way to its local sockets, if it has any.

use std::{
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use socketioxide_core::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    config::Answers,
    handlers::Handlers,
    link::{Link, Subscription},
    node::Node,
    questions::{Expect, Fields, Question, Questions, TooMany},
    wire::{Malformed, broadcast::Encoder, channel::Channels, request, selection::Selection},
};

#[derive(Debug)]
pub(crate) struct Namespace {
    pub path: String,
    /// This server's id in all messages.
    pub uid: String,
    pub questions: Arc<Questions>,
    pub handlers: Handlers,
    pub channels: Channels,
    pub subscription: Arc<Subscription>,
    encoder: Encoder,
    node: RwLock<Option<Weak<dyn Node>>>,
    listening: AtomicBool,
    /// One permit for each question of another server that is being answered.
    answering: Arc<Semaphore>,
    link: Arc<Link>,
}

/// A question that is on its way.
pub(crate) struct Asked {
    pub question: Question,
    /// How many servers there are, this one included. No answer: the connection broke, and the question with it.
    pub servers: oneshot::Receiver<usize>,
}

/// What the other servers said, and how many of them. A server that does not answer in time leaves a gap, and whoever
/// asked gets what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathered<T> {
    /// What is known, this server's own part included.
    pub value: T,
    /// How many other servers answered.
    pub answered: usize,
    /// How many other servers were asked; `None` if Redis is out of reach, and so are they.
    pub expected: Option<usize>,
}

impl<T> Gathered<T> {
    /// Nobody who was asked is missing.
    pub fn is_complete(&self) -> bool {
        self.expected.is_some_and(|expected| self.answered >= expected)
    }

    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Gathered<U> {
        Gathered { value: map(self.value), answered: self.answered, expected: self.expected }
    }
}

impl Namespace {
    pub(crate) fn new(path: &str, uid: &str, link: &Arc<Link>) -> Self {
        let channels = Channels::new(&link.config.key, path, uid);
        Self {
            path: path.to_owned(),
            uid: uid.to_owned(),
            questions: Arc::new(Questions::new(link.config.requests_max)),
            handlers: Handlers::default(),
            subscription: Arc::new(Subscription::namespace(&channels)),
            channels,
            encoder: Encoder::new(uid, path),
            node: RwLock::default(),
            listening: AtomicBool::new(false),
            answering: Arc::new(Semaphore::new(link.config.requests_max.min(Semaphore::MAX_PERMITS))),
            link: Arc::clone(link),
        }
    }

    /// The local sockets; `None` if this server does not serve the namespace.
    pub(crate) fn node(&self) -> Option<Arc<dyn Node>> {
        self.node.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Makes `node` the namespace's local sockets. True if it has to be subscribed to now.
    pub(crate) fn set_node(&self, node: Weak<dyn Node>) -> bool {
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = Some(node);
        !self.listening.swap(true, Relaxed)
    }

    /// The end of `node`. True if it was the namespace's.
    pub(crate) fn unset_node(&self, node: *const ()) -> bool {
        let mut current = self.node.write().unwrap_or_else(PoisonError::into_inner);
        let is_current = current.as_ref().is_some_and(|current| std::ptr::addr_eq(current.as_ptr(), node));
        if is_current {
            *current = None;
            self.listening.store(false, Relaxed);
        }
        is_current
    }

    /// Publishes an event's `[name, …]` for the other servers.
    pub(crate) fn broadcast(&self, event: &Value, selection: &Selection) -> Result<(), Malformed> {
        let message = self.encoder.encode(event, selection)?;
        // Refused is counted, and the local sockets get the event all the same.
        let _ = self.link.publish(&self.channels.broadcast_to(&selection.rooms), message);
        Ok(())
    }

    /// Publishes a request, in line with the broadcasts.
    pub(crate) fn request(&self, message: Vec<u8>) {
        let _ = self.link.publish(&self.channels.request, message);
    }

    /// Publishes an answer to the server `uid`.
    pub(crate) fn respond(&self, uid: Option<&str>, message: Vec<u8>) {
        let _ = match uid.filter(|_| self.link.config.answers == Answers::Specific) {
            Some(uid) => self.link.publish(&self.channels.response_to(uid), message),
            None => self.link.publish(&self.channels.response, message),
        };
    }

    /// Other servers can be asked: this one publishes, and hears their answers.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.link.state();
        state.publishing && state.subscribed && self.subscription.is_confirmed()
    }

    /// Puts a question in line, now. `None` if nobody could answer.
    pub(crate) fn ask(&self, request: impl FnOnce(&str) -> Vec<u8>) -> Result<Option<Asked>, TooMany> {
        if !self.is_connected() {
            return Ok(None);
        }
        let question = self.questions.open(Expect::Fields)?;
        let servers = self.count();
        self.request(request(&question.id));
        Ok(Some(Asked { question, servers }))
    }

    /// Puts a broadcast that wants acknowledgements in line, now. `None` if nobody's answers could be heard; the
    /// broadcast itself goes out as soon as it can.
    pub(crate) fn ask_clients(
        &self,
        event: &Value,
        selection: &Selection,
    ) -> Result<Option<Asked>, AskError> {
        let question = self.questions.open(Expect::Acks).map_err(|TooMany| AskError::TooMany)?;
        let message = request::encode_broadcast(&self.encoder, &self.uid, &question.id, event, selection)?;
        let connected = self.is_connected();
        let servers = self.count();
        self.request(message);
        Ok(connected.then_some(Asked { question, servers }))
    }

    /// How many servers serve the namespace, as the others count them.
    pub(crate) fn count(&self) -> oneshot::Receiver<usize> {
        self.link.count(&self.channels.request)
    }

    /// A permit to answer, while not too many have one.
    pub(crate) fn may_answer(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.answering).try_acquire_owned().ok()
    }
}

/// Why clients were not asked.
#[derive(Debug)]
pub(crate) enum AskError {
    TooMany,
    Event(Malformed),
}

impl From<Malformed> for AskError {
    fn from(error: Malformed) -> Self {
        Self::Event(error)
    }
}

/// Waits for the answers to a question, as long as it may take.
pub(crate) async fn gather(asked: Option<Asked>, timeout: Duration) -> Gathered<Vec<Fields>> {
    let Some(Asked { question, servers }) = asked else {
        return Gathered { value: Vec::new(), answered: 0, expected: None };
    };
    let complete = async {
        if let Ok(servers) = servers.await {
            // This server is one of them.
            question.asked(servers.saturating_sub(1));
            question.complete().await;
        }
    };
    // Too late is no error: what came is what there is.
    let _ = tokio::time::timeout(timeout, complete).await;
    let (value, expected) = question.into_fields();
    Gathered { answered: value.len(), value, expected }
}
