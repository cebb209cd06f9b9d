//! Redis dies, hangs, comes back, cuts connections: local sockets are served all the time, everything is subscribed
//! again before anything is published, and every message is accounted for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use common::{Peer, Redis, Server, server::config, until, wait};
use oxherd_adapter::{Cluster, Stats};

/// Two servers of ours and a client on each, `a` and `b`.
struct Pair {
    redis: Redis,
    a: Server,
    b: Server,
    clients: Peer,
}

impl Pair {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let quick = |name: &str| {
            let config =
                config(&redis).reply_timeout(Duration::from_secs(2)).heartbeat(Duration::from_millis(300));
            config.connect_timeout(Duration::from_secs(2)).client_name(name).unwrap()
        };
        let (a, b) =
            (Server::with(quick("worker-a"), &["/"]).await, Server::with(quick("worker-b"), &["/"]).await);
        let clients = Peer::start();
        clients.js(&format!("my.a = await connect({:?}); my.b = await connect({:?});", a.url, b.url)).await;
        Self { redis, a, b, clients }
    }

    /// Sends numbered events from `a` until it is told to stop.
    fn stream(&self) -> Stream {
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped, cluster) = (sent.clone(), stop.clone(), self.a.cluster.clone());
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(1));
            while !stopped.load(SeqCst) {
                cluster.of("/").emit("n", &count.load(SeqCst)).unwrap();
                count.fetch_add(1, SeqCst);
                tick.tick().await;
            }
        });
        Stream { sent, stop, task }
    }

    /// The numbers that a client got, after the event `fence`.
    async fn numbers(&self, client: &str) -> Vec<u64> {
        let got = self.clients.js(&format!("return (await before(my.{client})).map(([, n]) => n)")).await;
        got.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
    }

    /// Waits until `a`'s and `b`'s servers hear each other again.
    async fn whole(&self) {
        self.a.cluster.ready().await;
        self.b.cluster.ready().await;
        until("both are counted", async || {
            (self.redis.subscribers("socket.io-request#/#").await == 2).then_some(())
        })
        .await;
    }
}

struct Stream {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Stream {
    /// The number of the next event.
    fn next(&self) -> u64 {
        self.sent.load(SeqCst)
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, SeqCst);
        self.task.await.unwrap();
        self.sent.load(SeqCst)
    }
}

/// Numbers that another server's client may have missed: what was on its way when Redis went, and what was published
/// before that server was subscribed again.
fn assert_missing_only_within(outages: &[Range<u64>], sent: u64, got: &[u64]) {
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
    let got: BTreeSet<u64> = got.iter().copied().collect();
    // Redis confirms before it has written to all subscribers, and dies with what it has not written.
    const ON_ITS_WAY: u64 = 50;
    for missing in (0..sent).filter(|n| !got.contains(n)) {
        let excused =
            |outage: &Range<u64>| outage.start.saturating_sub(ON_ITS_WAY) <= missing && missing <= outage.end;
        assert!(outages.iter().any(excused), "{missing} is missing, outages were {outages:?}");
    }
}

