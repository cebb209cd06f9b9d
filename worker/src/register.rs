//! Registers a descriptor of ours with the runtime.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor inside the current runtime.
///
/// tokio would have an `unsafe` promise here that `inner` keeps its descriptor open and the same for as long as it
/// is registered. That holds for the types this is called with, which own theirs privately, and this crate
/// forbids `unsafe`.
#[allow(deprecated)]
pub(crate) fn register<T: AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}
