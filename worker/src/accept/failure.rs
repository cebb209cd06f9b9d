//! What a failed accept(2) means, and whether the operator has heard of it.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// A shortage that lasts, or comes and goes, is said again after this.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);

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

/// When the operator last heard of a shortage, so that it is not said by each slot at each attempt.
#[derive(Debug, Default)]
pub(super) struct Shortage(Mutex<Option<Instant>>);

impl Shortage {
    /// Whether it is to be said now.
    pub fn is_news(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.is_none_or(|last| now.duration_since(last) >= SAY_AGAIN_AFTER);
        if is_news {
            *last = Some(now);
        }
        is_news
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
    fn a_shortage_is_said_once_in_a_while() {
        let (shortage, start) = (Shortage::default(), Instant::now());
        let at = |seconds| shortage.is_news(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61)], [true, false, false, true, false]);
    }
}
