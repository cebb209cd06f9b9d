//! The first lines of the process: what must stand before there is a runtime, in this order.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oxherd_contract::VERSION;
use oxherd_contract::ids::RowIndex;
use oxherd_contract::link::{ChildLink, LinkError};
use oxherd_contract::message::ToChild;
use oxherd_contract::scoreboard::{Row, Scoreboard, ScoreboardError};
use oxherd_contract::settings::WorkerSettings;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH};
use thiserror::Error;

use crate::row;

/// How long a supervisor may take to say who this worker is.
const SETTINGS_WITHIN: Duration = Duration::from_secs(10);

/// A worker that knows who it is.
pub(crate) struct Birth {
    pub settings: WorkerSettings,
    pub scoreboard: &'static Scoreboard,
    pub row: &'static Row,
}

/// Why a process cannot become a worker.
#[derive(Debug, Error)]
pub(crate) enum BirthError {
    #[error("cannot ignore a signal")]
    Signals(#[source] io::Error),
    #[error("cannot hear the supervisor")]
    Link(#[source] LinkError),
    #[error("cannot wait for the supervisor")]
    Wait(#[source] Errno),
    #[error("the supervisor did not say who this worker is within {} s", SETTINGS_WITHIN.as_secs())]
    Silence,
    #[error("the supervisor's first message was not the settings with a scoreboard")]
    Unexpected,
    #[error("the supervisor speaks version {0} of the contract, this worker version {VERSION}")]
    Contract(u32),
    #[error("cannot open the scoreboard")]
    Scoreboard(#[source] ScoreboardError),
    #[error("the scoreboard has no row {0}")]
    NoRow(RowIndex),
    #[error("cannot start the guard thread")]
    Guard(#[source] io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

/// Signals that are meant for the supervisor but reach its children too (a terminal, `killall`) do nothing here.
///
/// They are caught, not ignored: a process that the application starts would inherit the latter (`signal(7)`).
pub(crate) fn ignore_signals() -> Result<(), BirthError> {
    let nobody_asks = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH] {
        signal_hook::flag::register(signal, nobody_asks.clone()).map_err(BirthError::Signals)?;
    }
    Ok(())
}

/// Waits for the settings and takes the row of the scoreboard that came with them.
pub(crate) fn hear(link: &ChildLink) -> Result<Birth, BirthError> {
    let (message, descriptors) = first_message(link)?;
    let ToChild::Settings(settings) = message else { return Err(BirthError::Unexpected) };
    if settings.contract != VERSION {
        return Err(BirthError::Contract(settings.contract));
    }
    let [descriptor] = <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| BirthError::Unexpected)?;
    // Leaked, since everything that counts holds the row, threads of the application too.
    let scoreboard = Box::leak(Box::new(Scoreboard::open(descriptor).map_err(BirthError::Scoreboard)?));
    let row = row::claim(scoreboard, settings.row, settings.identity.worker)
        .ok_or(BirthError::NoRow(settings.row))?;
    Ok(Birth { settings: *settings, scoreboard, row })
}

fn first_message(link: &ChildLink) -> Result<(ToChild, Vec<OwnedFd>), BirthError> {
    let deadline = Instant::now() + SETTINGS_WITHIN;
    loop {
        if let Some(first) = link.receive().map_err(BirthError::Link)? {
            return Ok(first);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(link.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(BirthError::Silence),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(BirthError::Wait(errno)),
        }
    }
}
