//! Waits for ended children without ever waiting.

use std::fmt;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Exited(i32),
    Killed { signal: Signal, core: bool },
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Death::Exited(status) => write!(f, "exited with status {status}"),
            Death::Killed { signal, core } => {
                write!(f, "was killed by {signal}{}", if *core { " (core dumped)" } else { "" })
            }
        }
    }
}

/// All children that have ended. As PID 1 of a container the supervisor inherits every orphan: they are in the
/// list too, and thereby gone.
pub(crate) fn ended() -> Vec<(u32, Death)> {
    let next = || match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(pid, status)) => Some((pid.as_raw() as u32, Death::Exited(status))),
        Ok(WaitStatus::Signaled(pid, signal, core)) => {
            Some((pid.as_raw() as u32, Death::Killed { signal, core }))
        }
        _ => None,
    };
    std::iter::from_fn(next).collect()
}
