//! Servers of both kinds on one Redis, each with a client.

use serde_json::Value as Json;

use super::{Peer, Redis, Server};

/// One Redis, servers of Node and ours, and a client on each: `n0`, `n1` … on Node's, `o0`, `o1` … on ours.
pub struct Cluster {
    pub redis: Redis,
    pub node: Peer,
    pub clients: Peer,
    pub ours: Vec<Server>,
}

impl Cluster {
    pub async fn start(nodes: usize, ours: usize) -> Self {
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

    pub async fn id(&self, client: &str) -> String {
        self.clients.js(&format!("return my.{client}.id")).await.as_str().unwrap().to_owned()
    }

    pub fn io(&self) -> &socketioxide::SocketIo<oxherd_adapter::Adapter> {
        &self.ours[0].io
    }

    pub fn handle(&self) -> oxherd_adapter::Cluster {
        self.ours[0].cluster.clone()
    }

    /// What all clients got before a broadcast that was made after everything else on the same server.
    pub async fn all_got(&self, names: &[&str]) -> Vec<Json> {
        let list = names.iter().map(|name| format!("await before(my.{name})")).collect::<Vec<_>>().join(",");
        let got = self.clients.js(&format!("return [{list}]")).await;
        got.as_array().unwrap().clone()
    }
}
