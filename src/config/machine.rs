//! What the configuration needs to know about this machine and process, asked once.

use std::fs;
use std::path::PathBuf;

use super::environment::Environment;

/// This machine, as far as a plan depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Cores that this process may use: the affinity mask and the cgroup's quota (v1 and v2) count, which is what
    /// `std::thread::available_parallelism` looks at on Linux.
    pub(crate) cores: u16,
    /// `hostname(1)`.
    pub(crate) host: String,
    /// Whose process this is.
    pub(crate) uid: u32,
    /// The working directory.
    pub(crate) directory: PathBuf,
    /// `RUNTIME_DIRECTORY`: what systemd made for the service.
    pub(crate) runtime_directory: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: what the login made for the user.
    pub(crate) user_runtime_directory: Option<PathBuf>,
}

impl Machine {
    pub(crate) fn this(environment: &Environment) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Machine {
            cores: u16::try_from(cores).unwrap_or(u16::MAX),
            host: Some(host.trim()).filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned(),
            uid: nix::unistd::getuid().as_raw(),
            // Without one (it was deleted) a relative path cannot work, and an absolute one does not care.
            directory: std::env::current_dir().unwrap_or_default(),
            runtime_directory: environment.directory("RUNTIME_DIRECTORY"),
            user_runtime_directory: environment.directory("XDG_RUNTIME_DIR"),
        }
    }
}
