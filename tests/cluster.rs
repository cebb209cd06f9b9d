//! The workers of a box as one server: rooms reach everybody, without a Redis; Node servers and emitters can take part
//! over the bus' TCP port; a bus that is killed is back at once.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use nix::sys::signal::Signal;
use oxherd_supervisor::control::Request;
use oxherd_supervisor::control::status::Status;
use serde_json::{Value, json};
use support::http::{LOCALHOST, connect_from, publish, receive_head};
use support::peer::Peer;
use support::{Herd, HerdBuilder, signal_pid};

const WORKERS: usize = 4;
const CLIENTS: usize = 60;
const ROOMS: usize = 3;

/// Slots are fixed, so that the same addresses find the same workers on every machine.
fn herd(config: &str) -> Herd {
    let arguments = ["--listen", "127.0.0.1:0", "--affinity", "source-ip", "--slots", "16"];
    HerdBuilder::new().arguments(&arguments).config(config).start(WORKERS)
}

/// Clients in their rooms, each room with members on three workers at least.
fn clients(herd: &Herd) -> Peer {
    let mut peer = Peer::start("cluster.mjs", &[&format!("http://{}", herd.address())]);
    let welcomed = peer.step("open", json!({ "count": CLIENTS, "rooms": ROOMS }));
    let mut workers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for client in welcomed.as_array().unwrap() {
        let worker = client["worker"].as_u64().unwrap();
        workers.entry(client["room"].as_str().unwrap()).or_default().insert(worker);
    }
    assert_eq!(workers.len(), ROOMS);
    assert!(workers.values().all(|workers| workers.len() >= 3), "{workers:?}");
    peer
}

/// A Node server and an emitter on the bus' TCP port.
fn outside(herd: &Herd) -> Peer {
    let bus = herd.status().bus;
    let (host, port) = bus.listen[0].rsplit_once(':').unwrap();
    let mut peer = Peer::start("outside.mjs", &[host, port, "open sesame"]);
    peer.step("count", json!({ "expected": WORKERS + 1 }));
    peer
}

const BUS_ON_TCP: &str = "[bus]\nlisten = \"127.0.0.1:0\"\npassword = \"open sesame\"";

#[test]
fn every_message_reaches_every_member_on_every_worker_once_and_in_order() {
    let herd = herd("");
    let mut peer = clients(&herd);
    peer.step("chatter", json!({ "each": 20, "churn": false }));
    peer.step("chatter", json!({ "each": 20, "churn": true }));
    let status = herd.status();
    assert!(status.workers.iter().all(|worker| worker.bus_lost == 0), "{status:#?}");
    assert_eq!(status.bus.clients as usize, 2 * WORKERS);
}

#[test]
fn a_node_server_and_an_emitter_form_one_cluster_with_the_workers_over_the_bus() {
    let herd = herd(BUS_ON_TCP);
    let mut peer = clients(&herd);
    let mut outside = outside(&herd);

    let sockets = outside.step("fetch", json!({ "room": "room 0" }));
    assert_eq!(sockets.as_array().unwrap().len(), CLIENTS / ROOMS + 1, "ours and its own");

    peer.step("heard", json!({ "event": "hello" }));
    for room in ["room 0", "room 1", "room 2"] {
        outside.step(
            "emit",
            json!({ "event": "hello", "room": room, "parts": ["from Node", { "n": [1, null] }] }),
        );
        outside.step("emitter", json!({ "event": "hello", "room": room, "parts": ["from an emitter"] }));
    }
    let heard = peer.step("outside", json!({ "count": 2 }));
    for client in heard.as_array().unwrap() {
        let parts: BTreeSet<String> =
            client["heard"].as_array().unwrap().iter().map(Value::to_string).collect();
        let expected = [r#"["from Node",{"n":[1,null]}]"#, r#"["from an emitter"]"#].map(str::to_owned);
        assert_eq!(parts, BTreeSet::from(expected), "once each: {client}");
        assert_eq!(client["heard"].as_array().unwrap().len(), 2);
    }

    peer.step("chatter", json!({ "each": 3, "churn": false }));
    let at_node = outside.step("heard", json!({ "count": 3 * CLIENTS / ROOMS }));
    let data: BTreeSet<String> = at_node
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["room"] == "room 0")
        .map(|m| m["data"].to_string())
        .collect();
    assert_eq!(data.len(), 3 * CLIENTS / ROOMS, "the Node client hears every message of its room");
}

#[test]
fn a_bus_asks_for_its_password() {
    let herd = herd(BUS_ON_TCP);
    let address = herd.status().bus.listen[0].clone();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"PUBLISH socket.io#/# x\r\n").unwrap();
    let mut answer = [0; 7];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"-NOAUTH");
    assert!(!herd.log().contains("open sesame"), "no secret in the log");
}

