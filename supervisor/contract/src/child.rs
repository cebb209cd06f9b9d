//! What every child does first, whatever its role: it lets pass the signals that are not meant for it, and starts
//! its guard, a thread that only waits for the link's hang-up and aborts a process that does not leave after it.
//!
//! The guard shares nothing with the runtime, so a runtime that spins or waits for a lock cannot stop it. It never
//! logs: the thread that is stuck may hold the log's lock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::link::ChildLink;

/// Two calls of the kernel need no more.
const STACK_BYTES: usize = 32 * 1024;

/// Signals that are meant for the supervisor but reach its children too (a terminal, `killall`) do nothing here.
///
/// They are caught, not ignored: a process that the application starts would inherit the latter (`signal(7)`).
pub fn ignore_signals() -> io::Result<()> {
    let nobody_asks = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH] {
        signal_hook::flag::register(signal, nobody_asks.clone())?;
    }
    Ok(())
}

/// Starts the guard of this process: after the link's end it may live for `orphan_grace` at most.
pub fn start_guard(link: &ChildLink, orphan_grace: Duration) -> io::Result<()> {
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
