//! Letting everybody go.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use oxherd_contract::listen::Address;
use oxherd_contract::scoreboard::State;

use crate::client::{Client, HANDSHAKE, WebSocket, open_polling};
use crate::support::{PATIENCE, Start, wait_until};

crate::trials![
    a_drain_waits_for_requests_and_ends_everything_else,
    a_long_poll_is_answered_at_once,
    a_long_poll_without_a_namespace_does_not_hold_the_drain,
    the_deadline_ends_whatever_is_left,
    official_clients_come_back_to_another_worker,
];

fn a_drain_waits_for_requests_and_ends_everything_else() {
    let mut process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut socket = WebSocket::open(address);
    let mut idle = Client::connect(address);
    assert!(!idle.get("/").closes);
    let mut busy = Client::connect(address);
    busy.send("GET /until-draining HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("it is in flight", || process.row().requests.load(Relaxed) == 3);
    process.drain(PATIENCE);
    assert_eq!(socket.close_code(), 1012);
    let answer = busy.answer();
    assert_eq!((answer.body.as_str(), answer.closes), ("done", true));
    assert!(busy.is_at_end() && idle.is_at_end() && socket.ends());
    process.leaves();
    assert!(process.log().contains("goodbye"), "the disconnect handler has its time: {}", process.log());
    let row = process.row();
    assert_eq!(row.state(), State::Free);
    assert_eq!(
        (row.connections.load(Relaxed), row.sessions.load(Relaxed), row.evicted.load(Relaxed)),
        (0, 0, 0)
    );
}

fn a_long_poll_is_answered_at_once() {
    let mut process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut client = Client::connect(address);
    let path = open_polling(&mut client);
    let between_polls = open_polling(&mut Client::connect(address));
    assert_ne!(path, between_polls);
    let requests = process.row().requests.load(Relaxed);
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    wait_until("the poll is in flight", || process.row().requests.load(Relaxed) == requests + 1);
    let begun = Instant::now();
    process.drain(PATIENCE);
    let answer = client.answer();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((answer.status, answer.closes), (200, true), "{answer:?}");
    process.leaves();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(process.row().sessions.load(Relaxed), 0);
}

fn a_long_poll_without_a_namespace_does_not_hold_the_drain() {
    let mut process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut client = Client::connect(address);
    let open: serde_json::Value = serde_json::from_str(&client.get(HANDSHAKE).body[1..]).unwrap();
    let path = format!("{HANDSHAKE}&sid={}", open["sid"].as_str().unwrap());
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let mut silent = Client::connect(address);
    wait_until("all are taken", || {
        process.row().requests.load(Relaxed) == 2 && process.row().accepted.load(Relaxed) == 2
    });
    process.drain(PATIENCE);
    assert_eq!(client.answer().body, "1");
    assert!(client.is_at_end() && silent.is_at_end());
    process.leaves();
}

fn the_deadline_ends_whatever_is_left() {
    let mut process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut client = Client::connect(address);
    client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("it is in flight", || process.row().requests.load(Relaxed) == 1);
    let begun = Instant::now();
    process.drain(PATIENCE);
    wait_until("it drains", || process.row().state() == State::Draining);
    process.drain(Duration::from_secs(1)); // a later order shortens the time
    process.leaves();
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(process.log().contains("ending who is left"));
}

fn official_clients_come_back_to_another_worker() {
    let mut old = Start::default().ready();
    let new = Start::default().ready();
    let (listener, address) = old.listen();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node/reconnect.mjs");
    let mut clients =
        Command::new("node").arg(script).arg(url(address)).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(clients.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let welcomed = |worker: u64| [format!("polling {worker}"), format!("websocket {worker}")];
    let mut first: Vec<_> = lines.by_ref().take(2).collect();
    first.sort();
    assert_eq!(first, welcomed(old.worker.0), "are the packages of tests/node installed (npm ci)?");
    new.accept(0, &listener, Address::Tcp(address));
    old.drain(PATIENCE);
    let mut second: Vec<_> = lines.by_ref().take(2).collect();
    second.sort();
    assert_eq!(second, welcomed(new.worker.0));
    old.leaves();
    assert!(clients.wait().unwrap().success());
    assert_eq!(old.row().evicted.load(Relaxed), 0);
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
