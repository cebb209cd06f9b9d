//! The hands of the supervisor: performs what the fleet decided. Chooses nothing.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::Signal;
use oxherd_contract::VERSION;
use oxherd_contract::causes::with_causes;
use oxherd_contract::ids::{Generation, RowIndex, WorkerId, WorkerIndex};
use oxherd_contract::link::{DESCRIPTORS_MAX, LinkError, SupervisorLink};
use oxherd_contract::message::ToChild;
use oxherd_contract::scoreboard::Scoreboard;
use oxherd_contract::settings::{BusSettings, Identity, WorkerSettings};

use crate::bus_sockets::BusSockets;
use crate::child::{Child, ChildId, SpawnError};
use crate::control::Answer;
use crate::fleet::{Action, Event, Moment, Ticket};
use crate::keeper::{Keeper, KeeperAction};
use crate::listen::Listeners;
use crate::reactor::{Interest, Source};
use crate::supervisor::Supervisor;

impl Supervisor {
    pub(crate) fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.fleet.handle(self.now(), event) {
                self.perform(action, &mut events);
            }
        }
    }

    fn perform(&mut self, action: Action, follow_ups: &mut VecDeque<Event>) {
        match action {
            Action::Spawn { worker, index, generation } => {
                if let Err(error) = self.spawn_worker(worker, index, generation) {
                    let cause = not_started(ChildId::Worker(worker), &error);
                    follow_ups.push_back(Event::Exited { worker, cause });
                }
            }
            Action::Accept { worker, slots } => {
                for slots in slots.chunks(DESCRIPTORS_MAX) {
                    let known = slots.iter().filter_map(|slot| self.listeners.slot(*slot));
                    self.say(
                        ChildId::Worker(worker),
                        ToChild::Accept(known.map(|(slot, _)| slot.clone()).collect()),
                    );
                }
            }
            Action::Release { worker, slots } => self.say(ChildId::Worker(worker), ToChild::Release(slots)),
            Action::Drain { worker, within } => self.say(ChildId::Worker(worker), ToChild::Drain { within }),
            Action::Abort(worker) => self.signal(ChildId::Worker(worker), Signal::SIGABRT),
            Action::Kill(worker) => self.signal(ChildId::Worker(worker), Signal::SIGKILL),
            Action::Answer { ticket: Ticket(client), outcome } => {
                self.answer(client, &outcome.map(Answer::Done))
            }
            Action::CloseListeners => {
                tracing::info!("stopping");
                self.listeners.close();
            }
            Action::Finish(reason) => self.finished = Some(reason),
        }
    }

    /// Lets the keeper of the bus decide, and performs it.
    pub(crate) fn keep(&mut self, decide: impl FnOnce(&mut Keeper, Moment) -> Option<KeeperAction>) {
        let now = self.now();
        let mut next = decide(&mut self.keeper, now);
        while let Some(action) = next.take() {
            match action {
                KeeperAction::Spawn { takes_over, .. } => {
                    if let Err(error) = self.spawn_bus(takes_over) {
                        next = self.keeper.exited(now, not_started(ChildId::Bus, &error));
                    }
                }
                KeeperAction::Abort => self.signal(ChildId::Bus, Signal::SIGABRT),
                KeeperAction::Kill => self.signal(ChildId::Bus, Signal::SIGKILL),
                KeeperAction::Answer { ticket: Ticket(client), outcome } => {
                    self.answer(client, &outcome.map(Answer::Done));
                }
            }
        }
    }

    fn spawn_worker(
        &mut self,
        worker: WorkerId,
        index: WorkerIndex,
        generation: Generation,
    ) -> Result<(), SpawnError> {
        let identity =
            Identity { box_id: self.box_id, host: self.plan.host.clone(), worker, index, generation };
        let (bus, shared) = (self.control.beside("bus"), self.plan.shared.clone());
        let siblings = self.sibling_sockets.directory().to_owned();
        let id = ChildId::Worker(worker);
        self.spawn(id, |row| {
            let settings = WorkerSettings { contract: VERSION, identity, row, bus, siblings, shared };
            ToChild::Settings(Box::new(settings))
        })?;
        if !self.plan.certificates.is_empty() {
            self.say(id, ToChild::Keys(self.current_keys()));
        }
        Ok(())
    }

    fn spawn_bus(&mut self, takes_over: bool) -> Result<(), SpawnError> {
        let (log, orphan_grace) = (self.plan.shared.log.clone(), self.plan.shared.orphan_grace);
        let password = self.plan.bus.password.clone();
        self.spawn(ChildId::Bus, |row| {
            let settings = BusSettings { contract: VERSION, row, log, orphan_grace, password, takes_over };
            ToChild::Bus(Box::new(settings))
        })
    }

    fn spawn(&mut self, id: ChildId, settings: impl FnOnce(RowIndex) -> ToChild) -> Result<(), SpawnError> {
        let row = self.free_rows.pop_front().ok_or(SpawnError::NoRow)?;
        let spawned = Child::spawn(id, row, self.now());
        let child = spawned.inspect_err(|_| self.free_rows.push_back(row))?;
        tracing::info!(child = %id, pid = child.pid, "child started");
        self.reactor.add(&child.link, Source::Link(id)).map_err(SpawnError::Watch)?;
        self.children.insert(id, child);
        self.say(id, settings(row));
        Ok(())
    }

    pub(crate) fn say(&mut self, id: ChildId, message: ToChild) {
        let Some(child) = self.children.get_mut(&id) else { return };
        match child.say(message) {
            true => self.flush(id),
            false => {
                tracing::error!(child = %id, "child does not read its link");
                child.signal(Signal::SIGKILL);
            }
        }
    }

    pub(crate) fn signal(&self, id: ChildId, signal: Signal) {
        if let Some(child) = self.children.get(&id) {
            tracing::warn!(child = %id, pid = child.pid, %signal, "child signalled");
            child.signal(signal);
        }
    }

    /// Sends what waits for a child, and waits for room in its link only while something is left.
    pub(crate) fn flush(&mut self, id: ChildId) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let (listeners, bus, scoreboard) = (&self.listeners, &self.bus_sockets, &self.scoreboard);
        match child.flush(|link, message| send(link, message, listeners, bus, scoreboard)) {
            Ok(left) => {
                let interest = if left { Interest::ReadWrite } else { Interest::Read };
                self.reactor.change(&child.link, Source::Link(id), interest);
            }
            Err(error) => self.lose(id, &error),
        }
    }
}

fn not_started(id: ChildId, error: &SpawnError) -> String {
    let cause = format!("could not be started: {}", with_causes(error));
    tracing::error!(child = %id, cause, "no new child");
    cause
}

/// A message with the descriptors that it names.
fn send(
    link: &SupervisorLink,
    message: &ToChild,
    listeners: &Listeners,
    bus: &Option<BusSockets>,
    scoreboard: &Scoreboard,
) -> Result<(), LinkError> {
    let descriptors: Vec<BorrowedFd<'_>> = match message {
        ToChild::Settings(_) => vec![scoreboard.as_fd()],
        ToChild::Bus(_) => {
            let sockets = bus.iter().flat_map(BusSockets::descriptors);
            std::iter::once(scoreboard.as_fd()).chain(sockets).collect()
        }
        ToChild::Accept(slots) => {
            let known = slots.iter().filter_map(|slot| listeners.slot(slot.id));
            known.map(|(_, socket)| socket).collect()
        }
        ToChild::Release(_) | ToChild::Drain { .. } | ToChild::Keys(_) => Vec::new(),
    };
    match message {
        ToChild::Accept(slots) if slots.len() != descriptors.len() => Ok(()), // the listeners were closed meanwhile
        _ => link.send(message, &descriptors),
    }
}
