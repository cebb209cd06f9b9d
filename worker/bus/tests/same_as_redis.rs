//! One script against the bus and against a real Redis: the bytes that come back are the same.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{Raw, Seeded, TestBus, TestRedis, frame_len};
use oxherd_bus::{BusOptions, Password};

/// Read until the server closes.
const CLOSED: usize = usize::MAX;

/// Who sends what, and how many frames that client reads afterwards.
type Step = (char, &'static str, usize);

/// Runs the steps, one connection for each letter; returns a line for each step.
fn run(path: &Path, steps: &[Step]) -> Vec<String> {
    let mut clients: BTreeMap<char, Raw<UnixStream>> = BTreeMap::new();
    let mut lines = Vec::new();
    for (who, send, frames) in steps {
        let client = clients.entry(*who).or_insert_with(|| Raw::unix(path));
        client.send(send.as_bytes());
        let answer = if *frames == CLOSED { client.rest() } else { client.frames(*frames) };
        lines.push(format!(
            "{who} {send:?} -> {}",
            without_ids(&String::from_utf8_lossy(&answer).escape_debug().to_string())
        ));
    }
    lines
}

/// Client numbers differ from server to server.
fn without_ids(line: &str) -> String {
    let mut parts = line.split("$2\\r\\nid\\r\\n:");
    let head = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(head, |all, part| format!("{all}id:?{}", part.trim_start_matches(|c: char| c.is_ascii_digit())))
}

fn compare(options: BusOptions, redis_options: &[&str], steps: &[Step]) {
    let bus = TestBus::start(options);
    let redis = TestRedis::start(redis_options);
    // A bus with a password asks it of TCP clients only; the script goes through TCP when there is one.
    let ours = run(&bus.path, steps);
    let theirs = run(&redis.path, steps);
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(our, their);
    }
    assert!(
        theirs.iter().any(|line| line.contains("OK") || line.contains("message")),
        "the script did something"
    );
}

#[test]
fn replies_in_resp2_are_those_of_redis() {
    compare(
        BusOptions::default(),
        &[],
        &[
            ('a', "PING\r\n", 1),
            ('a', "ping hello\r\n", 1),
            ('a', "PING a b\r\n", 1),
            ('a', "*2\r\n$4\r\nPING\r\n$3\r\na\0b\r\n", 1),
            ('a', "*0\r\n*-1\r\n\r\n\r\nPING\r\n", 1),
            ('a', "PING \"a\\x41\\n\" \r\n", 1),
            ('a', "PING \x0ba\x0bb\nPING\r\n", 2),
            (
                'a',
                "SELECT 0\r\nSELECT 15\r\nSELECT 16\r\nSELECT -1\r\nSELECT x\r\nSELECT 99999999999\r\nSELECT\r\n",
                7,
            ),
            ('a', "SELECT 3000000000\r\nSELECT -3000000000\r\nSELECT 01\r\n", 3),
            ('a', "NOSUCH\r\nnosuch a b c\r\n", 2),
            ('a', "*3\r\n$3\r\nFOO\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n", 1),
            (
                'a',
                "FOO yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy z z\r\n",
                1,
            ),
            ('a', "PUBLISH\r\nPUBLISH a\r\nPUBLISH a b c\r\nSUBSCRIBE\r\nPSUBSCRIBE\r\n", 5),
            ('a', "CLIENT\r\nCLIENT NOSUCH\r\nCLIENT setname\r\nCLIENT GETNAME x\r\n", 4),
            (
                'a',
                "CLIENT GETNAME\r\nCLIENT SETNAME worker-7\r\nCLIENT GETNAME\r\nCLIENT SETNAME \"a b\"\r\nCLIENT SETNAME \"\"\r\nCLIENT GETNAME\r\n",
                6,
            ),
            ('a', "CLIENT NO-EVICT on\r\nCLIENT NO-EVICT maybe\r\nCLIENT REPLY maybe\r\n", 3),
            (
                'a',
                "CLIENT LIST ID x\r\nCLIENT LIST TYPE nosuch\r\nCLIENT LIST FOO\r\nCLIENT LIST TYPE master\r\n",
                4,
            ),
            ('a', "AUTH x\r\nAUTH default x\r\nAUTH nobody x\r\nAUTH a b c\r\nAUTH\r\n", 5),
            ('a', "HELLO\r\nHELLO 2\r\nHELLO 1\r\nHELLO 4\r\nHELLO x\r\n", 5),
            ('a', "HELLO 2 FOO\r\nHELLO 2 AUTH x\r\nHELLO 2 SETNAME\r\nHELLO 2 SETNAME \"a b\"\r\n", 4),
            ('a', "HELLO 2 AUTH default x SETNAME me\r\nCLIENT GETNAME\r\nHELLO 2 AUTH nobody x\r\n", 3),
            ('a', "COMMAND NOSUCH\r\nCOMMAND COUNT x\r\nINFO nosuchsection\r\n", 3),
            (
                'a',
                "PUBSUB\r\nPUBSUB NOSUCH\r\nPUBSUB NUMPAT x\r\nPUBSUB CHANNELS a b\r\nPUBSUB SHARDCHANNELS a b\r\n",
                5,
            ),
            (
                'a',
                "PUBSUB CHANNELS\r\nPUBSUB NUMSUB\r\nPUBSUB NUMSUB a b\r\nPUBSUB NUMPAT\r\nPUBSUB SHARDCHANNELS\r\nPUBSUB SHARDNUMSUB\r\nPUBSUB SHARDNUMSUB a\r\n",
                7,
            ),
            ('a', "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nUNSUBSCRIBE a b\r\n", 4),
            ('s', "SUBSCRIBE a b a\r\n", 3),
            ('s', "PSUBSCRIBE a* [ab] a*\r\n", 3),
            ('s', "PING\r\nPING x\r\nPING x y\r\n", 3),
            (
                's',
                "PUBLISH a b\r\nCLIENT ID\r\nHELLO 3\r\nSELECT 0\r\nPUBSUB NUMPAT\r\nNOSUCH\r\nCOMMAND COUNT\r\nINFO\r\n",
                8,
            ),
            ('a', "PUBSUB NUMSUB a b c\r\nPUBSUB NUMPAT\r\nPUBSUB CHANNELS c*\r\nPUBSUB CHANNELS [a]\r\n", 4),
            ('a', "PUBLISH b x\r\n", 1),
            ('s', "", 2),
            ('a', "PUBLISH abc x\r\nPUBLISH c x\r\n", 2),
            ('s', "", 1),
            ('s', "UNSUBSCRIBE b nosuch b\r\n", 3),
            ('s', "UNSUBSCRIBE\r\n", 1),
            ('s', "PUNSUBSCRIBE [ab]\r\nPUNSUBSCRIBE\r\n", 2),
            ('s', "CLIENT GETNAME\r\n", 1),
            ('s', "SUBSCRIBE a\r\nRESET\r\nCLIENT GETNAME\r\n", 3),
            ('s', "RESET x\r\n", 1),
            ('a', "PUBLISH a x\r\n", 1),
            ('q', "SUBSCRIBE a\r\nQUIT\r\nPING\r\n", CLOSED),
            ('r', "QUIT with arguments\r\n", CLOSED),
        ],
    );
}

