//! The keeper of the bus: one child that must be there, without slots and without a successor. Pure, as the fleet is.
//!
//! ```text
//!   Vacant ──spawn──▶ Starting ──ready──▶ Ready ──exit, hang, restart──▶ Vacant
//! ```
//!
//! A box with a Redis has none: its keeper is `Off` for ever.
//! Workers go on without it (their local sockets are served), so it never ends a box, however often it fails.

use std::time::Duration;

use crate::control::status::Restarts;
use crate::fleet::{ABORT_GRACE, Jitter, Moment, PROVEN_AFTER, Ticket};

/// One life of the bus. Never used again in the life of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BusLife(pub(crate) u64);

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeeperAction {
    /// Start a process; `takes_over` if there was one before.
    Spawn { life: BusLife, takes_over: bool },
    /// Make it die with a backtrace.
    Abort,
    /// Make it die.
    Kill,
    /// Tell who asked for a restart.
    Answer { ticket: Ticket, outcome: Result<String, String> },
}

/// Where the bus is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BusState {
    /// This box has no bus.
    Off,
    /// No process; the next attempt is made then.
    Vacant { until: Moment },
    /// Not yet serving.
    Starting { born: Moment },
    /// Serving.
    Ready { born: Moment, since: Moment },
    /// Aborted or killed; killed (again) at the deadline.
    Dying { born: Moment, kill_at: Moment },
}

/// Keeps one bus alive.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) state: BusState,
    pub(crate) restarts: Restarts,
    pub(crate) last_death: Option<(BusLife, String, Moment)>,
    life: BusLife,
    failures: u32,
    awaited: Option<Ticket>,
    words: Option<&'static str>,
    jitter: Jitter,
}

impl Keeper {
    /// A bus that the first [`Keeper::tick`] starts.
    pub(crate) fn new(seed: u64, now: Moment) -> Keeper {
        Keeper {
            state: BusState::Vacant { until: now },
            restarts: Restarts::default(),
            last_death: None,
            life: BusLife(0),
            failures: 0,
            awaited: None,
            words: None,
            jitter: Jitter::new(seed),
        }
    }

    /// The keeper of a box that has no bus.
    pub(crate) fn off() -> Keeper {
        Keeper { state: BusState::Off, ..Keeper::new(1, Moment::ZERO) }
    }

