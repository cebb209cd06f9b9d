//! A worker dies: who suffers, and who does not. Issue 2, "It is done when" 3.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use oxherd_supervisor::control::status::{Status, WorkerStatus};
use support::http::{After, client, clients_of, connect_from, receive, request, send, who};
use support::namespace::{Namespace, resets_sent, server_ends};
use support::process::{sockets, stop};
use support::{Herd, HerdBuilder, SetAtEnd, eventually, signal_pid, soak_seconds};

/// All of one client's connections go to one worker, and nobody is declared hung.
const STEADY: &str = "affinity = \"source-ip\"\nhang_timeout = \"1m\"";

#[test]
fn who_waits_in_a_dead_workers_queue_is_answered_and_exactly_the_accepted_are_reset() {
    const ACCEPTED: usize = 30;
    const QUEUED: usize = 100;
    const ADOPTION_GOAL: Duration = Duration::from_millis(50);
    Namespace::new().run(|| {
        let herd = HerdBuilder::faulty().config(STEADY).start(2);
        let (address, victim) = (herd.address(), herd.worker(0).pid.unwrap());
        let clients = clients_of(victim, address, 20);
        let mut clients = clients.iter().cycle();

        // Accepted without doubt: it was answered. The second request reaches a worker that does not read any more.
        let mut ask = |after| {
            let stream = connect_from(*clients.next().unwrap(), address).unwrap();
            send(&stream, "GET", "/who", "", after).unwrap();
            stream
        };
        let accepted: Vec<TcpStream> = (0..ACCEPTED).map(|_| ask(After::Keep)).collect();
        accepted.iter().for_each(|stream| assert_eq!(receive(stream).unwrap().1, victim.to_string()));
        stop(victim);
        accepted.iter().for_each(|stream| send(stream, "GET", "/who", "", After::Keep).unwrap());
        let queued: Vec<TcpStream> = (0..QUEUED).map(|_| ask(After::Close)).collect();
        eventually("all requests are in the kernel, and nobody took the queued ones", || {
            let ends = server_ends(address.port());
            let waiting: Vec<_> = ends.iter().filter(|end| end.unread > 0).collect();
            let unaccepted = waiting.iter().filter(|end| end.inode == 0).count();
            (waiting.len() == ACCEPTED + QUEUED && unaccepted == QUEUED).then_some(())
        });

        let resets_before = resets_sent();
        signal_pid(victim, Signal::SIGKILL);
        let killed = Instant::now();
        for (number, stream) in queued.iter().enumerate() {
            let (status, pid) = receive(stream).expect("a queued connection is answered");
            assert!(status == 200 && pid != victim.to_string(), "{status} {pid}");
            if number == 0 {
                let adopted_after = killed.elapsed();
                eprintln!("a queued connection was answered {adopted_after:?} after the kill");
                assert!(adopted_after < ADOPTION_GOAL * 10, "{adopted_after:?}");
            }
        }
        let ends: Vec<_> =
            accepted.iter().map(|stream| receive(stream).map_err(|error| error.kind())).collect();
        assert_eq!(ends, vec![Err(ErrorKind::ConnectionReset); ACCEPTED]);
        assert_eq!(resets_sent() - resets_before, ACCEPTED as u64);
    });
}

#[test]
fn killing_workers_under_load_costs_only_the_connections_of_the_dead() {
    const WORKERS: usize = 3;
    const KILL_INTERVAL: Duration = Duration::from_millis(500);
    let duration = soak_seconds(20);
    Namespace::new().run(|| {
        let mut herd = HerdBuilder::faulty().config(STEADY).start(WORKERS);
        let address = herd.address();
        let over = AtomicBool::new(false);
        let resets_before = resets_sent();
        let (load, dead) = scope(|threads| {
            let load = threads.spawn(|| Load::run(address, &over));
            let end = SetAtEnd(&over);
            let dead = kill_some(&herd, duration, KILL_INTERVAL);
            drop(end);
            (load.join().unwrap(), dead)
        });
        let resets_of_the_kernel = resets_sent() - resets_before;
        eprintln!("{load:?}, {dead:?}, resets sent {resets_of_the_kernel}");

        assert_eq!(load.refused, [] as [String; 0], "no connect fails");
        assert!(load.connects >= 500 * duration.as_secs(), "too few to prove anything: {load:?}");
        assert!(dead.workers >= duration.as_secs() * 2 * 9 / 10, "too few to prove anything: {dead:?}");
        assert!(load.resets <= dead.connections, "{load:?} {dead:?}");
        assert!(load.resets + load.cut_off <= dead.sockets, "{load:?} {dead:?}");
        assert!(resets_of_the_kernel <= dead.sockets, "{resets_of_the_kernel} {dead:?}");
        let after = herd.until_ready(WORKERS);
        let crashes: u64 = after.workers.iter().map(|worker| worker.restarts.crash).sum();
        assert_eq!(crashes, dead.workers, "nobody else died");
        assert!(after.workers.iter().all(|worker| worker.restarts.hang == 0 && worker.restarts.boot == 0));
    });
}

