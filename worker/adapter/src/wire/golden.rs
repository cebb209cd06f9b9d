//! The golden vectors: what Node servers and emitters were seen to write, in `tests/node-classic-vectors.json`. Each is
//! read, and where the order of fields is ours, written again to the same bytes.

use bytes::Bytes;
use serde_json::Value as Json;
use socketioxide_core::{Value, adapter::Room};

use super::{
    broadcast::{self, Encoder},
    request::{self, Kind, Who},
    response::{self, Body},
    selection::{Flags, Selection},
    transcode::{self, Dialect},
};

const UID: &str = "AbC123";
const ID: &str = "req456";

struct Vector {
    name: String,
    channel: String,
    payload: Bytes,
}

fn vectors() -> Vec<Vector> {
    let list: Vec<Json> =
        serde_json::from_str(include_str!("../../tests/node-classic-vectors.json")).unwrap();
    let field = |vector: &Json, name: &str| vector[name].as_str().unwrap().to_owned();
    let payload = |vector: &Json| match vector["encoding"].as_str().unwrap() {
        "msgpack" => unhex(vector["payload"].as_str().unwrap()),
        _ => vector["payload"].as_str().unwrap().as_bytes().to_vec(),
    };
    list.iter()
        .map(|vector| Vector {
            name: field(vector, "name"),
            channel: field(vector, "channel"),
            payload: payload(vector).into(),
        })
        .collect()
}