    /// When [`Keeper::tick`] must be called at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match self.state {
            BusState::Vacant { until } | BusState::Dying { kill_at: until, .. } => Some(until),
            BusState::Off | BusState::Starting { .. } | BusState::Ready { .. } => None,
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Moment) -> Option<KeeperAction> {
        match self.state {
            BusState::Vacant { until } if until <= now => {
                let takes_over = self.life != BusLife(0);
                self.life = BusLife(self.life.0 + 1);
                self.state = BusState::Starting { born: now };
                Some(KeeperAction::Spawn { life: self.life, takes_over })
            }
            BusState::Dying { born, kill_at } if kill_at <= now => {
                self.state = BusState::Dying { born, kill_at: now + ABORT_GRACE };
                Some(KeeperAction::Kill)
            }
            _ => None,
        }
    }

    /// It serves.
    pub(crate) fn ready(&mut self, now: Moment) -> Option<KeeperAction> {
        if let BusState::Starting { born } = self.state {
            self.state = BusState::Ready { born, since: now };
            let outcome = Ok(format!("the bus is in its life {} now", self.life.0));
            return self.awaited.take().map(|ticket| KeeperAction::Answer { ticket, outcome });
        }
        None
    }

    /// It hangs, or boots for too long.
    pub(crate) fn unresponsive(&mut self, now: Moment) -> Option<KeeperAction> {
        let (BusState::Starting { born } | BusState::Ready { born, .. }) = self.state else { return None };
        self.words = Some(if matches!(self.state, BusState::Ready { .. }) {
            "it hung"
        } else {
            "it did not start in time"
        });
        match self.state {
            BusState::Ready { .. } => self.restarts.hang += 1,
            _ => self.fail(),
        }
        self.state = BusState::Dying { born, kill_at: now + ABORT_GRACE };
        Some(KeeperAction::Abort)
    }

    /// Somebody wants another one.
    pub(crate) fn restart(&mut self, now: Moment, ticket: Ticket) -> Option<KeeperAction> {
        if self.state == BusState::Off {
            let outcome = Err("this box has no bus: its workers are connected to redis.url".to_owned());
            return Some(KeeperAction::Answer { ticket, outcome });
        }
        if self.awaited.is_some() {
            let outcome = Err("the bus is being restarted already".to_owned());
            return Some(KeeperAction::Answer { ticket, outcome });
        }
        self.awaited = Some(ticket);
        match self.state {
            BusState::Ready { born, .. } => {
                self.restarts.request += 1;
                self.state = BusState::Dying { born, kill_at: now + ABORT_GRACE };
                Some(KeeperAction::Kill)
            }
            BusState::Vacant { .. } => {
                self.state = BusState::Vacant { until: now };
                None
            }
            BusState::Off | BusState::Starting { .. } | BusState::Dying { .. } => None,
        }
    }

    /// The process is gone, or there never was one.
    pub(crate) fn exited(&mut self, now: Moment, cause: String) -> Option<KeeperAction> {
        let cause = self.words.take().map_or(cause.clone(), |words| format!("{cause}: {words}"));
        self.last_death = Some((self.life, cause.clone(), now));
        let mut answer = None;
        let wait = match self.state {
            BusState::Ready { since, .. } => {
                self.restarts.crash += 1;
                self.failures = if now.saturating_sub(since) >= PROVEN_AFTER { 0 } else { self.failures + 1 };
                self.failures > 0
            }
            BusState::Starting { .. } => {
                self.fail();
                let outcome = Err(format!("the new bus failed: {cause}"));
                answer = self.awaited.take().map(|ticket| KeeperAction::Answer { ticket, outcome });
                true
            }
            BusState::Off | BusState::Dying { .. } | BusState::Vacant { .. } => self.failures > 0,
        };
        let pause = if wait { self.jitter.backoff(self.failures) } else { Duration::ZERO };
        self.state = BusState::Vacant { until: now + pause };
        answer
    }

    fn fail(&mut self) {
        self.restarts.boot += 1;
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Ticket = Ticket(3);

    fn ms(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    fn serving() -> Keeper {
        let mut keeper = Keeper::new(1, ms(0));
        let spawn = KeeperAction::Spawn { life: BusLife(1), takes_over: false };
        assert_eq!(keeper.tick(ms(0)), Some(spawn));
        assert_eq!(keeper.ready(ms(5)), None);
        keeper
    }

    #[test]
    fn a_proven_bus_that_dies_is_replaced_at_once_by_one_that_takes_over() {
        let mut keeper = serving();
        assert_eq!(keeper.exited(ms(1_005), "was killed by SIGKILL".into()), None);
        assert_eq!(keeper.next_deadline(), Some(ms(1_005)));
        let spawn = KeeperAction::Spawn { life: BusLife(2), takes_over: true };
        assert_eq!(keeper.tick(ms(1_005)), Some(spawn));
        assert_eq!(keeper.restarts.crash, 1);
    }

    #[test]
    fn a_bus_that_does_not_start_is_tried_again_later_and_later_for_ever() {
        let mut keeper = Keeper::new(1, ms(0));
        let (mut now, mut spawns) = (ms(0), 0);
        while now < ms(600_000) {
            spawns += u32::from(keeper.tick(now).is_some());
            keeper.exited(now, "exited with status 1".into());
            now = keeper.next_deadline().unwrap();
        }
        assert!((20..90).contains(&spawns), "{spawns}");
    }

    #[test]
    fn a_hung_bus_is_aborted_then_killed_then_replaced() {
        let mut keeper = serving();
        assert_eq!(keeper.unresponsive(ms(9_000)), Some(KeeperAction::Abort));
        assert_eq!(keeper.tick(ms(9_999)), None);
        assert_eq!(keeper.tick(ms(10_000)), Some(KeeperAction::Kill));
        keeper.exited(ms(10_001), "was killed by SIGKILL".into());
        assert!(keeper.tick(ms(10_001)).is_some());
        assert_eq!(keeper.last_death.unwrap().1, "was killed by SIGKILL: it hung");
    }

    #[test]
    fn a_restart_is_answered_by_the_next_bus() {
        let mut keeper = serving();
        assert_eq!(keeper.restart(ms(50), T), Some(KeeperAction::Kill));
        assert!(matches!(keeper.restart(ms(51), T), Some(KeeperAction::Answer { outcome: Err(_), .. })));
        assert_eq!(keeper.exited(ms(60), "was killed by SIGKILL".into()), None);
        assert!(keeper.tick(ms(60)).is_some());
        assert!(matches!(keeper.ready(ms(70)), Some(KeeperAction::Answer { ticket: T, outcome: Ok(_) })));
    }

    #[test]
    fn a_box_without_a_bus_starts_none_and_says_so() {
        let mut keeper = Keeper::off();
        assert_eq!((keeper.tick(ms(0)), keeper.next_deadline()), (None, None));
        assert!(matches!(keeper.restart(ms(1), T), Some(KeeperAction::Answer { outcome: Err(_), .. })));
        assert_eq!(keeper.tick(ms(9)), None);
    }
}
