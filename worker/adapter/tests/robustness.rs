//! Whatever Redis carries: the server counts it, drops it and goes on; and nothing that it writes itself stops a Node
//! server, whose adapter catches nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use std::sync::LazyLock;

use common::{Peer, Redis, Server, wait};
use serde_json::{Value as Json, json};

/// Everything that stops a Node server, or its clients.
const POISON: &[(&str, &[u8])] = &[
    ("socket.io#/#", b"hello"),
    ("socket.io#/#", b""),
    ("socket.io#/#", b"\xc1"),
    ("socket.io#/#", b"\x81\xa1a\x01"),
    ("socket.io#/#", b"\xc0"),
    ("socket.io#/#", b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1e\x80\x00"),
    ("socket.io#/#", b"\x92\xa1x\x82\xa4type\x02\xa4data\x91\xa1e"),
    ("socket.io#/#", b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1e\xc0"),
    ("socket.io#/#", b"\x93\xa1x\xc0\x80"),
    ("socket.io#/#", b"\x93\xa1x\x82\xa4type\x02\xa4data\xc0\x80"),
    ("socket.io#/#", b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1e\x81\xa5rooms\x81\xa1a\x01"),
    ("socket.io#/#\u{ff}#", b"\x93\xa1x"),
    ("socket.io-request#/#", br#"{"type":5,"requestId":"i","uid":"u"}"#),
    ("socket.io-request#/#", br#"{"type":7,"requestId":"i","uid":"u"}"#),
    ("socket.io-request#/#", b"\x83\xa4type\x07\xa3uid\xa1u\xa9requestId\xa1i"),
    ("socket.io-request#/#", br#"{"type":99}"#),
    ("socket.io-request#/#", b"{"),
    ("socket.io-request#/#", b"\xc0"),
    ("socket.io-request#/#", b"\xdd\xff\xff\xff\xff"),
    ("socket.io-request#/#", br#"{"type":2,"opts":{"rooms":{}},"rooms":["r"]}"#),
    ("socket.io-request#/#", br#"{"type":6,"uid":"u","data":{}}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_a_node_server_is_counted_and_dropped() {
    let redis = Redis::start().await;
    let server = Server::start(&redis).await;
    let clients = Peer::start();
    clients.js(&format!("my.a = await connect({:?})", server.url)).await;
    for (at, (channel, payload)) in POISON.iter().enumerate() {
        // The channel with a byte that is no UTF-8 is written here as Latin-1.
        let channel: Vec<u8> = channel.chars().map(|c| c as u8).collect();
        let heard: usize = redis.ask(redis::cmd("PUBLISH").arg(channel).arg(*payload)).await;
        assert_eq!(heard, 1, "message {at} was heard");
        wait("it is counted", || server.cluster.stats().malformed == at as u64 + 1).await;
    }
    // Answers are read only while somebody asks.
    redis.publish("socket.io-response#/#", b"\xc0").await;
    redis.publish("socket.io-response#/#", b"{").await;
    redis.publish("socket.io#/#", b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa5fence\x80").await;
    assert_eq!(clients.js("return await before(my.a)").await, json!([]));
    assert_eq!(server.cluster.stats().reconnects, 0);
    assert_eq!(server.cluster.of("/").server_count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_do_not_spoil_the_good_ones() {
    let redis = Redis::start().await;
    let (server, _other) = (Server::start(&redis).await, Server::start(&redis).await);
    let malformed = server.cluster.stats().malformed;
    let silent = redis::Client::open(redis.url()).unwrap();
    let mut silent = silent.get_async_pubsub().await.unwrap();
    silent.subscribe("socket.io-request#/#").await.unwrap();
    let cluster = server.cluster.clone();
    let asking = tokio::spawn(async move { cluster.of("/").fetch_sockets().await.unwrap() });
    let request = futures_util::StreamExt::next(&mut silent.on_message()).await.unwrap();
    let request: Json = serde_json::from_slice(request.get_payload_bytes()).unwrap();
    for bad in [&b"\xc0"[..], b"{", b"", br#"{"requestId":7,"sockets":[1]}"#, b"\x81\xa4type\x09"] {
        redis.publish("socket.io-response#/#", bad).await;
    }
    let odd = json!({ "requestId": request["requestId"], "sockets": [null, 1, {"id": null}, {"id": [1]}, {"id": "x", "rooms": 3}] });
    redis.publish("socket.io-response#/#", odd.to_string().as_bytes()).await;
    let fetched = asking.await.unwrap();
    assert!(fetched.is_complete());
    let odd: Vec<_> = fetched.value.iter().filter(|socket| socket.id == "x").collect();
    assert_eq!(odd.len(), 1);
    assert_eq!(server.cluster.stats().malformed - malformed, 4);
}

/// A small generator with a seed, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Good messages to make bad ones of.
static SEEDS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let vectors: Vec<Json> = serde_json::from_str(include_str!("node-classic-vectors.json")).unwrap();
    let unhex = |text: &str| {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let payload = |vector: &Json| match vector["payload"].as_str().unwrap() {
        text if vector["encoding"] == "msgpack" => unhex(text),
        text => text.as_bytes().to_vec(),
    };
    vectors.iter().map(|vector| (vector["channel"].as_str().unwrap().to_owned(), payload(vector))).collect()
});

/// Flips, cuts, repeats and mixes.
fn mutate(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at..),
            4 => {
                let (_, other) = &SEEDS[random.below(SEEDS.len())];
                bytes.splice(at..at, other.iter().copied().take(random.below(20)));
            }
            _ => bytes.insert(at, [0xc1, 0xdd, 0xdf, 0xc6, 0xd7, 0xc0, b'{', b'['][random.below(8)]),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_damaged_messages_leave_the_server_as_it_was() {
    const MESSAGES: usize = 20_000;
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    println!("FUZZ_SEED={seed}");
    let redis = Redis::start().await;
    let server = Server::start(&redis).await;
    let clients = Peer::start();
    clients.js(&format!("my.a = await connect({:?})", server.url)).await;
    let mut connection =
        redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut random = Random(seed);
    let mut sent = 0;
    while sent < MESSAGES {
        let mut pipeline = redis::pipe();
        for _ in 0..500 {
            let (channel, payload) = &SEEDS[random.below(SEEDS.len())];
            // Disconnects would leave nobody to look at.
            let damaged = mutate(&mut random, payload.clone());
            let payload =
                if damaged.windows(8).any(|part| part == b"\"type\":4") { &b"{"[..] } else { &damaged };
            pipeline.cmd("PUBLISH").arg(channel).arg(payload);
            sent += 1;
        }
        pipeline.exec_async(&mut connection).await.unwrap();
    }
    redis.publish("socket.io#/#", b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa5fence\x80").await;
    clients.js("await before(my.a)").await;
    let stats = server.cluster.stats();
    assert_eq!(stats.reconnects, 0, "{stats:?}");
    assert!(stats.malformed > 1000, "{stats:?}");
    assert_eq!(server.cluster.of("/").fetch_sockets().await.unwrap().value.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_we_write_stops_a_node_server() {
    let redis = Redis::start().await;
    let server = Server::start(&redis).await;
    let (node, clients) = (Peer::start(), Peer::start());
    let url = node.js(&format!("my.s = await server({:?}); return my.s.url", redis.url())).await;
    clients.js(&format!("my.a = await connect({:?}); my.n = await connect({url})", server.url)).await;
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let numbers = std::collections::HashMap::from([(1, "numeric key")]);
    let cluster = &server.cluster;
    let root = cluster.of("/");
    root.emit("deep", &deep).unwrap();
    root.emit("numbers", &(u64::MAX, i64::MIN, f64::INFINITY, f64::MIN_POSITIVE, -0.0, numbers)).unwrap();
    root.emit("text", &("\u{0}\u{7f}\u{fffd}😀", "", vec![0u8; 3])).unwrap();
    root.emit("_placeholder", &json!({ "_placeholder": true, "num": 5 })).unwrap();
    root.clone().to("").to("🙂").except("").emit("rooms", &()).unwrap();
    root.clone().to("#").emit("hash", &()).unwrap();
    root.sockets_join(["", "a#b"]);
    root.server_side_emit("odd", &json!({ "data": null })).unwrap();
    // A client whose handshake and rooms are odd is described to Node.
    server.socket(clients.js("return my.a.id").await.as_str().unwrap()).join(["", "\u{0}"]);
    assert_eq!(node.js("return (await my.s.io.fetchSockets()).length").await, 2);
    root.emit("fence", &()).unwrap();
    let got = clients.js("return [(await before(my.n)).map(([event]) => event), (await before(my.a)).map(([event]) => event)]").await;
    assert_eq!(got[0], got[1]);
    assert!(got[0].as_array().unwrap().len() >= 4);
    assert!(node.is_alive().await);
}