#[test]
fn a_killed_bus_is_back_at_once_and_what_was_lost_is_counted() {
    let herd = herd("");
    let mut peer = clients(&herd);
    let before = herd.status();
    peer.step("stream", json!({}));
    for _ in 0..3 {
        let proven =
            |status: &Status| status.bus.clients as usize == 2 * WORKERS && status.bus.uptime_ms > 1_500;
        let bus = herd.until("the bus has served all for a while", proven).bus;
        signal_pid(bus.pid.unwrap(), Signal::SIGKILL);
        herd.until("another bus serves", |status| status.bus.state == "ready" && status.bus.pid != bus.pid);
    }
    let streamed = peer.step("streamed", json!({}));
    let after = herd.until("the bus serves all", |status| status.bus.clients as usize == 2 * WORKERS);
    assert_eq!(after.bus.restarts.crash, before.bus.restarts.crash + 3);
    assert!(after.workers.iter().zip(&before.workers).all(|(after, before)| after.pid == before.pid));

    let (sent, sender) = (streamed["sent"].as_u64().unwrap(), streamed["sender"].as_u64().unwrap());
    let mut missing = 0;
    for client in streamed["got"].as_array().unwrap() {
        let got = client["got"].as_u64().unwrap();
        assert_eq!(client["ordered"], true, "in order and single: {client}");
        match client["worker"].as_u64() == Some(sender) {
            true => assert_eq!(got, sent, "local delivery needs no bus"),
            false => missing = missing.max(sent - got),
        }
    }
    let lost = |status: &Status| {
        status.workers.iter().find(|worker| u64::from(worker.index.0) == sender).unwrap().bus_lost
    };
    herd.until(&format!("{missing} of {sent} messages are counted as lost"), |status| {
        lost(status) >= missing
    });
}

#[test]
fn the_bus_can_be_replaced_on_request() {
    let herd = herd("");
    let before = herd.status().bus;
    herd.try_ask(&Request::RestartBus).unwrap();
    let after = herd.until("all are back", |status| status.bus.clients as usize == 2 * WORKERS).bus;
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.restarts.request, 1);
    let mut peer = clients(&herd);
    peer.step("chatter", json!({ "each": 2, "churn": false }));
}

#[test]
fn backends_publish_by_http_and_by_command_to_members_on_every_worker() {
    let herd = herd("[api]\nkey = \"open sesame\"");
    let mut peer = clients(&herd);
    peer.step("heard", json!({ "event": "news" }));

    let body =
        json!({ "rooms": ["room 0", "room 1", "room 2"], "event": "news", "args": ["by HTTP", { "n": 1 }] });
    assert_eq!(post(&herd, "Bearer open sesame", &body.to_string()), (200, json!({ "ok": true })));
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(support::binary());
        command.args(["emit", "--control"]).arg(&herd.control).args(arguments);
        command.output().unwrap()
    };
    let emitted = command(&[
        "--room",
        "room 0",
        "--room",
        "room 1",
        "--room",
        "room 2",
        "news",
        "\"by command\"",
        "[2]",
    ]);
    assert!(emitted.status.success(), "{emitted:?}");

    let heard = peer.step("outside", json!({ "count": 2 }));
    for client in heard.as_array().unwrap() {
        let parts: BTreeSet<String> =
            client["heard"].as_array().unwrap().iter().map(Value::to_string).collect();
        let expected = [r#"["by HTTP",{"n":1}]"#, r#"["by command",[2]]"#].map(str::to_owned);
        assert_eq!(parts, BTreeSet::from(expected), "{client}");
        assert_eq!(client["heard"].as_array().unwrap().len(), 2, "once each");
    }

    for (authorization, body, status) in [
        ("Bearer open", body.to_string(), 401),
        ("open sesame", body.to_string(), 401),
        ("Bearer open sesame", "{".to_owned(), 400),
        ("Bearer open sesame", "{\"event\":\"connect\"}".to_owned(), 400),
        ("Bearer open sesame", "{\"event\":\"x\",\"room\":\"a\"}".to_owned(), 422),
        ("Bearer open sesame", "{\"event\":\"x\",\"namespace\":\"x\"}".to_owned(), 400),
    ] {
        let (answered, answer) = post(&herd, authorization, &body);
        assert_eq!((answered, &answer["ok"]), (status, &json!(false)), "{body}: {answer}");
        assert!(answer["error"].is_string());
    }
    // Who has no key need not send anything more to hear it.
    let mut stream = connect_from(LOCALHOST, herd.address()).unwrap();
    let kind = "Content-Type: application/json";
    write!(stream, "POST /api/emit HTTP/1.1\r\nHost: test\r\n{kind}\r\nContent-Length: 1000\r\n\r\n")
        .unwrap();
    assert!(receive_head(&stream).unwrap().starts_with("http/1.1 401 "));
    for arguments in [&["news", "no json"][..], &["", "1"], &["connect"], &["--namespace", "x", "news"]] {
        assert!(!command(arguments).status.success(), "{arguments:?}");
    }
    assert!(!herd.log().contains("open sesame"), "no secret in the log");
}

/// `POST /api/emit`: status and answer.
fn post(herd: &Herd, authorization: &str, body: &str) -> (u16, Value) {
    let (status, answer) = publish(LOCALHOST, herd.address(), authorization, body).unwrap();
    (status, serde_json::from_str(&answer).unwrap())
}
