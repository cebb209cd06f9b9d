//! Signals to the supervisor, as readable words.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::signal::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A child ended.
    Child,
    /// Drain and stop; a second one stops now.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Something that this version does not do: said in the log, and survived.
    Unknown(&'static str),
}

/// Catches the signals; from its making on none of them kills the process.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let signals =
            [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH];
        Ok(Signals { delivery: SignalDelivery::with_pipe(read, write, SignalOnly, signals)? })
    }

    /// What came since the last call.
    pub(crate) fn take(&mut self) -> Vec<Word> {
        self.delivery.pending().filter_map(word).collect()
    }
}

fn word(signal: i32) -> Option<Word> {
    match signal {
        SIGCHLD => Some(Word::Child),
        SIGTERM | SIGINT | SIGQUIT => Some(Word::Stop),
        SIGHUP => Some(Word::Reload),
        SIGUSR2 => Some(Word::Unknown("SIGUSR2")),
        _ => None,
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}
