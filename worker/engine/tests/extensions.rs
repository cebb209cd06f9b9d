//! What this engine can do beyond engineioxide: each option and hook of a control, from the client's side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use engineioxide::{
    control::{CloseCode, Conduct, Control, Internal, Options, Pace, Refusal, SessionTagger},
    service::EngineIoService,
    socket::{DisconnectReason, Sid},
};
use http::{Request, request::Parts};
use http_body_util::Empty;
use support::{
    echo::Echo,
    raw::{Polling, WebSocket, request},
    server::{Server, Setup},
    wait_until,
};

fn with(options: Options) -> Server {
    Setup { options: Some(options), ..Setup::default() }.start()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

struct Tag;

impl SessionTagger for Tag {
    fn tag(&self, sid: Sid) -> String {
        format!("1-{}", sid.as_str().chars().rev().collect::<String>())
    }
    fn check(&self, sid: Sid, tag: &str) -> bool {
        tag == self.tag(sid)
    }
}

#[test]
fn a_session_is_reached_with_its_tag_only() {
    let server = with(Options { tagger: Some(Arc::new(Tag)), ..Options::default() });
    let client = Polling::open(server.addr);
    let (sid, tag) = client.sid.split_once('.').unwrap();
    assert_eq!(tag, Tag.tag(sid.parse().unwrap()));
    for wrong in [sid.to_owned(), format!("{sid}."), format!("{sid}.1-x"), format!("{}x", client.sid)] {
        let wrong = Polling { addr: server.addr, sid: wrong };
        for answer in
            [wrong.poll(), wrong.post("4x"), WebSocket::connect(server.addr, &wrong.target()).err().unwrap()]
        {
            assert_eq!(answer.status, 400);
            assert!(answer.body.contains("Session ID unknown"), "{answer:?}");
        }
    }
    let twice = Polling { addr: server.addr, sid: format!("{0}&sid={0}", client.sid) };
    assert_eq!(twice.poll().status, 400);
    client.post("4hello");
    assert_eq!(client.poll().body, "4hello");
    let mut probe = client.probe();
    probe.text("2probe");
    probe.expect_text("3probe");
    probe.text("5");
    probe.text("4upgraded");
    probe.expect_text("4upgraded");
    assert!(server.control.session(sid.parse().unwrap()).is_some(), "the registry knows the bare id");
}

#[test]
fn admission_decides_before_a_session_exists() {
    let hook = |request: &Parts| match request.uri.query() {
        Some(query) if query.contains("vip") => Ok(()),
        Some(query) if query.contains("later") => Err(Refusal::unavailable("full", Duration::from_secs(7))),
        _ => Err(Refusal::forbidden("not today")),
    };
    let server = with(Options { admission: Some(Arc::new(hook)), ..Options::default() });
    let base = "/engine.io/?EIO=4&transport=";
    let refused = request(server.addr, "GET", &format!("{base}polling"), "");
    assert_eq!((refused.status, refused.body.as_str()), (403, r#"{"code":4,"message":"not today"}"#));
    let refused = WebSocket::connect(server.addr, &format!("{base}websocket&later")).err().unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: 7"));
    WebSocket::connect(server.addr, &format!("{base}websocket&vip")).unwrap();
    wait_until("the third is in", || server.control.counters().snapshot().sessions_opened == 1);
    assert_eq!(server.control.counters().snapshot().refused, 2);
}

#[test]
fn sessions_have_a_limit_that_counts_polling_too() {
    let server = with(Options { sessions_max: NonZeroUsize::new(2), ..Options::default() });
    let polling = Polling::open(server.addr);
    let _other = Polling::open(server.addr);
    let target = "/engine.io/?EIO=4&transport=";
    let refused = request(server.addr, "GET", &format!("{target}polling"), "");
    assert_eq!((refused.status, refused.body.contains("full")), (503, true), "{refused:?}");
    assert_eq!(WebSocket::connect(server.addr, &format!("{target}websocket")).err().unwrap().status, 503);
    polling.post("1");
    wait_until("one is gone", || server.control.sessions().len() == 1);
    Polling::open(server.addr);
    assert_eq!(server.control.counters().snapshot().refused, 2);
}

#[test]
fn an_internal_probe_is_neither_asked_about_nor_counted() {
    runtime().block_on(async {
        let never = |_: &Parts| Err(Refusal::forbidden("nobody"));
        let control = Control::new(Options { admission: Some(Arc::new(never)), ..Options::default() });
        let echo = Arc::new(Echo::default());
        let mut service = EngineIoService::new(echo.clone());
        let request = Request::get("/engine.io/?EIO=4&transport=polling")
            .extension(control.clone())
            .extension(Internal)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = tower_service::Service::call(&mut service, request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let session = control.session(echo.socket(0).id).unwrap();
        session.end(CloseCode::NORMAL);
        session.closed().await;
        assert_eq!(control.counters().snapshot(), Default::default());
    });
}

#[test]
fn what_was_refused_in_front_of_the_engine_is_answered_by_it_whatever_it_asks() {
    runtime().block_on(async {
        let mut service = EngineIoService::new(Arc::new(Echo::default()));
        for query in ["EIO=4&transport=polling", "EIO=4&transport=websocket&sid=x", "nonsense"] {
            let request = Request::get(format!("/engine.io/?{query}"))
                .extension(Refusal::unavailable("not now", Duration::from_secs(3)))
                .body(Empty::<Bytes>::new())
                .unwrap();
            let answer = tower_service::Service::call(&mut service, request).await.unwrap();
            assert_eq!(answer.status(), 503, "{query}");
            assert_eq!(answer.headers()["retry-after"], "3", "{query}");
        }
    });
}

#[test]
fn a_client_over_its_budget_is_closed_and_counted_and_others_lose_nothing() {
    const BUDGET: usize = 1 << 20;
    const PAYLOAD: usize = 10_000;
    let server = with(Options { slow_budget: NonZeroUsize::new(BUDGET), ..Options::default() });
    let _stalled = WebSocket::open(server.addr);
    let mut reading = WebSocket::open(server.addr);
    wait_until("both are in", || server.echo.sockets.lock().unwrap().len() == 2);
    let [stalled, healthy] = [0, 1].map(|index| server.echo.socket(index));
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let mut sent = 0u64;
    while !stalled.is_closed() {
        let _ = stalled.emit_binary(payload.clone());
        healthy.emit_binary(payload.clone()).unwrap();
        sent += 1;
        assert_eq!(reading.frame().payload.len(), PAYLOAD);
        let waiting = server.control.counters().snapshot().queued_bytes as usize;
        assert!(waiting <= BUDGET + 3 * PAYLOAD, "{waiting} bytes wait");
    }
    assert!(sent * PAYLOAD as u64 > BUDGET as u64, "not before the budget is used up");
    wait_until("the handler is told", || server.echo.reasons() == [DisconnectReason::TransportError]);
    let now = server.control.counters().snapshot();
    assert_eq!((now.slow_over_budget, now.slow_stalled, now.queued_bytes), (1, 0, 0));
    healthy.emit("fine").unwrap();
    reading.expect_text("4fine");
}

#[test]
fn a_burst_in_one_turn_is_no_reason_to_close_a_client_that_reads() {
    let server = with(Options { slow_budget: NonZeroUsize::new(50_000), ..Options::default() });
    let mut client = WebSocket::open(server.addr);
    wait_until("the client is in", || server.echo.sockets.lock().unwrap().len() == 1);
    let socket = server.echo.socket(0);
    // The kernel's buffer takes this at once; the budget alone would not.
    (0..20).for_each(|_| socket.emit_binary(vec![1; 10_000]).unwrap());
    (0..20).for_each(|_| assert_eq!(client.frame().payload.len(), 10_000));
    assert_eq!(server.control.counters().snapshot().slow_over_budget, 0);
}

#[test]
fn a_polling_client_over_its_budget_is_closed_too() {
    let server = with(Options { slow_budget: NonZeroUsize::new(50_000), ..Options::default() });
    let client = Polling::open(server.addr);
    let socket = server.echo.socket(0);
    while socket.emit("x".repeat(1000)).is_ok() {}
    wait_until("the handler is told", || server.echo.reasons() == [DisconnectReason::TransportError]);
    assert_eq!(server.control.counters().snapshot().slow_over_budget, 1);
    assert_eq!(client.poll().body, "1");
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_closed_and_counted() {
    let after = Duration::from_millis(1000);
    let server = with(Options { slow_after: Some(after), ..Options::default() });
    let _stalled = WebSocket::open(server.addr);
    let mut slow = WebSocket::open(server.addr);
    wait_until("both are in", || server.echo.sockets.lock().unwrap().len() == 2);
    let begun = Instant::now();
    (0..2).for_each(|index| server.echo.socket(index).emit_binary(vec![7; 64 << 20]).unwrap());
    // This one takes a little now and then, and stays.
    let mut taken = [0; 256 << 10];
    wait_until("the stalled one is closed", || {
        std::io::Read::read(&mut slow.stream, &mut taken).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        server.control.counters().snapshot().slow_stalled == 1
    });
    assert!(begun.elapsed() >= after);
    wait_until("the handler is told", || server.echo.reasons() == [DisconnectReason::TransportError]);
    assert_eq!(server.control.sessions().len(), 1);
}

#[test]
fn a_session_can_be_ended_with_a_close_code() {
    let server = Server::start();
    let mut client = WebSocket::open(server.addr);
    wait_until("the client is in", || server.control.sessions().len() == 1);
    let session = server.control.session(server.echo.socket(0).id).unwrap();
    session.end(CloseCode::new(4001).unwrap());
    client.expect_text("1");
    client.expect_close(4001);
    wait_until("the handler is told", || server.echo.reasons() == [DisconnectReason::ClosingServer]);
    assert!(server.control.session(session.id()).is_none());
}

#[test]
fn a_polling_client_finds_a_close_packet_at_its_next_poll() {
    let options = Options { close_linger: Duration::from_millis(300), ..Options::default() };
    let server = with(options);
    let prompt = Polling::open(server.addr);
    let late = Polling::open(server.addr);
    server.echo.socket(0).emit("last words").unwrap();
    server.control.sessions().iter().for_each(|session| session.end(CloseCode::GOING_AWAY));
    wait_until("the handler is told", || server.echo.reasons().len() == 2);
    assert_eq!(prompt.post("4x").status, 400);
    assert_eq!(prompt.poll().body, "4last words\x1e1");
    assert_eq!(prompt.poll().status, 400);
    wait_until("nobody waits for the late one for ever", || {
        server.control.counters().snapshot().queued_bytes == 0
    });
    assert_eq!(late.poll().status, 400);
}

#[test]
fn a_shutdown_is_paced_refuses_new_sessions_and_ends_when_all_are_gone() {
    let server = Server::start();
    let mut sockets: Vec<_> = (0..20).map(|_| WebSocket::open(server.addr)).collect();
    let polling: Vec<_> = (0..5).map(|_| Polling::open(server.addr)).collect();
    wait_until("all are in", || server.control.sessions().len() == 25);
    let control = server.control.clone();
    let pace = Pace { sessions: NonZeroUsize::new(5).unwrap(), every: Duration::from_millis(40) };
    let begun = Instant::now();
    let shutdown = std::thread::spawn(move || {
        runtime().block_on(async move { control.shutdown(CloseCode::SERVICE_RESTART, || pace).await })
    });
    wait_until("it has begun", || server.control.is_leaving());
    assert_eq!(request(server.addr, "GET", "/engine.io/?EIO=4&transport=polling", "").status, 503);
    assert_eq!(shutdown.join().unwrap(), 25);
    // Four pauses of at least half the interval.
    assert!(begun.elapsed() >= 4 * pace.every / 2, "{:?}", begun.elapsed());
    assert_eq!(server.control.sessions().len(), 0);
    for socket in &mut sockets {
        socket.expect_text("1");
        socket.expect_close(1012);
    }
    assert!(polling.iter().all(|client| client.poll().body == "1"));
    let now = server.control.counters().snapshot();
    assert_eq!((now.sessions_ended, now.sessions_lost, now.refused), (25, 0, 1));
}

#[test]
fn a_flush_window_keeps_rounds_apart_and_the_first_message_is_not_held() {
    let window = Duration::from_millis(200);
    let server = with(Options { flush_window: window, ..Options::default() });
    let mut client = WebSocket::open(server.addr);
    std::thread::sleep(window);
    let begun = Instant::now();
    client.text("4first");
    client.expect_text("4first");
    assert!(begun.elapsed() < window / 2, "{:?}", begun.elapsed());
    client.text("4second");
    client.text("4third");
    client.expect_text("4second");
    assert!(begun.elapsed() >= window * 9 / 10, "{:?}", begun.elapsed());
    client.expect_text("4third");
}

#[test]
fn counters_tell_what_went_in_and_out() {
    let server = Server::start();
    let mut client = WebSocket::open(server.addr);
    wait_until("the open packet is counted", || server.control.counters().snapshot().packets_out == 1);
    let before = server.control.counters().snapshot();
    client.text("4hello");
    client.expect_text("4hello");
    let polling = Polling::open(server.addr);
    polling.post("4hello");
    assert_eq!(polling.poll().body, "4hello");
    let after = server.control.counters().snapshot();
    assert_eq!((after.sessions_websocket, after.sessions_polling, after.sessions_opened), (1, 1, 2));
    assert_eq!(after.packets_in - before.packets_in, 2);
    assert_eq!(after.packets_out - before.packets_out, 2);
    // A masked frame and a body; a frame and a body.
    assert_eq!(after.bytes_in - before.bytes_in, (2 + 4 + 6) + 6);
    assert_eq!(after.bytes_out - before.bytes_out, (2 + 6) + 6);
    assert_eq!(after.queued_bytes, 0);
}

#[test]
fn without_a_control_the_engine_has_the_habits_of_engineioxide() {
    let server = Setup { options: None, ..Setup::default() }.start();
    let mut client = WebSocket::open(server.addr);
    client.expect_text("2");
    let unknown = request(server.addr, "GET", "/engine.io/?EIO=4&transport=polling&sid=x", "");
    assert_eq!(unknown.body, r#"{"code":"1","message":"Session ID unknown"}"#);
    assert_eq!(Options::default().conduct, Conduct::Node);
    assert_eq!(server.control.sessions().len(), 0);
}
