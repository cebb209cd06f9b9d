//! The one place where the supervisor waits: epoll over everything that it hears from.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use oxherd_contract::ids::WorkerId;

/// Events taken in one turn; more wait for the next.
const BATCH: usize = 64;

/// Who has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The signal pipe.
    Signals,
    /// A new control connection.
    Control,
    /// A control connection.
    Client(u64),
    /// A child's link.
    Link(WorkerId),
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    ReadWrite,
}

/// A level-triggered epoll instance. A source that is closed leaves by itself.
#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: Epoll,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Reactor> {
        Ok(Reactor { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    pub(crate) fn add(&self, descriptor: impl AsFd, source: Source) -> io::Result<()> {
        Ok(self.epoll.add(descriptor, event(source, Interest::Read))?)
    }

    /// A source that was removed stays so.
    pub(crate) fn change(&self, descriptor: impl AsFd, source: Source, interest: Interest) {
        if let Err(errno) = self.epoll.modify(descriptor, &mut event(source, interest)) {
            tracing::debug!(?source, %errno, "not waited for");
        }
    }

    pub(crate) fn remove(&self, descriptor: impl AsFd) {
        let _ = self.epoll.delete(descriptor); // it may be out already
    }

    /// Waits until somebody has something to say, at most this long.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<Vec<Source>> {
        let mut events = [EpollEvent::empty(); BATCH];
        let millis = at_most.as_micros().div_ceil(1000).min(60_000) as u16; // never wake a moment too early
        let count = match self.epoll.wait(&mut events, EpollTimeout::from(millis)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0, // the signal pipe tells which
            Err(errno) => return Err(errno.into()),
        };
        Ok(events[..count].iter().filter_map(|event| decode(event.data())).collect())
    }
}

fn event(source: Source, interest: Interest) -> EpollEvent {
    let flags = match interest {
        Interest::Read => EpollFlags::EPOLLIN,
        Interest::ReadWrite => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
    };
    EpollEvent::new(flags, encode(source))
}

/// Two bits for the kind, the rest for the number: none of the numbers reaches 2⁶² in the life of a box.
fn encode(source: Source) -> u64 {
    match source {
        Source::Signals => 0,
        Source::Control => 1,
        Source::Client(client) => client << 2 | 2,
        Source::Link(worker) => worker.0 << 2 | 3,
    }
}

fn decode(data: u64) -> Option<Source> {
    match (data & 3, data >> 2) {
        (0, 0) => Some(Source::Signals),
        (1, 0) => Some(Source::Control),
        (2, client) => Some(Source::Client(client)),
        (3, worker) => Some(Source::Link(WorkerId(worker))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_comes_back_as_it_was_given() {
        for source in [Source::Signals, Source::Control, Source::Client(7), Source::Link(WorkerId(1 << 40))] {
            assert_eq!(decode(encode(source)), Some(source));
        }
    }
}
