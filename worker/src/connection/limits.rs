//! How many connections this process may have open.

use nix::sys::resource::{Resource, getrlimit};
use oxherd_contract::settings::HttpSettings;

/// Descriptors that connections leave to everything else: slots, the log, the application's own connections.
const RESERVE_DESCRIPTORS: u64 = 128;

/// The limits of the table of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub connections_max: usize,
    pub half_open_max: usize,
}

impl Limits {
    /// The configured limits, or less if the kernel gives this process fewer descriptors.
    pub fn effective(http: &HttpSettings) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _hard)| soft);
        let limits = Limits::within(http, descriptors);
        if limits.connections_max < http.connections_max as usize {
            tracing::warn!(
                connections_max = limits.connections_max,
                configured = http.connections_max,
                descriptors,
                "fewer connections than configured: too few file descriptors",
            );
        }
        limits
    }

    fn within(http: &HttpSettings, descriptors: u64) -> Self {
        // A tiny descriptor limit keeps at least half of it for connections: what is too much fails by EMFILE.
        let affordable = descriptors.saturating_sub(RESERVE_DESCRIPTORS.min(descriptors / 2));
        let connections_max = u64::from(http.connections_max).min(affordable).max(1);
        Limits {
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            half_open_max: http.half_open_max.max(1) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connections_never_take_the_last_descriptors() {
        let second = Duration::from_secs(1);
        let http = HttpSettings {
            connections_max: 10_000,
            half_open_max: 0,
            header_timeout: second,
            write_timeout: second,
            peek_timeout: second,
        };
        for (descriptors, connections_max) in
            [(u64::MAX, 10_000), (10_128, 10_000), (1024, 896), (256, 128), (64, 32), (0, 1)]
        {
            assert_eq!(Limits::within(&http, descriptors), Limits { connections_max, half_open_max: 1 });
        }
    }
}
