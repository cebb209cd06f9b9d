//! Node-compatible Redis adapter for socketioxide.
#![forbid(unsafe_code)]

mod config;
mod link;
mod stats;
mod wire;

pub use config::{Answers, Config, ConfigError};
pub use stats::Stats;
