//! After a restart: no publish runs until the workers that were there before have subscribed again.
//!
//! A held `PUBLISH` stays where it is, unread in its client's input, and the client's later commands behind it. So the
//! reply tells the true number of receivers, every publisher keeps its order, nothing is lost, and the bound is the one
//! that input has anyway. Other clients are not kept waiting.
//!
//! ```text
//!   Holding ──every expected name has a subscriber of that name──▶ Open
//!      └───────────────── deadline ─────────────────────────────▶ Open
//! ```
//!
//! The caller is whoever knows the READY workers. It may change its mind while the broker holds (a worker died as well):
//! the set is a watch. A worker whose client takes its name *after* its last subscription was confirmed (RESP3) is waited
//! for exactly; with a name given at connect, until the commands that arrived together with its first subscription ran.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Whom to wait for, and how long.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Names (`CLIENT SETNAME`) of the clients that must have subscribed. Names that leave the set are waited for no more.
    pub expected: watch::Receiver<BTreeSet<ClientName>>,
    /// Publishes run after this time whoever is missing, counted from the start of [`Bus::serve`](crate::Bus::serve).
    pub at_most: Duration,
}

/// A name that `CLIENT SETNAME` accepts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ClientName(String);

impl ClientName {
    /// Checks a name: not empty, at most 1 KiB, printable ASCII without spaces.
    ///
    /// # Errors
    /// [`BadClientName`]
    pub fn new(name: impl Into<String>) -> Result<Self, BadClientName> {
        let name = name.into();
        if !name.is_empty() && is_valid(name.as_bytes()) { Ok(Self(name)) } else { Err(BadClientName(name)) }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ClientName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Not a client name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no client name: printable ASCII without spaces is needed")]
pub struct BadClientName(String);

/// A client's name goes into logs and lists; Redis has no limit.
const NAME_BYTES_MAX: usize = 1024;

/// Redis' rule for client names, and a limit; the empty one takes a name away.
pub(crate) fn is_valid(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic)
}

/// The state above; the broker asks it at each publish and tells it what happened.
#[derive(Debug, Default)]
pub(crate) enum Gate {
    #[default]
    Open,
    Holding {
        expected: BTreeSet<ClientName>,
        until: Instant,
    },
}

/// Why publishes run again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Opened {
    AllBack,
    Deadline { missing: Vec<ClientName> },
}

impl Gate {
    pub(crate) fn is_holding(&self) -> bool {
        matches!(self, Self::Holding { .. })
    }

    /// Replaces the set of names that are waited for.
    pub(crate) fn expect(&mut self, names: BTreeSet<ClientName>) {
        if let Self::Holding { expected, .. } = self {
            *expected = names;
        }
    }

    /// Opens if it is time to. `is_back` tells whether a client of that name has subscribed.
    pub(crate) fn settle(&mut self, now: Instant, is_back: impl Fn(&str) -> bool) -> Option<Opened> {
        let Self::Holding { expected, until } = self else { return None };
        let missing: Vec<_> = expected.iter().filter(|name| !is_back(name.as_str())).cloned().collect();
        let opened = match missing.is_empty() {
            true => Opened::AllBack,
            false if now >= *until => Opened::Deadline { missing },
            false => return None,
        };
        *self = Self::Open;
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<ClientName> {
        names.iter().map(|name| ClientName::new(*name).unwrap()).collect()
    }

    fn holding(expected: &[&str], now: Instant) -> Gate {
        Gate::Holding { expected: names(expected), until: now + Duration::from_millis(150) }
    }

    #[test]
    fn it_opens_when_the_last_expected_name_is_back() {
        let now = Instant::now();
        let mut gate = holding(&["worker-1", "worker-2"], now);
        assert_eq!(gate.settle(now, |name| name == "worker-1"), None);
        // A name that goes again is missing again.
        assert_eq!(gate.settle(now, |name| name == "worker-2"), None);
        assert_eq!(gate.settle(now, |_| true), Some(Opened::AllBack));
        assert!(!gate.is_holding());
        assert_eq!(gate.settle(now, |_| true), None);
    }

    #[test]
    fn it_opens_at_its_deadline_and_says_who_is_missing() {
        let now = Instant::now();
        let mut gate = holding(&["worker-1", "worker-2"], now);
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(gate.settle(at(149), |name| name == "worker-1"), None);
        let missing = names(&["worker-2"]).into_iter().collect();
        assert_eq!(gate.settle(at(150), |name| name == "worker-1"), Some(Opened::Deadline { missing }));
    }

    #[test]
    fn a_name_that_is_expected_no_more_is_not_waited_for() {
        let now = Instant::now();
        let mut gate = holding(&["worker-1", "worker-2"], now);
        gate.expect(names(&["worker-1"]));
        assert_eq!(gate.settle(now, |name| name == "worker-1"), Some(Opened::AllBack));
        // Nobody to wait for: open at once.
        assert_eq!(holding(&[], now).settle(now, |_| false), Some(Opened::AllBack));
    }

    #[test]
    fn names_that_redis_would_refuse_are_refused() {
        assert!(ClientName::new("worker-1").is_ok());
        assert!(ClientName::new("").is_err());
        assert!(ClientName::new("a b").is_err());
        assert!(ClientName::new("ä").is_err());
        assert!(ClientName::new("x".repeat(2000)).is_err());
    }
}
