//! What waits for Redis: a bounded line, in the order of the calls.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

/// Commands in one write, so that a broken connection leaves few unknown.
const BATCH_ITEMS_MAX: usize = 128;
const BATCH_BYTES_MAX: usize = 64 << 10;

/// Something to ask of Redis.
#[derive(Debug)]
pub(super) enum Item {
    Publish {
        channel: String,
        payload: Vec<u8>,
    },
    /// How many are subscribed to `channel`?
    Count {
        channel: String,
        answer: oneshot::Sender<usize>,
    },
}

/// The message was dropped: as much as may wait is waiting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting for Redis")]
pub struct Refused;

#[derive(Debug)]
pub(super) struct Outbox {
    line: Mutex<Line>,
    /// Something was put in.
    filled: Notify,
    /// Everything that was taken is settled, and nothing is left.
    settled: Notify,
    items_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Line {
    items: VecDeque<Item>,
    bytes: usize,
    /// Taken and not settled.
    taken: usize,
}

impl Outbox {
    pub(super) fn new(items_max: usize, bytes_max: usize) -> Self {
        Self { line: Mutex::default(), filled: Notify::new(), settled: Notify::new(), items_max, bytes_max }
    }

    pub(super) fn push(&self, item: Item) -> Result<(), Refused> {
        let mut line = self.line();
        if line.items.len() >= self.items_max || line.bytes + item.bytes() > self.bytes_max {
            return Err(Refused);
        }
        line.bytes += item.bytes();
        line.items.push_back(item);
        drop(line);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until there is something, and takes as much as goes into one write. Whoever takes must
    /// [`settle`](Self::settle).
    pub(super) async fn take(&self) -> Vec<Item> {
        loop {
            let batch = self.line().take();
            if !batch.is_empty() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    /// `items` that were taken are done with, one way or another.
    pub(super) fn settle(&self, items: usize) {
        let mut line = self.line();
        line.taken -= items;
        if line.is_settled() {
            drop(line);
            self.settled.notify_waiters();
        }
    }

    pub(super) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if self.line().is_settled() {
                return;
            }
            settled.await;
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // No code that holds the lock can panic half-way.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn take(&mut self) -> Vec<Item> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_ITEMS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(item) = self.items.pop_front() else { break };
            bytes += item.bytes();
            batch.push(item);
        }
        self.bytes -= bytes;
        self.taken += batch.len();
        batch
    }

    fn is_settled(&self) -> bool {
        self.taken == 0 && self.items.is_empty()
    }
}

impl Item {
    /// What it weighs in memory, roughly: many small ones count too.
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 64;
        match self {
            Self::Publish { channel, payload } => OVERHEAD + channel.len() + payload.len(),
            Self::Count { channel, .. } => OVERHEAD + channel.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn item(n: u8) -> Item {
        Item::Publish { channel: String::new(), payload: vec![n] }
    }

    fn payload(item: &Item) -> u8 {
        match item {
            Item::Publish { payload, .. } => payload[0],
            Item::Count { .. } => panic!("not a message"),
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_in_batches() {
        let outbox = Outbox::new(1000, 1 << 20);
        (0..200).for_each(|n| outbox.push(item(n)).unwrap());
        let first = outbox.take().now_or_never().unwrap();
        let second = outbox.take().now_or_never().unwrap();
        assert_eq!((first.len(), second.len()), (BATCH_ITEMS_MAX, 200 - BATCH_ITEMS_MAX));
        assert!(first.iter().chain(&second).map(payload).eq(0..200));
        assert!(outbox.take().now_or_never().is_none());
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let outbox = Outbox::new(2, 1 << 20);
        assert_eq!([0, 1, 2].map(|n| outbox.push(item(n))), [Ok(()), Ok(()), Err(Refused)]);
        let outbox = Outbox::new(100, 100);
        assert_eq!([0, 1].map(|n| outbox.push(item(n))), [Ok(()), Err(Refused)]);
    }

    #[test]
    fn settled_means_taken_and_done_with() {
        let outbox = Outbox::new(10, 1 << 20);
        assert!(outbox.settled().now_or_never().is_some());
        outbox.push(item(1)).unwrap();
        assert!(outbox.settled().now_or_never().is_none());
        let batch = outbox.take().now_or_never().unwrap();
        assert!(outbox.settled().now_or_never().is_none());
        outbox.settle(batch.len());
        assert!(outbox.settled().now_or_never().is_some());
    }
}
