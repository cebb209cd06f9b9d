//! Threads and tasks at once, and interleavings from a seed: what no single sequence shows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{
    any::Any,
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use engineioxide::{
    config::EngineIoConfig,
    control::{CloseCode, Options},
    socket::DisconnectReason,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use support::{
    raw::{CLOSE, Pending, Polling, WebSocket, frame},
    server::{Server, Setup},
    wait_until,
};

#[test]
fn permits_emits_closes_and_ends_from_many_threads_leave_nothing_behind() {
    let server = Setup { worker_threads: 3, ..Setup::default() }.start();
    let stop = AtomicBool::new(false);
    let emitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (server, stop, emitted) = (&server, &stop, &emitted);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                while !stop.load(Ordering::Relaxed) {
                    let socket = {
                        let sockets = server.echo.sockets.lock().unwrap();
                        match sockets.len() {
                            0 => continue,
                            len => sockets[rng.random_range(0..len)].clone(),
                        }
                    };
                    match rng.random_range(0..40) {
                        0 => socket.close(DisconnectReason::ClosingServer),
                        1 => {
                            _ = server
                                .control
                                .session(socket.id)
                                .map(|session| session.end(CloseCode::NORMAL))
                        }
                        2..5 => drop(socket.reserve()),
                        5..8 => _ = socket.emit_volatile("volatile"),
                        8 => _ = socket.emit_binary(vec![1; 100_000]),
                        _ => {
                            if let Ok(permit) = socket.reserve() {
                                permit.emit("permitted".into());
                                emitted.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    for round in 0..60 {
                        if (n + round) % 3 == 0 {
                            let polling = Polling::open(server.addr);
                            polling.post("4hello");
                            polling.poll();
                        } else {
                            let mut socket = WebSocket::open(server.addr);
                            socket.text("4hello");
                            while socket.try_frame().is_some_and(|frame| frame.opcode != CLOSE) {}
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    assert!(emitted.into_inner() > 0);
    server.control.sessions().iter().for_each(|session| session.end(CloseCode::NORMAL));
    wait_until("all sessions have ended and were told so once", || {
        server.echo.reasons().len() == server.echo.sockets.lock().unwrap().len()
    });
    let now = server.control.counters().snapshot();
    assert_eq!((now.sessions_polling, now.sessions_websocket), (0, 0));
    assert_eq!(now.sessions_opened, now.sessions_ended + now.sessions_lost);
    wait_until("nothing waits", || server.control.counters().snapshot().queued_bytes == 0);
}

#[test]
fn one_engine_serves_several_runtimes() {
    use engineioxide::service::EngineIoService;
    let echo = Arc::new(support::echo::Echo::default());
    let service = EngineIoService::with_config(echo.clone(), EngineIoConfig::default());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let service = service.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let addr = listener.local_addr().unwrap();
                    tokio::spawn(async move {
                        let (stream, _) = listener.accept().await.unwrap();
                        let connection = hyper::server::conn::http1::Builder::new()
                            .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
                        connection.with_upgrades().await.unwrap();
                    });
                    tokio::task::spawn_blocking(move || {
                        let mut client = WebSocket::open(addr);
                        client.expect_text("2");
                        for n in 0..100 {
                            client.text(&format!("4{n}"));
                            client.expect_text(&format!("4{n}"));
                        }
                    })
                    .await
                    .unwrap();
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(echo.sockets.lock().unwrap().len(), 3);
}

/// A probe, as soon as the server has noticed that the one before is gone.
fn free_probe(client: &Polling) -> WebSocket {
    let mut probe = None;
    wait_until("the last upgrade is given up", || {
        probe = client.try_probe();
        probe.is_some()
    });
    probe.unwrap()
}

/// A client that polls, posts and upgrades in an order from a seed, and gives up an upgrade at any point.
fn wander(server: &Server, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let client = Polling::open(server.addr);
    let mut sent = 0;
    let mut heard: Vec<u32> = Vec::new();
    let hear = |heard: &mut Vec<u32>, payload: &str| {
        let packets = payload.split('\x1e').filter_map(|packet| packet.strip_prefix('4'));
        heard.extend(packets.map(|number| number.parse::<u32>().unwrap()));
    };
    for _ in 0..rng.random_range(1..8) {
        match rng.random_range(0..4) {
            0 | 1 => {
                let body: Vec<_> = (0..rng.random_range(1..4)).map(|n| format!("4{}", sent + n)).collect();
                assert_eq!(client.post(&body.join("\x1e")).status, 200, "seed {seed}");
                sent += body.len() as u32;
            }
            2 if sent > heard.len() as u32 => hear(&mut heard, &client.poll().body),
            _ => {
                let mut probe = free_probe(&client);
                match rng.random_range(0..5) {
                    0 => {}
                    1 => probe.text("2pro"),
                    2 => probe.raw(&frame(0x81, b"2probe")[..rng.random_range(1..12)]),
                    3 => probe.send(CLOSE, &[]),
                    _ => {
                        probe.text("2probe");
                        probe.expect_text("3probe");
                    }
                }
            }
        }
    }
    let mut probe = free_probe(&client);
    let poll = client.poll_later();
    probe.text("2probe");
    probe.expect_text("3probe");
    hear(&mut heard, &poll.answer().body);
    probe.text("5");
    while heard.len() < sent as usize {
        hear(&mut heard, probe.frame().text());
    }
    probe.text("41000");
    probe.expect_text("41000");
    assert_eq!(heard, (0..sent).collect::<Vec<_>>(), "seed {seed}: each message once and in order");
}

#[test]
fn upgrades_that_stop_anywhere_lose_and_repeat_nothing() {
    let server = Setup { worker_threads: 2, ..Setup::default() }.start();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || (0..40).for_each(|n| wander(server, thread * 1000 + n)));
        }
    });
}

#[test]
fn noise_on_a_websocket_ends_that_session_only() {
    let options = Options { close_linger: Duration::from_millis(50), ..Options::default() };
    let server = Setup { options: Some(options), ..Setup::default() }.start();
    let mut witness = WebSocket::open(server.addr);
    let mut codes = HashSet::new();
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut socket = WebSocket::open(server.addr);
        let mut bytes = Vec::new();
        for _ in 0..rng.random_range(1..5) {
            let payload: Vec<u8> = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
            let mut frame = frame(rng.random::<u8>() & 0x8F, &payload);
            if rng.random_ratio(1, 3) {
                let at = rng.random_range(0..frame.len());
                frame[at] ^= 1 << rng.random_range(0..8);
            }
            bytes.extend(frame);
        }
        socket.raw(&bytes);
        let _ = socket.stream.shutdown(std::net::Shutdown::Write);
        while let Some(frame) = socket.try_frame() {
            if frame.opcode == CLOSE {
                codes.insert(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
            }
        }
    }
    witness.text("4still here");
    witness.expect_text("4still here");
    assert!(codes.contains(&1002), "{codes:?}");
    wait_until("only the witness is left", || server.control.sessions().len() == 1);
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
        let frames = packets.split(' ').flat_map(|packet| frame(0x81, packet.as_bytes()));
        client.raw(&frames.collect::<Vec<_>>());
        Box::new(client)
    };
    for (what, flood, separator) in [("one body", post, "\x1e"), ("many frames", frames, " ")] {
        let server = Server::start();
        let mut other = WebSocket::open(server.addr);
        // The only thread of the server waits in a handler until all is sent.
        let held = server.echo.hold.lock().unwrap();
        let _flooding = flood(&server, packets(separator));
        wait_until("the thread waits", || server.echo.messages.load(Ordering::SeqCst) == 1);
        other.text("4count");
        drop(held);
        let heard: usize = other.frame().text()[1..].parse().unwrap();
        assert!(heard < FLOOD / 4, "{what}: {heard} packets came first");
    }
}
