//! A Node process that runs what it is told: see `peer.mjs` for what is in its scope.

use std::{path::Path, process::Stdio};

use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use super::DEADLINE;

pub struct Peer {
    child: Mutex<Child>,
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Peer {
    pub fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let package = here.join("../../tests/node/package.json");
        assert!(
            package.with_file_name("node_modules").is_dir(),
            "the tests need Node's own libraries: run `npm ci` in tests/node"
        );
        let mut child = Command::new("node")
            .arg(here.join("tests/peer.mjs"))
            .arg(package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is installed");
        let pipes = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child: Mutex::new(child), pipes: Mutex::new(pipes) }
    }

    /// Runs the body of an async function. What it keeps, it keeps in `my`.
    pub async fn js(&self, code: &str) -> Json {
        let mut pipes = self.pipes.lock().await;
        let line = json!({ "id": 1, "code": code }).to_string() + "\n";
        pipes.0.write_all(line.as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(DEADLINE, pipes.1.next_line()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer in time to: {code}")).unwrap();
        let answer: Json = serde_json::from_str(&answer.expect("the Node process is alive")).unwrap();
        assert!(answer.get("error").is_none(), "{code}\n{}", answer["error"].as_str().unwrap_or_default());
        answer["result"].clone()
    }

    pub async fn is_alive(&self) -> bool {
        self.child.lock().await.try_wait().unwrap().is_none()
    }
}
