//! oxherd's parent process: it owns listening sockets and child processes and touches no client byte.

pub mod control;
pub mod plan;
