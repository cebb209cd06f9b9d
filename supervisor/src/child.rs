//! One child process as the supervisor holds it: its pidfd, its link, and what waits to be said to it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use oxherd_contract::CHILD_ARGUMENT;
use oxherd_contract::ids::RowIndex;
use oxherd_contract::link::{self, INHERITED, LinkError, SupervisorLink};
use oxherd_contract::message::{ToChild, ToSupervisor};
use thiserror::Error;

use crate::fleet::Moment;
use crate::sys;
use crate::watch::Watch;

/// Messages that may wait for a child that does not read; it is hung long before.
const OUTBOX_MAX: usize = 4096;

/// Why a child could not be started.
#[derive(Debug, Error)]
pub(crate) enum SpawnError {
    #[error("cannot make a link")]
    Link(#[from] LinkError),
    #[error("cannot start a process")]
    Exec(#[source] io::Error),
    #[error("cannot open its pidfd")]
    Pidfd(#[source] io::Error),
    #[error("cannot wait for its words")]
    Watch(#[source] io::Error),
    #[error("the scoreboard has no free row: too many workers are ending at the same time")]
    NoRow,
}

/// A child that has not been waited for.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) row: RowIndex,
    pub(crate) watch: Watch,
    pub(crate) link: SupervisorLink,
    pidfd: OwnedFd,
    outbox: VecDeque<ToChild>,
}

impl Child {
    /// Starts this same executable (the inode that runs, not the path on disk) in the role of a child. Must be
    /// called from a thread that lives as long as the supervisor.
    pub(crate) fn spawn(row: RowIndex, now: Moment) -> Result<Child, SpawnError> {
        let (link, theirs) = link::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(std::env::args_os().next().unwrap_or_else(|| "oxherd".into()));
        command.arg(CHILD_ARGUMENT).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OXHERD_") {
                command.env_remove(name); // a worker's settings come over the link only
            }
        }
        sys::inherit_at(&mut command, theirs, INHERITED);
        let pid = command.spawn().map_err(SpawnError::Exec)?.id(); // waited for by the loop, by pid
        let pidfd = sys::pidfd_open(pid).map_err(SpawnError::Pidfd)?;
        Ok(Child { pid, row, watch: Watch::new(now), link, pidfd, outbox: VecDeque::new() })
    }

    /// Signals exactly this process; one that is gone already hears nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = sys::pidfd_send_signal(std::os::fd::AsFd::as_fd(&self.pidfd), signal) {
            tracing::debug!(pid = self.pid, %signal, %error, "signal not sent");
        }
    }

    /// Queues a message; false when the child has not read for so long that there is no more room.
    #[must_use]
    pub(crate) fn say(&mut self, message: ToChild) -> bool {
        let room = self.outbox.len() < OUTBOX_MAX;
        if room {
            self.outbox.push_back(message);
        }
        room
    }

    /// Sends what is queued as far as the link takes it; true when something is left.
    pub(crate) fn flush(
        &mut self,
        mut send: impl FnMut(&SupervisorLink, &ToChild) -> Result<(), LinkError>,
    ) -> Result<bool, LinkError> {
        while let Some(message) = self.outbox.front() {
            match send(&self.link, message) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(LinkError::Full) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The next thing that it said.
    pub(crate) fn hear(&self) -> Result<Option<ToSupervisor>, LinkError> {
        Ok(self.link.receive()?.map(|(message, _descriptors)| message))
    }
}
