//! What this engine promises under clients that do not read, and of sessions that say nothing.

use std::io;

use crate::load::{Load, Outcome};

/// Bytes by which memory may grow beside the budgets.
const GROWTH_BYTES_MAX: i64 = 16 << 20;
/// Rounds of pings that idle sessions must have answered.
const PING_ROUNDS_MIN: u64 = 3;

/// An error that names what was not so.
pub fn check(job: &str, load: &Load, outcome: &Outcome) -> io::Result<()> {
    let said = |name: &str| -> u64 {
        let mut words = outcome.report.split(' ').filter_map(|word| word.split_once('='));
        words.find(|(known, _)| *known == name).map_or(0, |(_, number)| number.parse().unwrap())
    };
    let (clients, stalled) = (load.clients as u64, load.stalled as u64);
    let grown = outcome.grown_kb * 1024;
    let growth_max = (stalled * budget()) as i64 + GROWTH_BYTES_MAX;
    let wrong: Vec<&str> = [
        (outcome.lost == 0, "a client was lost"),
        (grown <= growth_max, "memory grew beyond the budgets"),
        (said("slow") == stalled, "not exactly the stalled were closed as slow"),
        (said("sessions") == clients - stalled, "not exactly the others are left"),
        (job == "idle" || outcome.messages == load.due(), "not every message arrived, once"),
        (job != "idle" || said("pings") >= PING_ROUNDS_MIN * clients, "too few pings were answered"),
    ]
    .into_iter()
    .filter_map(|(good, what)| (!good).then_some(what))
    .collect();
    if wrong.is_empty() { Ok(()) } else { Err(io::Error::other(wrong.join("; "))) }
}

/// As the server reads it.
fn budget() -> u64 {
    std::env::var("BUDGET").map_or(0, |bytes| bytes.parse().unwrap())
}
