//! Questions and orders between a Node server, ours and an emitter, in both directions, each exactly once.

mod common;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use common::{Peer, Redis, Server, server::config, wait};
use futures_util::StreamExt;
use oxherd_adapter::{Disconnect, Gathered, SocketAuth, SocketData};
use serde_json::{Value as Json, json};
use socketioxide::{adapter::AdapterError, socket::Sid};

/// One Redis, servers of Node and ours, and a client on each: `n0`, `n1` … on Node's, `o0`, `o1` … on ours.
struct Cluster {
    redis: Redis,
    node: Peer,
    clients: Peer,
    ours: Vec<Server>,
}

impl Cluster {
    async fn start(nodes: usize, ours: usize) -> Self {
        let redis = Redis::start().await;
        let (node, clients) = (Peer::start(), Peer::start());
        let mut servers = Vec::new();
        for at in 0..ours {
            let server = Server::start(&redis).await;
            clients.js(&format!("my.o{at} = await connect({:?});", server.url)).await;
            servers.push(server);
        }
        for at in 0..nodes {
            let url =
                node.js(&format!("my.s{at} = await server({:?}); return my.s{at}.url", redis.url())).await;
            clients.js(&format!("my.n{at} = await connect({url});")).await;
        }
        node.js("my.io = my.s0?.io").await;
        let cluster = Self { redis, node, clients, ours: servers };
        assert_eq!(cluster.redis.subscribers("socket.io-request#/#").await, nodes + ours);
        cluster
    }

    async fn id(&self, client: &str) -> String {
        self.clients.js(&format!("return my.{client}.id")).await.as_str().unwrap().to_owned()
    }

    fn io(&self) -> &socketioxide::SocketIo<oxherd_adapter::Adapter> {
        &self.ours[0].io
    }

    fn handle(&self) -> oxherd_adapter::Cluster {
        self.ours[0].cluster.clone()
    }

