//! What the tests stand on: a Redis of their own, a server with the adapter in this process, and Node processes that
//! run what they are told.
#![allow(dead_code, reason = "each test uses its part")]

pub mod cluster;
pub mod peer;
pub mod redis;
pub mod server;

use std::time::{Duration, Instant};

pub use peer::Peer;
pub use redis::Redis;
pub use server::Server;

/// Long enough for a busy machine; what takes this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `check` gives something.
pub async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until `check` is true.
pub async fn wait(what: &str, mut check: impl FnMut() -> bool) {
    until(what, async || check().then_some(())).await;
}
