//! What a stranger may cost.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::client::Client;
use crate::support::{Start, wait_until};

crate::trials![
    a_flood_of_half_open_requests_stops_no_real_client,
    a_full_worker_refuses_but_serves_whom_it_has,
    a_request_head_that_takes_too_long_is_ended,
    a_process_without_descriptors_says_so_once_and_recovers,
];

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
    assert!(process.log().matches("short of descriptors").count() <= 2, "{}", process.log());
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