    /// What all clients got before a broadcast that was made after everything else on the same server.
    async fn all_got(&self, names: &[&str]) -> Vec<Json> {
        let list = names.iter().map(|name| format!("await before(my.{name})")).collect::<Vec<_>>().join(",");
        let got = self.clients.js(&format!("return [{list}]")).await;
        got.as_array().unwrap().clone()
    }
}

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
async fn joins_and_leaves_take_effect_everywhere_before_what_follows_them() {
    let cluster = Cluster::start(1, 1).await;
    let names = ["n0", "o0"];
    for round in 0..20 {
        let room = format!("room{round}");
        // A join must not be overtaken by the broadcast to the room, nor a broadcast by the leave.
        cluster
            .node
            .js(&format!(
                "my.io.socketsJoin('{room}'); my.io.to('{room}').emit('in'); my.io.socketsLeave('{room}');
                 my.io.to('{room}').emit('out'); my.io.emit('fence');"
            ))
            .await;
        // Node acts on its own join only when it hears it, so its own client may miss the first.
        assert_eq!(cluster.all_got(&names).await[1], json!([["in"]]), "round {round}");
        let (io, to) = (cluster.io(), || cluster.io().to(room.clone()));
        io.clone().join(room.clone()).await.unwrap();
        to().emit("in", &()).await.unwrap();
        io.clone().leave(room.clone()).await.unwrap();
        to().emit("out", &()).await.unwrap();
        io.emit("fence", &()).await.unwrap();
        for got in cluster.all_got(&names).await {
            assert_eq!(got, json!([["in", null]]), "round {round}");
        }
        let target = cluster.handle().of("/");
        target.sockets_join([room.clone(), "other".into()]);
        target.clone().to(room.clone()).emit("in", &()).unwrap();
        target.clone().to("other").sockets_leave([room.clone()]);
        target.clone().to(room).emit("out", &()).unwrap();
        target.emit("fence", &()).unwrap();
        for got in cluster.all_got(&names).await {
            assert_eq!(got, json!([["in", null]]), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_by_id_concerns_one_socket_on_whichever_server() {
    let cluster = Cluster::start(1, 2).await;
    let [theirs, mine, other] = [cluster.id("n0").await, cluster.id("o0").await, cluster.id("o1").await];
    cluster.node.js(&format!("my.io.in('{mine}').socketsJoin('a')")).await;
    wait("ours is in the room", || cluster.ours[0].socket(&mine).rooms() == ["a"]).await;
    cluster.handle().to(theirs.clone()).sockets_join(["a"]);
    cluster.handle().to(other.clone()).sockets_join(["a"]);
    wait("the other is in the room", || cluster.ours[1].socket(&other).rooms() == ["a"]).await;
    let count = async || cluster.handle().to("a").count().await.unwrap().value;
    assert_eq!(count().await, 3);
    // A socket of another server leaves no trace here.
    let remote = cluster.io().fetch_sockets().await.unwrap();
    let other = remote.iter().find(|socket| socket.data().id.to_string() == other).unwrap();
    other.join("b").await.unwrap();
    assert_eq!(cluster.io().local().to("b").sockets().len(), 0);
    other.leave("a").await.unwrap();
    assert_eq!(count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnects_end_the_namespace_or_the_connection() {
    let cluster = Cluster::start(1, 1).await;
    cluster.ours[0].io.ns("/chat", async || {}).await.unwrap();
    cluster.ours[0].cluster.ready().await;
    let url = &cluster.ours[0].url;
    let code = format!(
        "my.one = await connect({url:?});
         my.two = my.one.io.socket('/chat');
         await new Promise((resolve) => {{ my.two.on('connect', resolve); my.two.connect(); }});"
    );
    cluster.clients.js(&code).await;
    let id = cluster.id("one").await;
    cluster.node.js(&format!("my.io.in('{id}').disconnectSockets()")).await;
    let left =
        cluster.clients.js("await until(() => my.one.left); return [my.one.left, my.two.connected]").await;
    assert_eq!(left, json!(["io server disconnect", true]));

    cluster.clients.js(&code).await;
    let id = cluster.id("one").await;
    cluster.node.js(&format!("my.io.in('{id}').disconnectSockets(true)")).await;
    let left = cluster
        .clients
        .js("await until(() => my.one.left && !my.two.connected); await until(() => my.one.io.engine.readyState === 'closed'); return my.one.left")
        .await;
    assert_eq!(left, "io server disconnect");

    cluster.handle().of("/").disconnect_sockets(Disconnect::Connection);
    let left = cluster
        .clients
        .js("await until(() => my.n0.left && my.o0.left); return [my.n0.left, my.o0.left]")
        .await;
    // Node closes the transport itself; whichever the client sees first.
    assert_eq!(left[1], "io server disconnect");
    wait("nobody is left", || cluster.io().local().sockets().is_empty()).await;
    assert_eq!(cluster.handle().of("/").count().await.unwrap().value, 0);
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
    assert_eq!(acks(".to('empty')", "'ask', 5").await, [json!(0); 0]);
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
async fn an_emitter_reaches_both_kinds_of_servers_once() {
    let cluster = Cluster::start(1, 1).await;
    let url = cluster.redis.url();
    cluster.node.js(&format!("my.emitter = new Emitter(redis({url:?}));")).await;
    let names = ["n0", "o0"];
    let mine = cluster.id("o0").await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    cluster.handle().on_server_side_emit("/", "hello", move |n: usize| {
        count.fetch_add(n, SeqCst);
        async {}
    });
    let say = async |code: &str| {
        cluster.node.js(&format!("my.emitter{code}; my.emitter.emit('fence')")).await;
        cluster.all_got(&names).await
    };
    assert_eq!(
        say(".emit('e', 1, Buffer.from([7]))").await,
        [json!([["e", 1, { "$hex": "07" }]]), json!([["e", 1, { "$hex": "07" }]])]
    );
    assert_eq!(say(".socketsJoin('r')").await, [json!([]), json!([])]);
    assert_eq!(say(".to('r').emit('e')").await, [json!([["e"]]), json!([["e"]])]);
    assert_eq!(say(&format!(".to('r').except('{mine}').emit('e')")).await, [json!([["e"]]), json!([])]);
    assert_eq!(say(&format!(".in('{mine}').socketsLeave('r')")).await, [json!([]), json!([])]);
    assert_eq!(say(".to('r').emit('e')").await, [json!([["e"]]), json!([])]);
    say(".serverSideEmit('hello', 3)").await;
    wait("the event arrives", || seen.load(SeqCst) == 3).await;
    // It is no server, and nobody counts it as one.
    assert_eq!(cluster.handle().of("/").server_count().await, 2);
    cluster.node.js(&format!("my.emitter.in('{mine}').disconnectSockets(true)")).await;
    cluster.clients.js("await until(() => my.o0.left)").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn legacy_requests_for_one_socket_are_done_and_acknowledged() {
    let cluster = Cluster::start(0, 1).await;
    let id = cluster.id("o0").await;
    let mut answers = redis::Client::open(cluster.redis.url()).unwrap().get_async_pubsub().await.unwrap();
    answers.subscribe("socket.io-response#/#").await.unwrap();
    let ask = async |fields: Json| {
        let text = fields.to_string();
        cluster.redis.publish("socket.io-request#/#", text.as_bytes()).await;
    };
    ask(json!({ "uid": "old", "requestId": "r1", "type": 2, "sid": "AAAAAAAAAAAAAAAA", "room": "x" })).await;
    ask(json!({ "uid": "old", "requestId": "r2", "type": 2, "sid": id, "room": "x" })).await;
    ask(json!({ "uid": "old", "requestId": "r3", "type": 0, "rooms": ["x"] })).await;
    ask(json!({ "uid": "old", "requestId": "r4", "type": 3, "sid": id, "room": "x" })).await;
    ask(json!({ "uid": "old", "requestId": "r5", "type": 1 })).await;
    ask(json!({ "uid": "old", "requestId": "r6", "type": 4, "sid": id, "close": true })).await;
    let mut stream = answers.on_message();
    for expected in [
        json!({ "requestId": "r2" }),
        json!({ "requestId": "r3", "sockets": [id] }),
        json!({ "requestId": "r4" }),
        json!({ "requestId": "r5", "rooms": [id] }),
        json!({ "requestId": "r6" }),
    ] {
        let answer = tokio::time::timeout(common::DEADLINE, stream.next()).await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Json>(answer.get_payload_bytes()).unwrap(), expected);
    }
    cluster.clients.js("await until(() => my.o0.left)").await;
}

/// The error type stays convertible for those who box it.
#[test]
fn errors_become_adapter_errors() {
    let error = AdapterError::from(oxherd_adapter::Error::TooManyRequests);
    assert!(error.to_string().contains("too many questions"));
}
