//! redis-cli, node-redis, ioredis and the redis crate use the bus as they use a Redis, and see the same.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{TestBus, TestRedis, wait_until};
use oxherd_bus::{BusOptions, Password};

/// Where the npm packages of the end-to-end tests are installed.
fn node_packages() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node");
    assert!(packages.join("node_modules").exists(), "run `npm ci` in tests/node first");
    packages
}

fn node(script: &str, server: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(script);
    let output = Command::new("node").arg(script).arg(server).arg(node_packages()).output().unwrap();
    succeeded(output)
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn node_redis_and_ioredis_see_no_difference() {
    let (bus, redis) = (TestBus::start(BusOptions::default()), TestRedis::start(&[]));
    let theirs = node("clients.cjs", redis.path.to_str().unwrap());
    assert_eq!(node("clients.cjs", bus.path.to_str().unwrap()), theirs);
    assert!(theirs.contains("pattern"));
}

#[test]
fn socket_io_servers_with_their_redis_adapter_form_a_cluster_over_the_bus() {
    let bus = TestBus::start(BusOptions::default());
    assert_eq!(node("cluster.cjs", &bus.tcp.port().to_string()), "one cluster\n");
}

#[test]
fn redis_cli_sees_no_difference() {
    let (bus, redis) = (TestBus::start(BusOptions::default()), TestRedis::start(&[]));
    let cli = |path: &Path, args: &[&str]| {
        succeeded(Command::new("redis-cli").arg("-s").arg(path).args(args).output().unwrap())
    };
    for args in [
        &["PING"][..],
        &["-3", "PUBSUB", "NUMSUB", "a", "b"],
        &["PUBLISH", "a", "x"],
        &["-3", "HELLO", "9"],
        &["-n", "3", "PING", "hello"],
        &["NOSUCH", "a"],
        &["--csv", "PUBSUB", "CHANNELS"],
    ] {
        assert_eq!(cli(&bus.path, args), cli(&redis.path, args), "{args:?}");
    }
    let publish_to_a_listener = |path: &Path, published: &dyn Fn() -> bool| {
        let mut listener = Command::new("redis-cli")
            .arg("-s")
            .arg(path)
            .args(["PSUBSCRIBE", "n*"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("the listener hears", published);
        listener.kill().unwrap();
        succeeded_or_killed(listener.wait_with_output().unwrap())
    };
    let hears = |path: &Path| {
        let path = path.to_owned();
        move || cli(&path, &["PUBLISH", "news", "hello"]) == "1\n"
    };
    let ours = publish_to_a_listener(&bus.path, &hears(&bus.path));
    assert!(ours.starts_with("psubscribe\nn*\n1\n"), "{ours}");
}

/// A killed redis-cli has printed what it had.
fn succeeded_or_killed(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn redis_cli_authenticates() {
    let password = Some(Password::new("secret").unwrap());
    let bus = TestBus::start(BusOptions { password, ..BusOptions::default() });
    let port = bus.tcp.port().to_string();
    let cli = |args: &[&str]| {
        let output =
            Command::new("redis-cli").args(["--no-auth-warning", "-p", &port]).args(args).output().unwrap();
        succeeded(output)
    };
    assert_eq!(cli(&["-a", "secret", "PING"]), "PONG\n");
    assert_eq!(cli(&["PING"]), "NOAUTH Authentication required.\n\n");
}

#[test]
fn the_redis_crate_sees_no_difference() {
    let (bus, redis) = (TestBus::start(BusOptions::default()), TestRedis::start(&[]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for protocol in ["resp2", "resp3"] {
        let url = |path: &Path| format!("redis+unix://{}?protocol={protocol}", path.display());
        let ours = runtime.block_on(redis_crate(&url(&bus.path)));
        assert_eq!(ours, runtime.block_on(redis_crate(&url(&redis.path))), "{protocol}");
    }
}

/// What the crate's publisher and subscriber see.
async fn redis_crate(url: &str) -> Vec<String> {
    let client = redis::Client::open(url).unwrap();
    let mut publisher = client.get_multiplexed_async_connection().await.unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe(&["a", "b"]).await.unwrap();
    subscriber.psubscribe("a*").await.unwrap();
    let mut seen = Vec::new();
    for channel in ["a", "b", "ab", "z"] {
        let receivers: i64 = redis::cmd("PUBLISH")
            .arg(channel)
            .arg(&b"\x00\xffhello"[..])
            .query_async(&mut publisher)
            .await
            .unwrap();
        seen.push(format!("{channel} {receivers}"));
    }
    let counts: Vec<(String, i64)> =
        redis::cmd("PUBSUB").arg("NUMSUB").arg("a").arg("z").query_async(&mut publisher).await.unwrap();
    seen.push(format!("{counts:?}"));
    {
        let mut messages = subscriber.on_message();
        for _ in 0..4 {
            let message = next(&mut messages).await;
            let pattern: Option<String> = message.get_pattern().unwrap();
            seen.push(format!(
                "{} {pattern:?} {:?}",
                message.get_channel_name(),
                message.get_payload_bytes()
            ));
        }
    }
    let error = redis::cmd("NOSUCH").arg("x").query_async::<()>(&mut publisher).await.unwrap_err();
    seen.push(error.to_string());
    seen
}

async fn next<T>(stream: &mut (impl futures_core::Stream<Item = T> + Unpin)) -> T {
    let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context));
    tokio::time::timeout(common::DEADLINE, next).await.unwrap().unwrap()
}
