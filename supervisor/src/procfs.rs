//! What `/proc` tells of a process' scheduling (`proc(5)`; schedstat: Documentation/scheduler/sched-stats).

use std::fs;
use std::time::Duration;

use crate::watch::Scheduling;

/// Of the main thread, on which a worker's runtime turns. `None` where the kernel does not tell.
pub(crate) fn scheduling(pid: u32) -> Option<Scheduling> {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).ok()?;
    parse(&schedstat, &stat)
}

fn parse(schedstat: &str, stat: &str) -> Option<Scheduling> {
    let mut numbers =
        schedstat.split_whitespace().map(|number| number.parse().map(Duration::from_nanos).ok());
    let (ran, waited) = (numbers.next()??, numbers.next()??);
    // The name before the state is in parentheses and may hold anything, parentheses too.
    let state = stat.rsplit_once(')')?.1.split_whitespace().next()?;
    Some(Scheduling { ran, waited, runnable: state == "R" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs() {
        let now = scheduling(std::process::id()).expect("the kernel has CONFIG_SCHED_INFO");
        assert!(now.ran > Duration::ZERO);
    }

    #[test]
    fn a_strange_name_does_not_hide_the_state() {
        let parsed = parse("12 34 5\n", "7 (a) R (b)) S 1 2 3");
        let expected =
            Scheduling { ran: Duration::from_nanos(12), waited: Duration::from_nanos(34), runnable: false };
        assert_eq!(parsed, Some(expected));
        assert_eq!(parse("", "7 (a) R 1"), None);
    }
}
