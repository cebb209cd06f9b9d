//! How a process of oxherd ends: one table of exit statuses, for people, scripts and systemd.

use std::process::ExitCode;

/// Exit statuses of every command; those from 64 on have the meaning that `sysexits.h` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or stopped as asked.
    Done = 0,
    /// It did not work; the reason is on stderr.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No worker came up for `give_up_after` (`EX_SOFTWARE`).
    GaveUp = 70,
    /// Somebody else has a listen address or the control socket (`EX_TEMPFAIL`: it may be free later).
    AddressInUse = 75,
    /// The configuration is bad (`EX_CONFIG`). Trying again without a change is pointless:
    /// `RestartPreventExitStatus=78`.
    BadConfiguration = 78,
}

/// The table for `--help`.
pub(crate) const HELP: &str = "Exit status: 0 done, 1 failed, 2 usage, 70 no worker came up, \
                               75 an address is in use, 78 bad configuration";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_the_whole_table() {
        let all =
            [Exit::Done, Exit::Failed, Exit::Usage, Exit::GaveUp, Exit::AddressInUse, Exit::BadConfiguration];
        for exit in all {
            assert!(HELP.contains(&format!(" {} ", exit as u8)), "{exit:?}");
        }
    }
}
