//! The flush task: writes for all sessions of a shard that have something to say.
//!
//! What is emitted in one turn of the runtime is written at its end, after the I/O driver has been asked for more; what
//! is emitted while a round is under way joins what is queued. So under load messages merge into fewer writes by
//! themselves, where writing at each emit would fall behind.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::session::Session;

/// Writes between two yields to the other tasks and the I/O driver.
const TURN_WRITES_MAX: usize = 128;

/// Sessions with something to write, each once.
#[derive(Debug, Default)]
pub(crate) struct FlushList {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    sessions: Vec<Arc<Session>>,
    waker: Option<Waker>,
}

impl FlushList {
    pub(super) fn push(&self, session: Arc<Session>) {
        let waker = {
            let mut list = self.lock();
            list.sessions.push(session);
            list.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut list = self.lock();
            if !list.sessions.is_empty() {
                return Poll::Ready(());
            }
            list.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Swaps the list for an empty one.
    fn take(&self, empty: &mut Vec<Arc<Session>>) {
        std::mem::swap(&mut self.lock().sessions, empty);
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until it is aborted. Rounds begin at least `window` apart.
pub(super) async fn run(list: Arc<FlushList>, window: Duration) {
    let mut round = Vec::new();
    let mut next = Instant::now();
    loop {
        list.wait().await;
        // The end of the turn: whatever is ready to run or to be read may emit first.
        tokio::task::yield_now().await;
        if !window.is_zero() {
            tokio::time::sleep_until(next).await;
            next = Instant::now() + window;
        }
        list.take(&mut round);
        for (written, session) in round.drain(..).enumerate() {
            session.flush();
            // `wake_by_ref` and Pending would come back before the driver is asked; `yield_now` does not.
            if written % TURN_WRITES_MAX == TURN_WRITES_MAX - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}
