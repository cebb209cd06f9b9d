//! What a worker's own code costs a request: the same router below `oxherd_worker::run` and below `axum::serve`, in
//! turns, both on one thread, keep-alive connections, one small answer. Run it with
//! `cargo bench -p oxherd-worker --bench overhead`; compare the ratio, not the values.

#![allow(clippy::unwrap_used, reason = "a failed measurement says where")]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/process/support.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;

const CONNECTIONS: usize = 32;
const REQUESTS_OF_EACH: usize = 4_000;
const TURNS: usize = 5;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: overhead\r\nAccept: */*\r\n\r\n";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(oxherd_contract::CHILD_ARGUMENT) => oxherd_worker::run(|_| (), async |_| Ok(router())),
        Some("--bare") => bare(),
        _ => measure(),
    }
}

fn router() -> Router {
    Router::new().route("/", get(async || "hello"))
}

fn bare() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, router()).await.unwrap();
    });
    ExitCode::SUCCESS
}

fn measure() -> ExitCode {
    let worker = support::Start::default().ready();
    let (_listener, worker_address) = worker.listen();
    let program = std::env::current_exe().unwrap();
    let mut bare = Command::new(program).arg("--bare").stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(bare.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let bare_address = address.trim().parse().unwrap();

    let servers = [("axum::serve", bare.id(), bare_address), ("oxherd worker", worker.pid(), worker_address)];
    let mut results = [Vec::new(), Vec::new()];
    for _ in 0..=TURNS {
        for ((_, pid, address), results) in servers.iter().zip(&mut results) {
            results.push(turn(*pid, *address));
        }
    }
    let medians = results.map(|mut turns| {
        turns.remove(0); // the first warms up
        turns.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
        turns.swap_remove(TURNS / 2)
    });
    for ((name, ..), median) in servers.iter().zip(&medians) {
        println!(
            "{name:>13}: {:6.2} µs of CPU a request, {:7.0} requests/s",
            median.cpu_us, median.per_second
        );
    }
    println!("{:>13}: {:6.3}", "ratio", medians[1].cpu_us / medians[0].cpu_us);
    bare.kill().unwrap();
    bare.wait().unwrap();
    ExitCode::SUCCESS
}

/// One turn of one server.
struct Turn {
    cpu_us: f64,
    per_second: f64,
}

fn turn(pid: u32, address: SocketAddr) -> Turn {
    let (cpu, watch) = (cpu_time(pid), Instant::now());
    let clients: Vec<_> = (0..4).map(|_| thread::spawn(move || client(address))).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let requests = (CONNECTIONS * REQUESTS_OF_EACH) as f64;
    Turn {
        cpu_us: (cpu_time(pid) - cpu).as_secs_f64() * 1e6 / requests,
        per_second: requests / watch.elapsed().as_secs_f64(),
    }
}

/// A quarter of the connections: a request on each, then the answer of each.
fn client(address: SocketAddr) {
    let mut connections: Vec<_> =
        (0..CONNECTIONS / 4).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut answer = [0; 512];
    for _ in 0..REQUESTS_OF_EACH {
        connections.iter_mut().for_each(|connection| connection.write_all(REQUEST).unwrap());
        for connection in &mut connections {
            let bytes = connection.read(&mut answer).unwrap();
            assert!(answer[..bytes].ends_with(b"hello"));
        }
    }
}

/// What the process's main thread has run so far; the server has no other that works.
fn cpu_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
