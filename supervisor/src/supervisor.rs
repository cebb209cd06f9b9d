//! The supervisor's loop: an event comes in, the fleet answers with actions, the loop performs them.
//!
//! Nothing in here decides and nothing in here blocks. It is the only thread of the process.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use oxherd_contract::ids::{BoxId, RowIndex};
use oxherd_contract::link::{INHERITED, LinkError};
use oxherd_contract::message::ToSupervisor;
use oxherd_contract::scoreboard::{Row, Scoreboard, ScoreboardError};
use oxherd_contract::secret::Secret;
use thiserror::Error;

use crate::bus_sockets::{BusSocketError, BusSockets};
use crate::child::{Child, ChildId};
use crate::control::Answer;
use crate::control::server::{ControlError, ControlServer};
use crate::fleet::{Event, Fleet, Life, Moment, Policy};
use crate::keeper::{BusState, Keeper};
use crate::listen::{ListenError, Listeners};
use crate::plan::Plan;
use crate::reactor::{Reactor, Source};
use crate::reload::{Asker, Reloads, Rereader};
use crate::sibling_sockets::{SiblingSockets, SiblingSocketsError};
use crate::signals::{Signals, Word};
use crate::{limits, procfs, random, reap, sys};

/// Rows of the scoreboard: workers at the same time, those that are ending included.
const ROWS: u16 = 512;

/// How late a tick may be before the supervisor doubts time instead of its workers.
const LATE_AFTER: Duration = Duration::from_millis(500);

/// How much longer than its own `orphan_grace` an orphan may hold an address.
const ORPHAN_MARGIN: Duration = Duration::from_secs(1);

