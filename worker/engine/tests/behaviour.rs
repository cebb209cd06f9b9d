//! What engineioxide promises and this engine keeps: order, permits, volatile packets, and how sessions end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    any::Any,
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use engineioxide::{
    Socket,
    config::EngineIoConfig,
    control::Options,
    socket::DisconnectReason::{self, *},
};
use support::{
    echo::Echo,
    raw::{BINARY, CLOSE, Pending, Polling, TEXT, WebSocket, frame},
    server::{Server, Setup},
    wait_until,
};
use tokio::sync::mpsc::error::TrySendError;

const FIN: u8 = 0x80;

/// The server's socket of the client that connected as number `index`.
fn socket(server: &Server, index: usize) -> Arc<Socket<()>> {
    wait_until("the client is connected", || server.echo.sockets.lock().unwrap().len() > index);
    server.echo.socket(index)
}

#[track_caller]
fn expect_reason(server: &Server, reason: DisconnectReason) {
    wait_until("the handler is told", || !server.echo.reasons().is_empty());
    assert_eq!(server.echo.reasons(), [reason]);
    assert_eq!(server.control.sessions().len(), 0);
}

#[test]
fn the_end_of_a_websocket_has_the_reason_that_the_client_gave() {
    type Act = fn(&mut WebSocket);
    let cases: [(&str, Act, DisconnectReason); 6] = [
        ("close frame", |socket| socket.send(CLOSE, &[3, 232]), TransportClose),
        ("close packet", |socket| socket.text("1"), TransportClose),
        (
            "end of the stream",
            |socket| socket.stream.shutdown(std::net::Shutdown::Both).unwrap(),
            TransportError,
        ),
        ("breach of the protocol", |socket| socket.raw(&[0xFF, 0xFF]), TransportError),
        ("unknown packet", |socket| socket.text("x"), PacketParsingError),
        ("a packet out of place", |socket| socket.text("5"), PacketParsingError),
    ];
    for (what, act, reason) in cases {
        let server = Server::start();
        let mut client = WebSocket::open(server.addr);
        act(&mut client);
        eprintln!("{what}");
        expect_reason(&server, reason);
    }
}

#[test]
fn the_end_of_polling_has_the_reason_that_the_client_gave() {
    let cases = [("1", TransportClose), ("x", PacketParsingError), ("5", PacketParsingError)];
    for (body, reason) in cases {
        let server = Server::start();
        let client = Polling::open(server.addr);
        let poll = client.poll_later();
        client.post(body);
        assert_eq!(poll.answer().body, "1", "the pending poll is told");
        expect_reason(&server, reason);
        assert!(client.post("4x").body.contains("Session ID unknown"));
    }
}

#[test]
fn a_second_poll_ends_the_session_and_the_first_is_told() {
    let server = Server::start();
    let client = Polling::open(server.addr);
    let first = client.poll_later();
    // Nothing tells that a poll is pending but the poll itself.
    std::thread::sleep(Duration::from_millis(50));
    let second = client.poll();
    assert_eq!((second.status, first.answer().body.as_str()), (400, "1"));
    expect_reason(&server, MultipleHttpPollingError);
}

#[test]
fn a_body_of_many_packets_is_handled_whole_and_in_order() {
    let options = Options { slow_budget: NonZeroUsize::new(1 << 20), ..Options::default() };
    let server = Setup { options: Some(options), ..Setup::default() }.start();
    let client = Polling::open(server.addr);
    let packets: Vec<_> = (0..1000).map(|n| format!("4{n}")).collect();
    assert_eq!(client.post(&packets.join("\x1e")).status, 200);
    let mut heard = Vec::new();
    while heard.len() < packets.len() {
        heard.extend(client.poll().body.split('\x1e').map(str::to_owned));
    }
    assert_eq!(heard, packets);
}

#[test]
fn a_second_post_ends_the_session() {
    let server = Server::start();
    let client = Polling::open(server.addr);
    let head =
        format!("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4beginning", client.target());
    let _first = Pending::send_raw(server.addr, &head);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(client.post("4x").status, 400);
    expect_reason(&server, TransportError);
}

