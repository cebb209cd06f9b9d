//! The benchmark: oxherd beside what one would use instead, on one machine, in one command.
//!
//! ```text
//!   main ── campaign ──▶ servers     starts each server afresh, knows its processes
//!              │    └──▶ workload    what is done to it, and what is counted
//!              │            ├──▶ generate   thousands of clients on one thread, open loop
//!              │            ├──▶ check      receipts: gaps, duplicates, order
//!              │            └──▶ measure    CPU and memory, from outside
//!              └───────▶ report      medians with ranges, as a table and as JSON; goals, agreement read it
//! ```
//!
//! It imports nothing of oxherd's: servers are programs, and all of them are treated alike.
#![forbid(unsafe_code)]

pub mod agreement;
pub mod campaign;
pub mod check;
pub mod cores;
pub mod generate;
pub mod goals;
pub mod histogram;
pub mod measure;
pub mod report;
pub mod sample;
pub mod servers;
pub mod spread;
pub mod workload;
