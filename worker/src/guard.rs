//! The guard thread: it only waits for the link's hang-up, and aborts a process that does not leave after it.
//!
//! It shares nothing with the runtime, so a runtime that spins or waits for a lock cannot stop it. It never
//! logs: the thread that is stuck may hold the log's lock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oxherd_contract::link::ChildLink;

/// Two calls of the kernel need no more.
const STACK_BYTES: usize = 32 * 1024;

/// Starts the guard of this process.
pub(crate) fn start(link: &ChildLink, orphan_grace: Duration) -> io::Result<()> {
    let link = link.as_fd().try_clone_to_owned()?;
    let guard = move || {
        wait_for_hang_up(&link);
        thread::sleep(orphan_grace);
        std::process::abort();
    };
    thread::Builder::new().name("guard".into()).stack_size(STACK_BYTES).spawn(guard).map(drop)
}

/// Without requested events poll(2) still reports POLLHUP and POLLERR, and nothing else wakes this thread.
fn wait_for_hang_up(link: &OwnedFd) {
    let mut descriptors = [PollFd::new(link.as_fd(), PollFlags::empty())];
    while let Ok(0) | Err(Errno::EINTR) = poll(&mut descriptors, PollTimeout::NONE) {}
}
