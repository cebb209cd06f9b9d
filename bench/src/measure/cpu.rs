//! CPU time, user and system together, to the nanosecond.

use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// All that these processes have used so far, threads that have ended included. One that is gone counts nothing.
pub fn of(processes: &[u32]) -> Duration {
    let each = processes.iter().filter_map(|process| {
        let clock = clock_getcpuclockid(Pid::from_raw(*process as i32)).ok()?;
        clock.now().ok().map(Duration::from)
    });
    each.sum()
}

/// What the calling thread has used so far.
pub fn of_this_thread() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_thread_burns_counts_for_it_and_its_process() {
        let before = (of_this_thread(), of(&[std::process::id()]));
        while of_this_thread() < before.0 + Duration::from_millis(20) {}
        assert!(of(&[std::process::id()]) >= before.1 + Duration::from_millis(19));
    }

    #[test]
    fn a_process_that_is_gone_counts_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(of(&[child.id()]), Duration::ZERO);
    }
}
