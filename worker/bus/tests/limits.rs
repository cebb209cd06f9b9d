//! What a client can make the bus keep is bounded, reaching a bound is counted and visible, and others go on.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DEADLINE, Raw, TestBus, command, wait_until};
use oxherd_bus::{Bus, BusError, BusOptions, BusSettings, Listeners, OutputLimit, Password};
use tokio_util::sync::CancellationToken;

const KIB: usize = 1024;

fn output(hard_bytes: usize, soft_bytes: usize, soft_for: Duration) -> BusOptions {
    let output = OutputLimit { hard_bytes, soft_bytes, soft_for };
    BusOptions { output, frame_bytes_max: 100 * KIB, ..BusOptions::default() }
}

/// What is logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_subscriber_that_stops_reading_is_cut_and_named_while_others_keep_order() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    const MESSAGES: usize = 4000;
    let bus = TestBus::start(output(512 * KIB, 512 * KIB, Duration::from_secs(60)));
    let mut stuck = bus.connect();
    stuck.ask(&["CLIENT", "SETNAME", "sleeper"]);
    stuck.ask(&["SUBSCRIBE", "room"]);
    let mut publisher = bus.connect();
    let progress: [Arc<AtomicUsize>; 3] = Default::default();
    let readers: Vec<_> = progress
        .iter()
        .map(|progress| {
            let progress = progress.clone();
            let mut reader = bus.connect();
            reader.ask(&["PSUBSCRIBE", "ro*"]);
            std::thread::spawn(move || {
                for n in 0..MESSAGES {
                    let message = reader.frames(1);
                    let number = &message[message.len() - 8..message.len() - 2];
                    assert_eq!(number, format!("{n:06}").as_bytes());
                    progress.store(n, Relaxed);
                }
            })
        })
        .collect();
    let padding = "x".repeat(1000);
    for n in 0..MESSAGES {
        // Whoever reads is not to be outrun.
        let read = || progress.iter().map(|progress| progress.load(Relaxed)).min().unwrap();
        wait_until("the readers follow", || {
            read() + 100 > n || readers.iter().any(|reader| reader.is_finished())
        });
        let receivers = publisher.ask(&["PUBLISH", "room", &format!("{padding}{n:06}")]);
        assert!(receivers == ":4\r\n" || receivers == ":3\r\n", "{receivers}");
    }
    for reader in readers {
        reader.join().unwrap();
    }
    wait_until("the cut is counted", || bus.counters.cut_slow.get() == 1);
    wait_until("the client is gone", || bus.counters.clients.get() == 1);
    assert_eq!(publisher.ask(&["PUBSUB", "NUMSUB", "room"]), "*2\r\n$4\r\nroom\r\n:0\r\n");
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("it does not read") && logged.contains("sleeper"), "{logged}");
    // What the kernel had is a prefix of the stream, and then comes the end.
    assert!(stuck.rest().len() < MESSAGES * 1000);
}

#[test]
fn the_soft_limit_cuts_without_another_message() {
    let bus = TestBus::start(output(64 * KIB * KIB, 256 * KIB, Duration::from_millis(100)));
    let mut stuck = bus.connect();
    stuck.ask(&["SUBSCRIBE", "room"]);
    let mut publisher = bus.connect();
    let payload = "x".repeat(50 * KIB);
    // More than the kernel takes, less than the hard limit.
    for _ in 0..60 {
        publisher.ask(&["PUBLISH", "room", &payload]);
    }
    wait_until("the soft limit cuts", || bus.counters.cut_slow.get() == 1);
    assert_eq!(publisher.ask(&["PUBLISH", "room", "x"]), ":0\r\n");
}

#[test]
fn a_client_that_only_asks_and_never_reads_is_cut_too() {
    let bus = TestBus::start(output(256 * KIB, 256 * KIB, Duration::from_secs(60)));
    let mut client = bus.connect();
    let ping = command(&[b"PING", &[b'x'; 10_000]]);
    while client.stream.write_all(&ping).is_ok() {}
    wait_until("the cut is counted", || bus.counters.cut_slow.get() == 1);
}

