//! Standard error as the log's way out, which nobody ever waits for: a terminal that was stopped, or a reader that
//! hangs, must not stop a supervisor in write(2), nor make workers look hung.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_subscriber::fmt::MakeWriter;

/// Writes a line if there is room for it; else it is lost, which the next one says.
///
/// O_NONBLOCK would be a flag of the open file, that is of everybody who shares it, the operator's shell too. So
/// poll(2) is asked first. It speaks of a page of a pipe, which is more than most lines; and another process may take
/// the room in between, so a wait stays possible, but not for a reader that was gone before.
pub(crate) struct Stderr {
    /// What is said around the number of lost lines.
    notice: (String, String),
    lost: AtomicU64,
}

impl Stderr {
    pub(crate) fn new(before: impl Into<String>, after: impl Into<String>) -> Self {
        Stderr { notice: (before.into(), after.into()), lost: AtomicU64::new(0) }
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// One line.
pub(crate) struct Line<'a>(&'a Stderr);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Stderr { notice: (before, after), lost } = self.0;
        let stderr = io::stderr();
        if !has_room(&stderr) {
            lost.fetch_add(1, Relaxed);
            return Ok(line.len());
        }
        match lost.swap(0, Relaxed) {
            0 => (&stderr).write_all(line)?,
            lost => (&stderr).write_all(&[format!("{before}{lost}{after}\n").as_bytes(), line].concat())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// True also when it is closed: then write(2) says so at once.
fn has_room(stderr: &io::Stderr) -> bool {
    let mut descriptor = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut descriptor, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
