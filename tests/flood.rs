//! Connections that never say anything useful, more than the box has room for, and the official clients among them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oxherd_supervisor::control::status::Status;
use serde_json::{Value, json};
use support::http::{client, connect_from};
use support::peer::Peer;
use support::{HerdBuilder, SetAtEnd};

const STRANGERS: u32 = 2000;
const WORKERS: usize = 2;
const HALF_OPEN_MAX: u64 = 100;

/// What a stranger says: nothing, a line that does not end, a head that does not end, or what is not HTTP at all.
const WORDS: [&[u8]; 4] =
    [b"", b"GET /socket.io/?EIO=4", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"\x16\x03\x01\x02\x00\x01"];

#[test]
fn two_thousand_strangers_who_say_nothing_do_not_stop_real_clients() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let limits =
        format!("[http]\nhalf_open_max = {HALF_OPEN_MAX}\nconnections_max = 200\nheader_timeout = \"1m\"");
    let arguments = ["--host", "herd", "--affinity", "source-ip", "--slots", "8"];
    let herd = HerdBuilder::new().arguments(&arguments).config(&limits).start(WORKERS);
    let address = herd.address();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| flood(address, &stop));
        let end = SetAtEnd(&stop);
        // The table of each worker has been full for a while when the clients come.
        let full = WORKERS as u64 * HALF_OPEN_MAX;
        let evicted = |status: &Status| status.workers.iter().map(|worker| worker.evicted).sum::<u64>();
        herd.until("strangers are evicted", |status| evicted(status) > full);
        let mut peer = Peer::start("clients.mjs", &[&format!("http://{address}")]);
        peer.step("open", json!({ "count": 24, "host": "herd" }));
        peer.step("converse", Value::Null);
        let before = evicted(&herd.status());
        peer.step("converse", Value::Null);
        let status = herd.until("the flood goes on", |status| evicted(status) > before + full);
        for worker in &status.workers {
            assert!(worker.connections <= 200, "worker {}: {}", worker.index, worker.connections);
        }
        let histories = peer.step("history", Value::Null);
        for client in histories.as_array().unwrap() {
            assert_eq!(client["disconnects"], json!([]), "{client}");
        }
        drop(end);
        flood.join().unwrap();
    });
    herd.until("the strangers are gone", |status| {
        status.workers.iter().all(|worker| worker.connections == 0)
    });
}

/// Keeps all strangers connected until it is told to stop: who is thrown out comes again, 20 in 10 ms at most.
fn flood(address: SocketAddr, stop: &AtomicBool) {
    const PAUSE: Duration = Duration::from_millis(10);
    const NEW_PER_PAUSE_MAX: usize = 20;
    let mut strangers: Vec<TcpStream> = (0..STRANGERS).map(|number| stranger(address, number)).collect();
    let mut first = 0; // looked at in turn, else those who are thrown out at once would come again all the time
    while !stop.load(Relaxed) {
        let in_turn = (first..STRANGERS).chain(0..first);
        let gone = in_turn.filter(|number| is_gone(&strangers[*number as usize]));
        let gone: Vec<u32> = gone.take(NEW_PER_PAUSE_MAX).collect();
        first = gone.last().map_or(0, |last| (last + 1) % STRANGERS);
        for number in gone {
            strangers[number as usize] = stranger(address, number);
        }
        thread::sleep(PAUSE);
    }
}

/// A connection from one of 250 addresses, which has said its word.
fn stranger(address: SocketAddr, number: u32) -> TcpStream {
    let mut stream = connect_from(client(number % 250), address).unwrap();
    stream.set_nonblocking(true).unwrap();
    // The box may have closed it already, which the next look notices.
    let _ = stream.write_all(WORDS[number as usize % WORDS.len()]);
    stream
}

fn is_gone(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