#[test]
fn who_does_not_authenticate_is_cut_by_time_and_by_count() {
    let options = BusOptions {
        password: Some(Password::new("secret").unwrap()),
        auth_deadline: Duration::from_millis(100),
        auth_commands_max: 3,
        ..BusOptions::default()
    };
    let bus = TestBus::start(options);
    let mut silent = bus.connect_tcp();
    assert_eq!(silent.rest(), b"");
    let mut guessing = bus.connect_tcp();
    guessing.send(b"AUTH a\r\nAUTH b\r\nAUTH c\r\nAUTH secret\r\n");
    assert_eq!(
        guessing.rest().iter().filter(|&&byte| byte == b'-').count(),
        3 + 3,
        "three times WRONGPASS username-password"
    );
    wait_until("both are counted", || bus.counters.cut_auth.get() == 2);
    assert_eq!(bus.counters.auth_failed.get(), 3);
    let mut right = bus.connect_tcp();
    right.ask(&["AUTH", "secret"]);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(right.ask(&["PING"]), "+PONG\r\n", "no deadline once authenticated");
}

#[test]
fn one_client_too_many_is_told_and_the_rest_stay() {
    let bus = TestBus::start(BusOptions { clients_max: 2, ..BusOptions::default() });
    let (mut a, mut b) = (bus.connect(), bus.connect());
    a.ask(&["PING"]);
    b.ask(&["PING"]);
    assert_eq!(bus.connect().rest(), b"-ERR max number of clients reached\r\n");
    assert_eq!(bus.counters.refused_full.get(), 1);
    drop(a);
    wait_until("there is room again", || bus.counters.clients.get() == 1);
    assert_eq!(bus.connect().ask(&["PING"]), "+PONG\r\n");
    assert_eq!(b.ask(&["PING"]), "+PONG\r\n");
}

#[test]
fn strangers_over_tcp_leave_room_for_the_workers() {
    let password = Password::new("secret").ok();
    let options = BusOptions { password, clients_max: 4, tcp_clients_max: 2, ..BusOptions::default() };
    let bus = TestBus::start(options);
    let (first, _second) = (bus.connect_tcp(), bus.connect_tcp());
    wait_until("they are in", || bus.counters.clients.get() == 2);
    assert_eq!(bus.connect_tcp().rest(), b"-ERR max number of clients reached\r\n");
    let mut workers = [bus.connect(), bus.connect()];
    for worker in &mut workers {
        assert_eq!(worker.ask(&["PING"]), "+PONG\r\n");
    }
    drop(first);
    wait_until("there is room again", || bus.counters.clients.get() == 3);
    assert_eq!(bus.connect_tcp().ask(&["AUTH", "secret"]), "+OK\r\n");
}

#[test]
fn subscriptions_are_bounded_by_client_in_all_and_in_their_patterns() {
    let options = BusOptions {
        subscriptions_per_client_max: 3,
        subscriptions_max: 5,
        name_bytes_max: 10,
        wild_bytes_max: 6,
        ..BusOptions::default()
    };
    let bus = TestBus::start(options);
    let (mut a, mut b) = (bus.connect(), bus.connect());
    a.send(b"SUBSCRIBE 1 2 3 4\r\nSUBSCRIBE 1\r\n");
    a.frames(3);
    assert!(a.frames(1).starts_with(b"-ERR max number of subscriptions of this client"));
    assert_eq!(a.frames(1), b"*3\r\n$9\r\nsubscribe\r\n$1\r\n1\r\n:3\r\n");
    assert!(b.ask(&["PSUBSCRIBE", "[ab]xyz"]).starts_with("-ERR max size of glob patterns"));
    assert!(b.ask(&["SUBSCRIBE", "12345678901"]).starts_with("-ERR channel or pattern is longer"));
    assert!(b.ask(&["PUBLISH", "12345678901", "x"]).starts_with("-ERR channel is longer"));
    b.ask(&["PSUBSCRIBE", "?a?b?c"]);
    b.ask(&["PSUBSCRIBE", "prefix*"]);
    assert!(b.ask(&["PSUBSCRIBE", "other*"]).starts_with("-ERR max number of subscriptions reached"));
    assert_eq!(bus.counters.refused_limit.get(), 5);
    assert_eq!(bus.counters.subscriptions.get(), 5);
    drop((a, b));
    wait_until("nothing is left", || {
        bus.counters.subscriptions.get() == 0 && bus.counters.patterns.get() == 0
    });
}

#[test]
fn unfinished_input_is_bounded_in_all() {
    let options =
        BusOptions { frame_bytes_max: 1024 * KIB, input_bytes_max: 4 * 1024 * KIB, ..BusOptions::default() };
    let bus = TestBus::start(options);
    let mut unfinished = command(&[b"PING", &vec![b'x'; 1000 * KIB]]);
    unfinished.truncate(900 * KIB);
    let mut clients: Vec<Raw<_>> = (0..10).map(|_| bus.connect()).collect();
    for client in &mut clients {
        // The one that is too much is closed while it writes.
        let _ = client.stream.write_all(&unfinished);
    }
    wait_until("somebody is cut", || bus.counters.cut_protocol.get() > 0);
    assert!(bus.counters.input_bytes.get() <= 4 * 1024 * KIB as u64);
    assert_eq!(bus.connect().ask(&["PING"]), "+PONG\r\n");
}

