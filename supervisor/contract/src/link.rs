//! The link: a SOCK_SEQPACKET pair between the supervisor and one child.
//!
//! Both ends are typed by what they may say and hear, and never block: the supervisor because nothing may
//! stop its loop, the child because it reads the link inside its runtime. A link's end of file is how each
//! side learns that the other is gone. Called by the supervisor's loop and by each child's first lines.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::datagram::{self, Datagram};
use crate::message::{ToChild, ToSupervisor};
use crate::sys;

/// Descriptors in one message at most: the kernel takes 253 (`SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 200;

/// Bytes of one message at most.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The supervisor's end.
pub type SupervisorLink = Link<ToChild, ToSupervisor>;

/// The child's end.
pub type ChildLink = Link<ToSupervisor, ToChild>;

/// One end of a link: says `Out`, hears `In`. Dropping it tells the other side.
#[derive(Debug)]
pub struct Link<Out, In> {
    socket: OwnedFd,
    words: PhantomData<fn(Out) -> In>,
}

/// What can go wrong on a link.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The other side is gone.
    #[error("the other side closed the link")]
    Closed,
    /// The other side does not read: keep the message and try again when the link is writable.
    #[error("the other side does not read its link")]
    Full,
    /// A datagram that is no message of this contract, or one that lost a part on the way.
    #[error("a link carried something that is no message")]
    Garbled(#[source] io::Error),
    /// A message over one of the limits of this module.
    #[error("a message is too large for a link: {bytes} bytes, {descriptors} descriptors")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// Its descriptors.
        descriptors: usize,
    },
    /// The supervisor did not say what this child is to do.
    #[error("the supervisor said nothing for {} s", .0.as_secs())]
    Silence(Duration),
    /// This process was not started by a supervisor.
    #[error("this process was not started by a supervisor: descriptor 3 is no link")]
    NotInherited,
    /// The kernel refused.
    #[error("cannot use a link")]
    Io(#[source] io::Error),
}

/// Makes both ends; the child's is to be inherited as [`INHERITED`].
pub fn pair() -> Result<(SupervisorLink, OwnedFd), LinkError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|errno| LinkError::Io(errno.into()))?;
    Ok((Link::over(ours), theirs))
}

/// The number that the child finds its end at.
pub const INHERITED: RawFd = 3;

impl ChildLink {
    /// The end that this process inherited from its supervisor. Works once in the life of a process.
    pub fn inherited() -> Result<ChildLink, LinkError> {
        sys::inherited_seqpacket(INHERITED).map(Link::over).ok_or(LinkError::NotInherited)
    }

    /// Waits for the first message, before there is a runtime to wait in.
    pub fn receive_first(&self, within: Duration) -> Result<(ToChild, Vec<OwnedFd>), LinkError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(first) = self.receive()? {
                return Ok(first);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err(LinkError::Silence(within)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(LinkError::Io(errno.into())),
            }
        }
    }
}

impl<Out: Serialize, In: DeserializeOwned> Link<Out, In> {
    fn over(socket: OwnedFd) -> Self {
        Link { socket, words: PhantomData }
    }

    /// Sends one message with its descriptors, which stay the caller's.
    pub fn send(&self, message: &Out, descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let bytes = serde_json::to_vec(message).map_err(|error| LinkError::Garbled(error.into()))?;
        if bytes.len() > MESSAGE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(LinkError::TooLarge { bytes: bytes.len(), descriptors: descriptors.len() });
        }
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        match datagram::send(self.as_fd(), &bytes, &raw) {
            Ok(()) => Ok(()),
            Err(Errno::EAGAIN | Errno::ENOBUFS) => Err(LinkError::Full),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(LinkError::Closed),
            Err(errno) => Err(LinkError::Io(errno.into())),
        }
    }

    /// The next message with its descriptors; `None` when there is none now.
    pub fn receive(&self) -> Result<Option<(In, Vec<OwnedFd>)>, LinkError> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
        let Datagram { length, descriptors, is_cut } =
            match datagram::receive(self.as_fd(), &mut bytes, &mut control) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::ECONNRESET) => return Err(LinkError::Closed),
                Err(errno) => return Err(LinkError::Io(errno.into())),
            };
        if length == 0 {
            return Err(LinkError::Closed); // no message is empty
        }
        if is_cut {
            return Err(LinkError::Garbled(io::ErrorKind::UnexpectedEof.into()));
        }
        let message =
            serde_json::from_slice(&bytes[..length]).map_err(|error| LinkError::Garbled(error.into()))?;
        Ok(Some((message, descriptors)))
    }
}

impl<Out, In> AsFd for Link<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<Out, In> AsRawFd for Link<Out, In> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn both_ends() -> (SupervisorLink, ChildLink) {
        let (ours, theirs) = pair().unwrap();
        (ours, Link::over(theirs))
    }

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (supervisor, child) = both_ends();
        let file = File::open("/dev/null").unwrap();
        let drain = ToChild::Drain { within: Duration::from_millis(1500) };
        supervisor.send(&drain, &[file.as_fd(), file.as_fd()]).unwrap();
        let (message, descriptors) = child.receive().unwrap().unwrap();
        assert_eq!(message, drain);
        assert_eq!(descriptors.len(), 2);
        assert!(child.receive().unwrap().is_none());
    }

    #[test]
    fn a_full_link_refuses_instead_of_blocking() {
        let (supervisor, _child) = both_ends();
        let message = ToChild::Release((0..2000).map(crate::ids::SlotId).collect());
        let refused = (0..10_000).find_map(|_| supervisor.send(&message, &[]).err());
        assert!(matches!(refused, Some(LinkError::Full)), "{refused:?}");
    }

    #[test]
    fn the_end_of_a_link_is_told_to_both_sides() {
        let (supervisor, child) = both_ends();
        drop(child);
        assert!(matches!(supervisor.receive(), Err(LinkError::Closed)));
        assert!(matches!(supervisor.send(&ToChild::Release(vec![]), &[]), Err(LinkError::Closed)));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let (ours, theirs) = pair().unwrap();
        datagram::send(theirs.as_fd(), b"{\"Nonsense\":1}", &[]).unwrap();
        assert!(matches!(ours.receive(), Err(LinkError::Garbled(_))));
    }

    #[test]
    fn more_than_a_message_may_carry_is_refused_before_the_kernel_sees_it() {
        let (supervisor, _child) = both_ends();
        let file = File::open("/dev/null").unwrap();
        let too_many = vec![file.as_fd(); DESCRIPTORS_MAX + 1];
        let refused = supervisor.send(&ToChild::Accept(vec![]), &too_many);
        assert!(matches!(refused, Err(LinkError::TooLarge { .. })));
    }
}
