//! Boxes that share one Redis: one server with each other, with Node servers and with emitters; and what becomes of them
//! while that Redis is gone.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::BTreeSet;

use oxherd_supervisor::control::Request;
use oxherd_supervisor::control::status::Status;
use serde_json::{Value, json};
use support::peer::Peer;
use support::redis::{PASSWORD, Redis};
use support::{Herd, HerdBuilder};

const WORKERS: usize = 2;
const CLIENTS: usize = 36;
const ROOMS: usize = 3;

fn herd(redis: &Redis, workers: usize) -> Herd {
    let arguments = ["--listen", "127.0.0.1:0", "--affinity", "source-ip", "--slots", "16"];
    let mut herd = HerdBuilder::new().arguments(&arguments).config(&redis.config()).start(workers);
    herd.until_ready(workers);
    herd
}

/// Clients that take turns at these boxes, in rooms of this name.
fn clients(herds: &[&Herd], named: &str) -> Peer {
    let urls: Vec<_> = herds.iter().map(|herd| format!("http://{}", herd.address())).collect();
    let mut peer = Peer::start("cluster.mjs", &[&urls.join(",")]);
    peer.step("open", json!({ "count": CLIENTS, "rooms": ROOMS, "named": named }));
    peer
}

fn redis_is(state: &str) -> impl Fn(&Status) -> bool {
    move |status| status.redis.as_ref().is_some_and(|redis| redis.state == state)
}

#[test]
fn two_boxes_a_node_server_and_an_emitter_are_one_server_over_redis() {
    let redis = Redis::start();
    let (one, two) = (herd(&redis, WORKERS), herd(&redis, WORKERS));
    let mut peer = clients(&[&one, &two], "room");
    peer.step("chatter", json!({ "each": 10, "churn": false }));
    peer.step("chatter", json!({ "each": 10, "churn": true }));

    let mut outside = Peer::start("outside.mjs", &[&redis.host(), &redis.port(), PASSWORD]);
    outside.step("count", json!({ "expected": 2 * WORKERS + 1 }));
    let sockets = outside.step("fetch", json!({ "room": "room 0" }));
    assert_eq!(sockets.as_array().unwrap().len(), CLIENTS / ROOMS + 1, "those of both boxes and its own");

    peer.step("heard", json!({ "event": "hello" }));
    for room in ["room 0", "room 1", "room 2"] {
        outside.step("join", json!({ "from": room, "to": "everybody" }));
    }
    eventually_joined(&mut outside);
    outside.step("emit", json!({ "event": "hello", "room": "everybody", "parts": ["from Node"] }));
    outside.step("emitter", json!({ "event": "hello", "room": "everybody", "parts": ["from an emitter"] }));
    let emitted = two.command(&["emit", "--room", "everybody", "hello", "\"by command\""]);
    assert!(emitted.status.success(), "{emitted:?}");
    let heard = peer.step("outside", json!({ "count": 3 }));
    for client in heard.as_array().unwrap() {
        let parts: Vec<_> = client["heard"].as_array().unwrap().iter().map(Value::to_string).collect();
        let expected = [r#"["from Node"]"#, r#"["from an emitter"]"#, r#"["by command"]"#].map(str::to_owned);
        assert_eq!(BTreeSet::from_iter(parts.clone()), BTreeSet::from(expected), "{client}");
        assert_eq!(parts.len(), 3, "once each");
    }

    for herd in [&one, &two] {
        let status = herd.status();
        assert!(redis_is("connected")(&status), "{status:#?}");
        assert_eq!((status.bus.state.as_str(), status.bus.pid), ("off", None));
        assert!(status.workers.iter().all(|worker| worker.bus_lost == 0 && worker.joined), "{status:#?}");
        assert!(herd.try_ask(&Request::RestartBus).is_err());
        let shown = herd.command(&["status"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains(&format!("redis connected · {}:{}", redis.host(), redis.port())), "{shown}");
        assert!(!herd.log().contains("sesame") && !shown.contains("sesame"), "no secret is shown");
    }
}

/// A join of others is a message like any other: it has arrived when the sockets are in the room.
fn eventually_joined(outside: &mut Peer) {
    support::eventually("all are in the room", || {
        let there = outside.step("fetch", json!({ "room": "everybody" })).as_array().unwrap().len();
        (there == CLIENTS + 1).then_some(())
    });
}

#[test]
fn without_its_redis_a_box_serves_its_own_clients_and_with_it_all_are_one_server_again() {
    let mut redis = Redis::start();
    let (one, two) = (herd(&redis, 1), herd(&redis, 1));
    let (mut within, mut across) = (clients(&[&one], "within"), clients(&[&one, &two], "across"));
    let pids = (one.pids(), two.pids());
    across.step("chatter", json!({ "each": 3, "churn": false }));

    for kill in [true, false, true] {
        if kill {
            redis.kill()
        } else {
            redis.pause()
        }
        within.step("chatter", json!({ "each": 5, "churn": false })); // nothing waits for the loss to be noticed
        for herd in [&one, &two] {
            herd.until("the loss of redis is noticed", redis_is("disconnected"));
        }
        within.step("chatter", json!({ "each": 5, "churn": true }));
        if kill {
            redis.restart()
        } else {
            redis.resume()
        }
        for herd in [&one, &two] {
            herd.until("redis is back", redis_is("connected"));
        }
        across.step("chatter", json!({ "each": 5, "churn": true }));
    }

    assert_eq!((one.pids(), two.pids()), pids, "nobody died of it");
    for herd in [&one, &two] {
        let log = herd.log();
        assert!(
            log.contains("cannot publish to redis") && log.contains("publishing to redis again"),
            "{log}"
        );
        assert!(!log.contains("sesame"), "no secret is shown");
        assert!(herd.status().workers.iter().all(|worker| worker.panics == 0));
    }
    assert!(one.worker(0).bus_lost + two.worker(0).bus_lost > 0, "what did not surely cross is counted");
}

#[test]
fn a_box_starts_without_its_redis_and_says_so() {
    let mut redis = Redis::start();
    redis.kill();
    let config = format!("{}\nboot_wait = \"200ms\"", redis.config());
    let herd = HerdBuilder::new().config(&config).start(1);
    assert!(redis_is("disconnected")(&herd.status()));
    assert!(herd.log().contains("serving this worker's own clients until there is one"));
    let mut peer = clients(&[&herd], "room");
    peer.step("chatter", json!({ "each": 2, "churn": false }));
    let emitted = herd.command(&["emit", "news"]);
    assert!(!emitted.status.success(), "nobody confirms");
    redis.restart();
    herd.until("redis is there", redis_is("connected"));
    peer.step("chatter", json!({ "each": 2, "churn": false }));
}