/// Why a supervisor ended, or did not start.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The control socket cannot be made.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The bus has nothing to listen on.
    #[error(transparent)]
    Bus(#[from] BusSocketError),
    /// The workers cannot have sockets for each other.
    #[error(transparent)]
    Siblings(#[from] SiblingSocketsError),
    /// The scoreboard cannot be made.
    #[error(transparent)]
    Scoreboard(#[from] ScoreboardError),
    /// The kernel refused something that it never should.
    #[error("the supervisor cannot {act}")]
    Io {
        /// What it was about.
        act: &'static str,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// No worker can be kept alive.
    #[error("giving up: {0}")]
    GaveUp(String),
}

/// Runs a box until it is stopped. Must be called by a thread that lives as long, before the process has others.
///
/// `rereader` knows where the plan came from, for a reload.
pub fn run(plan: Plan, rereader: Rereader) -> Result<(), SupervisorError> {
    let mut supervisor = Supervisor::start(plan, rereader)?;
    supervisor.pass_time();
    loop {
        supervisor.turn()?;
        if let Some(reason) = supervisor.finished.take() {
            return supervisor.finish(reason);
        }
    }
}

pub(crate) struct Supervisor {
    pub(crate) plan: Plan,
    pub(crate) box_id: BoxId,
    pub(crate) open_files_max: u64,
    pub(crate) listeners: Listeners,
    /// `None` if the box has a Redis instead.
    pub(crate) bus_sockets: Option<BusSockets>,
    pub(crate) sibling_sockets: SiblingSockets,
    pub(crate) fleet: Fleet,
    pub(crate) keeper: Keeper,
    pub(crate) children: BTreeMap<ChildId, Child>,
    pub(crate) scoreboard: Scoreboard,
    pub(crate) started: Instant,
    pub(crate) free_rows: VecDeque<RowIndex>,
    pub(crate) reactor: Reactor,
    signals: Signals,
    pub(crate) control: ControlServer,
    pub(crate) stop_waiters: Vec<u64>,
    pub(crate) rereader: Rereader,
    /// Signs session ids while `cluster.secrets` is absent.
    pub(crate) made_secret: Secret,
    pub(crate) reloads: Reloads,
    last_tick: Moment,
    pub(crate) finished: Option<Option<String>>,
    _link_number: OwnedFd,
}

impl Supervisor {
    fn start(mut plan: Plan, rereader: Rereader) -> Result<Supervisor, SupervisorError> {
        let failed = |act| move |cause| SupervisorError::Io { act, cause };
        let started = Instant::now();
        let link_number = reserve_link_number().map_err(failed("reserve a descriptor"))?;
        sys::close_on_exec_from(INHERITED).map_err(failed("keep its descriptors to itself"))?;
        let open_files_max = limits::raise_open_files();
        limits::report_connections(&plan.shared.http, plan.connections_max, open_files_max);
        let patience = plan.shared.orphan_grace + ORPHAN_MARGIN;
        let listeners = Listeners::open(&plan, patience)?;
        let control = ControlServer::open(plan.control.resolve(listeners.first_port()))?;
        let bus_sockets = match plan.shared.redis {
            Some(_) => None,
            None => Some(BusSockets::open(control.beside("bus"), &plan.bus.listen)?),
        };
        let sibling_sockets = SiblingSockets::open(control.beside("workers"))?;
        let made_secret = random::secret().map_err(failed("read random numbers"))?;
        if plan.shared.cluster.secrets.is_empty() {
            plan.shared.cluster.secrets.push(made_secret.clone());
        }
        let signals = Signals::catch().map_err(failed("catch signals"))?;
        let reactor = Reactor::new().map_err(failed("make an epoll instance"))?;
        reactor.add(&signals, Source::Signals).map_err(failed("wait for signals"))?;
        reactor.add(&control.listener, Source::Control).map_err(failed("wait for control connections"))?;
        let [box_id, seed] = random::numbers().map_err(failed("read random numbers"))?;
        let policy = Policy {
            workers: plan.workers,
            slots: listeners.slots(),
            stop: plan.timing.stop,
            drain: plan.timing.stop,
            give_up: plan.timing.give_up,
            seed,
        };
        let control_path = control.path().display();
        tracing::info!(pid = std::process::id(), workers = plan.workers, control = %control_path, "supervisor started");
        Ok(Supervisor {
            box_id: BoxId(box_id),
            open_files_max,
            listeners,
            sibling_sockets,
            made_secret,
            fleet: Fleet::new(policy, Duration::ZERO),
            keeper: if bus_sockets.is_some() { Keeper::new(!seed, Duration::ZERO) } else { Keeper::off() },
            bus_sockets,
            children: BTreeMap::new(),
            scoreboard: Scoreboard::create(ROWS)?,
            started,
            free_rows: (0..ROWS).map(RowIndex).collect(),
            reactor,
            signals,
            control,
            stop_waiters: Vec::new(),
            rereader,
            reloads: Reloads::default(),
            last_tick: Duration::ZERO,
            finished: None,
            _link_number: link_number,
            plan,
        })
    }

    pub(crate) fn now(&self) -> Moment {
        self.started.elapsed()
    }

    /// Waits for what comes next and deals with it.
    fn turn(&mut self) -> Result<(), SupervisorError> {
        let next_tick = self.last_tick + self.tick_interval();
        let deadline = self.next_deadline();
        let wake = deadline.map_or(next_tick, |deadline| deadline.min(next_tick));
        let sources = self.reactor.wait(wake.saturating_sub(self.now()));
        for source in sources.map_err(|cause| SupervisorError::Io { act: "wait for events", cause })? {
            match source {
                Source::Signals => self.take_signals(),
                Source::Control => self.accept_client(),
                Source::Client(client) => self.hear_client(client),
                Source::Link(child) => {
                    self.flush(child);
                    self.hear(child);
                }
            }
        }
        let now = self.now();
        if now >= next_tick {
            self.tick(now);
        } else if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.pass_time();
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.fleet.next_deadline().into_iter().chain(self.keeper.next_deadline()).min()
    }

    /// Tells fleet and keeper that time has passed.
    pub(crate) fn pass_time(&mut self) {
        self.keep(|keeper, now| keeper.tick(now));
        self.handle(Event::Tick);
    }

    /// Often enough that a hang is noticed within half a second of its time-out, no oftener than needed.
    fn tick_interval(&self) -> Duration {
        (self.plan.timing.hang / 16).clamp(Duration::from_millis(50), Duration::from_millis(250))
    }

    fn tick(&mut self, now: Moment) {
        let late = now.saturating_sub(self.last_tick) > self.tick_interval() + LATE_AFTER;
        self.last_tick = now;
        self.control.expire(now);
        if late {
            tracing::warn!("the supervisor itself was stopped or starved, all deadlines begin anew");
            self.children.values_mut().for_each(|child| child.watch.reset(now));
            self.handle(Event::Late);
        }
        for child in self.unresponsive(now) {
            match child {
                ChildId::Worker(worker) => self.handle(Event::Unresponsive(worker)),
                ChildId::Bus => self.keep(|keeper, now| keeper.unresponsive(now)),
            }
        }
        self.pass_time();
    }

    /// Who had the time to boot or to beat and did not.
    fn unresponsive(&mut self, now: Moment) -> Vec<ChildId> {
        let (boot, hang) = (self.plan.timing.boot, self.plan.timing.hang);
        let workers = self.fleet.members().filter_map(|(worker, member)| match member.life {
            Life::Starting => Some((ChildId::Worker(worker), boot, false)),
            Life::Ready { .. } => Some((ChildId::Worker(worker), hang, true)),
            Life::Draining { .. } | Life::Dying { .. } => None, // their end has a deadline
        });
        let bus = match self.keeper.state {
            BusState::Starting { .. } => Some((ChildId::Bus, boot, false)),
            BusState::Ready { .. } => Some((ChildId::Bus, hang, true)),
            BusState::Off | BusState::Vacant { .. } | BusState::Dying { .. } => None,
        };
        let mut found = Vec::new();
        for (id, limit, beat_resets) in workers.chain(bus) {
            let Some(child) = self.children.get_mut(&id) else { continue };
            let beats = self.scoreboard.row(child.row).map_or(0, |row| row.beats.load(Relaxed));
            match child.watch.has_beaten(beats) && beat_resets {
                true => child.watch.reset(now),
                false if child.watch.look(now, procfs::scheduling(child.pid)) >= limit => found.push(id),
                false => {}
            }
        }
        found
    }

    fn take_signals(&mut self) {
        for word in self.signals.take() {
            match word {
                Word::Child => self.reap(),
                Word::Stop if self.fleet.is_stopping() => self.handle(Event::StopNow),
                Word::Stop => self.handle(Event::Stop),
                Word::Reload => self.reload(Asker::Signal),
                Word::Unknown(signal) => {
                    tracing::warn!(signal, "signal ignored: this version has no use for it")
                }
            }
        }
    }

    fn reap(&mut self) {
        for (pid, death) in reap::ended() {
            let found = self.children.iter().find(|(_, child)| child.pid == pid);
            let Some((id, row)) = found.map(|(id, child)| (*id, child.row)) else {
                tracing::debug!(pid, %death, "orphan reaped");
                continue;
            };
            self.hear(id); // its last words may still wait in the link
            self.children.remove(&id);
            self.scoreboard.row(row).inspect(|row| Row::clear(row));
            self.free_rows.push_back(row);
            tracing::info!(child = %id, pid, %death, "child gone");
            self.exited(id, death.to_string());
        }
    }

    fn exited(&mut self, id: ChildId, cause: String) {
        match id {
            ChildId::Worker(worker) => {
                self.sibling_sockets.remove(worker);
                self.handle(Event::Exited { worker, cause });
                self.finish_reloads(|reloads| reloads.gone(worker));
            }
            ChildId::Bus => {
                self.keep(|keeper, now| keeper.exited(now, cause));
                self.pass_time(); // mostly it is replaced at once
            }
        }
    }

    fn hear(&mut self, id: ChildId) {
        while let Some(child) = self.children.get_mut(&id) {
            let heard = match child.hear() {
                Ok(Some(heard)) => heard,
                Ok(None) => return,
                Err(error) => return self.lose(id, &error),
            };
            match &heard {
                ToSupervisor::Ready => {
                    tracing::info!(child = %id, pid = child.pid, "child ready");
                    child.watch.reset(self.started.elapsed());
                }
                ToSupervisor::Draining => {
                    tracing::info!(child = %id, pid = child.pid, "child drains by itself")
                }
                ToSupervisor::BootFailed { reason } => {
                    tracing::error!(child = %id, pid = child.pid, reason, "child cannot start");
                }
                ToSupervisor::Applied { number, .. } => tracing::debug!(child = %id, number, "keys changed"),
            }
            match (id, heard) {
                (ChildId::Worker(worker), ToSupervisor::Ready) => self.handle(Event::Ready(worker)),
                (ChildId::Worker(worker), ToSupervisor::Draining) => self.handle(Event::Draining(worker)),
                (ChildId::Worker(worker), ToSupervisor::BootFailed { reason }) => {
                    self.handle(Event::BootFailed { worker, reason });
                }
                (ChildId::Worker(worker), ToSupervisor::Applied { number, outcome }) => {
                    self.finish_reloads(|reloads| reloads.applied(worker, number, outcome));
                }
                (ChildId::Bus, ToSupervisor::Ready) => self.keep(|keeper, now| keeper.ready(now)),
                // Its exit follows, or it has no keys.
                (
                    ChildId::Bus,
                    ToSupervisor::Draining | ToSupervisor::BootFailed { .. } | ToSupervisor::Applied { .. },
                ) => {}
            }
        }
    }

    /// A child that cannot be talked to is none: the end of a link is mostly the end of its process, and a living
    /// one without a link must not stay.
    pub(crate) fn lose(&mut self, id: ChildId, error: &LinkError) {
        let Some(child) = self.children.get(&id) else { return };
        if !matches!(error, LinkError::Closed) {
            tracing::error!(child = %id, pid = child.pid, %error, "link broken");
        }
        child.signal(Signal::SIGKILL);
        self.reactor.remove(&child.link);
    }

    /// The workers are gone; the bus goes last, since they may have had something to say until their end.
    fn finish(mut self, reason: Option<String>) -> Result<(), SupervisorError> {
        self.signal(ChildId::Bus, Signal::SIGKILL);
        if let Some(bus) = self.children.get(&ChildId::Bus) {
            reap::wait_for(bus.pid);
        }
        let outcome = match &reason {
            None => Ok(Answer::Done("stopped".to_owned())),
            Some(reason) => Err(reason.clone()),
        };
        for client in std::mem::take(&mut self.stop_waiters) {
            self.answer(client, &outcome);
        }
        tracing::info!("stopped");
        reason.map_or(Ok(()), |reason| Err(SupervisorError::GaveUp(reason)))
    }
}

/// Occupies the number at which children find their link, so that nothing of this process ever has it and gets
/// overwritten between fork and exec.
fn reserve_link_number() -> io::Result<OwnedFd> {
    let null = File::open("/dev/null")?;
    let number = fcntl(&null, FcntlArg::F_DUPFD_CLOEXEC(INHERITED))?;
    Ok(sys::own(number))
}
