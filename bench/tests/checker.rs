//! The benchmark is checked by a server that is wrong on purpose: what it drops, doubles or reorders must be found.
#![allow(clippy::unwrap_used)] // clippy knows only what is inside a #[test]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench::check::Faults;
use bench::generate::load::room_name;
use bench::generate::{Arrival, Load, Measured, Outcome, Swarm, Transport};

const CLIENTS: usize = 20;
const MESSAGES: u64 = 200;
/// In each of them one thing goes wrong.
const ROOMS: u64 = 2;

/// The floor, with a fault or without; killed when dropped.
struct Floor(Child, SocketAddr);

impl Floor {
    fn start(fault: Option<&str>) -> Floor {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floor"));
        command.arg("0").args(fault).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Floor(child, line.trim().parse().unwrap())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two rooms, a sender in each.
fn run(fault: Option<&str>) -> Outcome {
    let floor = Floor::start(fault);
    let mut swarm = Swarm::new(floor.1).unwrap();
    let room = |client: usize| client % ROOMS as usize;
    let arrival = Arrival {
        count: CLIENTS,
        transport: Transport::WebSocket,
        in_flight: 4,
        room: Some(&|client| room_name(room(client))),
    };
    let arrived = swarm.connect(&arrival).unwrap();
    assert_eq!((arrived.failed, arrived.latencies.count()), (0, CLIENTS as u64));
    let load = Load {
        senders: &[0, 1],
        room: &room,
        per_second: 1000.0,
        duration: Duration::from_millis(MESSAGES),
        padding: 300,
        measured: Measured::Everybody,
    };
    let outcome = swarm.bear(&load).unwrap();
    assert_eq!(outcome.sent, MESSAGES);
    assert_eq!(outcome.latencies.count(), outcome.delivered);
    outcome
}

#[test]
fn a_server_that_does_it_right_has_no_fault() {
    let outcome = run(None);
    assert_eq!(outcome.faults, Faults::default());
    assert_eq!(outcome.delivered, MESSAGES * CLIENTS as u64 / ROOMS);
}

#[test]
fn a_message_that_is_dropped_for_one_client_is_lost() {
    let outcome = run(Some("drop"));
    assert_eq!(outcome.faults, Faults { lost: ROOMS, ..Faults::default() });
    assert_eq!(outcome.delivered, MESSAGES * CLIENTS as u64 / ROOMS - ROOMS);
}

#[test]
fn a_message_that_comes_twice_is_doubled_and_counts_once() {
    let outcome = run(Some("double"));
    assert_eq!(outcome.faults, Faults { doubled: ROOMS, ..Faults::default() });
    assert_eq!(outcome.delivered, MESSAGES * CLIENTS as u64 / ROOMS);
}

#[test]
fn a_message_that_is_overtaken_is_reordered() {
    let outcome = run(Some("reorder"));
    assert_eq!(outcome.faults, Faults { reordered: ROOMS, ..Faults::default() });
    assert_eq!(outcome.delivered, MESSAGES * CLIENTS as u64 / ROOMS);
}
