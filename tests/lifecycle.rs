//! Start, stop and restart, as an operator does it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs::{self, File};
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::scope;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use oxherd_supervisor::control::{Answer, Request};
use support::http::{After, client, clients_of, connect_from, receive, request, send, who};
use support::process::{stop, until_gone};
use support::{HerdBuilder, Scratch, SetAtEnd, eventually, signal_pid};

#[test]
fn from_start_to_accepting_it_takes_a_moment() {
    const LIMIT: Duration = Duration::from_secs(3); // ten times the goal
    let start = Instant::now();
    let herd = HerdBuilder::new().arguments(&["--workers", "2"]).spawn();
    let address = eventually("it listens", || {
        let status = herd.try_ask(&Request::Status).ok()?;
        let Answer::Status(status) = status else { return None };
        status.listeners.first()?.address.parse().ok()
    });
    let (status, _) = support::get(address, "/healthz").unwrap();
    let accepting_after = start.elapsed();
    eprintln!("accepting {accepting_after:?} after the start");
    assert!(status == 200 && accepting_after < LIMIT, "{status} after {accepting_after:?}");
}

#[test]
fn every_way_to_stop_lets_requests_in_flight_finish() {
    for way in [Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGQUIT), None] {
        let mut herd = HerdBuilder::faulty().start(2);
        let (address, workers) = (herd.address(), herd.pids());
        let in_flight = herd.begin(client(0), "/slow?ms=500");
        match way {
            Some(signal) => herd.signal(signal),
            None => {
                let output = herd.command(&["stop"]);
                assert!(output.status.success() && output.stdout == b"stopped\n", "{output:?}");
            }
        }
        let (status, pid) = receive(&in_flight).unwrap();
        assert!(status == 200 && workers.contains(&pid.parse().unwrap()), "{way:?}: {status} {pid}");
        assert_eq!(herd.wait().code(), Some(0), "{way:?}: {}", herd.log());
        until_gone(&workers);
        assert!(TcpStream::connect(address).is_err(), "{way:?}");
        assert!(!herd.control.exists(), "{way:?}");
    }
}

#[test]
fn a_stop_ends_at_its_deadline_whoever_is_still_there() {
    let mut herd = HerdBuilder::faulty().config("stop_timeout = \"500ms\"").start(2);
    let workers = herd.pids();
    let _waits_for_ever = herd.begin(client(0), "/slow?ms=600000");
    let _spins = herd.begin(client(1), "/spin");
    let start = Instant::now();
    herd.signal(Signal::SIGTERM);
    assert_eq!(herd.wait().code(), Some(0), "{}", herd.log());
    until_gone(&workers);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut herd = HerdBuilder::faulty().config("stop_timeout = \"1h\"").start(2);
    let workers = herd.pids();
    let _waits_for_ever = herd.begin(client(0), "/slow?ms=600000");
    herd.signal(Signal::SIGTERM);
    herd.until("it is stopping", |status| status.supervisor.stopping);
    assert!(herd.try_wait().is_none(), "it waits for the request");
    herd.signal(Signal::SIGTERM);
    assert_eq!(herd.wait().code(), Some(0), "{}", herd.log());
    until_gone(&workers);
}

#[test]
fn signals_without_a_meaning_do_no_harm() {
    let mut herd = HerdBuilder::faulty().start(1);
    let before = herd.pids();
    for signal in [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGWINCH] {
        herd.signal(signal);
    }
    let to_workers = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];
    to_workers.into_iter().for_each(|signal| signal_pid(before[0], signal));
    herd.until("the supervisor has heard", |_| herd.log().contains("SIGUSR2"));
    assert_eq!(who(client(0), herd.address()).unwrap(), before[0]);
    herd.until_ready(1);
    assert_eq!(herd.pids(), before);
}

#[test]
fn a_worker_told_to_terminate_drains_and_is_replaced() {
    let mut herd = HerdBuilder::faulty().config("affinity = \"source-ip\"").start(2);
    let old = herd.worker(0);
    let its_client = clients_of(old.pid.unwrap(), herd.address(), 1)[0];
    let in_flight = herd.begin(its_client, "/slow?ms=2000");
    signal_pid(old.pid.unwrap(), Signal::SIGTERM);
    herd.until("a sibling has its slots", |status| {
        status
            .workers
            .iter()
            .any(|worker| worker.pid == old.pid && worker.state == "draining" && worker.slots.is_empty())
    });
    assert_eq!(receive(&in_flight).unwrap(), (200, old.pid.unwrap().to_string()));
    until_gone(&[old.pid.unwrap()]);
    let restarts = herd.until_ready(2).workers[0].restarts;
    assert_eq!((restarts.request, restarts.crash), (1, 0), "it left in peace");
}

