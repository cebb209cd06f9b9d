//! Broadcasts between a Node server and this one, in both directions: everybody who is meant gets each exactly once,
//! nobody else gets any.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod common;

use std::str::FromStr;

use bytes::Bytes;
use common::{Peer, Redis, Server, server::config};
use serde_json::{Value as Json, json};
use socketioxide::socket::Sid;

/// One Redis, one Node server, one server of ours, and on each a client in the room `r` (and one in no room).
struct Two {
    _redis: Redis,
    node: Peer,
    clients: Peer,
    ours: Server,
}

impl Two {
    async fn start(namespace: &'static str) -> Self {
        let redis = Redis::start().await;
        let ours = Server::with(config(&redis), &["/", namespace]).await;
        let (node, clients) = (Peer::start(), Peer::start());
        let url = node
            .js(&format!(
                "my.server = await server({:?}, {{ namespaces: ['/', {namespace:?}] }});
                 my.ns = my.server.io.of({namespace:?});
                 return my.server.url;",
                redis.url()
            ))
            .await;
        let to = json!({ "node": url, "ours": ours.url });
        clients
            .js(&format!(
                "for (const [name, url] of Object.entries({to})) {{
                   my[name] = await connect(url, {{ namespace: {namespace:?} }});
                   my[name + 2] = await connect(url, {{ namespace: {namespace:?} }});
                   await my[name].emitWithAck('join', 'r');
                 }}"
            ))
            .await;
        // Each server is in the other's count.
        assert_eq!(ours.cluster.of(namespace).server_count().await, 2);
        Self { _redis: redis, node, clients, ours }
    }

    /// What each client got before the fence: [node, node2, ours, ours2].
    async fn got(&self) -> [Json; 4] {
        let all = self
            .clients
            .js("return [await before(my.node), await before(my.node2), await before(my.ours), await before(my.ours2)];")
            .await;
        std::array::from_fn(|at| all[at].clone())
    }

    async fn id(&self, client: &str) -> String {
        self.clients.js(&format!("return my.{client}.id")).await.as_str().unwrap().to_owned()
    }
}

