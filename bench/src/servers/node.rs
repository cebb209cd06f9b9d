//! Node's servers, and the Redis of one of them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::running::free_address;
use super::{Programs, Running, ServerError};

/// Processes of a cluster.
const WORKERS: &str = "2";

/// What carries messages between the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The primary process, by `@socket.io/cluster-adapter`.
    Ipc,
    /// A Redis of its own, by `@socket.io/redis-adapter`.
    Redis,
}

pub(super) fn start(running: &mut Running, programs: &Programs) -> Result<(), ServerError> {
    let script = programs.node.join("single.mjs").display().to_string();
    running.spawn(Path::new("node"), &[&script, &running.port()])
}

pub(super) fn start_cluster(
    running: &mut Running,
    programs: &Programs,
    over: Over,
) -> Result<(), ServerError> {
    let script = programs.node.join("cluster.mjs").display().to_string();
    let port = running.port();
    let mut arguments = vec![script, port, WORKERS.to_owned()];
    if over == Over::Redis {
        let redis = free_address().map_err(ServerError::Prepare)?;
        let port = redis.port().to_string();
        let options = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        running.spawn(Path::new("redis-server"), &options)?;
        running.until(|_| answers(redis).is_some())?;
        arguments.push(port);
    }
    running.spawn(Path::new("node"), &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    running.until_it_says("ready")
}

fn answers(redis: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(redis).ok()?;
    stream.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).ok()?;
    (answer == *b"+PONG\r\n").then_some(())
}
