//! Seeded noise: it neither panics the bus nor stays in its memory, and valid noise is answered as Redis answers it.
//!
//! A failure prints its seed; `FUZZ_SEED=…` starts there, `FUZZ_ROUNDS=…` goes on longer.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{Raw, Seeded, TestBus, TestRedis, command, frame_len, wait_until};
use oxherd_bus::BusOptions;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Commands cut, joined, damaged, or never meant to be any.
fn noise(random: &mut Seeded) -> Vec<u8> {
    let words: [&[u8]; 16] = [
        b"PUBLISH",
        b"SUBSCRIBE",
        b"PSUBSCRIBE",
        b"HELLO",
        b"3",
        b"CLIENT",
        b"REPLY",
        b"LIST",
        b"RESET",
        b"PUBSUB",
        b"a*[b-\\",
        b"a",
        b"",
        b"\xff\x00\r\n",
        b"COMMAND",
        b"INFO",
    ];
    let tokens: [&[u8]; 14] = [
        b"*",
        b"$",
        b"\r\n",
        b"*1\r\n",
        b"*-1\r\n",
        b"$-1\r\n",
        b"*99999999999999999999\r\n",
        b"$16777217\r\n",
        b"\"",
        b"'",
        b"\\x",
        b"PING\r\n",
        b"*3\r\n$7\r\nPUBLISH\r\n",
        b"%2\r\n",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.below(40) {
        match random.below(4) {
            0 => bytes.extend_from_slice(random.pick(&tokens)),
            1 => (0..random.below(30)).for_each(|_| bytes.push(random.next() as u8)),
            _ => {
                let args: Vec<&[u8]> = (0..1 + random.below(4)).map(|_| random.pick(&words)).collect();
                bytes.extend(command(&args));
            }
        }
        if random.below(8) == 0 && !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
    }
    bytes
}

#[test]
fn noise_harms_nobody_and_leaves_nothing() {
    let bus = TestBus::start(BusOptions::default());
    let mut healthy = bus.connect();
    let first = number("FUZZ_SEED", 1);
    for seed in first..first + number("FUZZ_ROUNDS", 2000) {
        let mut random = Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let bytes = noise(&mut random);
        let mut stream = UnixStream::connect(&bus.path).unwrap();
        stream.set_read_timeout(Some(common::DEADLINE)).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len()));
            // Closed in the middle is as good as an error.
            if stream.write_all(piece).is_err() {
                break;
            }
            rest = after;
        }
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let reset = ended.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(ended.is_ok() || reset, "seed {seed}: {ended:?}");
        assert_eq!(healthy.ask(&["PING"]), "+PONG\r\n", "seed {seed}");
    }
    wait_until("all are gone", || bus.counters.clients.get() == 1);
    assert_eq!(bus.counters.subscriptions.get(), 0);
    assert_eq!(bus.counters.channels.get() + bus.counters.patterns.get(), 0);
    assert!(bus.counters.input_bytes.get() <= 64 * 1024);
    assert!(
        bus.counters.cut_protocol.get() > 0 && bus.counters.commands.get() > 1000,
        "the noise hit something"
    );
}

/// One client with its own way to know that everything sent to it so far has arrived.
struct Probe {
    client: Raw<UnixStream>,
    marks: u32,
}

impl Probe {
    fn new(path: &Path) -> Self {
        Self { client: Raw::unix(path), marks: 0 }
    }

    /// The frames up to now, in byte order: Redis visits patterns and unsubscribes in the order of its hash table.
    fn settled(&mut self) -> Vec<Vec<u8>> {
        self.marks += 1;
        let mark = format!("mark-{}", self.marks);
        self.client.command(&[b"PING", mark.as_bytes()]);
        let mut frames = Vec::new();
        loop {
            let frame = self.client.frames(1);
            assert_eq!(frame_len(&frame), Some(frame.len()));
            if frame.windows(mark.len()).any(|window| window == mark.as_bytes()) {
                frames.sort();
                return frames;
            }
            frames.push(frame);
        }
    }
}

#[test]
fn random_sessions_are_answered_as_by_redis() {
    let (bus, redis) = (TestBus::start(BusOptions::default()), TestRedis::start(&[]));
    let names = ["a", "b", "ab", "abc", "#/#r#", ""];
    let patterns = ["*", "a*", "ab*", "[ab]", "a", "?b*", "#/#*", "a**"];
    let first = number("FUZZ_SEED", 1);
    for seed in first..first + number("FUZZ_ROUNDS", 2000) / 40 {
        let mut random = Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut pairs: Vec<_> = (0..3).map(|_| (Probe::new(&bus.path), Probe::new(&redis.path))).collect();
        for step in 0..60 {
            let mut args: Vec<&str> = match random.below(11) {
                0 | 1 => vec!["SUBSCRIBE"],
                2 | 3 => vec!["PSUBSCRIBE"],
                4 => vec!["UNSUBSCRIBE"],
                5 => vec!["PUNSUBSCRIBE"],
                6 => vec!["PUBSUB", random.pick(&["NUMPAT", "NUMSUB", "CHANNELS"])],
                7 if random.below(4) == 0 => vec![random.pick(&["RESET", "UNSUBSCRIBE", "PUNSUBSCRIBE"])],
                // The client's number in the answer differs.
                7 if random.below(3) == 0 => vec!["HELLO", random.pick(&["3", "2"]), "SETNAME"],
                _ => vec!["PUBLISH"],
            };
            match args[0] {
                "SUBSCRIBE" | "UNSUBSCRIBE" => args.push(random.pick(&names)),
                "PSUBSCRIBE" | "PUNSUBSCRIBE" => args.push(random.pick(&patterns)),
                "PUBLISH" => args.extend([random.pick(&names), "payload"]),
                "HELLO" => args.push("me"),
                "PUBSUB" if args[1] == "NUMSUB" => args.extend([random.pick(&names), random.pick(&names)]),
                _ => {}
            }
            let who = random.below(pairs.len());
            let bytes = command(&args.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>());
            pairs[who].0.client.send(&bytes);
            pairs[who].1.client.send(&bytes);
            // The one that acted first: only then has the others' share been sent.
            for at in [who].into_iter().chain((0..pairs.len()).filter(|at| *at != who)) {
                let (ours, theirs) = &mut pairs[at];
                let (ours, theirs) = (ours.settled(), theirs.settled());
                if args[0] == "HELLO" || (args[0] == "PUBSUB" && args[1] == "CHANNELS") {
                    assert_eq!(ours.len(), theirs.len(), "seed {seed}, step {step}: {args:?}");
                    continue;
                }
                let text = |frames: &[Vec<u8>]| String::from_utf8_lossy(&frames.concat()).into_owned();
                assert_eq!(text(&ours), text(&theirs), "seed {seed}, step {step}, client {at}: {args:?}");
            }
        }
    }
}
