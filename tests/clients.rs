//! Official clients from npm against the stock server: every transport, every worker, every answer of its shape.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use oxherd_supervisor::control::status::{Status, WorkerStatus};
use serde::Deserialize;
use serde_json::{Value, json};
use support::peer::Peer;
use support::{Herd, HerdBuilder, signal_pid};

/// What every client reports of itself.
#[derive(Debug, Deserialize)]
struct History {
    address: String,
    transports: String,
    worker: u16,
    generation: u32,
    welcomes: u32,
    disconnects: Vec<String>,
}

/// Reasons after which the official client reconnects by itself; after `io server disconnect` it stays away.
const COMES_BACK_AFTER: [&str; 2] = ["transport close", "transport error"];

const WORKERS: usize = 4;

/// Slots are fixed, so that the same addresses find the same workers on every machine.
fn herd() -> HerdBuilder {
    HerdBuilder::new().arguments(&["--affinity", "source-ip", "--slots", "16", "--host", "herd"])
}

fn clients(herd: &Herd, count: u32) -> (Peer, Vec<History>) {
    let mut peer = Peer::start("clients.mjs", &[&format!("http://{}", herd.address())]);
    let histories = peer.step("open", json!({ "count": count, "host": "herd" }));
    (peer, serde_json::from_value(histories).unwrap())
}

fn histories(peer: &mut Peer) -> Vec<History> {
    serde_json::from_value(peer.step("history", Value::Null)).unwrap()
}

fn sum(status: &Status, count: fn(&WorkerStatus) -> u64) -> u64 {
    status.workers.iter().map(count).sum()
}

#[test]
fn sixty_clients_on_four_workers_are_answered_whatever_they_say() {
    let herd = herd().start(WORKERS);
    let (mut peer, welcomed) = clients(&herd, 60);
    let status = herd.status();
    let serving: BTreeSet<u16> = welcomed.iter().map(|client| client.worker).collect();
    assert_eq!(
        serving,
        status.workers.iter().map(|worker| worker.index.0).collect(),
        "everybody serves somebody"
    );
    assert!(welcomed.iter().all(|client| client.generation == status.supervisor.generation.0));

    peer.step("converse", Value::Null);
    peer.step("hurry", Value::Null);
    peer.step("misbehave", Value::Null);
    peer.step("beStrange", Value::Null);
    peer.step("meet", Value::Null);
    peer.step("wrongNamespace", Value::Null);
    peer.step("converse", Value::Null);
    for client in histories(&mut peer) {
        assert_eq!((client.welcomes, client.disconnects.len()), (1, 0), "{}", client.address);
    }

    let counted = |what, count| {
        herd.until(what, move |status| {
            sum(status, |worker| worker.sessions) == count
                && sum(status, |worker| worker.connections) == count
        })
    };
    let status = counted("one session and one connection for each client", 60);
    for worker in &status.workers {
        let served = welcomed.iter().filter(|client| client.worker == worker.index.0).count() as u64;
        assert_eq!(
            (worker.sessions, worker.panics, worker.evicted),
            (served, 0, 0),
            "worker {}",
            worker.index
        );
    }
    peer.step("close", Value::Null);
    counted("no session and no connection when all have left", 0);
}

#[test]
fn what_is_large_or_binary_comes_back_as_it_was_sent() {
    let herd = herd().start(1);
    let (mut peer, _) = clients(&herd, 3);
    // One million bytes at most, the frame around the data included; polling makes four bytes of three.
    for (transports, bytes) in [("websocket", 999_000), ("default", 999_000), ("polling", 700_000)] {
        peer.step("carry", json!({ "transports": transports, "bytes": bytes }));
    }
}

#[test]
fn what_cannot_be_read_costs_at_most_the_session_that_said_it() {
    let herd = herd().start(1);
    let (mut peer, _) = clients(&herd, 6);
    peer.step("beUnreadable", Value::Null);
    peer.step("converse", Value::Null);
    let lost: usize = histories(&mut peer).iter().map(|client| client.disconnects.len()).sum();
    assert_eq!(lost, 1);
}

#[test]
fn a_killed_worker_disturbs_its_own_clients_only_and_they_come_back() {
    let mut herd = herd().start(WORKERS);
    let (mut peer, before) = clients(&herd, 60);
    let victim = herd.worker(2);
    signal_pid(victim.pid.unwrap(), Signal::SIGKILL);

    let of_victim: Vec<&str> =
        before.iter().filter(|client| client.worker == 2).map(|client| client.address.as_str()).collect();
    peer.step("served", json!({ "addresses": of_victim, "welcomes": 2 }));
    herd.until_ready(WORKERS);
    let worker = herd.worker(2);
    assert_eq!((worker.restarts.crash, worker.id > victim.id), (1, true));
    let cause = worker.last_death.unwrap().cause;
    assert!(cause.contains("SIGKILL"), "{cause}");
    for client in histories(&mut peer) {
        let reasons = &client.disconnects;
        if of_victim.contains(&client.address.as_str()) {
            assert!(!reasons.is_empty(), "{client:?}");
            assert!(reasons.iter().all(|reason| COMES_BACK_AFTER.contains(&reason.as_str())), "{client:?}");
        } else {
            assert!(reasons.is_empty() && client.welcomes == 1, "{client:?} is not worker 2's");
        }
    }
}

#[test]
fn clients_of_a_stopped_box_come_back_when_there_is_a_new_one() {
    let mut first = herd().start(2);
    let address = first.address().to_string();
    let (mut peer, before) = clients(&first, 24);
    let stop = first.command(&["stop"]);
    assert!(stop.status.success(), "{stop:?}");
    assert_eq!(first.wait().code(), Some(0));
    peer.step("lost", Value::Null);

    // One worker: no slot moves to another one under a client that polls.
    let _second = herd().arguments(&["--listen", &address]).start(1);
    let addresses: Vec<_> = before.iter().map(|client| &client.address).collect();
    peer.step("served", json!({ "addresses": addresses, "welcomes": 2 }));
    for client in histories(&mut peer) {
        let [reason] = client.disconnects.as_slice() else { panic!("{client:?}") };
        assert!(COMES_BACK_AFTER.contains(&reason.as_str()), "{} says {reason}", client.transports);
    }
}