/// What the killed workers had in their hands.
#[derive(Debug, Default)]
struct Dead {
    workers: u64,
    /// By their rows of the scoreboard.
    connections: u64,
    /// By the kernel: accepted, even if the worker had no time to count it.
    sockets: u64,
}

/// Kills a READY worker at each interval. It is stopped first, so that what is read of it does not change.
fn kill_some(herd: &Herd, duration: Duration, interval: Duration) -> Dead {
    let (mut dead, start, mut seed) = (Dead::default(), Instant::now(), 1);
    while start.elapsed() < duration {
        let due = start + interval * (dead.workers as u32 + 1);
        sleep(due.saturating_duration_since(Instant::now())); // the pace of the campaign
        let victim = eventually("a worker is ready", || {
            let ready = ready(&herd.status());
            (!ready.is_empty()).then(|| ready[random(&mut seed) as usize % ready.len()].pid.unwrap())
        });
        stop(victim);
        let (status, sockets) = (herd.status(), sockets(victim));
        let row = status.workers.iter().find(|worker| worker.pid == Some(victim)).unwrap();
        dead.workers += 1;
        dead.connections += row.connections;
        let ends = server_ends(herd.address().port());
        dead.sockets += ends.iter().filter(|end| sockets.contains(&end.inode)).count() as u64;
        signal_pid(victim, Signal::SIGKILL);
    }
    dead
}

/// What became of many short connections.
#[derive(Debug, Default)]
struct Load {
    connects: u64,
    answers: u64,
    /// The connection was reset before the answer.
    resets: u64,
    /// The connection ended before the answer.
    cut_off: u64,
    refused: Vec<String>,
}

impl Load {
    const THREADS: u32 = 16;
    const CONNECTS_PER_SECOND: u32 = 600;

    /// Connects, each time from another address, until it is over.
    fn run(address: SocketAddr, over: &AtomicBool) -> Load {
        scope(|threads| {
            let start = |number| threads.spawn(move || Load::of_one_thread(number, address, over));
            let all: Vec<_> = (1..=Load::THREADS).map(start).collect();
            all.into_iter().map(|one| one.join().unwrap()).fold(Load::default(), Load::and)
        })
    }

    fn of_one_thread(number: u32, address: SocketAddr, over: &AtomicBool) -> Load {
        let (mut load, mut seed, start) = (Load::default(), number, Instant::now());
        let interval = Duration::from_secs(1) * Load::THREADS / Load::CONNECTS_PER_SECOND;
        while !over.load(Relaxed) {
            let due = start + interval * load.connects as u32;
            sleep(due.saturating_duration_since(Instant::now())); // the pace of the campaign
            load.connects += 1;
            match connect_from(client(random(&mut seed)), address) {
                Ok(stream) => load.ask(stream),
                Err(error) => load.refused.push(error.to_string()),
            }
        }
        load
    }

    fn ask(&mut self, stream: TcpStream) {
        let answer = send(&stream, "GET", "/slow?ms=5", "", After::Close).and_then(|()| receive(&stream));
        match answer.map_err(|error| error.kind()) {
            Ok((200, _)) => self.answers += 1,
            Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => self.resets += 1,
            Err(ErrorKind::UnexpectedEof) => self.cut_off += 1,
            strange => panic!("neither answered nor ended: {strange:?}"),
        }
    }

    fn and(mut self, other: Load) -> Load {
        self.connects += other.connects;
        self.answers += other.answers;
        self.resets += other.resets;
        self.cut_off += other.cut_off;
        self.refused.extend(other.refused);
        self
    }
}

/// Numbers without a pattern, the same in every run (xorshift32; the seed is never 0).
fn random(seed: &mut u32) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    *seed
}

