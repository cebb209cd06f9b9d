//! What follows from the fleet's state alone, whatever the event was: who is overdue, who accepts on which slot,
//! whether there is hope, and which seats need somebody.

use std::time::Duration;

use oxherd_contract::ids::{WorkerId, WorkerIndex};

use super::seat::Occupancy;
use super::{Action, Course, Fleet, GIVE_UP_BOOTS, Life, Member, Moment};

impl Fleet {
    /// What follows from the state alone, whatever the event was.
    pub(super) fn settle(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for worker in self.overdue(now) {
            self.kill(now, worker, actions);
        }
        self.rebalance(actions);
        let lit = self.members.values().any(|member| matches!(member.life, Life::Ready { .. }));
        self.dark_since = if lit { None } else { self.dark_since.or(Some(now)) };
        if self.course == Course::Running {
            self.give_up_if_hopeless(now, actions);
        }
        match &self.course {
            Course::Running => self.fill(now, actions),
            Course::Stopping { reason } if self.members.is_empty() => {
                actions.push(Action::Finish(reason.clone()))
            }
            Course::Stopping { .. } => {}
        }
    }

    fn overdue(&self, now: Moment) -> Vec<WorkerId> {
        let due =
            |life| matches!(life, Life::Draining { until: at } | Life::Dying { kill_at: at } if at <= now);
        self.members.iter().filter(|(_, member)| due(member.life)).map(|(worker, _)| *worker).collect()
    }

    pub(super) fn rebalance(&mut self, actions: &mut Vec<Action>) {
        let ready = |worker: &WorkerId| {
            self.members.get(worker).is_some_and(|member| matches!(member.life, Life::Ready { .. }))
        };
        let seats: Vec<_> = self.seats.iter().map(|seat| seat.occupancy.worker().filter(ready)).collect();
        self.slots.assign(&seats, actions);
    }

    fn give_up_if_hopeless(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let dark = self.dark_since.is_some_and(|since| now.saturating_sub(since) >= self.policy.give_up);
        if dark && self.failed_boots >= GIVE_UP_BOOTS {
            let reason = format!(
                "no worker became ready for {} s and {} starts failed, the last one: {}",
                self.policy.give_up.as_secs(),
                self.failed_boots,
                self.last_failure
            );
            self.stop(now, Some(reason), Duration::ZERO, actions);
        }
    }

    fn fill(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for seat in 0..self.seats.len() {
            if matches!(self.seats[seat].occupancy, Occupancy::Vacant { until } if until <= now) {
                let worker = self.spawn(now, self.seats[seat].index, actions);
                self.seats[seat].occupancy = Occupancy::Held(worker);
            }
        }
        if self.seats.iter().any(|seat| seat.awaited.is_some()) {
            return; // one restart at a time
        }
        if let Some((index, ticket)) = self.restarts.pop_front() {
            let seat = usize::from(index.0);
            self.seats[seat].awaited = Some(ticket);
            if !self.seats[seat].occupancy.worker().is_some_and(|worker| self.is_starting(worker)) {
                self.seats[seat].successor = Some(self.spawn(now, index, actions));
            }
        }
    }

    fn is_starting(&self, worker: WorkerId) -> bool {
        self.members.get(&worker).is_some_and(|member| member.life == Life::Starting)
    }

    fn spawn(&mut self, now: Moment, index: WorkerIndex, actions: &mut Vec<Action>) -> WorkerId {
        let worker = WorkerId(self.next_worker);
        self.next_worker += 1;
        let generation = self.generation;
        let member = Member { index, generation, born: now, life: Life::Starting, last_words: None };
        self.members.insert(worker, member);
        actions.push(Action::Spawn { worker, index, generation });
        worker
    }
}
