//! One method an event: how a member's or a seat's state moves. What follows for the fleet as a whole is `settle`'s.

use std::time::Duration;

use oxherd_contract::ids::{WorkerId, WorkerIndex};

use super::seat::{Death, Occupancy};
use super::{ABORT_GRACE, Action, Course, Fleet, Life, Moment, PROVEN_AFTER, RESTARTS_QUEUED_MAX, Ticket};

impl Fleet {
    pub(super) fn ready(&mut self, now: Moment, worker: WorkerId, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if member.life != Life::Starting {
            return; // it was given up meanwhile
        }
        member.life = Life::Ready { since: now };
        self.failed_boots = 0;
        let seat = &mut self.seats[usize::from(member.index.0)];
        let old = match seat.successor.take_if(|successor| *successor == worker) {
            Some(_) => {
                seat.restarts.request += 1;
                std::mem::replace(&mut seat.occupancy, Occupancy::Held(worker)).worker()
            }
            None => None,
        };
        if seat.successor.is_none()
            && let Some(ticket) = seat.awaited.take()
        {
            let outcome = Ok(format!("seat {} is served by worker {worker} now", seat.index));
            actions.push(Action::Answer { ticket, outcome });
        }
        self.rebalance(actions); // the new one accepts before the old one stops
        if let Some(old) = old {
            self.drain(now, old, self.policy.drain, actions);
        }
    }

    pub(super) fn draining(&mut self, now: Moment, worker: WorkerId, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if matches!(member.life, Life::Ready { .. }) {
            member.life = Life::Draining { until: now + self.policy.drain };
            self.vacate(now, worker, Life::Draining { until: now }, actions);
        }
    }

    pub(super) fn boot_failed(&mut self, now: Moment, worker: WorkerId, reason: String) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if member.life == Life::Starting {
            member.life = Life::Dying { kill_at: now + ABORT_GRACE };
            member.last_words = Some(reason);
        }
    }

    pub(super) fn unresponsive(&mut self, now: Moment, worker: WorkerId, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        let before = std::mem::replace(&mut member.life, Life::Dying { kill_at: now + ABORT_GRACE });
        let words = match before {
            Life::Starting => "it did not become ready in time",
            Life::Ready { .. } => "it hung",
            Life::Draining { .. } | Life::Dying { .. } => {
                member.life = before; // its end has a deadline already
                return;
            }
        };
        member.last_words = Some(words.to_owned());
        actions.push(Action::Abort(worker));
        if before != Life::Starting {
            self.vacate(now, worker, before, actions);
        }
    }

    pub(super) fn exited(&mut self, now: Moment, worker: WorkerId, cause: String, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get(&worker) else { return };
        let (index, life) = (member.index, member.life);
        let cause = match &member.last_words {
            Some(words) => format!("{cause}: {words}"),
            None => cause,
        };
        self.seats[usize::from(index.0)].last_death = Some(Death { worker, cause: cause.clone(), at: now });
        if matches!(life, Life::Starting | Life::Dying { .. }) {
            self.last_failure = format!("worker {worker} {cause}");
        }
        self.vacate(now, worker, life, actions);
        self.members.remove(&worker);
    }

    /// Takes a member that serves no more out of its seat, once: at its end, or when its end is decided.
    fn vacate(&mut self, now: Moment, worker: WorkerId, life: Life, actions: &mut Vec<Action>) {
        let Some(member) = self.members.get(&worker) else { return };
        let seat = &mut self.seats[usize::from(member.index.0)];
        if seat.successor == Some(worker) {
            seat.successor = None;
            seat.restarts.boot += 1;
            if let Some(ticket) = seat.awaited.take() {
                let outcome =
                    Err(format!("the old worker goes on, because the new one failed: {}", self.last_failure));
                actions.push(Action::Answer { ticket, outcome });
            }
            return;
        }
        if seat.occupancy != Occupancy::Held(worker) {
            return; // replaced, or vacated before
        }
        let until = match life {
            Life::Ready { since } => {
                match member.last_words {
                    Some(_) => seat.restarts.hang += 1,
                    None => seat.restarts.crash += 1,
                }
                let proven = now.saturating_sub(since) >= PROVEN_AFTER;
                seat.failures = if proven { 0 } else { seat.failures.saturating_add(1) };
                if proven { now } else { now + self.jitter.backoff(seat.failures) }
            }
            Life::Draining { .. } => {
                seat.restarts.request += 1;
                now
            }
            Life::Starting | Life::Dying { .. } => {
                seat.restarts.boot += 1;
                self.failed_boots += 1;
                seat.failures = seat.failures.saturating_add(1);
                now + self.jitter.backoff(seat.failures)
            }
        };
        seat.occupancy = match seat.successor.take() {
            Some(successor) => Occupancy::Held(successor), // it is on its way already
            None => Occupancy::Vacant { until },
        };
    }

    pub(super) fn restart(
        &mut self,
        now: Moment,
        index: WorkerIndex,
        ticket: Ticket,
        actions: &mut Vec<Action>,
    ) {
        let refusal = match self.seats.get_mut(usize::from(index.0)) {
            _ if self.course != Course::Running => "the box is stopping".to_owned(),
            None => format!("there is no worker {index}: they are numbered 0 to {}", self.policy.workers - 1),
            Some(_) if self.restarts.len() >= RESTARTS_QUEUED_MAX => {
                "too many restarts wait already".to_owned()
            }
            Some(seat) => {
                if let Occupancy::Vacant { until } = &mut seat.occupancy {
                    *until = now; // nothing to replace: what is wanted is the next attempt, without the wait
                }
                self.restarts.push_back((index, ticket));
                return;
            }
        };
        actions.push(Action::Answer { ticket, outcome: Err(refusal) });
    }

    pub(super) fn stop(
        &mut self,
        now: Moment,
        reason: Option<String>,
        within: Duration,
        actions: &mut Vec<Action>,
    ) {
        if self.course == Course::Running {
            self.course = Course::Stopping { reason };
            let tickets = self.seats.iter_mut().filter_map(|seat| seat.awaited.take());
            for ticket in tickets.chain(self.restarts.drain(..).map(|(_, ticket)| ticket)) {
                actions.push(Action::Answer { ticket, outcome: Err("the box is stopping".to_owned()) });
            }
            actions.push(Action::CloseListeners);
        }
        for worker in self.members.keys().copied().collect::<Vec<_>>() {
            self.drain(now, worker, within, actions);
        }
    }

    /// Lets a member end: a serving one within this time, one that does not serve at once.
    pub(super) fn drain(
        &mut self,
        now: Moment,
        worker: WorkerId,
        within: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        let until = match member.life {
            Life::Dying { .. } => return,
            Life::Draining { until } if until <= now + within => return,
            Life::Draining { .. } | Life::Ready { .. } => now + within,
            Life::Starting => now,
        };
        member.life = Life::Draining { until };
        match until > now {
            true => actions.push(Action::Drain { worker, within }),
            false => self.kill(now, worker, actions),
        }
    }

    pub(super) fn kill(&mut self, now: Moment, worker: WorkerId, actions: &mut Vec<Action>) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.life = Life::Dying { kill_at: now + ABORT_GRACE };
            actions.push(Action::Kill(worker));
        }
    }
}
