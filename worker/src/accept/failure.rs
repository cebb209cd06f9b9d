//! What a failed accept(2) means, and whether the operator has heard of it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::errno::Errno;

/// Whom a failed accept(2) concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// One that is gone before it was taken, or was refused by a filter: the next one may be well.
    OfTheConnection,
    /// The process or the machine, for now: nothing was taken, and it will be there later.
    Shortage,
    /// The listening socket: it will not recover.
    OfTheListener,
}

impl Failure {
    /// accept(2) passes pending network errors of the new connection on as its own.
    pub fn of(error: &io::Error) -> Self {
        match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => Failure::Shortage,
            Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP | Errno::EFAULT => {
                Failure::OfTheListener
            }
            _ => Failure::OfTheConnection,
        }
    }
}

/// Whether this process is in a shortage, so that it is said once and not by each slot at each attempt.
#[derive(Debug, Default)]
pub(super) struct Shortage(AtomicBool);

impl Shortage {
    /// Notes a failure; true if it is the first of a shortage.
    pub fn begins(&self) -> bool {
        !self.0.swap(true, Relaxed)
    }

    /// Notes a success.
    pub fn is_over(&self) {
        if self.0.load(Relaxed) {
            self.0.store(false, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_listener_is_given_up() {
        for (errno, failure) in [
            (Errno::ECONNABORTED, Failure::OfTheConnection),
            (Errno::EPERM, Failure::OfTheConnection),
            (Errno::EHOSTUNREACH, Failure::OfTheConnection),
            (Errno::EINTR, Failure::OfTheConnection),
            (Errno::EMFILE, Failure::Shortage),
            (Errno::ENFILE, Failure::Shortage),
            (Errno::ENOBUFS, Failure::Shortage),
            (Errno::ENOMEM, Failure::Shortage),
            (Errno::EINVAL, Failure::OfTheListener),
        ] {
            assert_eq!(Failure::of(&errno.into()), failure, "{errno}");
        }
    }

    #[test]
    fn a_shortage_begins_once_until_it_is_over() {
        let shortage = Shortage::default();
        assert_eq!([shortage.begins(), shortage.begins()], [true, false]);
        shortage.is_over();
        assert!(shortage.begins());
    }
}
