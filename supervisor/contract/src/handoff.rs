//! Giving a connection to a sibling: one datagram of a fixed size with one descriptor, over a SOCK_SEQPACKET socket.
//!
//! It is part of the contract because a draining worker of an older binary gives to a newer one, and the reverse.
//! Neither end ever blocks. The sender keeps nothing of what it gave but its own descriptor, which it then closes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use thiserror::Error;

use crate::datagram;
use crate::ids::ListenerId;

/// Bytes of every message.
const MESSAGE_BYTES: usize = 32;

/// What the first byte of a message is. Another form of message has another number, and is refused by who does not
/// know it.
const FORM: u8 = 1;

/// A connection that changes hands. Nothing of it has been read, but for another box's challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// The listener that it was accepted on.
    pub listener: ListenerId,
    /// Who is at its other end; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Why it is given away.
    pub reason: Reason,
}

/// Why a connection is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Its first request belongs to a session of the receiver.
    Session = 0,
    /// Its first request starts a session, and the receiver has fewer. The sender has counted it in the receiver's
    /// row ([`Row::newcomers`](crate::scoreboard::Row::newcomers)).
    Balance = 1,
    /// It is another box's, which has proved that it belongs to the cluster and meant the receiver.
    Box = 2,
}

/// Why a connection did not change hands.
#[derive(Debug, Error)]
pub enum HandoffError {
    /// The other side is gone.
    #[error("the other worker is gone")]
    Closed,
    /// The other side has not taken what it was given before.
    #[error("the other worker takes nothing now")]
    Full,
    /// A datagram that is no such message.
    #[error("another worker sent something that is no connection")]
    Garbled,
    /// The kernel refused.
    #[error("cannot hand a connection over")]
    Io(#[source] io::Error),
}

/// Gives a connection away. The caller closes its own descriptor.
pub fn give(channel: impl AsFd, handoff: &Handoff, connection: BorrowedFd<'_>) -> Result<(), HandoffError> {
    let descriptors = [connection.as_raw_fd()];
    match datagram::send(channel.as_fd(), &encode(handoff), &descriptors) {
        Ok(()) => Ok(()),
        // ETOOMANYREFS: more descriptors under way than the user may have open (`unix(7)`).
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ETOOMANYREFS) => Err(HandoffError::Full),
        Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => Err(HandoffError::Closed),
        Err(errno) => Err(HandoffError::Io(errno.into())),
    }
}

/// The next connection that was given; `None` when there is none now.
pub fn take(channel: impl AsFd) -> Result<Option<(Handoff, OwnedFd)>, HandoffError> {
    let mut bytes = [0; MESSAGE_BYTES];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let mut received = match datagram::receive(channel.as_fd(), &mut bytes, &mut control) {
        Ok(received) => received,
        Err(Errno::EAGAIN) => return Ok(None),
        Err(Errno::ECONNRESET) => return Err(HandoffError::Closed),
        Err(errno) => return Err(HandoffError::Io(errno.into())),
    };
    let is_whole = received.length == MESSAGE_BYTES && !received.is_cut;
    match (received.length, received.descriptors.pop()) {
        (0, None) => Err(HandoffError::Closed),
        (_, Some(connection)) if is_whole && received.descriptors.is_empty() => {
            let handoff = decode(&bytes).ok_or(HandoffError::Garbled)?;
            Ok(Some((handoff, connection)))
        }
        _ => Err(HandoffError::Garbled),
    }
}

/// Form, reason, listener, family, port, address, flow, scope: numbers in network order.
fn encode(handoff: &Handoff) -> [u8; MESSAGE_BYTES] {
    let mut bytes = [0; MESSAGE_BYTES];
    bytes[0] = FORM;
    bytes[1] = handoff.reason as u8;
    bytes[2..4].copy_from_slice(&handoff.listener.0.to_be_bytes());
    let Some(peer) = handoff.peer else { return bytes };
    bytes[6..8].copy_from_slice(&peer.port().to_be_bytes());
    match peer {
        SocketAddr::V4(peer) => {
            bytes[4] = 4;
            bytes[8..12].copy_from_slice(&peer.ip().octets());
        }
        SocketAddr::V6(peer) => {
            bytes[4] = 6;
            bytes[8..24].copy_from_slice(&peer.ip().octets());
            bytes[24..28].copy_from_slice(&peer.flowinfo().to_be_bytes());
            bytes[28..32].copy_from_slice(&peer.scope_id().to_be_bytes());
        }
    }
    bytes
}