#[test]
fn replies_in_resp3_are_those_of_redis() {
    compare(
        BusOptions::default(),
        &[],
        &[
            ('a', "HELLO 3 SETNAME three\r\n", 1),
            ('a', "CLIENT GETNAME\r\nCLIENT SETNAME \"\"\r\nCLIENT GETNAME\r\n", 3),
            ('a', "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\n", 2),
            ('a', "SUBSCRIBE a b\r\nPSUBSCRIBE a?\r\n", 3),
            ('a', "PING\r\nPING x\r\nPUBSUB NUMPAT\r\nSELECT 0\r\nNOSUCH\r\n", 5),
            // Its own message comes before the reply, as in Redis before 7.2.
            ('a', "PUBLISH a self\r\n", 2),
            ('b', "PUBLISH a x\r\nPUBLISH ab y\r\nPUBLISH c z\r\n", 3),
            ('a', "", 2),
            ('a', "HELLO 2\r\n", 1),
            ('b', "PUBLISH a x\r\n", 1),
            ('a', "PING\r\n", 2),
            ('a', "UNSUBSCRIBE a\r\n", 1),
            ('c', "CLIENT REPLY SKIP\r\nPING skipped\r\nPING heard\r\n", 1),
            (
                'c',
                "CLIENT REPLY OFF\r\nPING unheard\r\nNOSUCH\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\n",
                1,
            ),
            ('c', "PING again\r\nRESET\r\n", 2),
        ],
    );
}

#[test]
fn what_is_not_the_protocol_is_refused_in_the_words_of_redis() {
    let broken: &[&str] = &[
        "*x\r\n",
        "*99999999999\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$99999999999\r\n",
        "*2\r\n$4\r\nPING\r\n*1\r\n$1\r\nx\r\n",
        "PING \"x\r\n",
        "PING 'x'y\r\n",
        "POST / HTTP/1.1\r\n",
        "Host: example.org\r\n",
    ];
    let steps: Vec<Step> = broken.iter().zip('a'..).map(|(bytes, who)| (who, *bytes, CLOSED)).collect();
    let more: Vec<Step> = vec![('z', "PING OK\r\n", 1)];
    compare(BusOptions::default(), &[], &[steps, more].concat());
}

