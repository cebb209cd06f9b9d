//! Sessions stick to their workers although every request takes its own way. Issue 6, "It is done when" 1 and 3.
//! Longer in tests/soak.sh.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use oxherd_supervisor::control::status::WorkerStatus;
use serde::Deserialize;
use serde_json::{Value, json};
use support::nginx::Nginx;
use support::peer::Peer;
use support::{Herd, HerdBuilder, signal_pid, soak_seconds};

const WORKERS: usize = 4;
const SESSIONS: u32 = 200;
const UPGRADES: u32 = 20;

/// What a session has to complain about.
#[derive(Debug, Deserialize)]
struct Member {
    official: bool,
    /// Answers other than 200.
    bad: Vec<String>,
    lost: Vec<String>,
    wrong: Vec<String>,
    sent: u64,
    back: bool,
}

/// All come from one address, so nothing but their session ids can tell where they belong.
fn herd() -> Herd {
    HerdBuilder::new().arguments(&["--affinity", "connection", "--slots", "16"]).start(WORKERS)
}

fn sessions(url: &str, connections: &str) -> (Peer, Vec<u16>) {
    let mut peer = Peer::start("sticky.mjs", &[url, connections]);
    let workers = peer.step("open", json!({ "count": SESSIONS }));
    (peer, serde_json::from_value(workers).unwrap())
}

fn talk(peer: &mut Peer, how_long: Duration) -> Vec<Member> {
    serde_json::from_value(peer.step("talk", json!({ "seconds": how_long.as_secs() }))).unwrap()
}

fn assert_undisturbed(members: &[&Member]) {
    for member in members {
        let quiet = member.bad.is_empty() && member.lost.is_empty() && member.wrong.is_empty();
        assert!(quiet && member.sent > 0, "{member:?}");
    }
}

/// Everybody talks through `url`, then some more come and upgrade.
fn campaign(herd: &Herd, url: &str, connections: &str) {
    let (mut peer, workers) = sessions(url, connections);
    assert_eq!(BTreeSet::from_iter(workers).len(), WORKERS, "everybody serves somebody");
    let members = talk(&mut peer, soak_seconds(8));
    assert_undisturbed(&members.iter().collect::<Vec<_>>());
    peer.step("upgrade", json!({ "count": UPGRADES }));
    let requests = peer.step("requests", Value::Null);
    let status = herd.status();
    let sum = |count: fn(&WorkerStatus) -> u64| status.workers.iter().map(count).sum::<u64>();
    eprintln!(
        "{requests} requests of pollers; {} connections handed off, {} requests forwarded",
        sum(|worker| worker.handed_off),
        sum(|worker| worker.forwarded),
    );
    assert_eq!((sum(|worker| worker.bus_lost), sum(|worker| worker.panics)), (0, 0));
    peer.step("close", Value::Null);
}

#[test]
fn every_request_on_a_connection_of_its_own() {
    let herd = herd();
    campaign(&herd, &format!("http://{}", herd.address()), "fresh");
    let workers = herd.status().workers;
    assert!(workers.iter().all(|worker| worker.handed_off > 0 && worker.handed_in > 0), "{workers:?}");
}

#[test]
fn all_sessions_over_few_connections_that_are_kept_alive() {
    let herd = herd();
    campaign(&herd, &format!("http://{}", herd.address()), "32");
    let workers = herd.status().workers;
    assert!(workers.iter().all(|worker| worker.forwarded > 0 && worker.forwarded_in > 0), "{workers:?}");
}

#[test]
fn through_nginx_that_keeps_connections_alive_and_knows_nothing_of_sessions() {
    let herd = herd();
    let nginx = Nginx::before(&herd.address().to_string());
    campaign(&herd, &format!("http://{}", nginx.address), "fresh");
    assert_eq!(nginx.errors(), "");
}

#[test]
fn a_killed_worker_is_noticed_by_its_own_sessions_only_and_they_come_back() {
    let mut herd = herd();
    let (mut peer, _) = sessions(&format!("http://{}", herd.address()), "fresh");
    let victim = herd.worker(1);
    let how_long = soak_seconds(8);
    let members = thread::scope(|scope| {
        let talking = scope.spawn(|| talk(&mut peer, how_long));
        thread::sleep(how_long / 3); // in the middle of it
        signal_pid(victim.pid.unwrap(), Signal::SIGKILL);
        talking.join().unwrap()
    });
    herd.until_ready(WORKERS);
    let (lost, steady): (Vec<_>, Vec<_>) = members.iter().partition(|member| !member.lost.is_empty());
    assert_undisturbed(&steady);
    assert!((20..=80).contains(&lost.len()), "{} of {SESSIONS} were on one of four workers", lost.len());
    for member in lost {
        assert!(member.back, "{member:?}");
        // At most the request that was under way is broken; then one clean answer, or the connection's own error.
        for bad in &member.bad {
            let clean = bad.ends_with(r#"400 {"code":1,"message":"Session ID unknown"}"#);
            assert!(clean || bad.contains("ECONNRESET"), "{member:?}");
        }
        assert!(member.bad.len() <= 2 && member.official == member.bad.is_empty(), "{member:?}");
    }
    peer.step("close", Value::Null);
}