fn decode(bytes: &[u8; MESSAGE_BYTES]) -> Option<Handoff> {
    let reason = match bytes[..2] {
        [FORM, 0] => Reason::Session,
        [FORM, 1] => Reason::Balance,
        [FORM, 2] => Reason::Box,
        _ => return None,
    };
    let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
    let peer = match bytes[4] {
        0 => None,
        4 => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(word(8))), half(6))),
        6 => {
            let address = <[u8; 16]>::try_from(&bytes[8..24]).ok()?;
            Some(SocketAddrV6::new(Ipv6Addr::from(address), half(6), word(24), word(28)).into())
        }
        _ => return None,
    };
    Some(Handoff { listener: ListenerId(half(2)), peer, reason })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn channel() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    fn handoff(peer: Option<&str>, reason: Reason) -> Handoff {
        Handoff { listener: ListenerId(0x0102), peer: peer.map(|peer| peer.parse().unwrap()), reason }
    }

    #[test]
    fn a_message_says_what_it_said_before_it_was_sent() {
        for peer in [None, Some("127.1.2.3:80"), Some("[2001:db8::1]:65535"), Some("[fe80::1%3]:1")] {
            for reason in [Reason::Session, Reason::Balance, Reason::Box] {
                let handoff = handoff(peer, reason);
                assert_eq!(decode(&encode(&handoff)), Some(handoff));
            }
        }
        for (at, byte) in [(0, 2), (1, 3), (4, 5)] {
            let mut bytes = encode(&handoff(None, Reason::Session));
            bytes[at] = byte;
            assert_eq!(decode(&bytes), None, "byte {at} is {byte}");
        }
    }

    #[test]
    fn a_connection_goes_on_with_its_new_owner() {
        let (giver, taker) = channel();
        let (mut client, served) = UnixStream::pair().unwrap();
        client.write_all(b"unread").unwrap();
        assert!(take(&taker).unwrap().is_none());
        let given = handoff(Some("[::1]:9"), Reason::Session);
        give(&giver, &given, served.as_fd()).unwrap();
        drop(served);
        let (taken, connection) = take(&taker).unwrap().unwrap();
        assert_eq!(taken, given);
        let mut read = [0; 6];
        UnixStream::from(connection).read_exact(&mut read).unwrap();
        assert_eq!(&read, b"unread");
    }

    #[test]
    fn who_takes_nothing_stops_nobody_and_who_is_gone_is_known() {
        let (giver, taker) = channel();
        let (_client, served) = UnixStream::pair().unwrap();
        let handoff = handoff(None, Reason::Balance);
        let refused = (0..100_000).find_map(|_| give(&giver, &handoff, served.as_fd()).err());
        assert!(matches!(refused, Some(HandoffError::Full)), "{refused:?}");
        drop(taker);
        assert!(matches!(give(&giver, &handoff, served.as_fd()), Err(HandoffError::Closed)));
        let (giver, taker) = channel();
        drop(giver);
        assert!(matches!(take(&taker), Err(HandoffError::Closed)));
    }

    #[test]
    fn what_is_no_connection_is_refused() {
        let (giver, taker) = channel();
        let send = |bytes: &[u8]| datagram::send(giver.as_fd(), bytes, &[]).unwrap();
        for bytes in [&[FORM; 3][..], &[0; MESSAGE_BYTES], &[0; MESSAGE_BYTES + 1]] {
            send(bytes);
            assert!(matches!(take(&taker), Err(HandoffError::Garbled)), "{} bytes", bytes.len());
        }
        assert!(take(&taker).unwrap().is_none());
    }
}
