//! The questions to other servers that are open: who may answer, what came, when it is complete. Pure state; who waits
//! and for how long is decided elsewhere.
//!
//! An answer says nothing about its sender, so answers are counted: as many as other servers were subscribed when the
//! question was asked.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use socketioxide_core::Sid;

use crate::wire::response::{Argument, Body, Response};

/// Acknowledgements that may wait for whoever asked; more are dropped, and he learns of fewer.
const ACKS_WAITING_MAX: usize = 100_000;

/// Answers to one question that are kept while it is not known how many servers there are.
const ANSWERS_MAX: usize = 10_000;

/// The fields of one server's answer.
pub(crate) type Fields = Map<String, Json>;

/// All open questions of one namespace.
#[derive(Debug)]
pub(crate) struct Questions {
    open: Mutex<HashMap<String, Arc<Mutex<State>>>>,
    max: usize,
}

/// As many questions as are allowed are open already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// An open question; closed when dropped.
#[derive(Debug)]
pub(crate) struct Question {
    pub id: String,
    state: Arc<Mutex<State>>,
    questions: Arc<Questions>,
}

#[derive(Debug, Default)]
struct State {
    /// How many other servers were asked; not known at first.
    servers: Option<usize>,
    answers: Answers,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum Answers {
    Fields(Vec<Fields>),
    Acks { counts: usize, clients: u64, acks: u64, waiting: VecDeque<(Bytes, Argument)> },
}

impl Default for Answers {
    fn default() -> Self {
        Self::Fields(Vec::new())
    }
}

/// What kind of answers a question expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// One object from each server.
    Fields,
    /// From each server the number of its clients, and from each of those an acknowledgement.
    Acks,
}

impl Questions {
    pub(crate) fn new(max: usize) -> Self {
        Self { open: Mutex::default(), max }
    }

    pub(crate) fn open(self: &Arc<Self>, expect: Expect) -> Result<Question, TooMany> {
        let answers = match expect {
            Expect::Fields => Answers::default(),
            Expect::Acks => Answers::Acks { counts: 0, clients: 0, acks: 0, waiting: VecDeque::new() },
        };
        let id = Sid::new().to_string();
        let state = Arc::new(Mutex::new(State { answers, ..State::default() }));
        let mut open = lock(&self.open);
        if open.len() >= self.max {
            return Err(TooMany);
        }
        open.insert(id.clone(), Arc::clone(&state));
        drop(open);
        Ok(Question { id, state, questions: Arc::clone(self) })
    }

    /// Nothing is asked: answers need not even be read.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.open).is_empty()
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        lock(&self.open).contains_key(id)
    }

    /// Takes an answer; false if nobody asked, or not for this.
    pub(crate) fn answer(&self, message: &Bytes, response: Response) -> bool {
        let Some(state) = lock(&self.open).get(&response.id).cloned() else { return false };
        let mut state = lock(&state);
        let taken = match (&mut state.answers, response.body) {
            (Answers::Fields(answers), Body::Fields(fields)) if answers.len() < ANSWERS_MAX => {
                answers.push(fields);
                true
            }
            (Answers::Acks { counts, clients, .. }, Body::ClientCount(more)) => {
                *counts += 1;
                *clients = clients.saturating_add(more);
                true
            }
            (Answers::Acks { acks, waiting, .. }, Body::Ack(argument))
                if waiting.len() < ACKS_WAITING_MAX =>
            {
                *acks += 1;
                waiting.push_back((message.clone(), argument));
                true
            }
            _ => false,
        };
        state.wake();
        taken
    }
}

impl Question {
    /// So many other servers were asked.
    pub(crate) fn asked(&self, servers: usize) {
        let mut state = lock(&self.state);
        state.servers = Some(servers);
        state.wake();
    }

    /// Waits for the last answer.
    pub(crate) async fn complete(&self) {
        std::future::poll_fn(|cx| lock(&self.state).poll_complete(cx)).await;
    }

    /// What was answered so far, and by how many were asked.
    pub(crate) fn into_fields(self) -> (Vec<Fields>, Option<usize>) {
        let mut state = lock(&self.state);
        let servers = state.servers;
        match std::mem::take(&mut state.answers) {
            Answers::Fields(answers) => (answers, servers),
            Answers::Acks { .. } => (Vec::new(), servers),
        }
    }

    /// The next acknowledgement; `None` after the last one.
    pub(crate) fn poll_ack(&self, cx: &mut Context<'_>) -> Poll<Option<(Bytes, Argument)>> {
        let mut state = lock(&self.state);
        if let Answers::Acks { waiting, .. } = &mut state.answers
            && let Some(ack) = waiting.pop_front()
        {
            return Poll::Ready(Some(ack));
        }
        state.poll_complete(cx).map(|()| None)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        lock(&self.questions.open).remove(&self.id);
    }
}

impl State {
    fn is_complete(&self) -> bool {
        let Some(servers) = self.servers else { return false };
        match &self.answers {
            Answers::Fields(answers) => answers.len() >= servers,
            Answers::Acks { counts, clients, acks, .. } => *counts >= servers && acks >= clients,
        }
    }

    fn poll_complete(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_complete() {
            return Poll::Ready(());
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds one of these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn answer(questions: &Questions, id: &str, body: Body) -> bool {
        questions.answer(&Bytes::new(), Response { id: id.to_owned(), body })
    }

    fn fields() -> Body {
        Body::Fields(Fields::new())
    }

    #[test]
    fn a_question_is_complete_with_the_last_servers_answer_in_any_order_of_events() {
        let questions = Arc::new(Questions::new(10));
        let question = questions.open(Expect::Fields).unwrap();
        assert!(answer(&questions, &question.id, fields()));
        assert!(question.complete().now_or_never().is_none());
        question.asked(2);
        assert!(question.complete().now_or_never().is_none());
        assert!(!answer(&questions, "another", fields()));
        assert!(answer(&questions, &question.id, fields()));
        assert!(question.complete().now_or_never().is_some());
        assert_eq!(question.into_fields().0.len(), 2);
        assert!(questions.is_empty());
    }

    #[test]
    fn acknowledgements_are_complete_when_every_server_and_every_client_answered() {
        let questions = Arc::new(Questions::new(10));
        let question = questions.open(Expect::Acks).unwrap();
        let next = || std::future::poll_fn(|cx| question.poll_ack(cx)).now_or_never();
        assert!(answer(&questions, &question.id, Body::Ack(Argument::Missing)));
        question.asked(2);
        assert!(answer(&questions, &question.id, Body::ClientCount(1)));
        assert_eq!(next(), Some(Some((Bytes::new(), Argument::Missing))));
        assert_eq!(next(), None);
        assert!(answer(&questions, &question.id, Body::ClientCount(0)));
        assert_eq!(next(), Some(None));
        assert!(!answer(&questions, &question.id, fields()));
    }

    #[test]
    fn only_so_many_questions_are_open_at_a_time() {
        let questions = Arc::new(Questions::new(1));
        let first = questions.open(Expect::Fields).unwrap();
        assert_eq!(questions.open(Expect::Fields).unwrap_err(), TooMany);
        drop(first);
        assert!(questions.open(Expect::Fields).is_ok());
    }
}