#[test]
fn requests_that_arrive_together_with_the_order_to_leave_are_answered() {
    let mut herd = HerdBuilder::faulty().config("affinity = \"source-ip\"\nhang_timeout = \"1m\"").start(2);
    let address = herd.address();
    for _ in 0..5 {
        let leaving = herd.pids()[0];
        let clients = clients_of(leaving, address, 10);
        stop(leaving);
        let ask = |client: &IpAddr| {
            let stream = connect_from(*client, address).unwrap();
            send(&stream, "GET", "/who", "", After::Close).unwrap();
            stream
        };
        let waiting: Vec<TcpStream> = clients.iter().cycle().take(50).map(ask).collect();
        signal_pid(leaving, Signal::SIGTERM);
        signal_pid(leaving, Signal::SIGCONT); // now it finds all of them and the order
        for stream in waiting {
            assert_eq!(receive(&stream).expect("an answer").0, 200);
        }
        until_gone(&[leaving]);
        herd.until_ready(2);
    }
}

#[test]
fn a_restart_replaces_one_worker_and_refuses_nobody() {
    let mut herd = HerdBuilder::faulty().config("affinity = \"connection\"").start(2);
    let (address, before) = (herd.address(), herd.pids());
    let over = AtomicBool::new(false);
    let requests = || (0..).take_while(|_| !over.load(Relaxed)).map(|number| who(client(number), address));
    let (output, answered) = scope(|threads| {
        let load = [(); 4].map(|()| threads.spawn(|| requests().map(Result::unwrap).count()));
        let end = SetAtEnd(&over);
        let in_flight = herd.begin(client(0), "/slow?ms=1000");
        let output = herd.command(&["restart", "1"]);
        assert_eq!(receive(&in_flight).unwrap().0, 200);
        until_gone(&before[1..]);
        drop(end);
        (output, load.map(|thread| thread.join().unwrap()).into_iter().sum::<usize>())
    });
    assert!(output.status.success(), "{output:?}");
    assert!(answered > 0);
    let status = herd.until_ready(2);
    assert_eq!(status.workers.iter().map(|worker| worker.index.0).collect::<Vec<_>>(), [0, 1]);
    let after = herd.pids();
    assert!(after[0] == before[0] && after[1] != before[1], "{before:?} {after:?}");
    assert_eq!(status.workers[1].restarts.request, 1);
    assert!(!herd.command(&["restart", "2"]).status.success(), "there is no worker 2");
}

#[test]
fn a_restart_whose_new_worker_fails_leaves_the_old_one() {
    let scratch = Scratch::new();
    let refuse = scratch.path().join("refuse");
    let builder = HerdBuilder::faulty().environment("FAULTY_REFUSE", refuse.to_str().unwrap());
    let mut herd = builder.start(2);
    let before = herd.pids();
    File::create(&refuse).unwrap();
    let output = herd.command(&["restart", "0"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("the old worker goes on"), "{errors}");
    assert!(errors.contains("refuse is in the way"), "the reason of this very failure: {errors}");
    assert_eq!(herd.pids(), before);
    fs::remove_file(&refuse).unwrap();
    assert!(herd.command(&["restart", "0"]).status.success(), "the next one works");
    let after = herd.until_ready(2);
    assert_ne!(after.workers[0].pid, Some(before[0]));
    assert_eq!(after.workers[0].restarts.boot, 1);
}

#[test]
fn as_the_first_process_of_a_container_it_reaps_what_others_left_behind() {
    let container = "exec unshare --pid --fork --kill-child --mount-proc \"$@\"";
    let builder = HerdBuilder::faulty().shell(container).arguments(&["--log-filter", "debug"]);
    let mut herd = builder.start(1);
    assert_eq!(herd.status().supervisor.pid, 1);
    let (status, shell) = request(client(0), herd.address(), "GET", "/orphan", "").unwrap();
    assert_eq!((status, shell.as_str()), (200, "exit status: 0"));
    herd.until("the orphan is reaped", |_| herd.log().contains("orphan reaped"));
    assert_eq!(herd.worker(0).restarts.crash, 0);
    assert!(herd.command(&["stop"]).status.success());
    assert_eq!(herd.wait().code(), Some(0));
}
