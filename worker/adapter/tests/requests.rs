//! Orders between a Node server, ours and an emitter, in both directions: joins, leaves, disconnects, each exactly once
//! and in line with the broadcasts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use common::{cluster::Cluster, wait};
use futures_util::StreamExt;
use oxherd_adapter::Disconnect;
use serde_json::{Value as Json, json};
use socketioxide::adapter::AdapterError;

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
