//! RLIMIT_NOFILE: a connection is a descriptor, and the soft limit of most systems is 1,024.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, for this process and what it starts; what it is afterwards.
pub(crate) fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let now = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    tracing::info!(open_files_max = now, before = soft, "open files allowed per process");
    now
}
