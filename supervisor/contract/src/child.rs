//! What every child does first, whatever its role: it lets pass the signals that are not meant for it, and starts
//! its guard, a thread that only waits: for the link's hang-up, to abort a process that does not leave after it, and
//! for the supervisor's SIGABRT, to log where the process hangs.
//!
//! The guard shares nothing with the runtime, so a runtime that spins or waits for a lock cannot stop it. It logs
//! only in a process that is ended whatever becomes of that: the thread that is stuck may hold the log's lock.

use std::backtrace::Backtrace;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_name;
use nix::sys::resource::{Resource, getrlimit};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::Role;
use crate::last_words;
use crate::link::ChildLink;

/// Of a process' name.
const NAME_BYTES_MAX: usize = 15;

/// Enough to read line tables; only what is used of it becomes memory.
const STACK_BYTES: usize = 512 * 1024;

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

/// How many descriptors this process may have (RLIMIT_NOFILE); without an end if the kernel does not say.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _hard)| soft)
}

/// Gives this process a name that says what it is, for `ps` and `top`: the kernel names a process after the file that
/// it executes, which was `/proc/self/exe`. It takes 15 bytes (`PR_SET_NAME`).
pub fn take_name(role: Role) {
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let program = program.file_name().unwrap_or_default().as_bytes();
    let room = NAME_BYTES_MAX - 1 - role.name().len();
    let name = [&program[..program.len().min(room)], b"-", role.name().as_bytes()].concat();
    if let Ok(name) = CString::new(name) {
        let _ = set_name(&name); // a name is a convenience
    }
}

/// Starts the guard of this process: after the link's end it may live for `orphan_grace` at most. When another process
/// sends SIGABRT, which is how a supervisor ends a child that hangs, `last_words` get the main thread's backtrace.
pub fn start_guard(
    link: &ChildLink,
    orphan_grace: Duration,
    last_words: impl FnOnce(&Backtrace) + Send + 'static,
) -> io::Result<()> {
    let link = link.as_fd().try_clone_to_owned()?;
    let aborted = last_words::prepare()?;
    let guard = move || match wait_for_either(link.as_fd(), aborted.as_fd()) {
        Woken::HungUp => {
            thread::sleep(orphan_grace);
            std::process::abort();
        }
        Woken::Aborted => last_words::tell(last_words),
    };
    thread::Builder::new().name("guard".into()).stack_size(STACK_BYTES).spawn(guard).map(drop)
}

/// What ended the guard's wait.
enum Woken {
    HungUp,
    Aborted,
}

/// Without requested events poll(2) still reports POLLHUP and POLLERR, and nothing else on the link wakes this thread.
fn wait_for_either(link: BorrowedFd<'_>, aborted: BorrowedFd<'_>) -> Woken {
    let mut descriptors = [PollFd::new(link, PollFlags::empty()), PollFd::new(aborted, PollFlags::POLLIN)];
    while let Ok(0) | Err(Errno::EINTR) = poll(&mut descriptors, PollTimeout::NONE) {}
    match descriptors[1].any() {
        Some(true) => Woken::Aborted,
        Some(false) | None => Woken::HungUp,
    }
}
