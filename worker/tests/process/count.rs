//! The worker's row of the scoreboard, exactly.

use std::io::{BufRead, Read};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::client::{Client, HANDSHAKE, UPGRADE, WebSocket, open_polling};
use crate::support::{Start, wait_until};

crate::trials![
    every_connection_request_and_byte_is_counted,
    every_byte_of_a_websocket_is_counted,
    the_answer_to_a_websocket_and_the_open_packet_come_in_one_segment,
    a_session_counts_from_its_handshake_to_its_end,
    a_handler_that_panics_costs_one_event_and_one_line,
    a_handler_that_panics_at_once_ends_its_session_only,
    a_peer_that_takes_nothing_is_ended,
    a_client_that_does_not_keep_up_is_closed_and_counted,
];

fn every_connection_request_and_byte_is_counted() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let row = process.row();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut received = 0;
    for _ in 0..3 {
        let mut client = Client::connect(address);
        client.send(request);
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).unwrap();
        received += answer.len() as u64;
    }
    wait_until("all are closed", || row.connections.load(Relaxed) == 0);
    assert_eq!((row.accepted.load(Relaxed), row.requests.load(Relaxed)), (3, 3));
    assert_eq!(
        (row.bytes_in.load(Relaxed), row.bytes_out.load(Relaxed)),
        (3 * request.len() as u64, received)
    );
    assert_eq!((row.evicted.load(Relaxed), row.panics.load(Relaxed)), (0, 0));
    let open: Vec<_> = (0..4).map(|_| Client::connect(address)).collect();
    wait_until("they are counted", || row.connections.load(Relaxed) == 4);
    drop(open);
    wait_until("they are counted out", || row.connections.load(Relaxed) == 0);
}

fn every_byte_of_a_websocket_is_counted() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut client = Client::connect(address);
    client.send(UPGRADE);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        client.0.read_line(&mut head).unwrap();
    }
    let mut socket = WebSocket(client);
    let (mut sent, mut received) = (UPGRADE.len(), head.len());
    for text in ["40", r#"421["echo","hi"]"#, r#"422["echo","there"]"#] {
        socket.send(text);
        sent += 6 + text.len();
    }
    let mut frame = String::new();
    while !frame.contains("there") {
        frame = String::from_utf8(socket.frame().1).unwrap();
        // A longer payload has two more bytes of length (RFC 6455 §5.2): the open packet with its tagged sid is one.
        received += if frame.len() > 125 { 4 } else { 2 } + frame.len();
    }
    wait_until("all of it is counted", || {
        let row = process.row();
        (row.bytes_in.load(Relaxed), row.bytes_out.load(Relaxed)) == (sent as u64, received as u64)
    });
}

fn the_answer_to_a_websocket_and_the_open_packet_come_in_one_segment() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    for _ in 0..20 {
        let mut client = Client::connect(address);
        client.send(UPGRADE);
        let segment = client.0.fill_buf().unwrap();
        assert!(
            segment.starts_with(b"HTTP/1.1 101 ") && segment.ends_with(b"}"),
            "{}",
            segment.escape_ascii()
        );
    }
}

fn a_session_counts_from_its_handshake_to_its_end() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let sessions = || process.row().sessions.load(Relaxed);
    let mut client = Client::connect(address);
    let path = open_polling(&mut client);
    assert_eq!(sessions(), 1, "at once after a request");
    let socket = WebSocket::open(address);
    assert_eq!(client.get("/socket.io/?EIO=9&transport=polling").status, 400);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(sessions(), 2);
    let row = process.row();
    assert_eq!((row.sessions_polling.load(Relaxed), row.sessions_websocket.load(Relaxed)), (1, 1));
    drop(socket);
    wait_until("the WebSocket's session is counted out", || sessions() == 1);
    assert_eq!(client.post(&path, "1").status, 200);
    wait_until("the polling session is counted out", || sessions() == 0);
    assert_eq!(client.get(&path).status, 400);
    assert_eq!(client.get(HANDSHAKE).status, 200);
    assert_eq!(sessions(), 1);
}

