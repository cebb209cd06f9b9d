//! A network namespace of a test's own: nobody else moves its counters, and every port in it is free.

use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Exists until it is dropped, by a panic too. Needs root.
pub struct Namespace(String);

impl Namespace {
    pub fn new() -> Namespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("oxherd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Namespace(name);
        ip(&["-n", &namespace.0, "link", "set", "lo", "up"]);
        namespace
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// Runs a test on a thread inside; the threads and processes that it starts are inside too.
    pub fn run<T: Send>(&self, test: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.0)).unwrap();
        let inside = || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            test()
        };
        let outcome = thread::scope(|scope| scope.spawn(inside).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status(); // a panic goes on
    }
}

pub fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip is missing: install iproute2");
    assert!(status.success(), "ip {arguments:?} failed: namespaces need root");
}

/// Resets that the TCP of this thread's namespace ever sent (`TcpOutRsts`, RFC 4022).
pub fn resets_sent() -> u64 {
    let snmp = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut tcp = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    both.find(|(name, _)| *name == "OutRsts").unwrap().1.parse().unwrap()
}

/// The server's end of an established connection, as `/proc/net/tcp` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerEnd {
    /// 0 as long as nobody has accepted it.
    pub inode: u64,
    /// Bytes that arrived and were not read.
    pub unread: u64,
}

/// All established connections to this IPv4 port in this thread's namespace.
pub fn server_ends(port: u16) -> Vec<ServerEnd> {
    let table = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    table.lines().skip(1).filter_map(|line| server_end(line, port)).collect()
}

/// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`, in hex up to `retrnsmt` (`proc(5)`).
fn server_end(line: &str, port: u16) -> Option<ServerEnd> {
    const ESTABLISHED: &str = "01";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = u16::from_str_radix(fields[1].split_once(':')?.1, 16).ok()?;
    let unread = u64::from_str_radix(fields[4].split_once(':')?.1, 16).ok()?;
    let end = ServerEnd { inode: fields[9].parse().ok()?, unread };
    (local == port && fields[3] == ESTABLISHED).then_some(end)
}