const NONE: [Json; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_server_reaches_our_clients_by_room_exception_and_id() {
    let two = Two::start("/").await;
    let id = two.id("ours").await;
    let id2 = two.id("ours2").await;
    let table = [
        ("my.ns", [1, 1, 1, 1]),
        ("my.ns.to('r')", [1, 0, 1, 0]),
        ("my.ns.to(['r', 'empty'])", [1, 0, 1, 0]),
        ("my.ns.to(['r', 'r'])", [1, 0, 1, 0]),
        ("my.ns.except('r')", [0, 1, 0, 1]),
        ("my.ns.to('empty')", [0, 0, 0, 0]),
        ("my.ns.local", [1, 1, 0, 0]),
        ("my.ns.compress(false)", [1, 1, 1, 1]),
        (&format!("my.ns.to('{id}')"), [0, 0, 1, 0]),
        (&format!("my.ns.to(['r', '{id}'])"), [1, 0, 1, 0]),
        (&format!("my.ns.to(['{id}', '{id2}'])"), [0, 0, 1, 1]),
        (&format!("my.ns.to(['{id}', '{id2}']).except('r')"), [0, 0, 0, 1]),
        (&format!("my.ns.except('{id}')"), [1, 1, 0, 1]),
        (&format!("my.ns.except(['{id}', '{id2}'])"), [1, 1, 0, 0]),
        (&format!("my.ns.to('r').except('{id}')"), [1, 0, 0, 0]),
    ];
    for (chosen, expected) in table {
        two.node.js(&format!("{chosen}.emit('e', 1); my.ns.emit('fence');")).await;
        let got = two.got().await;
        for (got, times) in got.iter().zip(expected) {
            assert_eq!(*got, json!(vec![json!(["e", 1]); times]), "{chosen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_reach_the_clients_of_a_node_server_by_room_exception_and_id() {
    let two = Two::start("/").await;
    let ids = [two.id("node").await, two.id("node2").await, two.id("ours").await, two.id("ours2").await];
    let sid = |at: usize| Sid::from_str(&ids[at]).unwrap();
    let io = &two.ours.io;
    let [node, node2, ours, _] = ids.clone();
    let socket = two.ours.socket(&ours);
    let operators = [
        (io.broadcast(), [1, 1, 1, 1]),
        (io.to("r"), [1, 0, 1, 0]),
        (io.to(["r", "empty"]), [1, 0, 1, 0]),
        (io.except("r"), [0, 1, 0, 1]),
        (io.local(), [0, 0, 1, 1]),
        (socket.to("r"), [1, 0, 0, 0]),
        (socket.within("r"), [1, 0, 1, 0]),
        (socket.broadcast(), [1, 1, 0, 1]),
        (socket.to("r").to(sid(3)), [1, 0, 0, 1]),
        (io.to(sid(2)), [0, 0, 1, 0]),
        (io.to(node.clone()), [1, 0, 0, 0]),
        (io.to(vec![node.clone(), node2]), [1, 1, 0, 0]),
        (io.except(sid(2)).except("empty"), [1, 1, 0, 1]),
        (io.to("r").except(node), [0, 0, 1, 0]),
        (io.to("empty"), [0, 0, 0, 0]),
    ];
    for (at, (operator, expected)) in operators.into_iter().enumerate() {
        operator.emit("e", &1).await.unwrap();
        io.emit("fence", &()).await.unwrap();
        let got = two.got().await;
        for (got, times) in got.iter().zip(expected) {
            assert_eq!(*got, json!(vec![json!(["e", 1]); times]), "operator {at}");
        }
    }
}

/// A volatile event may overtake others, and so the fence.
#[tokio::test(flavor = "multi_thread")]
async fn volatile_events_reach_clients_that_are_ready() {
    let two = Two::start("/").await;
    let all = "for (const name of ['node', 'node2', 'ours', 'ours2']) {
                 await until(() => my[name].got.length > 0);
                 my[name].got.splice(0);
               }";
    two.node.js("my.ns.volatile.emit('e')").await;
    two.clients.js(all).await;
    two.ours.io.volatile().emit("e", &()).await.unwrap();
    two.clients.js(all).await;
    two.ours.cluster.of("/").volatile().emit("e", &()).unwrap();
    two.clients.js(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_all_kinds_look_the_same_wherever_they_come_from() {
    let two = Two::start("/chat").await;
    let values = r#"[
        null, true, 0, -1, 1.5, 4294967296, 2 ** 53, "", "é😀\u0000\"\\", [], {}, [[1], {"a": {"b": [null]}}],
        [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17], "x".repeat(70000), Object.fromEntries([...Array(20)].map((_, i) => ["k" + i, i])),
        Buffer.from([]), Buffer.from([1, 2, 255]), { deep: [Buffer.alloc(300, 7)], n: 1 }, new Date(1700000000123), NaN, undefined
    ]"#;
    two.node.js(&format!("my.ns.emit('e', ...{values}); my.ns.emit('fence');")).await;
    let [node, _, ours, _] = two.got().await;
    same(&node, &ours);
    assert_eq!(ours[0].as_array().unwrap().len(), 22);

    let ns = two.ours.io.of("/chat").unwrap();
    let values =
        json!([null, true, 0, -1, 1.5, 4294967296u64, "é😀\u{0}\"\\", [], {}, { "a": [{ "b": [null] }] }]);
    let bytes =
        (values, Bytes::from_static(&[1, 2, 255]), vec![Bytes::from(vec![7; 300])], i64::MIN, f64::NAN);
    ns.clone().emit("e", &bytes).await.unwrap();
    ns.emit("fence", &()).await.unwrap();
    let [node, _, ours, _] = two.got().await;
    assert_eq!(ours[0][2], json!({ "$hex": "0102ff" }));
    same(&node, &ours);
}

/// Both got one event with the same arguments.
fn same(node: &Json, ours: &Json) {
    let [node, ours] = [node, ours].map(|got| got[0].as_array().unwrap());
    for (at, (node, ours)) in node.iter().zip(ours).enumerate() {
        assert_eq!(node, ours, "argument {at}");
    }
    assert_eq!(node.len(), ours.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_crosses_in_both_directions() {
    let two = Two::start("/").await;
    two.node.js("my.ns.emit('e', 'x'.repeat(1 << 20), Buffer.alloc(500_000, 5)); my.ns.emit('fence');").await;
    let [node, _, ours, _] = two.got().await;
    assert!(node == ours && ours[0][1].as_str().unwrap().len() == 1 << 20);
    two.ours.cluster.of("/").emit("e", &("x".repeat(1 << 20), Bytes::from(vec![5; 500_000]))).unwrap();
    two.ours.cluster.of("/").emit("fence", &()).unwrap();
    let [node, _, ours, _] = two.got().await;
    assert!(node == ours && ours[0][1].as_str().unwrap().len() == 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn numeric_rooms_are_the_rooms_of_their_text() {
    let two = Two::start("/").await;
    two.clients.js("await my.node.emitWithAck('join', 42); await my.ours.emitWithAck('join', '42');").await;
    two.node.js("my.ns.to(42).emit('e', 1); my.ns.to([42, 'none']).emit('e', 2); my.ns.emit('fence')").await;
    let [node, _, ours, ours2] = two.got().await;
    assert_eq!(node, json!([["e", 1], ["e", 2]]));
    assert_eq!(ours, node);
    assert_eq!(ours2, json!(NONE));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_with_odd_names_are_kept_apart() {
    let two = Two::start("/odd*é#y").await;
    let ns = two.ours.io.of("/odd*é#y").unwrap();
    for (from_node, from_ours) in [("my.ns", ns.clone()), ("my.ns.to('r')", ns.clone().to("r"))] {
        two.node.js(&format!("{from_node}.emit('theirs'); my.ns.emit('fence')")).await;
        let [node, _, ours, _] = two.got().await;
        assert_eq!((&node, &ours), (&json!([["theirs"]]), &json!([["theirs"]])));
        from_ours.emit("mine", &()).await.unwrap();
        ns.clone().emit("fence", &()).await.unwrap();
        let [node, _, ours, _] = two.got().await;
        assert_eq!((&node, &ours), (&json!([["mine", null]]), &json!([["mine", null]])));
    }
    // The root's broadcasts do not show up here, nor these there.
    two.node.js("my.server.io.emit('root'); my.ns.emit('fence')").await;
    assert!(two.got().await.iter().all(|got| *got == json!(NONE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_without_members_here_are_dropped_unread() {
    let two = Two::start("/").await;
    let before = two.ours.cluster.stats();
    two.node.js("for (let i = 0; i < 100; i++) my.ns.to('nobody').emit('e'); my.ns.emit('fence')").await;
    two.got().await;
    let after = two.ours.cluster.stats();
    assert_eq!(after.skipped - before.skipped, 100);
    assert_eq!(after.delivered - before.delivered, 1);
    assert_eq!(after.malformed, 0);
}