#[test]
fn a_claimed_length_costs_nothing_until_its_bytes_come() {
    let bus = TestBus::start(BusOptions::default());
    let mut clients: Vec<Raw<_>> = (0..300).map(|_| bus.connect()).collect();
    for client in &mut clients {
        client.send(b"*65536\r\n$16000000\r\nx");
    }
    let mut healthy = bus.connect();
    wait_until("all claims were read", || bus.counters.bytes_in.get() >= 300 * 20);
    assert_eq!(healthy.ask(&["PING"]), "+PONG\r\n");
    assert!(bus.counters.input_bytes.get() <= 301 * 64 * KIB as u64);
}

#[test]
fn an_address_beyond_this_machine_needs_a_password() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let serve = |password| {
        let tcp = vec![std::net::TcpListener::bind("0.0.0.0:0").unwrap()];
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let options = BusOptions { password, ..BusOptions::default() };
        let bus = Bus::new(BusSettings::try_from(options).unwrap());
        runtime.block_on(bus.serve(Listeners { tcp, unix: vec![] }, shutdown))
    };
    assert!(matches!(serve(None), Err(BusError::Open(_))));
    assert!(serve(Some(Password::new("secret").unwrap())).is_ok());
}

#[test]
fn shutdown_sends_what_is_owed_and_closes() {
    let mut bus = TestBus::start(BusOptions::default());
    let mut subscriber = bus.connect();
    subscriber.ask(&["SUBSCRIBE", "room"]);
    let mut publisher = bus.connect();
    publisher.ask(&["PUBLISH", "room", "last"]);
    let start = std::time::Instant::now();
    bus.stop();
    assert!(start.elapsed() < DEADLINE / 10);
    assert!(String::from_utf8(subscriber.rest()).unwrap().ends_with("last\r\n"));
    assert_eq!(publisher.rest(), b"");
}

#[test]
fn another_user_is_refused_even_where_the_file_lets_him_in() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: it takes root to become another user");
        return;
    }
    let bus = TestBus::start(BusOptions::default());
    for (path, mode) in [(bus.path.parent().unwrap(), 0o755), (&*bus.path, 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let nobody = 65_534;
    let output = Command::new("redis-cli")
        .arg("-s")
        .arg(&bus.path)
        .arg("PING")
        .uid(nobody)
        .gid(nobody)
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("PONG"));
    wait_until("the refusal is counted", || bus.counters.refused_uid.get() > 0);
    assert_eq!(bus.counters.commands.get(), 0);
}

#[test]
fn what_has_come_together_leaves_in_one_write() {
    const MESSAGES: usize = 500;
    let bus = TestBus::start(BusOptions::default());
    let mut subscriber = bus.connect();
    subscriber.ask(&["SUBSCRIBE", "room"]);
    let mut publisher = bus.connect();
    let before = bus.counters.writes.get();
    publisher.send(&command(&[b"PUBLISH", b"room", b"x"]).repeat(MESSAGES));
    publisher.frames(MESSAGES);
    subscriber.frames(MESSAGES);
    let writes = bus.counters.writes.get() - before;
    assert!(writes < MESSAGES as u64 / 20, "{writes} writes for {MESSAGES} messages and as many replies");
}

#[test]
fn a_burst_of_work_is_done_in_shares_between_which_others_are_served() {
    const PUBLISHES: usize = 3000;
    let bus = TestBus::start(output(512 * 1024 * KIB, 512 * 1024 * KIB, Duration::from_secs(60)));
    let mut subscribers: Vec<_> = (0..100).map(|_| bus.connect()).collect();
    subscribers.iter_mut().for_each(|subscriber| drop(subscriber.ask(&["SUBSCRIBE", "room"])));
    let mut publisher = bus.connect();
    let before = bus.counters.writes.get();
    // It fits one read; done at once, it would be one write to each.
    publisher.send(&b"PUBLISH room x\r\n".repeat(PUBLISHES));
    publisher.frames(PUBLISHES);
    wait_until("all is written", || {
        subscribers.iter_mut().all(|subscriber| !subscriber.frames(1).is_empty())
    });
    let writes = bus.counters.writes.get() - before;
    assert!(writes > 10 * subscribers.len() as u64, "{writes} writes");
}
