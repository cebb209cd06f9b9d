//! What a failed accept(2) means.

use std::io;

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
}
