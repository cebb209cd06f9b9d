//! What `/proc` tells of a process, and signals whose effect is waited for.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::sys::signal::Signal;

use super::{eventually, is_alive, signal_pid};

/// Stops a process and waits until none of its threads runs any more.
pub fn stop(pid: u32) {
    signal_pid(pid, Signal::SIGSTOP);
    let is_stopped = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let mut tasks = tasks.flatten().map(|task| stat_field(&task.path().join("stat"), 2));
        tasks.all(|state| state.as_deref() == Some("T")).then_some(())
    };
    eventually(&format!("{pid} stops"), is_stopped);
}

/// Waits until none of these is there any more.
pub fn until_gone(pids: &[u32]) {
    eventually(&format!("{pids:?} are gone"), || pids.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

/// Its session (`setsid(2)`).
pub fn session(pid: u32) -> u32 {
    stat_field(&format!("/proc/{pid}/stat").into(), 5).unwrap().parse().unwrap()
}

/// A field of `/proc/PID/stat`, counted from 0 as if the name had no spaces.
fn stat_field(path: &PathBuf, field: usize) -> Option<String> {
    let stat = fs::read_to_string(path).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field - 2).map(str::to_owned)
}

/// What its descriptors lead to, by number.
pub fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let target = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?.to_str()?.to_owned()))
    };
    entries.filter_map(target).collect()
}

/// The inodes of its sockets.
pub fn sockets(pid: u32) -> BTreeSet<u64> {
    let targets = descriptors(pid).into_iter().map(|(_, target)| target);
    targets.filter_map(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

/// Seconds that its main thread stood in a run queue so far (`schedstat`).
pub fn seconds_waited(pid: u32) -> f64 {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    let nanoseconds: f64 = schedstat.split_whitespace().nth(1).unwrap().parse().unwrap();
    nanoseconds / 1e9
}

/// Who gets a core first.
#[derive(Clone, Copy, Debug)]
pub enum Scheduling {
    Normal,
    /// Only the time that nobody else wants: SCHED_IDLE, and the least weight for its session, since the kernel
    /// shares time between sessions first (`sched(7)`, the autogroup feature).
    Idle,
}

/// Sets it for a process that has a session of its own.
pub fn schedule(pid: u32, scheduling: Scheduling) {
    let (policy, nice) = match scheduling {
        Scheduling::Normal => ("--other", "0"),
        Scheduling::Idle => ("--idle", "19"),
    };
    let chrt = Command::new("chrt").args(["--all-tasks", policy, "--pid", "0", &pid.to_string()]).status();
    assert!(chrt.expect("chrt is missing: install util-linux").success());
    let autogroup = format!("/proc/{pid}/autogroup");
    if fs::exists(&autogroup).unwrap() {
        fs::write(autogroup, nice).unwrap();
    }
}

/// Processes, each in a session of its own, that take all the time they can get, until they are dropped.
pub struct BusyLoops(Vec<Child>);

impl BusyLoops {
    pub fn start(count: usize) -> BusyLoops {
        let start = |_| Command::new("setsid").args(["sh", "-c", "while :; do :; done"]).spawn().unwrap();
        BusyLoops((0..count).map(start).collect())
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
