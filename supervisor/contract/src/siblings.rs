//! Where the workers of a box find each other: two Unix sockets each, in one directory that only their user enters.

use std::path::{Path, PathBuf};

use crate::ids::WorkerId;

/// A SOCK_SEQPACKET socket on which this worker takes connections over ([`handoff`](crate::handoff)).
pub fn handoff_socket(directory: &Path, worker: WorkerId) -> PathBuf {
    directory.join(format!("{worker}.handoff"))
}

/// A stream socket on which this worker serves HTTP/1.1 requests that its siblings forward.
pub fn http_socket(directory: &Path, worker: WorkerId) -> PathBuf {
    directory.join(format!("{worker}.http"))
}
