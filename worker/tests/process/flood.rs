//! What a stranger may cost.

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::client::Client;
use crate::support::{Start, wait_until};

crate::trials![
    a_flood_of_half_open_requests_stops_no_real_client,
    a_full_worker_refuses_but_serves_whom_it_has,
    a_request_head_that_takes_too_long_is_ended,
    a_request_head_that_is_too_long_is_refused,
    nothing_that_a_client_sends_panics,
    a_process_without_descriptors_says_so_once_and_recovers,
];

const HANDSHAKE_REQUEST: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n";

const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nHost:";

fn a_flood_of_half_open_requests_stops_no_real_client() {
    let mut start = Start::default();
    start.shared.http.half_open_max = 100;
    start.shared.http.connections_max = 150;
    let process = start.ready();
    let (_listener, address) = process.listen();
    let row = process.row();
    let mut patient = Client::connect(address);
    assert_eq!(patient.get("/").status, 200);
    let mut flood = Vec::new();
    for round in 0..10 {
        flood.extend((0..60).map(|_| {
            let mut client = Client::connect(address);
            client.send(HALF_A_HEAD);
            client
        }));
        assert_eq!(Client::connect(address).get("/").body, "hello", "round {round}");
        assert_eq!(patient.get("/").body, "hello", "round {round}");
    }
    wait_until("the limit holds", || row.connections.load(Relaxed) <= 101);
    wait_until("all were taken", || row.accepted.load(Relaxed) == 611);
    assert!(row.evicted.load(Relaxed) >= 490, "{}", row.evicted.load(Relaxed));
    assert!(flood[0].is_at_end(), "the oldest went first");
    let youngest = flood.last_mut().unwrap();
    youngest.send(" x\r\n\r\n");
    assert_eq!(youngest.answer().body, "hello");
}

fn a_full_worker_refuses_but_serves_whom_it_has() {
    let mut start = Start::default();
    start.shared.http.connections_max = 5;
    let process = start.ready();
    let (_listener, address) = process.listen();
    let mut served: Vec<_> = (0..5).map(|_| Client::connect(address)).collect();
    assert!(served.iter_mut().all(|client| client.get("/").status == 200));
    assert!(Client::connect(address).is_at_end());
    assert!(served.iter_mut().all(|client| client.get("/").status == 200));
    assert_eq!((process.row().evicted.load(Relaxed), process.row().accepted.load(Relaxed)), (1, 6));
    served.pop();
    wait_until("there is room", || process.row().connections.load(Relaxed) == 4);
    assert_eq!(Client::connect(address).get("/").status, 200);
}

fn a_request_head_that_takes_too_long_is_ended() {
    let mut start = Start::default();
    start.shared.http.header_timeout = Duration::from_millis(200);
    let process = start.ready();
    let (_listener, address) = process.listen();
    let mut slow = Client::connect(address);
    slow.send(HALF_A_HEAD);
    assert!(slow.is_at_end());
    wait_until("it is counted", || process.row().evicted.load(Relaxed) == 1);
}

fn a_request_head_that_is_too_long_is_refused() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut endless = Client::connect(address);
    endless.send(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024)));
    assert_eq!(endless.answer().status, 431);
}

fn nothing_that_a_client_sends_panics() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\u{1}\u{2}40";
    let post = "POST /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\n\
                Content-Length: 9\r\n\r\n42[\"echo\"";
    let mut random = 0x9e37_79b9_7f4a_7c15_u64; // the seed
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit as u64) as usize
    };
    for _ in 0..400 {
        let mut bytes = [HANDSHAKE_REQUEST, upgrade, post][below(3)].as_bytes().to_vec();
        for _ in 0..below(6) {
            let at = below(bytes.len());
            bytes[at] = below(256) as u8;
        }
        bytes.truncate(bytes.len() - below(4) * below(20));
        let mut client = Client::connect(address);
        let _ = client.0.get_mut().write_all(&bytes); // the worker may have hung up before the end
    }
    wait_until("all are gone", || process.row().connections.load(Relaxed) == 0);
    assert_eq!(process.row().panics.load(Relaxed), 0, "{}", process.log());
    assert_eq!(Client::connect(address).get("/").body, "hello");
}

fn a_process_without_descriptors_says_so_once_and_recovers() {
    let process = Start { descriptors: Some(64), ..Start::default() }.ready();
    let (_listener, address) = process.listen();
    let row = process.row();
    let mut control = Client::connect(address);
    let mut half_open = Client::connect(address);
    half_open.send(HALF_A_HEAD);
    wait_until("both are taken", || row.connections.load(Relaxed) == 2);
    assert!(control.get("/hog").body.parse::<u32>().unwrap() > 10);
    let mut first = Client::connect(address);
    first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(half_open.is_at_end(), "the half-open connection gave its descriptor");
    assert_eq!(first.answer().body, "hello");

    let mut second = Client::connect(address);
    second.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("the shortage is logged", || process.log().contains("short of descriptors"));
    let beats = row.beats.load(Relaxed);
    wait_until("it still beats", || row.beats.load(Relaxed) > beats + 2);
    assert_eq!(control.get("/").body, "hello");
    assert!(cpu_share(process.pid()) < 0.5, "it spins");
    assert_eq!(control.get("/free").status, 200);
    assert_eq!(second.answer().body, "hello");
    assert_eq!(process.log().matches("short of descriptors").count(), 1, "{}", process.log());
}

/// How much of a processor a process uses, over a few of its back-offs.
fn cpu_share(pid: u32) -> f64 {
    let nanoseconds = || -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (before, watch) = (nanoseconds(), std::time::Instant::now());
    std::thread::sleep(Duration::from_millis(300)); // a rate has no condition to wait for
    (nanoseconds() - before) / watch.elapsed().as_nanos() as f64
}
