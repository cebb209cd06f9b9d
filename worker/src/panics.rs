//! The panic hook: a panic is one log event and one count, whatever it cost.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use oxherd_contract::scoreboard::Row;

use crate::catch;

/// Replaces the standard hook, which would print the panic a second time and in another form.
pub(crate) fn install(row: &'static Row) {
    if cfg!(panic = "abort") {
        tracing::warn!(
            "built with panic = \"abort\": a handler that panics ends this worker and all its sessions"
        );
    }
    std::panic::set_hook(Box::new(move |panic| {
        row.panics.fetch_add(1, Relaxed);
        let backtrace = Backtrace::capture(); // only if the environment asks for it
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(
            message = "panicked",
            panic = catch::message(panic.payload()),
            location = panic.location().map(tracing::field::display),
            thread = thread::current().name().unwrap_or("unnamed"),
            backtrace,
        );
    }));
}
