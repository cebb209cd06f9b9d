//! What a child that hangs says before it ends: when its supervisor sends SIGABRT, the main thread's backtrace is
//! captured inside the signal's handler and told by another thread, the guard, which has locks and an allocator.
//!
//! ```text
//!   SIGABRT ──▶ handler on the main thread: captures, wakes the guard ──┐      ends by SIGABRT
//!                                     guard: resolves names, logs ◀─────┘ ──▶ or when this takes too long
//! ```
//!
//! abort(3) inside the process is not explained here: it comes with words of its own.

use std::backtrace::Backtrace;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// How long the guard may take to tell them; less than what the supervisor gives between SIGABRT and SIGKILL. It
/// reads the executable's line tables, which takes a while where they are large.
const TOLD_WITHIN: Duration = Duration::from_millis(800);

/// How often the handler looks whether they are told.
const LOOK: Duration = Duration::from_millis(5);

/// What the main thread was doing.
static CAPTURED: OnceLock<Backtrace> = OnceLock::new();
static TOLD: AtomicBool = AtomicBool::new(false);

/// Handles SIGABRT from now on. The reader becomes readable when there is something to [`tell`].
pub(crate) fn prepare() -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    sys::on_abort_from_outside(move || capture(&writer))?;
    Ok(reader)
}

/// Runs inside the signal's handler.
///
/// Capturing unwinds and allocates, which a handler should not (`signal-safety(7)`): where the thread hangs in the
/// allocator itself this never returns, and the supervisor's SIGKILL ends the process without its last words.
fn capture(mut wake: &PipeWriter) {
    if CAPTURED.set(Backtrace::force_capture()).is_err() || wake.write_all(&[0]).is_err() {
        return;
    }
    let deadline = Instant::now() + TOLD_WITHIN;
    while !TOLD.load(Acquire) && Instant::now() < deadline {
        thread::sleep(LOOK);
    }
}

/// Tells what was captured.
pub(crate) fn tell(words: impl FnOnce(&Backtrace)) {
    if let Some(backtrace) = CAPTURED.get() {
        words(backtrace);
    }
    TOLD.store(true, Release);
}
