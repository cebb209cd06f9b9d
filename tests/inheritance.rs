//! What a child gets from its supervisor, and what it does not.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::BTreeSet;
use std::fs;

use support::HerdBuilder;
use support::process::{descriptors, session, sockets};

#[test]
fn a_worker_has_its_link_the_scoreboard_its_slots_and_nothing_else() {
    // A careless parent: it leaves a descriptor open that is none of oxherd's business.
    let herd = HerdBuilder::faulty().shell("exec \"$@\" 9</etc/passwd").start(3);
    let status = herd.status();
    let workers: Vec<u32> = status.workers.iter().filter_map(|worker| worker.pid).collect();
    for worker in &status.workers {
        let pid = worker.pid.unwrap();
        let (mut anonymous, mut pipes) = (0, 0);
        for (number, target) in descriptors(pid) {
            match (number, target.as_str()) {
                (0, "/dev/null") => {}
                (1, "/dev/null") => {}
                (2, log) if log.ends_with("/log") => {}
                (_, "/memfd:oxherd-scoreboard (deleted)") => {}
                (_, "anon_inode:[eventpoll]" | "anon_inode:[eventfd]") => anonymous += 1,
                (_, pipe) if pipe.starts_with("pipe:[") => pipes += 1,
                (_, socket) if socket.starts_with("socket:[") => {}
                (number, target) => panic!("worker {} has descriptor {number}: {target}", worker.index),
            }
        }
        assert!(anonymous <= 3, "the runtime's own: {:?}", descriptors(pid));
        assert_eq!(pipes, 2, "both ends of the one by which a signal wakes the guard thread");
        let listening: BTreeSet<u64> = sockets(pid).intersection(&listening_inodes()).copied().collect();
        assert_eq!(listening.len(), worker.slots.len(), "exactly its slots");
        let others = workers.iter().filter(|other| **other != pid).flat_map(|other| sockets(*other));
        let others: BTreeSet<u64> = others.chain(&mut sockets(herd.pid()).into_iter()).collect();
        let shared: BTreeSet<u64> = sockets(pid).intersection(&others).copied().collect();
        assert_eq!(shared, listening, "only its slots are shared, and with the supervisor only");
        // The link, twice (one for the guard thread), the pair by which the runtime hears of signals, the connections to
        // the bus, one to publish and one to subscribe, and what siblings find it by, for descriptors and for HTTP.
        assert!(sockets(pid).len() - listening.len() <= 8, "{:?}", descriptors(pid));
    }
    let passwd = |pid| descriptors(pid).into_iter().any(|(_, target)| target == "/etc/passwd");
    assert!(passwd(herd.pid()), "the test has a careless parent");
}

#[test]
fn each_child_has_a_session_of_its_own() {
    let herd = HerdBuilder::faulty().start(2);
    for worker in herd.status().workers {
        let pid = worker.pid.unwrap();
        assert_eq!(session(pid), pid);
    }
    assert_ne!(session(herd.pid()), herd.pid(), "the supervisor stays where it was started");
}

#[test]
fn each_child_is_named_after_what_it_does() {
    let herd = HerdBuilder::faulty().start(1);
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name(herd.worker(0).pid.unwrap()), "faulty-worker\n");
    assert_eq!(name(herd.status().bus.pid.unwrap()), "faulty-bus\n");
}

#[test]
fn the_environment_passes_through_without_oxherds_own_variables() {
    let builder =
        HerdBuilder::faulty().environment("OXHERD_LOG_FILTER", "debug").environment("APP_KEY", "x=y");
    let herd = builder.start(1);
    let environment = fs::read(format!("/proc/{}/environ", herd.worker(0).pid.unwrap())).unwrap();
    let variables: Vec<_> = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    assert!(variables.iter().any(|variable| variable == "APP_KEY=x=y"));
    assert!(!variables.iter().any(|variable| variable.starts_with("OXHERD_")), "{variables:?}");
    assert!(herd.log().contains("DEBUG"), "the variable reached the supervisor, and the setting its worker");
}

#[test]
fn the_limit_on_open_files_is_raised_to_the_hard_one() {
    let herd = HerdBuilder::faulty().shell("ulimit -S -n 256 && ulimit -H -n 4000 && exec \"$@\"").start(1);
    assert_eq!(herd.status().supervisor.open_files_max, 4000);
    for pid in [herd.pid(), herd.worker(0).pid.unwrap()] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(open_files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4000", "4000"]);
    }
}

/// Of all listening TCP sockets over IPv4.
fn listening_inodes() -> BTreeSet<u64> {
    const LISTENING: &str = "0A"; // TCP_LISTEN of include/net/tcp_states.h
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[3] == LISTENING).map(|fields| fields[9].parse().unwrap()).collect()
}