#[test]
fn bodies_may_be_chunked_and_are_limited_however_they_come() {
    let config = EngineIoConfig::builder().max_payload(100).build();
    let chunked = |client: &Polling, chunks: &[&str]| {
        let mut text = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
            client.target()
        );
        chunks.iter().for_each(|chunk| text += &format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        Pending::send_raw(client.addr, &(text + "0\r\n\r\n")).answer()
    };
    let server = Setup { config: config.clone(), ..Setup::default() }.start();
    let client = Polling::open(server.addr);
    assert_eq!(chunked(&client, &["4hel", "lo\x1e4wor", "ld"]).body, "ok");
    assert_eq!(client.poll().body, "4hello\x1e4world");
    assert_eq!(chunked(&client, &[&"4".repeat(60), &"4".repeat(41)]).status, 413);
    expect_reason(&server, PacketParsingError);

    let server = Setup { config, ..Setup::default() }.start();
    let client = Polling::open(server.addr);
    assert_eq!(client.post(&format!("4{}", "x".repeat(99))).status, 200);
    assert_eq!(client.post(&format!("4{}", "x".repeat(100))).status, 413);
    expect_reason(&server, PacketParsingError);
}

#[test]
fn what_on_connect_emits_follows_the_open_packet() {
    let echo = Echo { greeting: Some("hello"), ..Echo::default() };
    let server = Setup { echo, ..Setup::default() }.start();
    let mut client = WebSocket::open(server.addr);
    client.expect_text("4hello");
    assert_eq!(Polling::open(server.addr).poll().body, "4hello");
}

#[test]
fn a_close_says_what_is_queued_then_goodbye_and_tells_all_who_wait() {
    let server = Server::start();
    let mut client = WebSocket::open(server.addr);
    let socket = socket(&server, 0);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || runtime().block_on(socket.closed()))
        })
        .collect();
    socket.emit("queued").unwrap();
    socket.close(ClosingServer);
    socket.close(TransportError);
    assert!(socket.is_closed());
    assert!(matches!(socket.emit("late"), Err(TrySendError::Closed(text)) if text == "late"));
    assert!(matches!(socket.reserve().map(drop), Err(TrySendError::Closed(()))));
    assert!(!socket.emit_volatile("late"));
    client.expect_text("4queued");
    client.expect_text("1");
    client.expect_close(1000);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    expect_reason(&server, ClosingServer);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_client_that_does_not_read_delays_a_close_by_the_linger_time_at_most() {
    let options = Options { close_linger: Duration::from_millis(100), ..Options::default() };
    let server = Setup { options: Some(options), ..Setup::default() }.start();
    let _client = WebSocket::open(server.addr);
    let socket = socket(&server, 0);
    while socket.emit_binary(vec![0; 1 << 20]).is_ok() {}
    socket.close(ClosingServer);
    runtime().block_on(async {
        tokio::time::timeout(support::DEADLINE, socket.closed()).await.unwrap();
    });
    expect_reason(&server, ClosingServer);
}

#[test]
fn a_close_in_the_middle_of_a_frame_waits_for_its_end() {
    let options = Options { close_linger: support::DEADLINE, ..Options::default() };
    let server = Setup { options: Some(options), ..Setup::default() }.start();
    let mut client = WebSocket::open(server.addr);
    let socket = socket(&server, 0);
    let large = Bytes::from(vec![7; 64 << 20]);
    socket.emit_binary(large.clone()).unwrap();
    socket.emit("nobody waits for this").unwrap();
    assert!(socket.emit_volatile("nor for this"));
    wait_until("a part is written", || server.control.counters().snapshot().bytes_out > 1000);
    client.send(CLOSE, &[3, 232]);
    wait_until("the close is heard", || socket.is_closed());
    assert!(client.frame().payload == large);
    client.expect_close(1000);
    expect_reason(&server, TransportClose);
}

