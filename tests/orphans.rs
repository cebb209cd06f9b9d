//! The supervisor is killed: its workers leave, and the next one gets the address. Issue 2, "It is done when" 5.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::HerdBuilder;
use support::http::{client, clients_of, receive, who};
use support::process::until_gone;

const ORPHAN_GRACE: Duration = Duration::from_secs(2);
const CONFIG: &str = "affinity = \"source-ip\"\norphan_grace = \"2s\"\nhang_timeout = \"1m\"";

#[test]
fn orphans_refuse_new_clients_at_once_and_leave_in_time_a_stuck_one_too() {
    let mut herd = HerdBuilder::faulty().config(CONFIG).start(2);
    let (address, workers) = (herd.address(), herd.pids());
    let (patient, stuck) = (clients_of(workers[0], address, 1)[0], clients_of(workers[1], address, 1)[0]);
    let _waits_for_ever = herd.begin(patient, "/slow?ms=600000");
    let finishes = herd.begin(patient, "/slow?ms=300");
    let _spins = herd.begin(stuck, "/spin");

    herd.signal(Signal::SIGKILL);
    let killed = Instant::now();
    herd.wait();
    assert_eq!(receive(&finishes).unwrap(), (200, workers[0].to_string()), "a request in flight may finish");
    until_gone(&workers);
    let gone_after = killed.elapsed();
    eprintln!("gone {gone_after:?} after the kill");
    assert!(gone_after <= ORPHAN_GRACE + Duration::from_secs(1), "{gone_after:?}");
}

#[test]
fn idle_orphans_leave_at_once() {
    let mut herd = HerdBuilder::faulty().config("orphan_grace = \"1m\"").start(2);
    let (address, workers) = (herd.address(), herd.pids());
    herd.signal(Signal::SIGKILL);
    herd.wait();
    until_gone(&workers);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_restart_right_after_the_kill_waits_for_the_orphans_and_succeeds() {
    let mut herd = HerdBuilder::faulty().config(CONFIG).start(2);
    let (address, orphans) = (herd.address(), herd.pids());
    let _spins = herd.begin(clients_of(orphans[0], address, 1)[0], "/spin");

    herd.signal(Signal::SIGKILL);
    herd.wait();
    herd.again(address);
    herd.until_ready(2);
    assert!(herd.log().contains("address in use, waiting for its holder to leave"), "{}", herd.log());
    assert_eq!(herd.address(), address);
    for number in 0..50 {
        let server = who(client(number), address).unwrap();
        assert!(herd.pids().contains(&server) && !orphans.contains(&server), "{server}");
    }
}

#[test]
fn a_foreign_process_on_the_address_is_named() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let arguments = ["--listen", &address, "--workers", "1"];
    let mut herd = HerdBuilder::faulty().config("orphan_grace = \"100ms\"").arguments(&arguments).spawn();
    assert_eq!(herd.wait().code(), Some(75), "{}", herd.log());
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let expected = format!("{address} is in use by pid {} ({})", std::process::id(), name.trim_end());
    assert!(herd.log().contains(&expected), "{expected}\n{}", herd.log());
}
