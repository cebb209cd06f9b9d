//! The official JavaScript clients (socket.io-client, engine.io-client) against the engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use engineioxide::{config::EngineIoConfig, control::Conduct};
use support::{
    node::Node,
    server::{Server, Setup},
    wait_until,
};

fn run(scenario: &str, server: &Server) {
    Node::start("clients.mjs", &[scenario, &server.url()]).ends();
    wait_until("no session is left", || {
        let now = server.control.counters().snapshot();
        now.sessions_polling + now.sessions_websocket == 0
    });
    // A farewell that nobody fetches is kept for the linger time.
    wait_until("nothing waits", || server.control.counters().snapshot().queued_bytes == 0);
}

#[test]
fn messages_of_all_kinds_arrive_over_all_transports() {
    run("messages", &Server::start());
}

#[test]
fn messages_of_all_kinds_arrive_on_a_runtime_of_several_threads() {
    run("messages", &Setup { worker_threads: 3, ..Setup::default() }.start());
}

#[test]
fn messages_of_all_kinds_arrive_without_a_control() {
    let server = Setup { options: None, ..Setup::default() }.start();
    Node::start("clients.mjs", &["messages", &server.url()]).ends();
}

#[test]
fn the_engine_client_speaks_to_a_bare_engine() {
    run("engine", &Server::start());
}

#[test]
fn a_session_that_the_server_ends_comes_back() {
    run("ended", &Server::start());
}

#[test]
fn clients_come_back_after_a_restart_of_the_server() {
    let server = Server::start();
    let addr = server.addr;
    let node = Node::start("clients.mjs", &["restart", &server.url()]);
    node.says("connected");
    drop(server);
    node.says("disconnected");
    let _server = Setup { addr, ..Setup::default() }.start();
    node.ends();
}

#[test]
fn either_side_may_close_in_the_middle_of_an_upgrade() {
    run("upgrading", &Server::start());
}

#[test]
fn an_upgrade_that_fails_leaves_the_session_on_polling() {
    let server = Server::start();
    assert_eq!(server.control.options().conduct, Conduct::Node);
    run("probe", &server);
}

#[test]
fn the_heartbeat_of_node_keeps_sessions_alive() {
    let config = EngineIoConfig::builder()
        .ping_interval(Duration::from_millis(100))
        .ping_timeout(Duration::from_millis(1000))
        .build();
    let server = Setup { config, ..Setup::default() }.start();
    run("heartbeat", &server);
    let now = server.control.counters().snapshot();
    assert!(now.pings >= 6, "{now:?}");
    assert!(now.ping_mean().is_some_and(|mean| mean > Duration::ZERO));
}