fn a_handler_that_panics_costs_one_event_and_one_line() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut socket = WebSocket::open(address);
    socket.send(r#"42["panic"]"#);
    socket.send(r#"421["echo","still here"]"#);
    socket.hears("still here");
    let mut client = Client::connect(address);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(process.row().panics.load(Relaxed), 2);
    wait_until("both lines are here", || process.log().contains("one request"));
    let log = process.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("panic")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for (line, panic) in lines.iter().zip(["one event", "one request"]) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = &line["fields"];
        assert_eq!((&line["level"], &fields["panic"]), (&"ERROR".into(), &panic.into()), "{line}");
        assert!(fields["location"].as_str().unwrap().contains("app.rs:"), "{line}");
        assert_eq!(fields["thread"], "main");
        assert_eq!(line["spans"][0]["worker"], process.worker.0);
    }
}

/// What runs before a handler returns its future runs inside the engine's own task of that session.
fn a_handler_that_panics_at_once_ends_its_session_only() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let panics = || process.row().panics.load(Relaxed);
    let mut witness = WebSocket::open(address);
    let mut control = Client::connect(address);

    let mut in_event = WebSocket::open(address);
    in_event.send(r#"42["panic at once"]"#);
    assert!(in_event.ends());
    let mut client = Client::connect(address);
    let path = open_polling(&mut client);
    assert_eq!(client.post(&path, r#"42["panic at once"]"#).status, 200);
    assert_eq!(client.get(&path).body, "1");
    assert_eq!(panics(), 2);

    let mut in_connect = WebSocket::open(address);
    in_connect.send("40/panics,");
    in_connect.hears("40/panics");
    wait_until("it is counted", || panics() == 3);
    in_connect.send(r#"421["echo","still here"]"#);
    in_connect.hears("still here");

    let mut in_disconnect = WebSocket::open(address);
    in_disconnect.send(r#"42["panic at the end"]"#);
    in_disconnect.send(r#"421["echo","armed"]"#);
    in_disconnect.hears("armed");
    drop((in_connect, in_disconnect));
    wait_until("it is counted too", || panics() == 4);
    wait_until("no socket is kept", || control.get("/sockets").body == "1");
    wait_until("no session is kept", || process.row().sessions.load(Relaxed) == 1);
    witness.send(r#"421["echo","and I"]"#);
    witness.hears("and I");
}

fn a_peer_that_takes_nothing_is_ended() {
    let mut start = Start::default();
    start.shared.http.write_timeout = Duration::from_secs(1);
    let process = start.ready();
    let (_listener, address) = process.listen();
    let row = process.row();
    let mut deaf = Client::connect(address);
    deaf.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut socket = WebSocket::open(address);
    wait_until("it is ended", || row.connections.load(Relaxed) == 1);
    assert_eq!(row.evicted.load(Relaxed), 1);
    socket.send(r#"421["echo","hi"]"#);
    socket.hears("hi");
}

fn a_client_that_does_not_keep_up_is_closed_and_counted() {
    let mut start = Start::default();
    start.shared.engine.slow_after = Duration::from_millis(500);
    let process = start.ready();
    let (_listener, address) = process.listen();
    let row = process.row();
    let mut reading = WebSocket::open(address);
    let mut greedy = WebSocket::open(address);
    greedy.send(r#"42["flood"]"#);
    wait_until("more waits than may", || row.slow_over_budget.load(Relaxed) == 1);
    let mut stalled = WebSocket::open(address);
    stalled.send(r#"42["large"]"#);
    wait_until("it takes nothing for too long", || row.slow_stalled.load(Relaxed) == 1);
    wait_until("both are gone", || row.connections.load(Relaxed) == 1);
    wait_until("and forgotten", || row.queued_bytes.load(Relaxed) == 0 && row.sessions.load(Relaxed) == 1);
    assert_eq!(row.evicted.load(Relaxed), 0, "that counts connections");
    reading.send(r#"421["echo","fine"]"#);
    reading.hears("fine");
}