/// The books are right, and nothing is waiting.
async fn balanced(cluster: &Cluster) -> Stats {
    cluster.settled().await;
    let stats = cluster.stats();
    assert_eq!(stats.published, stats.confirmed + stats.dropped + stats.unknown, "{stats:?}");
    assert_eq!(stats.buffered, 0);
    stats
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_interrupts_nothing_local_and_every_message_is_accounted_for() {
    let mut pair = Pair::start().await;
    let before = balanced(&pair.a.cluster).await;
    let stream = pair.stream();
    let mut outages = Vec::new();
    for _ in 0..3 {
        let confirmed = pair.a.cluster.stats().confirmed;
        wait("some were confirmed", || pair.a.cluster.stats().confirmed > confirmed + 50).await;
        let start = stream.next();
        pair.redis.kill();
        wait("it was noticed", || !pair.a.cluster.is_ready() && !pair.b.cluster.is_ready()).await;
        // The local client goes on getting events while there is no Redis.
        pair.clients.js("const had = my.a.got.length; await until(() => my.a.got.length > had + 50)").await;
        pair.redis.restart().await;
        pair.whole().await;
        outages.push(start..stream.next());
    }
    let sent = stream.stop().await;
    pair.a.cluster.of("/").emit("fence", &()).unwrap();
    let stats = balanced(&pair.a.cluster).await;
    assert_eq!(stats.published - before.published, sent + 1);
    assert_eq!(stats.dropped, 0);
    assert!(stats.reconnects >= 6, "{stats:?}");
    assert!(pair.numbers("a").await.into_iter().eq(0..sent), "the local client got all, in order");
    assert_missing_only_within(&outages, sent, &pair.numbers("b").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_redis_is_given_up_and_what_it_holds_is_unknown() {
    let pair = Pair::start().await;
    let before = balanced(&pair.a.cluster).await;
    let stream = pair.stream();
    wait("some were confirmed", || pair.a.cluster.stats().confirmed > before.confirmed + 50).await;
    let start = stream.next();
    pair.redis.pause();
    wait("it was noticed", || !pair.a.cluster.is_ready() && !pair.b.cluster.is_ready()).await;
    pair.clients.js("const had = my.a.got.length; await until(() => my.a.got.length > had + 50)").await;
    pair.redis.resume();
    pair.whole().await;
    let outage = start..stream.next();
    let sent = stream.stop().await;
    pair.a.cluster.of("/").emit("fence", &()).unwrap();
    let stats = balanced(&pair.a.cluster).await;
    assert_eq!(stats.published - before.published, sent + 1);
    assert!(stats.unknown > 0 && stats.dropped == 0, "{stats:?}");
    assert!(pair.numbers("a").await.into_iter().eq(0..sent));
    assert_missing_only_within(&[outage], sent, &pair.numbers("b").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_redis_cuts_come_back_with_name_and_subscriptions() {
    let pair = Pair::start().await;
    let publisher = |line: &&String| line.contains(" sub=0 psub=0 ");
    for round in 0..6 {
        let clients = pair.redis.clients("worker-a").await;
        assert_eq!(clients.len(), 2, "{clients:?}");
        // Now the one, now the other.
        let cut = clients.iter().find(|line| publisher(line) == (round % 2 == 0)).unwrap();
        let id = cut.strip_prefix("id=").unwrap().split(' ').next().unwrap();
        let _: usize = pair.redis.ask(redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id)).await;
        let before = pair.a.cluster.stats().reconnects;
        wait("it is back", || pair.a.cluster.stats().reconnects == before + 1 || before > round).await;
        pair.whole().await;
        pair.a.cluster.of("/").emit("fence", &round).unwrap();
        pair.clients.js("await before(my.a); await before(my.b)").await;
        pair.b.cluster.of("/").emit("fence", &round).unwrap();
        pair.clients.js("await before(my.a); await before(my.b)").await;
    }
    let stats = balanced(&pair.a.cluster).await;
    assert_eq!((stats.unknown, stats.dropped), (0, 0));
    // What is subscribed once is heard once.
    assert_eq!(pair.a.cluster.of("/").fetch_sockets().await.unwrap().value.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_local_sockets_are_served_and_the_buffer_is_bounded() {
    let mut redis = Redis::start().await;
    redis.kill();
    let config = config(&redis).buffer_max(100, 1 << 20).request_timeout(Duration::from_secs(1));
    let server = Server::unconnected(config, &["/"]).await;
    let clients = Peer::start();
    clients
        .js(&format!("my.a = await connect({:?}); my.a.on('ask', (done) => done('yes'))", server.url))
        .await;
    for n in 0..250 {
        server.io.emit("n", &n).await.unwrap();
        // socketioxide keeps 128 packets for a client, and refuses more.
        if n % 50 == 0 {
            clients.js(&format!("await until(() => my.a.got.length > {n})")).await;
        }
    }
    server.io.emit("fence", &()).await.unwrap();
    assert_eq!(clients.js("return (await before(my.a)).length").await, 250);
    let stats = server.cluster.stats();
    assert_eq!((stats.published, stats.dropped, stats.buffered), (251, 151, 100));

    // Questions are answered with what is known.
    let fetched = server.cluster.of("/").fetch_sockets().await.unwrap();
    assert_eq!((fetched.value.len(), fetched.expected, fetched.is_complete()), (1, None, false));
    let ack = server.io.local().emit_with_ack::<_, String>("ask", &[0; 0]).await.unwrap().await;
    assert_eq!(ack.unwrap(), "yes");
    let acks = server.io.emit_with_ack::<_, String>("ask", &[0; 0]).await.unwrap();
    assert_eq!(futures_util::StreamExt::count(acks).await, 1);

    // What waited goes out, in order, when there is a Redis.
    redis.restart().await;
    server.cluster.ready().await;
    let stats = balanced(&server.cluster).await;
    assert_eq!((stats.dropped, stats.confirmed, stats.unknown), (152, 100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_come_and_go_with_their_subscriptions() {
    let redis = Redis::start().await;
    let server = Server::start(&redis).await;
    let subscribed = async |name: &str| redis.subscribers(&format!("socket.io-request#{name}#")).await;
    for round in 0..3 {
        server.io.ns("/more", async || {}).await.unwrap();
        server.cluster.ready().await;
        assert_eq!((subscribed("/more").await, subscribed("/").await), (1, 1), "round {round}");
        server.io.delete_ns("/more");
        until("it is forgotten", async || (subscribed("/more").await == 0).then_some(())).await;
    }
    server.io.dyn_ns("/tenant-{id}", async || {}).unwrap();
    let clients = Peer::start();
    let url = &server.url;
    clients
        .js(&format!(
            "await Promise.all([1, 2, 3].map((n) => connect({url:?}, {{ namespace: '/tenant-' + n }})))"
        ))
        .await;
    server.cluster.ready().await;
    for n in 1..=3 {
        assert_eq!(subscribed(&format!("/tenant-{n}")).await, 1);
    }
    server.cluster.shutdown();
    until("the server is gone", async || (subscribed("/").await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_a_unix_socket_are_enough_to_connect() {
    let path = std::env::temp_dir().join(format!("oxherd-adapter-{}.sock", std::process::id()));
    let socket = path.to_str().unwrap();
    let redis = Redis::with(&["--unixsocket", socket]).await;
    let _: () = redis.ask(redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("secret")).await;
    let config = oxherd_adapter::Config::new(format!("redis+unix://{socket}?pass=secret")).unwrap();
    let server = Server::with(config.client_name("worker-u").unwrap(), &["/"]).await;
    assert_eq!(server.cluster.of("/").server_count().await, 1);
    let wrong = oxherd_adapter::Config::new(format!("unix://{socket}")).unwrap();
    let stranger = Server::unconnected(wrong, &["/"]).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), stranger.cluster.ready()).await.is_err());
    drop((server, stranger, redis));
    std::fs::remove_file(path).unwrap();
}

/// Redis 5 knows no HELLO. With the command taken away, today's Redis does not either.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_resp3_serves_as_well() {
    let redis = Redis::with(&["--rename-command", "HELLO", ""]).await;
    let quick = || config(&redis).heartbeat(Duration::from_millis(50));
    let (a, b) = (Server::with(quick(), &["/"]).await, Server::with(quick(), &["/"]).await);
    let clients = Peer::start();
    clients.js(&format!("my.a = await connect({:?}); my.b = await connect({:?});", a.url, b.url)).await;
    for n in 0..100 {
        a.cluster.of("/").emit("n", &n).unwrap();
    }
    a.cluster.of("/").emit("fence", &()).unwrap();
    assert_eq!(clients.js("return (await before(my.b)).length").await, 100);
    assert!(a.cluster.of("/").fetch_sockets().await.unwrap().is_complete());
    // Both connections, of both servers.
    let _: usize = redis.ask(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal")).await;
    let _: usize = redis.ask(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub")).await;
    wait("it was noticed", || a.cluster.stats().reconnects == 2 && b.cluster.stats().reconnects == 2).await;
    a.cluster.ready().await;
    b.cluster.ready().await;
    a.cluster.of("/").emit("fence", &()).unwrap();
    clients.js("await before(my.b)").await;
}

#[tokio::test]
async fn a_channel_of_ones_own_is_heard_by_all_who_listen_and_again_after_an_outage() {
    let mut redis = Redis::start().await;
    let (a, b) = (Server::start(&redis).await, Server::start(&redis).await);
    let heard: [Arc<std::sync::Mutex<Vec<Vec<u8>>>>; 2] = Default::default();
    for (server, heard) in [&a, &b].into_iter().zip(heard.clone()) {
        server.cluster.listen("own", move |message| heard.lock().unwrap().push(message.to_vec()));
        server.cluster.ready().await;
    }
    let both_heard = |count: usize| heard.iter().all(|heard| heard.lock().unwrap().len() == count);
    a.cluster.publish("own", b"one".to_vec());
    a.cluster.publish("another", b"for nobody".to_vec());
    b.cluster.publish("own", vec![0xff; 3]);
    wait("both are heard", || both_heard(2)).await;

    redis.kill();
    wait("the outage is noticed", || !a.cluster.is_ready() && !b.cluster.is_ready()).await;
    redis.restart().await;
    a.cluster.ready().await;
    b.cluster.ready().await;
    b.cluster.publish("own", b"three".to_vec());
    wait("the third is heard", || both_heard(3)).await;
    for heard in &heard {
        let mut heard = heard.lock().unwrap().clone();
        heard.sort();
        assert_eq!(heard, [b"one".to_vec(), b"three".to_vec(), vec![0xff; 3]]);
    }
    let stats = a.cluster.stats();
    assert_eq!((stats.malformed, stats.delivered), (0, 0), "no namespace takes them for its own");
}
