//! What the tests share: a server on a free port, raw clients, Node.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod echo;
pub mod node;
pub mod raw;
pub mod server;

use std::time::{Duration, Instant};

/// The longest that a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
