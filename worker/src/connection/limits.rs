//! How many connections this process may have open.

use oxherd_contract::child;
use oxherd_contract::settings::HttpSettings;

/// The limits of the table of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub connections_max: usize,
    pub half_open_max: usize,
}

impl Limits {
    /// The configured limits, or less if the kernel gives this process fewer descriptors, which the supervisor has
    /// said by now.
    pub fn effective(http: &HttpSettings) -> Self {
        Limits {
            connections_max: http.connections_within(child::open_files_max()) as usize,
            half_open_max: http.half_open_max.max(1) as usize,
        }
    }
}
