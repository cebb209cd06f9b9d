//! Reload: the configuration is read again, and what can change while the box runs is given to every worker.
//!
//! ```text
//!   SIGHUP, `oxherd reload` ──▶ reread ──bad, or a key that needs a restart──▶ refused: nothing has changed
//!                                  │
//!                                  └──▶ keys to every worker ──all have them (or are gone)──▶ done
//! ```
//!
//! The supervisor does not know what a configuration looks like: the [`Rereader`] that it was started with does.

use std::collections::BTreeSet;

use oxherd_contract::edge::Keys;
use oxherd_contract::ids::WorkerId;
use oxherd_contract::message::ToChild;

use crate::child::ChildId;
use crate::control::Answer;
use crate::plan::Plan;
use crate::supervisor::Supervisor;

/// Reloads that may wait for workers at the same time.
const PENDING_MAX: usize = 32;

/// Reads the configuration again: what it says now, or everything that is wrong with it, for people.
///
/// Runs inside the supervisor's loop, so it must not wait for anything but a disk.
pub type Rereader = Box<dyn FnMut() -> Result<Reread, String>>;

/// A configuration that was read again and is good.
pub struct Reread {
    /// What it says.
    pub plan: Plan,
    /// The keys that changed and cannot be applied to a running box, by their names.
    pub needs_restart: Vec<&'static str>,
    /// What is allowed and should not stay so.
    pub warnings: Vec<String>,
}

/// Who wants a reload, and hears how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A command at the control socket.
    Client(u64),
    /// Nobody who could be answered: the log.
    Signal,
}

/// The reloads that not all workers have carried out. Pure.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    last_number: u64,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    asker: Asker,
    waits_for: BTreeSet<WorkerId>,
    failures: Vec<String>,
}

/// How a reload ended, for whom.
pub(crate) type Finished = (Asker, Result<(), String>);

impl Reloads {
    /// The number of the keys that workers have.
    pub(crate) fn number(&self) -> u64 {
        self.last_number
    }

    /// A reload has begun; its keys have the number that is returned.
    fn begin(&mut self, asker: Asker, waits_for: BTreeSet<WorkerId>) -> u64 {
        self.last_number += 1;
        self.pending.push(Pending { number: self.last_number, asker, waits_for, failures: Vec::new() });
        self.last_number
    }

    /// A worker has these keys, or refuses them. It may have been started with them.
    pub(crate) fn applied(
        &mut self,
        worker: WorkerId,
        number: u64,
        outcome: Result<(), String>,
    ) -> Vec<Finished> {
        for pending in self.pending.iter_mut().filter(|pending| pending.number <= number) {
            if pending.waits_for.remove(&worker)
                && let Err(why) = &outcome
            {
                pending.failures.push(format!("worker {worker}: {why}"));
            }
        }
        self.finished()
    }

    /// A worker needs no keys any more.
    pub(crate) fn gone(&mut self, worker: WorkerId) -> Vec<Finished> {
        for pending in &mut self.pending {
            pending.waits_for.remove(&worker);
        }
        self.finished()
    }

    fn finished(&mut self) -> Vec<Finished> {
        let done = self.pending.extract_if(.., |pending| pending.waits_for.is_empty());
        let outcome = |failures: Vec<String>| match failures.is_empty() {
            true => Ok(()),
            false => Err(format!("not everybody could: {}", failures.join("; "))),
        };
        done.map(|pending| (pending.asker, outcome(pending.failures))).collect()
    }
}

impl Supervisor {
    /// Reads the configuration again; nothing changes unless all of it can be applied.
    pub(crate) fn reload(&mut self, asker: Asker) {
        if self.reloads.pending.len() >= PENDING_MAX {
            return self
                .reloaded(asker, Err("too many reloads wait for a worker that does not listen".to_owned()));
        }
        let reread = match (self.rereader)() {
            Ok(reread) if reread.needs_restart.is_empty() => reread,
            Ok(reread) => {
                let keys = reread.needs_restart.join(", ");
                let why = format!("nothing was changed: these keys need a restart: {keys}");
                return self.reloaded(asker, Err(why));
            }
            Err(complaints) => {
                return self.reloaded(
                    asker,
                    Err(format!("nothing was changed: the configuration is bad:{complaints}")),
                );
            }
        };
        for warning in &reread.warnings {
            tracing::warn!(warning, "the configuration should be better");
        }
        self.plan.certificates = reread.plan.certificates;
        // One that nobody chose stays: the sessions that are open have their tags from it.
        let secrets = reread.plan.shared.cluster.secrets;
        self.plan.shared.cluster.secrets =
            if secrets.is_empty() { vec![self.made_secret.clone()] } else { secrets };
        let workers: Vec<WorkerId> = self.fleet.members().map(|(worker, _)| worker).collect();
        self.reloads.begin(asker, workers.iter().copied().collect());
        for worker in workers {
            self.say(ChildId::Worker(worker), ToChild::Keys(self.current_keys()));
        }
        self.finish_reloads(Reloads::finished); // there may be no worker now
    }

    /// What every worker is to use.
    pub(crate) fn current_keys(&self) -> Keys {
        Keys {
            number: self.reloads.number(),
            certificates: Some(self.plan.certificates.clone()),
            secrets: Some(self.plan.shared.cluster.secrets.clone()),
        }
    }

    /// Tells the askers of reloads that are done now.
    pub(crate) fn finish_reloads(&mut self, step: impl FnOnce(&mut Reloads) -> Vec<Finished>) {
        for (asker, outcome) in step(&mut self.reloads) {
            self.reloaded(asker, outcome);
        }
    }

    fn reloaded(&mut self, asker: Asker, outcome: Result<(), String>) {
        match &outcome {
            Ok(()) => tracing::info!("reloaded"),
            Err(error) => tracing::error!(error, "reload failed"),
        }
        if let Asker::Client(client) = asker {
            let done = "reloaded: every worker uses the certificates and secrets as they are now".to_owned();
            self.answer(client, &outcome.map(|()| Answer::Done(done)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Asker = Asker::Client(7);

    fn workers(ids: &[u64]) -> BTreeSet<WorkerId> {
        ids.iter().copied().map(WorkerId).collect()
    }

    #[test]
    fn a_reload_is_done_when_every_worker_has_the_keys_or_is_gone() {
        let mut reloads = Reloads::default();
        let number = reloads.begin(ASKER, workers(&[1, 2, 3]));
        assert_eq!(reloads.applied(WorkerId(1), number, Ok(())), []);
        assert_eq!(reloads.applied(WorkerId(2), number - 1, Ok(())), [], "those it was born with");
        assert_eq!(reloads.gone(WorkerId(2)), []);
        assert_eq!(reloads.applied(WorkerId(3), number, Ok(())), [(ASKER, Ok(()))]);
        assert_eq!(reloads.gone(WorkerId(1)), []);
    }

    #[test]
    fn later_keys_are_as_good_and_a_refusal_is_told() {
        let mut reloads = Reloads::default();
        let first = reloads.begin(ASKER, workers(&[1]));
        let second = reloads.begin(Asker::Signal, workers(&[1]));
        assert!(first < second);
        let refused = reloads.applied(WorkerId(1), second, Err("mismatch".to_owned()));
        let why = Err("not everybody could: worker 1: mismatch".to_owned());
        assert_eq!(refused, [(ASKER, why.clone()), (Asker::Signal, why)]);
    }

    #[test]
    fn without_workers_it_is_done_at_once() {
        let mut reloads = Reloads::default();
        reloads.begin(ASKER, workers(&[]));
        assert_eq!(reloads.finished(), [(ASKER, Ok(()))]);
    }
}
