//! RLIMIT_NOFILE: a connection is a descriptor, and the soft limit of most systems is 1,024.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oxherd_contract::settings::HttpSettings;

use crate::plan::Choice;

/// Fewer connections than this are few for a worker, whoever did not choose a number.
const CONNECTIONS_SENSIBLE: u32 = 1000;

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

/// Says that a worker can have fewer connections than were asked for, or than anybody would expect.
pub(crate) fn report_connections(http: &HttpSettings, chosen: Choice, open_files_max: u64) {
    let affordable = http.connections_within(open_files_max);
    let fewer = affordable < http.connections_max;
    if fewer && (chosen == Choice::Operator || affordable < CONNECTIONS_SENSIBLE) {
        tracing::warn!(
            connections_max = affordable,
            configured = http.connections_max,
            open_files_max,
            "fewer connections for each worker than configured: raise the limit on open files (LimitNOFILE=)",
        );
    }
}
