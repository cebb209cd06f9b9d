//! Questions between a Node server and ours in both directions: sockets, rooms, counts, acknowledgements and server-side
//! events, each answered by everybody once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use common::{Peer, Redis, Server, cluster::Cluster, server::config};
use futures_util::StreamExt;
use oxherd_adapter::{Gathered, SocketAuth, SocketData};
use serde_json::{Value as Json, json};
use socketioxide::socket::Sid;

#[tokio::test(flavor = "multi_thread")]
async fn node_fetches_our_sockets_with_rooms_handshake_and_data() {
    let cluster = Cluster::start(1, 1).await;
    let id = cluster.id("o0").await;
    let socket = cluster.ours[0].socket(&id);
    socket.join(["r", "s"]);
    socket.extensions.insert(SocketData(json!({ "user": "bob" })));
    socket.extensions.insert(SocketAuth(json!({ "token": "t" })));
    let got = cluster
        .node
        .js("const all = await my.io.fetchSockets();
             const [one, ...more] = await my.io.in('r').fetchSockets();
             const except = await my.io.except('r').fetchSockets();
             return { all: all.length, more, except: except.length, id: one.id, rooms: [...one.rooms].sort(),
                      data: one.data, handshake: one.handshake };")
        .await;
    assert_eq!((&got["all"], &got["more"], &got["except"]), (&json!(2), &json!([]), &json!(1)));
    let mut rooms = [id.as_str(), "r", "s"];
    rooms.sort();
    assert_eq!(
        (&got["id"], &got["rooms"], &got["data"]),
        (&json!(id), &json!(rooms), &json!({ "user": "bob" }))
    );
    let handshake = &got["handshake"];
    assert_eq!(handshake["query"], json!({ "EIO": "4", "transport": "websocket" }));
    assert_eq!(handshake["auth"], json!({ "token": "t" }));
    assert!(handshake["headers"]["host"].is_string() && handshake["url"].as_str().unwrap().contains("EIO=4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn we_fetch_the_sockets_of_node_with_rooms_handshake_and_data() {
    let cluster = Cluster::start(1, 1).await;
    let (theirs, mine) = (cluster.id("n0").await, cluster.id("o0").await);
    cluster
        .clients
        .js("await my.n0.emitWithAck('join', 'r'); await my.n0.emitWithAck('data', {user: 'ann'})")
        .await;
    cluster.ours[0].socket(&mine).join("mine");
    let all = cluster.handle().of("/").fetch_sockets().await.unwrap();
    assert!(all.is_complete() && all.expected == Some(1));
    let ids: BTreeSet<_> = all.value.iter().map(|socket| socket.id.clone()).collect();
    assert_eq!(ids, BTreeSet::from([theirs.clone(), mine.clone()]));
    let some = cluster.handle().to("r").fetch_sockets().await.unwrap().value;
    let [one] = &some[..] else { panic!("{some:?}") };
    assert_eq!(
        (&one.id, &one.rooms, &one.data),
        (&theirs, &BTreeSet::from(["r".into()]), &json!({ "user": "ann" }))
    );
    assert!(one.handshake["headers"]["host"].is_string());
    assert_eq!(cluster.handle().of("/").except("r").fetch_sockets().await.unwrap().value.len(), 1);
    assert_eq!(cluster.handle().to(theirs).fetch_sockets().await.unwrap().value.len(), 1);
    // socketioxide's own shows those whose id it can hold.
    assert_eq!(cluster.io().fetch_sockets().await.unwrap().len(), 1);
    let mut rooms = cluster.io().rooms().await.unwrap();
    rooms.sort();
    assert_eq!(rooms, ["mine", "r"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_of_two_and_two_count_each_other() {
    let cluster = Cluster::start(2, 2).await;
    let ids: Vec<_> =
        [cluster.id("n0").await, cluster.id("n1").await, cluster.id("o0").await, cluster.id("o1").await]
            .into_iter()
            .collect();
    cluster.ours[1].socket(&ids[3]).join("r");
    for server in &cluster.ours {
        let handle = &server.cluster;
        assert_eq!(handle.of("/").server_count().await, 4);
        let count = handle.of("/").count().await.unwrap();
        assert_eq!(count, Gathered { value: 4, answered: 3, expected: Some(3) });
        assert_eq!(handle.to("r").count().await.unwrap().value, 1);
        assert_eq!(handle.of("/").except("r").count().await.unwrap().value, 3);
        let rooms = handle.of("/").all_rooms().await.unwrap().value;
        assert_eq!(rooms, ids.iter().cloned().chain(["r".to_owned()]).collect());
        let mut remote = server.io.fetch_sockets().await.unwrap();
        assert_eq!(remote.len(), 2);
        remote.retain(|socket| socket.data().id.to_string() == ids[3]);
        remote[0].emit("hello", &1).await.unwrap();
    }
    for server in ["s0", "s1"] {
        let got = cluster
            .node
            .js(&format!(
                "const io = my.{server}.io;
                 return [await io.of('/').adapter.serverCount(), (await io.fetchSockets()).length,
                         [...await io.of('/').adapter.allRooms()].filter((room) => room === 'r' || room.length < 20).length];"
            ))
            .await;
        assert_eq!(got, json!([4, 4, 3]), "{server}");
    }
    cluster.io().emit("fence", &()).await.unwrap();
    cluster.ours[1].io.emit("fence", &()).await.unwrap();
    let got = cluster.clients.js("await until(() => my.o1.got.length === 4); return my.o1.got").await;
    assert_eq!(got.as_array().unwrap().iter().filter(|event| event[0] == "hello").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_events_reach_the_other_servers_once_and_bring_answers() {
    let cluster = Cluster::start(2, 2).await;
    let seen = Arc::new(AtomicUsize::new(0));
    for (at, server) in cluster.ours.iter().enumerate() {
        let seen = seen.clone();
        server.cluster.on_server_side_emit("/", "ask", move |(n, text): (i32, String)| {
            seen.fetch_add(1, SeqCst);
            async move { json!({ "from": at, "n": n, "text": text }) }
        });
    }
    cluster
        .node
        .js("my.seen = [];
             for (const [name, {io}] of [['s0', my.s0], ['s1', my.s1]]) {
               io.on('ask', (n, text, done) => { my.seen.push(name); done?.({ from: name, n, text }); });
               io.on('silent', () => {});
             }")
        .await;
    let from = |answers: Json| -> BTreeSet<String> {
        answers.as_array().unwrap().iter().map(|answer| answer["from"].to_string()).collect()
    };
    let answers = cluster.node.js("return await my.io.serverSideEmitWithAck('ask', 7, 'x')").await;
    assert_eq!(from(answers), ["0", "1", "\"s1\""].map(str::to_owned).into());
    let answers: Gathered<Vec<Option<Json>>> =
        cluster.handle().of("/").server_side_emit_with_ack("ask", &(7, "x")).await.unwrap();
    assert!(answers.is_complete());
    assert_eq!(answers.value[0].as_ref().unwrap()["n"], 7);
    assert_eq!(
        from(answers.value.into_iter().flatten().collect()),
        ["1", "\"s0\"", "\"s1\""].map(str::to_owned).into()
    );
    assert_eq!(seen.load(SeqCst), 3);
    assert_eq!(cluster.node.js("return my.seen.splice(0).sort()").await, json!(["s0", "s1", "s1"]));

    // Without an answer; the event after it is the fence.
    cluster.handle().of("/").server_side_emit("ask", &(1, "y")).unwrap();
    cluster.handle().of("/").server_side_emit_with_ack::<_, Json>("ask", &(2, "z")).await.unwrap();
    assert_eq!(cluster.node.js("return my.seen.splice(0).sort()").await, json!(["s0", "s0", "s1", "s1"]));
    cluster
        .node
        .js("my.io.serverSideEmit('ask', 3, 'w'); await my.io.serverSideEmitWithAck('ask', 3, 'w')")
        .await;
    assert_eq!(seen.load(SeqCst), 3 + 2 + 4);

    // A handler that we do not have answers nothing, at once.
    let start = Instant::now();
    let answers = cluster
        .node
        .js("my.s1.io.on('mine', (done) => done(1)); return await my.io.serverSideEmitWithAck('mine')")
        .await;
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_come_from_all_clients_of_all_servers() {
    let cluster = Cluster::start(1, 1).await;
    cluster
        .clients
        .js("for (const [name, client] of [['n0', my.n0], ['o0', my.o0]]) {
               client.on('ask', (n, done) => done({ name, n }));
               client.on('bin', (...args) => args.pop()(Buffer.from([1, 2])));
               client.on('none', (...args) => args.pop()());
             }")
        .await;
    let sorted = |mut list: Vec<Json>| {
        list.sort_by_key(Json::to_string);
        list
    };
    let both = [json!({ "name": "n0", "n": 5 }), json!({ "name": "o0", "n": 5 })];
    // Node asks.
    let acks = async |chosen: &str, event: &str| {
        let code = format!("return await my.io{chosen}.timeout(3000).emitWithAck({event})");
        sorted(cluster.node.js(&code).await.as_array().unwrap().clone())
    };
    let mine = cluster.id("o0").await;
    assert_eq!(acks("", "'ask', 5").await, both);
    assert_eq!(acks(&format!(".to('{mine}')"), "'ask', 5").await, both[1..]);
    assert_eq!(acks(".to('empty')", "'ask', 5").await, Vec::<Json>::new());
    assert_eq!(acks("", "'bin'").await, [json!({ "$hex": "0102" }), json!({ "$hex": "0102" })]);
    assert_eq!(acks("", "'none'").await, [Json::Null, Json::Null]);
    // We ask.
    let io = cluster.io();
    let stream = io.to("none yet").emit_with_ack::<_, Json>("ask", &5).await.unwrap();
    assert_eq!(stream.collect::<Vec<_>>().await.len(), 0);
    let stream = io.emit_with_ack::<_, Json>("ask", &5).await.unwrap();
    let acks: Vec<_> = stream.collect().await;
    let zero = acks.iter().filter(|(sid, _)| *sid == Sid::ZERO).count();
    assert_eq!(zero, 1);
    assert_eq!(sorted(acks.into_iter().map(|(_, ack)| ack.unwrap()).collect()), both);
    let stream = io.emit_with_ack::<_, bytes::Bytes>("bin", &()).await.unwrap();
    let acks: Vec<_> = stream.map(|(_, ack)| ack.unwrap()).collect().await;
    assert_eq!(acks, [&[1, 2][..], &[1, 2]]);
    // An empty list is what a client's acknowledgement without an argument is.
    let stream = io.emit_with_ack::<_, [Json; 0]>("none", &()).await.unwrap();
    assert_eq!(stream.filter(|(_, ack)| std::future::ready(ack.is_ok())).count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_costs_one_timeout_and_not_the_other_answers() {
    let redis = Redis::start().await;
    let timeout = Duration::from_millis(600);
    let ours = Server::with(config(&redis).request_timeout(timeout), &["/"]).await;
    let other = Server::start(&redis).await;
    let clients = Peer::start();
    clients.js(&format!("my.a = await connect({:?}); my.b = await connect({:?})", ours.url, other.url)).await;
    clients.js("my.a.on('ask', (n, done) => done(n)); my.b.on('ask', () => {})").await;
    // Somebody who is counted and never answers.
    let silent = redis::Client::open(redis.url()).unwrap();
    let mut silent = silent.get_async_pubsub().await.unwrap();
    silent.subscribe("socket.io-request#/#").await.unwrap();

    let start = Instant::now();
    let fetched = ours.cluster.of("/").fetch_sockets().await.unwrap();
    assert!(start.elapsed() >= timeout && start.elapsed() < timeout * 10);
    assert_eq!((fetched.value.len(), fetched.answered, fetched.expected), (2, 1, Some(2)));
    assert!(!fetched.is_complete());
    assert_eq!(ours.io.fetch_sockets().await.unwrap().len(), 2);

    let start = Instant::now();
    let stream = ours.io.timeout(timeout).emit_with_ack::<_, Json>("ask", &5).await.unwrap();
    let acks: Vec<_> = stream.collect().await;
    assert_eq!(acks.len(), 1);
    assert_eq!(*acks[0].1.as_ref().unwrap(), 5);
    assert!(start.elapsed() >= timeout && start.elapsed() < timeout * 10);

    // Gone again, it costs nothing.
    drop(silent);
    common::until("redis forgot it", async || {
        (redis.subscribers("socket.io-request#/#").await == 2).then_some(())
    })
    .await;
    let start = Instant::now();
    assert!(ours.cluster.of("/").fetch_sockets().await.unwrap().is_complete());
    assert!(start.elapsed() < timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_may_go_to_the_asking_server_alone() {
    let redis = Redis::start().await;
    let specific = config(&redis).answers(oxherd_adapter::Answers::Specific);
    let ours = Server::with(specific, &["/"]).await;
    let (node, clients) = (Peer::start(), Peer::start());
    let url = format!("{:?}", redis.url());
    node.js(&format!("my.s = await server({url}, {{ publishOnSpecificResponseChannel: true }})")).await;
    clients.js(&format!("my.o = await connect({:?}); my.o.on('ask', (done) => done('yes'))", ours.url)).await;
    assert_eq!(node.js("return (await my.s.io.fetchSockets()).length").await, 1);
    assert_eq!(node.js("return await my.s.io.timeout(3000).emitWithAck('ask')").await, json!(["yes"]));
    let fetched = ours.cluster.of("/").fetch_sockets().await.unwrap();
    assert_eq!((fetched.value.len(), fetched.answered), (1, 1));
}