fn vector(name: &str) -> Bytes {
    vectors()
        .into_iter()
        .find(|vector| vector.name == name)
        .unwrap_or_else(|| panic!("no vector {name:?}"))
        .payload
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn rooms(names: &[&'static str]) -> Vec<Room> {
    names.iter().map(|name| Room::Borrowed(name)).collect()
}

fn selection(to: &[&'static str], except: &[&'static str]) -> Selection {
    Selection { rooms: rooms(to), except: rooms(except), flags: Flags::default() }
}

#[test]
fn every_vector_is_understood() {
    let all = vectors();
    assert_eq!(all.len(), 34);
    for Vector { name, channel, payload } in all {
        if channel.starts_with("socket.io-request#") {
            request::decode(&payload).unwrap_or_else(|error| panic!("{name}: {error}"));
        } else if channel.starts_with("socket.io-response#") {
            assert_eq!(response::decode(&payload).unwrap_or_else(|error| panic!("{name}: {error}")).id, ID);
        } else {
            let namespace = channel.split('#').nth(1).unwrap();
            let read = broadcast::decode(&payload, "other", namespace);
            assert!(matches!(read, Ok(Some(_))), "{name}: {read:?}");
        }
    }
}

#[test]
fn broadcasts_read_as_a_node_server_reads_them() {
    let numbers = r#"["hello",{"a":1,"nul":null,"f":1.5,"arr":[null]}]"#;
    let table = [
        ("classic broadcast to all", r#"["hello","world",1]"#, selection(&[], &[])),
        ("classic broadcast to one room", numbers, selection(&["room1"], &[])),
        (
            "classic binary argument + Date argument",
            r#"["bin",{"_placeholder":true,"num":0},"2023-11-14T22:13:20.123Z"]"#,
            selection(&[], &[]),
        ),
        ("classic numeric room 42", r#"["x"]"#, selection(&["42"], &[])),
        ("official emitter 5.x", r#"["hello",1]"#, selection(&[], &[])),
        ("emitter 3.x style (no except)", r#"["hello",1]"#, selection(&["room1"], &[])),
        ("PHP style emitter: empty flags is an ARRAY", r#"["hello",1]"#, selection(&["room1"], &[])),
        (
            "Python (ziyasal) emitter: empty rooms/flags are EMPTY STRINGS",
            r#"["hello",1]"#,
            selection(&[], &[]),
        ),
        (
            "old emitter with type 5 (BINARY_EVENT) and inline binary",
            r#"["bin5",{"_placeholder":true,"num":0}]"#,
            selection(&[], &[]),
        ),
        (
            "legacy notepack 2.x: undefined and Date",
            r#"["x",null,"2023-11-14T22:13:20.123Z"]"#,
            selection(&[], &[]),
        ),
    ];
    for (name, event, selection) in table {
        let payload = vector(name);
        let read = broadcast::decode(&payload, "other", "/").unwrap().unwrap();
        assert_eq!(read.selection, selection, "{name}");
        match transcode::value(&payload, read.event, Dialect::Json).unwrap() {
            Value::Str(text, _) => assert_eq!(text.as_str(), event, "{name}"),
            Value::Bytes(_) => panic!("{name}: JSON was asked for"),
        }
    }
}

#[test]
fn broadcasts_are_written_as_a_node_server_writes_them() {
    let binary = Value::Str(r#"["x"]"#.into(), None);
    let table = [
        ("classic broadcast to all", "/", r#"["hello","world",1]"#, selection(&[], &[])),
        (
            "classic broadcast to one room",
            "/",
            r#"["hello",{"a":1,"nul":null,"f":1.5,"arr":[null]}]"#,
            selection(&["room1"], &[]),
        ),
        (
            "classic namespace /chat, socket.to(room) from a socket (own id excluded)",
            "/chat",
            r#"["n1"]"#,
            selection(&["r"], &["AAAAAAAAAAAAAAAAAAAA"]),
        ),
    ];
    for (name, namespace, event, selection) in table {
        let event = Value::Str(event.into(), None);
        let written = Encoder::new(UID, namespace).encode(&event, &selection).unwrap();
        assert_eq!(written, vector(name), "{name}");
    }
    let mut volatile = selection(&["room1", "room2"], &["room3"]);
    volatile.flags.volatile = true;
    let written = Encoder::new(UID, "/").encode(&binary, &volatile).unwrap();
    // The vector has `compress: false` too, which has no counterpart here.
    let node = vector("classic two rooms, except, volatile, compress=false");
    let read = |message: &Bytes| broadcast::decode(message, "other", "/").unwrap().unwrap();
    assert_eq!(read(&written.into()), read(&node));
}

#[test]
fn requests_are_written_as_a_node_server_writes_them() {
    let who = selection(&["room1"], &[]);
    let two = rooms(&["room7", "room8"]);
    let data = [Json::from("ev"), Json::from(1), Json::from("two")];
    let ask = [Json::from("ev"), Json::from("z")];
    let table = [
        ("request 0 SOCKETS", request::Outgoing::sockets(UID, ID, &who.rooms)),
        ("request 1 ALL_ROOMS", request::Outgoing::all_rooms(UID, ID)),
        ("request 2 REMOTE_JOIN", request::Outgoing::join(UID, &who, &two)),
        ("request 3 REMOTE_LEAVE", request::Outgoing::leave(UID, &who, &two[..1])),
        ("request 4 REMOTE_DISCONNECT", request::Outgoing::disconnect(UID, &who, true)),
        ("request 5 REMOTE_FETCH", request::Outgoing::fetch(UID, ID, &who)),
        ("request 6 SERVER_SIDE_EMIT no ack", request::Outgoing::server_side_emit(UID, None, &data)),
        ("request 6 with ack", request::Outgoing::server_side_emit(UID, Some(ID), &ask)),
    ];
    for (name, request) in table {
        assert_eq!(request.encode(), vector(name), "{name}");
    }
    let mut everybody = selection(&[], &[]);
    everybody.flags.timeout = Some(std::time::Duration::from_secs(1));
    let event = Value::Str(r#"["ack1","hi"]"#.into(), None);
    let written = request::encode_broadcast(&Encoder::new(UID, "/"), UID, ID, &event, &everybody).unwrap();
    assert_eq!(written, vector("request 7 BROADCAST with ack"));
}

#[test]
fn requests_read_as_a_node_server_reads_them() {
    let read = |name| request::decode(&vector(name)).unwrap();
    let emitter = read("request 2 from emitter (no uid)");
    assert_eq!(emitter.uid, None);
    let who = Who::Selection(selection(&["room1"], &[]));
    assert_eq!(emitter.kind, Kind::Join { who, rooms: rooms(&["r9"]) });
    let legacy = read("request 2 legacy single socket");
    assert_eq!(legacy.id.as_deref(), Some(ID));
    let who = Who::Socket("A".repeat(20));
    assert_eq!(legacy.kind, Kind::Join { who, rooms: rooms(&["room9"]) });
    let Kind::Broadcast { message, event, namespace, selection } =
        read("request 7 from RemoteSocket.emit (expectSingleResponse flag)").kind
    else {
        panic!("not a broadcast")
    };
    assert_eq!((&message[event], namespace.as_str()), (&b"\x92\xa4ack1\xa1y"[..], "/"));
    assert_eq!(selection.flags.timeout, Some(std::time::Duration::from_millis(500)));
}

#[test]
fn answers_are_written_as_a_node_server_writes_them() {
    let id = Json::from("A".repeat(20));
    let both = [Room::Owned("A".repeat(20)), Room::Borrowed("room1")];
    let table = [
        ("response 0", response::Outgoing::sockets(ID, vec![id])),
        ("response 1", response::Outgoing::rooms(ID, &both)),
        ("response to legacy 2/3/4", response::Outgoing::done(ID)),
        ("response 6", response::Outgoing::server_side(ID, Some("pong-z".into()))),
        ("response 8 BROADCAST_CLIENT_COUNT", response::Outgoing::client_count(ID, 2)),
    ];
    for (name, response) in table {
        assert_eq!(response.encode(), vector(name), "{name}");
    }
    let bins = || Some([Bytes::from_static(&[1, 2, 3])].into_iter().collect());
    let acks = [
        ("response 9 BROADCAST_ACK object", r#"[{"pong":"hi"}]"#, None),
        ("response 9 BROADCAST_ACK binary", r#"[{"_placeholder":true,"num":0}]"#, bins()),
        ("response 9 BROADCAST_ACK without argument", "[]", None),
        ("response 9 with specific response channel", "[1]", None),
    ];
    for (name, ack, bins) in acks {
        let ack = Value::Str(ack.into(), bins);
        assert_eq!(response::encode_ack(ID, &ack).unwrap(), vector(name), "{name}");
        let Body::Ack(argument) = response::decode(&vector(name)).unwrap().body else { panic!("{name}") };
        assert_eq!(argument.into_value(&vector(name), Dialect::Json).unwrap(), ack, "{name}");
    }
}
