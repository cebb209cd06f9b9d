//! oxherd itself: the release binary, the stock server, the embedded bus.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Running, ServerError};

/// Settings that a comparison needs. The generator's crowds come and go faster than any users.
const CONFIG: &str = "stop_timeout = \"1s\"\n[log]\nfilter = \"warn\"\n";

/// A window in which each client of a fan-out at 100 messages a second gets two or three of them.
pub(super) const PACED: &str = "[flush]\nwindow = \"25ms\"\n";

pub(super) fn start(
    running: &mut Running,
    program: &Path,
    workers: u16,
    more: &str,
) -> Result<(), ServerError> {
    let config = running.file("config.toml");
    fs::write(&config, [CONFIG, more].concat()).map_err(ServerError::Prepare)?;
    let (control, listen) = (running.file("control"), running.address().to_string());
    let arguments = [
        "--config",
        &config.display().to_string(),
        "--control",
        &control.display().to_string(),
        "--listen",
        &listen,
        "--workers",
        &workers.to_string(),
    ];
    running.spawn(program, &arguments)
}

/// The first answer comes from the first worker that is READY. Another build may tell its state in another way, so it is
/// asked by itself.
pub(super) fn until_all_are_ready(
    running: &Running,
    program: &Path,
    workers: u16,
) -> Result<(), ServerError> {
    let mut status = Command::new(program);
    status.args(["status", "--json", "--control"]).arg(running.file("control"));
    running.until(|_| {
        let Ok(output) = status.output() else { return false };
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let all = status["workers"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.len() == usize::from(workers) && all.iter().all(|worker| worker["state"] == "ready")
    })
}
