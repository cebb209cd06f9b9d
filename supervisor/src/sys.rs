//! The only unsafe code of this crate: what happens between fork and exec, pidfds, and a socket option.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::libc;
use nix::unistd::setsid;
use socket2::Socket;

/// Lets the kernel keep a connection until it has data, this long at most (TCP_DEFER_ACCEPT of `tcp(7)`).
pub(crate) fn defer_accept(socket: &Socket, patience: Duration) -> io::Result<()> {
    let seconds = patience.as_secs() as libc::c_int;
    // SAFETY: the kernel reads `optlen` bytes of `seconds`, which outlives the call.
    let done = unsafe {
        let value = (&raw const seconds).cast();
        let size = size_of_val(&seconds) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, size)
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `command` run in a session of its own with `link` as descriptor `number`.
pub(crate) fn inherit_at(command: &mut Command, link: OwnedFd, number: RawFd) {
    let prepare = move || {
        setsid()?;
        let link = link.as_raw_fd();
        // SAFETY: both calls are async-signal-safe and touch this child's descriptor table only. dup2 onto
        // itself would keep close-on-exec, hence the flag is cleared in that case.
        let done = unsafe {
            if link == number { libc::fcntl(link, libc::F_SETFD, 0) } else { libc::dup2(link, number) }
        };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec `prepare` allocates nothing, takes no lock and calls only setsid, fcntl and dup2.
    unsafe { command.pre_exec(prepare) };
}

/// Marks every open descriptor from `first` on close-on-exec: what the supervisor inherited is not its children's.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: sets flags in this process' descriptor table; closes nothing (`close_range(2)`).
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes ownership of a descriptor that fcntl(2) just made.
pub(crate) fn own(made: RawFd) -> OwnedFd {
    // SAFETY: the caller got the number from F_DUPFD_CLOEXEC and gives it to nobody else.
    unsafe { OwnedFd::from_raw_fd(made) }
}

/// A descriptor for a child that has not been waited for yet, so its pid cannot be another's.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: returns a new descriptor, close-on-exec by itself, or -1 (`pidfd_open(2)`).
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel just made it for us.
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }),
    }
}

/// Signals exactly the process of the pidfd; one that is gone is an error and hits nobody else.
pub(crate) fn pidfd_send_signal(process: BorrowedFd<'_>, signal: nix::sys::signal::Signal) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: reads nothing through the null pointer, which asks for kill(2)'s defaults (`pidfd_send_signal(2)`).
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_fd().as_raw_fd(),
            signal as libc::c_int,
            no_info,
            0,
        )
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
