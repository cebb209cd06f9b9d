//! Which subscriptions are wanted, and what changed since the subscriber looked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use crate::wire::channel::Channels;

/// What is subscribed to and given up together.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// No two that are wanted have the same; a pattern or a channel of it.
    pub name: String,
    pub patterns: Vec<String>,
    pub channels: Vec<String>,
    /// Subscribed to last and given up first, since other servers count who is.
    pub counted: Vec<String>,
    confirmed: AtomicBool,
}

impl Subscription {
    /// Everything that one namespace listens to.
    pub(crate) fn namespace(names: &Channels) -> Self {
        Self {
            name: names.pattern.clone(),
            patterns: vec![names.pattern.clone()],
            channels: vec![names.response.clone(), names.own_response.clone()],
            counted: vec![names.request.clone()],
            confirmed: AtomicBool::new(false),
        }
    }

    /// One channel that means nothing to the protocol.
    pub(crate) fn plain(channel: &str) -> Self {
        Self {
            name: channel.to_owned(),
            patterns: Vec::new(),
            channels: vec![channel.to_owned()],
            counted: Vec::new(),
            confirmed: AtomicBool::new(false),
        }
    }

    /// Redis has it: other servers count this one.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Relaxed)
    }

    pub(super) fn set_confirmed(&self, confirmed: bool) {
        self.confirmed.store(confirmed, Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: Mutex<Wanted>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    by_name: BTreeMap<String, Arc<Subscription>>,
    changes: VecDeque<Change>,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Add(Arc<Subscription>),
    Remove(Arc<Subscription>),
}

impl Subscriptions {
    pub(super) fn add(&self, subscription: Arc<Subscription>) {
        let mut wanted = self.wanted();
        wanted.by_name.insert(subscription.name.clone(), Arc::clone(&subscription));
        wanted.changes.push_back(Change::Add(subscription));
        self.changed.notify_one();
    }

    pub(super) fn remove(&self, subscription: &Arc<Subscription>) {
        let mut wanted = self.wanted();
        let name = &subscription.name;
        if wanted.by_name.get(name).is_some_and(|current| Arc::ptr_eq(current, subscription)) {
            wanted.by_name.remove(name);
            wanted.changes.push_back(Change::Remove(Arc::clone(subscription)));
            self.changed.notify_one();
        }
    }

    /// Everything, for a connection that has nothing yet; earlier changes are part of it.
    pub(super) fn all(&self) -> Vec<Arc<Subscription>> {
        let mut wanted = self.wanted();
        wanted.changes.clear();
        wanted.by_name.values().cloned().collect()
    }

    /// Waits for the next change.
    pub(super) async fn next(&self) -> Change {
        loop {
            if let Some(change) = self.wanted().changes.pop_front() {
                return change;
            }
            self.changed.notified().await;
        }
    }

    /// No change waits, and everything that is wanted is confirmed.
    pub(super) fn is_complete(&self) -> bool {
        let wanted = self.wanted();
        wanted.changes.is_empty() && wanted.by_name.values().all(|subscription| subscription.is_confirmed())
    }

    /// The connection is gone, and every subscription with it.
    pub(super) fn lost(&self) {
        self.wanted().by_name.values().for_each(|subscription| subscription.set_confirmed(false));
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn one(name: &str) -> Arc<Subscription> {
        Arc::new(Subscription::namespace(&Channels::new("k", name, "u")))
    }

    #[test]
    fn a_new_connection_gets_everything_and_an_old_one_the_changes() {
        let subscriptions = Subscriptions::default();
        let (a, b) = (one("/a"), one("/b"));
        subscriptions.add(a.clone());
        assert_eq!(subscriptions.all().len(), 1);
        assert!(subscriptions.next().now_or_never().is_none());
        subscriptions.add(b.clone());
        subscriptions.remove(&a);
        assert!(
            matches!(subscriptions.next().now_or_never(), Some(Change::Add(added)) if Arc::ptr_eq(&added, &b))
        );
        assert!(
            matches!(subscriptions.next().now_or_never(), Some(Change::Remove(gone)) if Arc::ptr_eq(&gone, &a))
        );
    }

    #[test]
    fn complete_means_confirmed_and_nothing_waiting() {
        let subscriptions = Subscriptions::default();
        assert!(subscriptions.is_complete());
        let a = one("/a");
        subscriptions.add(a.clone());
        subscriptions.all();
        assert!(!subscriptions.is_complete());
        a.set_confirmed(true);
        assert!(subscriptions.is_complete());
        subscriptions.lost();
        assert!(!subscriptions.is_complete());
    }

    #[test]
    fn a_name_that_was_taken_over_is_not_removed_by_its_old_owner() {
        let subscriptions = Subscriptions::default();
        let (old, new) = (one("/a"), one("/a"));
        subscriptions.add(old.clone());
        subscriptions.add(new);
        subscriptions.remove(&old);
        assert_eq!(subscriptions.all().len(), 1);
    }
}