#[test]
fn a_volatile_packet_goes_out_before_the_goodbye() {
    let server = Server::start();
    let mut client = WebSocket::open(server.addr);
    let socket = socket(&server, 0);
    socket.emit_binary(vec![7; 16 << 20]).unwrap();
    assert!(socket.emit_volatile("volatile"));
    socket.close(ClosingServer);
    assert_eq!(client.frame().opcode, BINARY);
    client.expect_text("4volatile");
    client.expect_text("1");
    client.expect_close(1000);
}

#[test]
fn a_queue_has_its_places_and_gives_back_what_finds_none() {
    let config = EngineIoConfig::builder().max_buffer_size(3).build();
    let server = Setup { config, ..Setup::default() }.start();
    let client = Polling::open(server.addr);
    let socket = socket(&server, 0);
    let permit = socket.reserve().unwrap();
    let many = socket.reserve().unwrap();
    let unused = socket.reserve().unwrap();
    assert!(matches!(socket.reserve().map(drop), Err(TrySendError::Full(()))));
    assert!(matches!(socket.emit("full"), Err(TrySendError::Full(text)) if text == "full"));
    let binary = Bytes::from_static(b"full");
    assert!(matches!(socket.emit_binary(binary.clone()), Err(TrySendError::Full(data)) if data == binary));
    drop(unused);
    permit.emit("one".into());
    many.emit_many("two".into(), VecDeque::from([Bytes::from_static(&[1]), Bytes::from_static(&[2])]));
    socket.emit("three").unwrap();
    assert!(matches!(socket.reserve().map(drop), Err(TrySendError::Full(()))), "one emit, one place");
    assert_eq!(client.poll().body, "4one\x1e4two\x1ebAQ==\x1ebAg==\x1e4three");
    assert!(socket.reserve().is_ok());
}

#[test]
fn of_volatile_packets_the_newest_goes_out_when_nothing_else_waits() {
    let server = Server::start();
    let mut client = WebSocket::open(server.addr);
    let socket = socket(&server, 0);
    // More than the kernel takes, so that all the rest waits.
    let large = Bytes::from(vec![7; 64 << 20]);
    socket.emit_binary(large.clone()).unwrap();
    for n in 0..10 {
        assert!(socket.emit_volatile(format!("volatile {n}")));
    }
    socket.emit("normal").unwrap();
    assert!(client.frame().payload == large);
    client.expect_text("4normal");
    client.expect_text("4volatile 9");
    socket.emit("last").unwrap();
    client.expect_text("4last");
}

