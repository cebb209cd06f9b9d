//! The hot paths, measured: `cargo test --release -p oxherd-adapter -- --ignored bench --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;
use socketioxide_core::{
    Sid, Value,
    adapter::{BroadcastFlags, BroadcastOptions, CoreAdapter, Room},
    packet::Packet,
};

use crate::{
    ClassicAdapter, Cluster, Config, stub,
    wire::{broadcast::Encoder, selection::Selection},
};

const EVENT: &str = r#"["message",{"id":123456,"room":"room-1","from":"AAAAAAAAAAAAAAAA","at":1700000000123,"data":"0123456789abcdef0123456789abcdef"}]"#;
const ROUNDS: u32 = 200_000;

fn time(what: &str, mut once: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| once());
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| once());
    println!("{what}: {:?}", start.elapsed() / ROUNDS);
}

#[tokio::test]
#[ignore = "a benchmark, for release builds"]
async fn bench_the_hot_paths() {
    // Nobody listens there: what is published is dropped at the buffer's limit.
    let config = Config::new("unix:///nonexistent/redis").unwrap().buffer_max(0, 0);
    let cluster = Cluster::start(config.connect_timeout(Duration::from_secs(1))).unwrap();
    let sids: [Sid; 10] = std::array::from_fn(|_| Sid::new());
    let (local, sent) = stub::recording("/", sids);
    let adapter = Arc::new(ClassicAdapter::new(&cluster, local));
    Arc::clone(&adapter).init(|| {}).await.unwrap();
    let local = adapter.get_local();
    local.add_all(sids[0], "one");
    sids.iter().for_each(|sid| local.add_all(*sid, "ten"));

    let event = Value::Str(EVENT.into(), None);
    let select = |room: &'static str| Selection { rooms: vec![Room::Borrowed(room)], ..Selection::default() };
    let encoder = Encoder::new("BBBBBBBBBBBBBBBB", "/");
    let to = select("nobody");
    time("encode a broadcast", || drop(std::hint::black_box(encoder.encode(&event, &to).unwrap())));

    let mut opts = BroadcastOptions::default();
    opts.rooms.push("nobody".into());
    opts.add_flag(BroadcastFlags::Broadcast);
    time("broadcast, up to the buffer, no local member", || {
        let packet = Packet::event("/", event.clone());
        adapter.broadcast(packet, opts.clone()).now_or_never().unwrap().unwrap();
    });

    for (room, what) in [
        ("nobody", "receive, drop undecoded"),
        ("one", "receive, deliver to 1"),
        ("ten", "receive, deliver to 10"),
    ] {
        let message = Bytes::from(encoder.encode(&event, &select(room)).unwrap());
        let channel = format!("socket.io#/#{room}#");
        time(what, || {
            cluster.hub.receive(Some(b"socket.io#/#*"), channel.as_bytes(), &message);
            sent.lock().unwrap().clear();
        });
    }
    let stats = cluster.stats();
    assert!(stats.delivered > 0 && stats.skipped > 0 && stats.malformed == 0, "{stats:?}");
}
