//! One datagram with the descriptors that travel with it, over a SOCK_SEQPACKET socket: what the
//! [`link`](crate::link) and the [`handoff`](crate::handoff) have in common. Nothing here ever blocks.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::sys;

/// What was received.
pub(crate) struct Datagram {
    /// Bytes of it that are in the caller's buffer.
    pub length: usize,
    /// All that came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Whether a part of it had no room.
    pub is_cut: bool,
}

/// Sends all of it; the descriptors stay the caller's. EAGAIN when there is no room.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[RawFd]) -> nix::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None).map(drop)
}

/// Receives the next one; `control` is a buffer for its descriptors (`nix::cmsg_space!`). EAGAIN when there is none.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8], control: &mut [u8]) -> nix::Result<Datagram> {
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let mut parts = [IoSliceMut::new(bytes)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(control), flags)?;
    let mut descriptors = Vec::new();
    // Fails only where the flags tell of a cut.
    for message in received.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(raw) = message {
            descriptors.extend(sys::received_descriptors(raw));
        }
    }
    let is_cut = received.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    Ok(Datagram { length: received.bytes, descriptors, is_cut })
}