#[test]
fn a_stopped_workers_slots_are_adopted_half_a_second_after_hang_timeout() {
    const HANG_TIMEOUT: Duration = Duration::from_secs(1);
    let config = format!("affinity = \"source-ip\"\nhang_timeout = \"{}ms\"", HANG_TIMEOUT.as_millis());
    let mut herd = HerdBuilder::faulty().config(&config).start(2);
    let address = herd.address();
    let mut round = || {
        let victim = herd.worker(0).pid.unwrap();
        let its_client = clients_of(victim, address, 1)[0];
        stop(victim);
        let stopped = Instant::now();
        let waiting = connect_from(its_client, address).unwrap();
        send(&waiting, "GET", "/who", "", After::Close).unwrap();
        herd.until("a sibling has all slots", |status| slots_outside(status, victim) == all_slots(status));
        let adopted_after = stopped.elapsed();
        assert_ne!(receive(&waiting).unwrap(), (200, victim.to_string()));
        let after = herd.until_ready(2);
        let replaced = &after.workers[0];
        assert!(
            replaced.pid != Some(victim) && replaced.last_death.as_ref().unwrap().cause.contains("it hung")
        );
        adopted_after
    };
    let rounds: Vec<Duration> = (0..3).map(|_| round()).collect();
    eprintln!("adopted {rounds:?} after the stop");
    // The first is the design's promise, the second is what a busy machine may add.
    assert!(rounds.iter().any(|after| *after <= HANG_TIMEOUT + Duration::from_millis(500)), "{rounds:?}");
    assert!(rounds.iter().all(|after| *after <= HANG_TIMEOUT + Duration::from_secs(5)), "{rounds:?}");
}

fn ready(status: &Status) -> Vec<WorkerStatus> {
    status.workers.iter().filter(|worker| worker.state == "ready").cloned().collect()
}

fn all_slots(status: &Status) -> usize {
    status.listeners.iter().map(|listener| usize::from(listener.slots)).sum()
}

fn slots_outside(status: &Status, pid: u32) -> usize {
    let others = status.workers.iter().filter(|worker| worker.pid != Some(pid));
    others.map(|worker| worker.slots.len()).sum()
}

#[test]
fn a_worker_that_crashes_at_every_boot_disturbs_nobody_and_is_tried_less_and_less() {
    const WATCHED: Duration = Duration::from_secs(8);
    let builder = HerdBuilder::faulty().config(STEADY).environment("FAULTY_CRASH", "1");
    let herd = builder.arguments(&["--workers", "3"]).spawn();
    let before = ready(&herd.until("the others are ready", |status| ready(status).len() == 2));
    let (address, start) = (herd.address(), Instant::now());
    for number in (0..).take_while(|_| start.elapsed() < WATCHED) {
        let server = who(client(number), address).expect("every request is answered");
        assert!(before.iter().any(|worker| worker.pid == Some(server)), "{server}");
    }
    let status = herd.status();
    let after = ready(&status);
    let identity =
        |workers: &[WorkerStatus]| -> Vec<_> { workers.iter().map(|one| (one.index, one.pid)).collect() };
    assert_eq!(identity(&after), identity(&before));
    let sick = status.workers.iter().find(|worker| worker.index.0 == 1).unwrap();
    assert!(sick.last_death.as_ref().unwrap().cause.contains("exited with status 3"), "{sick:?}");
    // Full jitter between 0.1 s and a ceiling that doubles: about 6 attempts, and never less than 0.1 s apart.
    assert!((2..=20).contains(&sick.restarts.boot), "{sick:?}");
}

#[test]
fn a_box_whose_workers_all_crash_at_boot_gives_up_with_its_reason() {
    let builder = HerdBuilder::faulty().config("give_up_after = \"1s\"").environment("FAULTY_CRASH", "all");
    let mut herd = builder.arguments(&["--workers", "2"]).spawn();
    assert_eq!(herd.wait().code(), Some(70), "{}", herd.log());
    let log = herd.log();
    for part in ["giving up", "no worker became ready for 1 s", "exited with status 3"] {
        assert!(log.contains(part), "{part} is not in the log");
    }
    assert!(log.matches("worker started").count() <= 30, "spawns are bounded");
}

#[test]
fn a_panicking_handler_costs_its_own_request_only() {
    let herd = HerdBuilder::faulty().start(1);
    let (address, before) = (herd.address(), herd.worker(0));
    let (status, _) = request(client(0), address, "GET", "/panic", "").unwrap();
    assert_eq!(status, 500);
    support::http::emit(client(0), address, "panic");
    assert_eq!(who(client(1), address).unwrap(), before.pid.unwrap());
    support::http::emit(client(0), address, "panic at once");
    assert_eq!(who(client(1), address).unwrap(), before.pid.unwrap());
    herd.until("all panics are counted", |status| status.workers[0].panics == 3);
    assert_eq!(herd.log().matches("as it was told").count(), 3, "each is logged once");
}
