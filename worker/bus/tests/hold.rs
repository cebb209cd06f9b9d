//! After a restart: what is published waits for the workers that are expected back, and nothing is lost or reordered.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{DEADLINE, TestBus, wait_until};
use oxherd_bus::{BusOptions, ClientName, Hold};
use tokio::sync::watch;

fn names(names: &[&str]) -> BTreeSet<ClientName> {
    names.iter().map(|name| ClientName::new(*name).unwrap()).collect()
}

fn holding(expected: &[&str], at_most: Duration) -> (TestBus, watch::Sender<BTreeSet<ClientName>>) {
    let (sender, expected) = watch::channel(names(expected));
    (TestBus::start_with(BusOptions::default(), Some(Hold { expected, at_most })), sender)
}

#[test]
fn publishes_wait_until_every_expected_worker_has_subscribed_and_then_reach_all_in_order() {
    let (bus, _names) = holding(&["worker-1", "worker-2"], DEADLINE);
    let mut publisher = bus.connect();
    let pipeline: Vec<u8> =
        (0..100).flat_map(|n| common::command(&[b"PUBLISH", b"room", format!("{n}").as_bytes()])).collect();
    publisher.send(&pipeline);
    wait_until("the publisher is held", || bus.counters.held.get() == 1);

    let mut first = bus.connect();
    first.ask(&["HELLO", "3", "SETNAME", "worker-1"]);
    first.ask(&["SUBSCRIBE", "room"]);
    // It subscribes first and takes its name last: the exact way.
    let mut second = bus.connect();
    second.ask(&["HELLO", "3"]);
    second.ask(&["PSUBSCRIBE", "ro*"]);
    assert_eq!(bus.counters.published.get(), 0);
    assert_eq!(bus.counters.holding.get(), 1);
    second.ask(&["CLIENT", "SETNAME", "worker-2"]);

    assert_eq!(publisher.frames(100), b":2\r\n".repeat(100));
    for n in 0..100 {
        let payload = format!("${}\r\n{n}\r\n", n.to_string().len());
        assert!(String::from_utf8(first.frames(1)).unwrap().ends_with(&payload));
        assert!(String::from_utf8(second.frames(1)).unwrap().ends_with(&payload));
    }
    assert_eq!(bus.counters.holding.get(), 0);
    assert_eq!(bus.counters.hold_expired.get(), 0);
    assert_eq!(publisher.ask(&["PUBLISH", "room", "x"]), ":2\r\n");
}

#[test]
fn a_hold_ends_at_its_deadline_and_says_so() {
    let at_most = Duration::from_millis(150);
    let start = Instant::now();
    let (bus, _names) = holding(&["worker-1"], at_most);
    assert_eq!(bus.connect().ask(&["PUBLISH", "room", "x"]), ":0\r\n");
    assert!(start.elapsed() >= at_most, "it was held");
    assert!(start.elapsed() < at_most * 10, "and not for long");
    assert_eq!(bus.counters.hold_expired.get(), 1);
}

#[test]
fn a_worker_that_died_meanwhile_is_not_waited_for() {
    let (bus, expected) = holding(&["worker-1", "worker-2"], DEADLINE);
    let mut worker = bus.connect();
    worker.ask(&["HELLO", "3", "SETNAME", "worker-1"]);
    worker.ask(&["SUBSCRIBE", "room"]);
    let mut publisher = bus.connect();
    publisher.command(&[b"PUBLISH", b"room", b"x"]);
    wait_until("the publisher is held", || bus.counters.held.get() == 1);
    expected.send_replace(names(&["worker-1"]));
    assert_eq!(publisher.frames(1), b":1\r\n");
}

#[test]
fn nobody_but_publishers_waits() {
    let (bus, _names) = holding(&["worker-1"], DEADLINE);
    let mut client = bus.connect();
    assert_eq!(client.ask(&["PING"]), "+PONG\r\n");
    client.send(b"PING before\r\nPUBLISH a b\r\nPING after\r\n");
    assert_eq!(client.frames(1), b"$6\r\nbefore\r\n");
    let mut other = bus.connect();
    assert_eq!(other.ask(&["PUBSUB", "NUMPAT"]), ":0\r\n");
    other.ask(&["CLIENT", "SETNAME", "worker-1"]);
    other.ask(&["SUBSCRIBE", "z"]);
    assert_eq!(client.frames(2), b":0\r\n$5\r\nafter\r\n");
}

#[test]
fn a_held_publisher_that_hangs_up_has_still_published() {
    let (bus, _names) = holding(&["worker-1"], DEADLINE);
    let mut publisher = bus.connect();
    publisher.command(&[b"PUBLISH", b"room", b"last words"]);
    wait_until("the publisher is held", || bus.counters.held.get() == 1);
    drop(publisher);
    let mut worker = bus.connect();
    worker.ask(&["HELLO", "3", "SETNAME", "worker-1"]);
    worker.ask(&["SUBSCRIBE", "room"]);
    assert!(String::from_utf8(worker.frames(1)).unwrap().ends_with("last words\r\n"));
}
