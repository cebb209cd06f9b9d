//! The hands of the supervisor: performs what the fleet decided. Chooses nothing.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::Signal;
use oxherd_contract::VERSION;
use oxherd_contract::ids::{Generation, WorkerId, WorkerIndex};
use oxherd_contract::link::{DESCRIPTORS_MAX, LinkError, SupervisorLink};
use oxherd_contract::message::ToChild;
use oxherd_contract::scoreboard::Scoreboard;
use oxherd_contract::settings::{Identity, WorkerSettings};

use crate::child::{Child, SpawnError};
use crate::control::Answer;
use crate::fleet::{Action, Event, Ticket};
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
                if let Err(error) = self.spawn(worker, index, generation) {
                    let cause = format!("could not be started: {}", with_causes(&error));
                    tracing::error!(%worker, cause, "no new worker");
                    follow_ups.push_back(Event::Exited { worker, cause });
                }
            }
            Action::Accept { worker, slots } => {
                for slots in slots.chunks(DESCRIPTORS_MAX) {
                    let known = slots.iter().filter_map(|slot| self.listeners.slot(*slot));
                    self.say(worker, ToChild::Accept(known.map(|(slot, _)| slot.clone()).collect()));
                }
            }
            Action::Release { worker, slots } => self.say(worker, ToChild::Release(slots)),
            Action::Drain { worker, within } => self.say(worker, ToChild::Drain { within }),
            Action::Abort(worker) => self.signal(worker, Signal::SIGABRT),
            Action::Kill(worker) => self.signal(worker, Signal::SIGKILL),
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

    fn spawn(
        &mut self,
        worker: WorkerId,
        index: WorkerIndex,
        generation: Generation,
    ) -> Result<(), SpawnError> {
        let row = self.free_rows.pop_front().ok_or(SpawnError::NoRow)?;
        let child = match Child::spawn(row, self.now()) {
            Ok(child) => child,
            Err(error) => {
                self.free_rows.push_back(row);
                return Err(error);
            }
        };
        tracing::info!(%worker, %index, pid = child.pid, %generation, "worker started");
        self.reactor.add(&child.link, Source::Link(worker)).map_err(SpawnError::Watch)?;
        self.children.insert(worker, child);
        let host = self.plan.host.clone();
        let identity = Identity { box_id: self.box_id, host, worker, index, generation };
        let shared = self.plan.shared.clone();
        self.say(
            worker,
            ToChild::Settings(Box::new(WorkerSettings { contract: VERSION, identity, row, shared })),
        );
        Ok(())
    }

    fn say(&mut self, worker: WorkerId, message: ToChild) {
        let Some(child) = self.children.get_mut(&worker) else { return };
        match child.say(message) {
            true => self.flush(worker),
            false => {
                tracing::error!(%worker, "worker does not read its link");
                child.signal(Signal::SIGKILL);
            }
        }
    }

    fn signal(&self, worker: WorkerId, signal: Signal) {
        if let Some(child) = self.children.get(&worker) {
            tracing::warn!(%worker, pid = child.pid, %signal, "worker signalled");
            child.signal(signal);
        }
    }

    /// Sends what waits for a child, and waits for room in its link only while something is left.
    pub(crate) fn flush(&mut self, worker: WorkerId) {
        let Some(child) = self.children.get_mut(&worker) else { return };
        let (listeners, scoreboard) = (&self.listeners, &self.scoreboard);
        match child.flush(|link, message| send(link, message, listeners, scoreboard)) {
            Ok(left) => {
                let interest = if left { Interest::ReadWrite } else { Interest::Read };
                self.reactor.change(&child.link, Source::Link(worker), interest);
            }
            Err(error) => self.lose(worker, &error),
        }
    }
}

/// A message with the descriptors that it names.
fn send(
    link: &SupervisorLink,
    message: &ToChild,
    listeners: &Listeners,
    scoreboard: &Scoreboard,
) -> Result<(), LinkError> {
    let descriptors: Vec<BorrowedFd<'_>> = match message {
        ToChild::Settings(_) => vec![scoreboard.as_fd()],
        ToChild::Accept(slots) => {
            let known = slots.iter().filter_map(|slot| listeners.slot(slot.id));
            known.map(|(_, socket)| socket).collect()
        }
        ToChild::Release(_) | ToChild::Drain { .. } => Vec::new(),
    };
    match message {
        ToChild::Accept(slots) if slots.len() != descriptors.len() => Ok(()), // the listeners were closed meanwhile
        _ => link.send(message, &descriptors),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
