//! The fleet under seeded random faults, with the invariants that must hold after every event.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SEEDS: u64 = 300;
const EVENTS: usize = 600;
const WORKERS: u16 = 4;
const SLOTS: u16 = 10;

/// A world of processes that does what it is told and reports what a real one might.
struct World {
    fleet: Fleet,
    now: Moment,
    random: Random,
    alive: BTreeSet<WorkerId>,
    ready: BTreeSet<WorkerId>,
    /// What each living worker accepts on, by its own books.
    accepting: BTreeMap<WorkerId, BTreeSet<SlotId>>,
    /// Spawned at, by seat: to check the backoff.
    spawned: Vec<Vec<Moment>>,
    finished: Option<Option<String>>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl World {
    fn new(seed: u64) -> World {
        let policy = Policy {
            workers: WORKERS,
            slots: SLOTS,
            stop: Duration::from_secs(5),
            drain: Duration::from_secs(3),
            give_up: Duration::from_secs(100_000),
            seed,
        };
        World {
            fleet: Fleet::new(policy, Duration::ZERO),
            now: Duration::ZERO,
            random: Random(seed + 1),
            alive: BTreeSet::new(),
            ready: BTreeSet::new(),
            accepting: BTreeMap::new(),
            spawned: vec![Vec::new(); WORKERS.into()],
            finished: None,
        }
    }

    fn happen(&mut self, event: Event) {
        if let Event::Exited { worker, .. } = &event {
            self.alive.remove(worker);
            self.ready.remove(worker);
            self.accepting.remove(worker);
        }
        match &event {
            Event::Ready(worker) => drop(self.ready.insert(*worker)),
            Event::Draining(worker) => {
                self.ready.remove(worker);
                self.accepting.remove(worker);
            }
            _ => {}
        }
        let described = format!("{event:?}");
        for action in self.fleet.handle(self.now, event) {
            self.perform(action);
        }
        self.check(&described);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn { worker, index, .. } => {
                assert!(self.alive.insert(worker), "{worker} was spawned twice");
                self.spawned[usize::from(index.0)].push(self.now);
            }
            Action::Accept { worker, slots } => {
                assert!(self.ready.contains(&worker), "{worker} got slots before it was ready");
                let held = self.accepting.entry(worker).or_default();
                for slot in slots {
                    assert!(held.insert(slot), "{worker} got {slot} twice");
                }
            }
            Action::Release { worker, slots } => {
                let held = self.accepting.entry(worker).or_default();
                for slot in slots {
                    assert!(held.remove(&slot), "{worker} was to release {slot}, which it does not have");
                }
            }
            Action::Drain { worker, .. } | Action::Abort(worker) | Action::Kill(worker) => {
                assert!(self.alive.contains(&worker));
                self.ready.remove(&worker);
                self.accepting.remove(&worker);
            }
            Action::Answer { .. } | Action::CloseListeners => {}
            Action::Finish(reason) => self.finished = Some(reason),
        }
    }

    fn check(&self, event: &str) {
        let lives = || self.fleet.members().map(|(_, member)| member.life);
        let active = lives().filter(|life| matches!(life, Life::Starting | Life::Ready { .. })).count();
        assert!(active <= usize::from(WORKERS) + 1, "{active} active after {event}");
        if self.finished.is_some() || self.fleet.is_stopping() {
            return;
        }
        if lives().any(|life| matches!(life, Life::Ready { .. })) {
            let accepted: BTreeSet<_> = self.accepting.values().flatten().collect();
            assert_eq!(accepted.len(), usize::from(SLOTS), "a slot without an acceptor after {event}");
        }
        for (worker, held) in &self.accepting {
            let books: BTreeSet<_> = self.fleet.slots_of(*worker).into_iter().collect();
            assert_eq!(&books, held, "the books of {worker} after {event}");
        }
    }

    fn random_event(&mut self) -> Option<Event> {
        let members: Vec<WorkerId> = self.alive.iter().copied().collect();
        let worker = (!members.is_empty()).then(|| members[self.random.below(members.len() as u64) as usize]);
        let starting = worker.filter(|worker| self.life(*worker) == Some(Life::Starting));
        let ready = worker.filter(|worker| self.ready.contains(worker));
        Some(match self.random.below(20) {
            0..=6 => Event::Ready(starting?),
            7..=10 => Event::Exited { worker: worker?, cause: "a fault".into() },
            11 => Event::BootFailed { worker: starting?, reason: "a reason".into() },
            12..=13 => Event::Unresponsive(worker?),
            14 => Event::Draining(ready?),
            15..=16 => {
                let index = WorkerIndex(self.random.below(u64::from(WORKERS) + 1) as u16);
                Event::Restart { index, ticket: Ticket(1) }
            }
            17 => Event::Late,
            _ => Event::Tick,
        })
    }

    fn life(&self, worker: WorkerId) -> Option<Life> {
        self.fleet.members().find(|(member, _)| *member == worker).map(|(_, member)| member.life)
    }

    /// No more faults: every start succeeds, every process that was told to end does.
    fn calm_down(&mut self) {
        for _ in 0..2_000 {
            let next = self.fleet.members().find_map(|(worker, member)| match member.life {
                Life::Starting => Some(Event::Ready(worker)),
                Life::Draining { .. } | Life::Dying { .. } => {
                    Some(Event::Exited { worker, cause: "done".into() })
                }
                Life::Ready { .. } => None,
            });
            match (next, self.fleet.next_deadline()) {
                (Some(event), _) => self.happen(event),
                (None, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    self.happen(Event::Tick);
                }
                (None, None) => return,
            }
        }
        panic!("the fleet does not come to rest");
    }
}

#[test]
fn after_any_faults_followed_by_quiet_every_seat_serves() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.happen(Event::Tick);
        for _ in 0..EVENTS {
            world.now += Duration::from_millis(world.random.below(700));
            if let Some(event) = world.random_event() {
                world.happen(event);
            }
        }
        world.calm_down();
        let ready =
            world.fleet.members().filter(|(_, member)| matches!(member.life, Life::Ready { .. })).count();
        assert_eq!(ready, usize::from(WORKERS), "seed {seed}");
        assert_eq!(world.fleet.members().count(), usize::from(WORKERS), "seed {seed}");
        for worker in world.fleet.members().map(|(worker, _)| worker) {
            let slots = world.fleet.slots_of(worker).len();
            assert!((2..=3).contains(&slots), "seed {seed}: {worker} has {slots} slots");
        }
        for times in &world.spawned {
            let span = world.now.as_millis() as usize;
            assert!(times.len() <= 10 + span / 50, "seed {seed}: {} spawns in {span} ms", times.len());
        }
    }
}

#[test]
fn a_stop_at_any_moment_ends_with_nobody_left() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.happen(Event::Tick);
        for _ in 0..seed {
            world.now += Duration::from_millis(world.random.below(700));
            if let Some(event) = world.random_event() {
                world.happen(event);
            }
        }
        world.happen(if seed % 2 == 0 { Event::Stop } else { Event::StopNow });
        while world.finished.is_none() {
            let worker = *world.alive.iter().next().expect("nobody lives and it has not finished");
            world.happen(Event::Exited { worker, cause: "done".into() });
        }
        assert!(world.alive.is_empty(), "seed {seed}");
        assert_eq!(world.finished, Some(None), "seed {seed}");
    }
}
