//! What the way in costs: the system calls of a worker for each connection, by strace.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::sys::signal::Signal;
use support::http::{HANDSHAKE, LOCALHOST, open, request};
use support::{Herd, HerdBuilder, Scratch, eventually, signal_pid};

const SESSIONS: usize = 8;
const CONNECTIONS: usize = 80;

/// Writes down the system calls of a worker's main thread.
struct Strace {
    process: Child,
    file: PathBuf,
}

impl Strace {
    fn attach(pid: u32, scratch: &Scratch) -> Strace {
        let file = scratch.path().join("calls");
        let mut strace = Command::new("strace");
        // Line by line only on standard error.
        strace.args(["-qq", "-p", &pid.to_string()]).stderr(fs::File::create(&file).unwrap());
        let process = strace.spawn().expect("strace: tests/run.sh installs it");
        let is_traced = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            (!status.contains("TracerPid:\t0\n")).then_some(())
        };
        eventually("strace is attached", is_traced);
        Strace { process, file }
    }

    /// What was called for each connection, from its accept to its close; waits until all are closed.
    fn lives(&self) -> Vec<Vec<String>> {
        eventually("every accepted connection is closed", || {
            let (open, closed) = lives(&fs::read_to_string(&self.file).unwrap());
            open.is_empty().then_some(closed)
        })
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        signal_pid(self.process.id(), Signal::SIGINT); // it detaches
        let _ = self.process.wait();
    }
}

/// The calls for connections that are open, by descriptor, and for those that were closed.
fn lives(calls: &str) -> (HashMap<String, Vec<String>>, Vec<Vec<String>>) {
    let (mut open, mut closed) = (HashMap::<String, Vec<String>>::new(), Vec::new());
    for call in calls.lines() {
        if let Some(descriptor) = accepted(call) {
            assert!(open.insert(descriptor, vec![name(call)]).is_none(), "{call}");
        } else if let Some((descriptor, life)) =
            open.iter_mut().find(|(descriptor, _)| concerns(call, descriptor))
        {
            life.push(name(call));
            if call.starts_with("close(") {
                let descriptor = descriptor.clone();
                closed.extend(open.remove(&descriptor));
            }
        }
    }
    (open, closed)
}

/// The descriptor of a client that was accepted: siblings come over Unix sockets.
fn accepted(call: &str) -> Option<String> {
    let descriptor =
        call.strip_prefix("accept4(").filter(|call| call.contains("AF_INET"))?.rsplit(' ').next()?;
    descriptor.parse::<u32>().is_ok().then(|| descriptor.to_owned())
}

/// Whether a call has this descriptor as its first argument, watches it, or passes it on. What the standard library
/// checks in debug builds only does not count.
fn concerns(call: &str, descriptor: &str) -> bool {
    let arguments =
        [format!("({descriptor},"), format!("({descriptor})"), format!("cmsg_data=[{descriptor}]")];
    let is_watched = call.starts_with("epoll_ctl(") && call.contains(&format!(", {descriptor},"));
    !call.starts_with("fcntl(") && (is_watched || arguments.iter().any(|argument| call.contains(argument)))
}

/// The name of a call, with what tells apart two of the same name.
fn name(call: &str) -> String {
    let name = call.split('(').next().unwrap();
    let detail = ["MSG_PEEK", "SCM_RIGHTS"].into_iter().find(|detail| call.contains(detail));
    detail.map_or_else(|| name.to_owned(), |detail| format!("{name} {detail}"))
}

/// The paths of sessions on both of two workers.
fn sessions(address: SocketAddr) -> Vec<String> {
    (0..SESSIONS).map(|_| format!("{HANDSHAKE}&sid={}", open(LOCALHOST, address))).collect()
}

fn handed_off(herd: &Herd) -> u64 {
    herd.worker(0).handed_off
}

#[test]
fn a_handoff_is_one_sendmsg_and_one_close_and_who_stays_is_peeked_at_once() {
    let herd = HerdBuilder::new().arguments(&["--affinity", "connection"]).start(2);
    let sessions = sessions(herd.address());
    let before = handed_off(&herd);
    let scratch = Scratch::new();
    let strace = Strace::attach(herd.worker(0).pid.unwrap(), &scratch);
    for session in sessions.iter().cycle().take(CONNECTIONS) {
        let answer = request(LOCALHOST, herd.address(), "POST", session, "3").unwrap();
        assert_eq!(answer, (200, "ok".into()));
    }
    let lives = strace.lives();
    let (given, kept): (Vec<_>, Vec<_>) =
        lives.into_iter().partition(|life| life.iter().any(|call| call == "sendmsg SCM_RIGHTS"));
    assert_eq!(given.len() as u64, handed_off(&herd) - before);
    assert!(!given.is_empty() && !kept.is_empty(), "{given:?} {kept:?}");
    for life in given {
        assert_eq!(life, ["accept4", "recvfrom MSG_PEEK", "sendmsg SCM_RIGHTS", "close"]);
    }
    for life in kept {
        assert_eq!(life.iter().filter(|call| *call == "recvfrom MSG_PEEK").count(), 1, "{life:?}");
    }
}