#[test]
fn a_password_is_asked_for_in_the_words_of_redis() {
    let steps: &[Step] = &[
        ('a', "PING\r\nNOSUCH\r\nPUBLISH\r\nSUBSCRIBE a\r\nCLIENT ID\r\n", 5),
        ('a', "HELLO 3\r\nHELLO\r\nAUTH wrong\r\nAUTH default wrong\r\nAUTH nobody secret\r\n", 5),
        ('a', "AUTH secret\r\nPING\r\n", 2),
        ('a', "RESET\r\nPING\r\n", 2),
        ('b', "HELLO 3 AUTH default wrong\r\nHELLO 3 AUTH default secret SETNAME b\r\nCLIENT GETNAME\r\n", 3),
        ('b', "HELLO 3 AUTH default wrong\r\nPING\r\n", 2),
        ('c', "AUTH default secret\r\nPING\r\nAUTH wrong\r\nPING\r\n", 4),
        ('d', "*11\r\n", CLOSED),
        ('e', "*1\r\n$16385\r\n", CLOSED),
        ('f', "QUIT\r\n", CLOSED),
    ];
    let options = BusOptions { password: Some(Password::new("secret").unwrap()), ..BusOptions::default() };
    let bus = TestBus::start(options);
    let redis = TestRedis::start(&["--requirepass", "secret"]);
    let mut clients = BTreeMap::new();
    let ours: Vec<String> = steps
        .iter()
        .map(|(who, send, frames)| {
            let client = clients.entry(*who).or_insert_with(|| bus.connect_tcp());
            client.send(send.as_bytes());
            let answer = if *frames == CLOSED { client.rest() } else { client.frames(*frames) };
            let answer = String::from_utf8_lossy(&answer).escape_debug().to_string();
            format!("{who} {send:?} -> {}", without_ids(&answer))
        })
        .collect();
    for (our, their) in ours.iter().zip(run(&redis.path, steps)) {
        assert_eq!(our, &their);
    }
    // Unix clients are known by their uid.
    assert_eq!(bus.connect().ask(&["PING"]), "+PONG\r\n");
}

#[test]
fn random_patterns_match_what_they_match_in_redis() {
    const ROUNDS: usize = 60;
    let bus = TestBus::start(BusOptions::default());
    let redis = TestRedis::start(&[]);
    let mut random = Seeded(0x6c6f6e67);
    let pieces = ["a", "b", "c", "*", "?", "[", "]", "^", "-", "\\", "[a-c]", "[^a]", "**", "#"];
    let texts = ["a", "b", "c", "#", "-", "]", "[", "\\", "^", "*"];
    let mut matched = 0;
    for _ in 0..ROUNDS {
        let mut word = |from: &[&'static str], len: usize| {
            (0..random.below(len)).map(|_| random.pick(from)).collect::<String>()
        };
        let patterns: Vec<String> = (0..20).map(|_| word(&pieces, 7)).collect();
        let channels: Vec<String> = (0..20).map(|_| word(&texts, 6)).collect();
        let answers = |path: &Path| {
            let (mut subscriber, mut publisher) = (Raw::unix(path), Raw::unix(path));
            patterns.iter().for_each(|pattern| drop(subscriber.ask(&["PSUBSCRIBE", pattern])));
            channels.iter().map(|channel| publisher.ask(&["PUBLISH", channel, "x"])).collect::<Vec<_>>()
        };
        let (ours, theirs) = (answers(&bus.path), answers(&redis.path));
        assert_eq!(ours, theirs, "{patterns:?} {channels:?}");
        matched += theirs.iter().filter(|reply| *reply != ":0\r\n").count();
    }
    assert!(matched > ROUNDS, "some patterns matched");
}

#[test]
fn every_listed_command_has_the_arity_and_flags_of_redis() {
    let (bus, redis) = (TestBus::start(BusOptions::default()), TestRedis::start(&[]));
    let names = [
        "publish",
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "punsubscribe",
        "ping",
        "hello",
        "auth",
        "select",
        "reset",
        "quit",
        "info",
        "command",
        "client",
        "pubsub",
    ];
    let entry = |path: &Path, name: &str| {
        let mut client = Raw::unix(path);
        let answer = client.ask(&["COMMAND", "INFO", name]);
        // The array of one, the array of ten, name, arity, flags: what follows is left empty by the bus.
        let mut at = answer.find("*10\r\n").unwrap() + 5;
        let start = at;
        (0..3).for_each(|_| at += frame_len(&answer.as_bytes()[at..]).unwrap());
        answer[start..at].to_owned()
    };
    for name in names {
        assert_eq!(entry(&bus.path, name), entry(&redis.path, name), "{name}");
    }
    assert_eq!(bus.connect().ask(&["COMMAND", "COUNT"]), format!(":{}\r\n", names.len()));
}
