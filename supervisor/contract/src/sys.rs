//! The only unsafe code of this crate: descriptors that the kernel put into our table, shared memory, and a signal's
//! handler.
#![allow(unsafe_code)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl};
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use signal_hook::consts::signal::SIGABRT;
use signal_hook::low_level::emulate_default_handler;
use signal_hook_registry::register_sigaction;

use crate::scoreboard::{Header, Row};

/// Takes ownership of what a recvmsg(2) with SCM_RIGHTS delivered.
pub(crate) fn received_descriptors(raw: Vec<RawFd>) -> impl Iterator<Item = OwnedFd> {
    // SAFETY: the kernel made these descriptors for this call of recvmsg; nobody else knows their numbers.
    raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The inherited socket at `number`, made non-blocking and close-on-exec; the first call only.
pub(crate) fn inherited_seqpacket(number: RawFd) -> Option<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    // SAFETY: only looked at; a number that is not open answers EBADF.
    let candidate = unsafe { BorrowedFd::borrow_raw(number) };
    if getsockopt(&candidate, sockopt::SockType).ok()? != SockType::SeqPacket || TAKEN.swap(true, Relaxed) {
        return None;
    }
    // SAFETY: the parent left this socket here for us, std opens nothing at a fixed number, and the flag
    // above makes this the only owner.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    Some(socket)
}

/// Calls `first` when another process sends SIGABRT, on the thread that the kernel chose: the main one. Then, and at an
/// abort(3) of this process itself, the signal does what it does by default.
pub(crate) fn on_abort_from_outside(first: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    let action = move |information: &libc::siginfo_t| {
        if information.si_code == libc::SI_USER {
            first();
        }
        let _ = emulate_default_handler(SIGABRT); // does not return
    };
    // SAFETY: the process ends behind `action`, so nothing can meet what it interrupted. What `first` does beyond
    // signal-safety(7) can at worst wait for a lock that the interrupted thread holds, for ever.
    unsafe { register_sigaction(SIGABRT, action) }.map(drop)
}

/// What may be seen in shared memory: atomics only, valid for every bit pattern.
///
/// # Safety
/// All fields are atomic integers, so concurrent writes by other processes are no data race.
pub(crate) unsafe trait Shared {}
// SAFETY: only `AtomicU64`.
unsafe impl Shared for Header {}
// SAFETY: only `AtomicU64`.
unsafe impl Shared for Row {}

/// A shared mapping of a whole memfd that can no longer shrink.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is read and written through atomics only.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

/// Gives a new memfd its size for good and maps it.
pub(crate) fn size_and_map(descriptor: &OwnedFd, bytes: usize) -> io::Result<SharedMemory> {
    ftruncate(descriptor, bytes as i64)?;
    fcntl(
        descriptor,
        FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL),
    )?;
    map_whole(descriptor)
}

/// Maps a memfd that is sealed against shrinking.
pub(crate) fn map_whole(descriptor: &OwnedFd) -> io::Result<SharedMemory> {
    let seals = fcntl(descriptor, FcntlArg::F_GET_SEALS)?;
    if seals & SealFlag::F_SEAL_SHRINK.bits() == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = usize::try_from(fstat(descriptor)?.st_size).ok().and_then(NonZeroUsize::new);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing; the seal keeps the file as
    // long as it is, so no access within `length` faults.
    let start = unsafe {
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        mmap(None, length, rights, MapFlags::MAP_SHARED, descriptor.as_fd(), 0)?
    };
    Ok(SharedMemory { start: start.cast(), length })
}

impl SharedMemory {
    pub(crate) fn len(&self) -> usize {
        self.length.get()
    }

    /// The `T` at `offset`; an offset that does not fit is a bug of this crate.
    pub(crate) fn at<T: Shared>(&self, offset: usize) -> &T {
        assert!(offset.is_multiple_of(align_of::<T>()) && offset + size_of::<T>() <= self.len());
        // SAFETY: inside the mapping and aligned (mmap returns whole pages); `Shared` allows any bits and
        // concurrent writers; the reference cannot outlive the mapping.
        unsafe { self.start.add(offset).cast().as_ref() }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map_whole` with this length, and no reference outlives `self`. It cannot fail then.
        let _ = unsafe { munmap(self.start.cast(), self.length.get()) };
    }
}