#[test]
fn messages_and_their_attachments_stay_together_across_threads() {
    let config = EngineIoConfig::builder().max_buffer_size(100_000).build();
    let server = Setup { config, worker_threads: 2, ..Setup::default() }.start();
    let mut client = WebSocket::open(server.addr);
    let socket = socket(&server, 0);
    const THREADS: u8 = 4;
    const ROUNDS: u32 = 500;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                for round in 0..ROUNDS {
                    let attachments = (0..3).map(|part| Bytes::from(vec![thread, part])).collect();
                    socket.reserve().unwrap().emit_many(format!("{thread} {round}").into(), attachments);
                }
            })
        })
        .collect();
    let mut next = [0; THREADS as usize];
    for _ in 0..u32::from(THREADS) * ROUNDS {
        let head = client.frame();
        let (thread, round) = head.text()[1..].split_once(' ').unwrap();
        let thread: u8 = thread.parse().unwrap();
        assert_eq!(next[usize::from(thread)], round.parse::<u32>().unwrap(), "in the order of the emits");
        next[usize::from(thread)] += 1;
        for part in 0..3 {
            let frame = client.frame();
            assert_eq!((frame.opcode, frame.payload), (BINARY, vec![thread, part]));
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_flood_of_one_client_lets_others_have_their_turn() {
    const FLOOD: usize = 8000;
    let packets = |separator: &str| format!("4hold{}", format!("{separator}4").repeat(FLOOD));
    type Send = fn(&Server, String) -> Box<dyn Any>;
    let post: Send = |server, packets| {
        let client = Polling::open(server.addr);
        Box::new(Pending::send(server.addr, "POST", &client.target(), &packets))
    };
    let frames: Send = |server, packets| {
        let mut client = WebSocket::open(server.addr);
        let frames = packets.split(' ').flat_map(|packet| frame(FIN | TEXT, packet.as_bytes()));
        client.raw(&frames.collect::<Vec<_>>());
        Box::new(client)
    };
    for (what, flood, separator) in [("one body", post, "\x1e"), ("many frames", frames, " ")] {
        let server = Server::start();
        let mut other = WebSocket::open(server.addr);
        // The only thread of the server waits in a handler until all is sent.
        let held = server.echo.hold.lock().unwrap();
        let _flooding = flood(&server, packets(separator));
        wait_until("the thread waits", || server.echo.messages.load(SeqCst) == 1);
        other.text("4count");
        drop(held);
        let heard: usize = other.frame().text()[1..].parse().unwrap();
        assert!(heard < FLOOD / 4, "{what}: {heard} packets came first");
    }
}

#[test]
fn a_handler_that_panics_ends_its_session_and_nothing_else() {
    let server = Server::start();
    let mut other = WebSocket::open(server.addr);
    let mut client = WebSocket::open(server.addr);
    client.text("4panic");
    client.expect_text("1");
    client.expect_close(1000);
    wait_until("the handler is told", || server.echo.reasons() == [TransportError]);
    assert_eq!(server.control.sessions().len(), 1);
    let polling = Polling::open(server.addr);
    let poll = polling.poll_later();
    polling.post("4panic");
    assert_eq!(poll.answer().body, "1");
    other.text("4still here");
    other.expect_text("4still here");
    assert_eq!(server.control.counters().snapshot().handler_panics, 2);
}

#[test]
fn a_handler_that_panics_at_connect_ends_its_session() {
    let echo = Echo { panic_at_connect: true, ..Echo::default() };
    let server = Setup { echo, ..Setup::default() }.start();
    let mut client = WebSocket::open(server.addr);
    client.expect_text("1");
    client.expect_close(1000);
    expect_reason(&server, TransportError);
}

#[test]
fn an_upgrade_for_an_unknown_session_is_refused_without_a_101() {
    let server = Server::start();
    let target = "/engine.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA";
    let refused = WebSocket::connect(server.addr, target).err().unwrap();
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (400, r#"{"code":1,"message":"Session ID unknown"}"#)
    );
}

#[test]
fn an_upgrade_moves_what_is_queued_and_a_second_one_is_refused() {
    let server = Server::start();
    let client = Polling::open(server.addr);
    let mut probe = client.probe();
    let target = format!("/engine.io/?EIO=4&transport=websocket&sid={}", client.sid);
    assert_eq!(WebSocket::connect(server.addr, &target).err().unwrap().status, 400);
    let poll = client.poll_later();
    probe.text("2probe");
    probe.expect_text("3probe");
    assert_eq!(poll.answer().body, "6");
    socket(&server, 0).emit("meanwhile").unwrap();
    assert_eq!(client.poll().body, "6");
    // What follows in the same write belongs to the session already.
    let mut bytes = frame(FIN | TEXT, b"5");
    bytes.extend(frame(FIN | TEXT, b"4first"));
    probe.raw(&bytes);
    probe.expect_text("4meanwhile");
    probe.expect_text("4first");
    assert_eq!(client.poll().status, 400);
    assert_eq!(WebSocket::connect(server.addr, &target).err().unwrap().status, 400);
    let now = server.control.counters().snapshot();
    assert_eq!((now.upgrades, now.sessions_polling, now.sessions_websocket), (1, 0, 1));
}

#[test]
fn a_missed_pong_ends_the_session() {
    let config = EngineIoConfig::builder()
        .ping_interval(Duration::from_millis(50))
        .ping_timeout(Duration::from_millis(50))
        .build();
    let server = Setup { config, ..Setup::default() }.start();
    let mut client = WebSocket::open(server.addr);
    client.expect_text("2");
    client.text("3");
    client.expect_text("2");
    client.expect_text("1");
    client.expect_close(1000);
    expect_reason(&server, HeartbeatTimeout);
    assert_eq!(server.control.counters().snapshot().heartbeat_timeouts, 1);
}
