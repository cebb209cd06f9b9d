//! A Node script that plays official clients and is told step by step what to do (`tests/node/steps.mjs`).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::node_directory;

/// A running script. Its standard error is the test's.
pub struct Peer {
    script: String,
    process: Child,
    steps: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script of `tests/node`.
    pub fn start(script: &str, arguments: &[&str]) -> Peer {
        Peer::trusting(script, arguments, None)
    }

    /// The same; it believes this certificate too.
    pub fn trusting(script: &str, arguments: &[&str], certificate: Option<&Path>) -> Peer {
        let mut command = Command::new("node");
        command.arg(script).args(arguments).current_dir(node_directory());
        command.envs(certificate.map(|certificate| ("NODE_EXTRA_CA_CERTS", certificate)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("node is missing: install Debian's nodejs");
        let (steps, answers) = (process.stdin.take(), process.stdout.take().unwrap());
        Peer { script: script.into(), process, steps, answers: BufReader::new(answers) }
    }

    /// What a step gives; panics with what it complains about. The script limits how long a step takes.
    pub fn step(&mut self, step: &str, argument: Value) -> Value {
        let line = format!("{}\n", json!({ "step": step, "argument": argument }));
        let steps = self.steps.as_mut().unwrap();
        let mut answer = String::new();
        steps.write_all(line.as_bytes()).and_then(|()| self.answers.read_line(&mut answer)).unwrap();
        let outcome = serde_json::from_str(&answer);
        let mut outcome: Value =
            outcome.unwrap_or_else(|error| panic!("{} {step}: {error}: {answer:?}", self.script));
        if let Some(error) = outcome["error"].as_str() {
            panic!("{} {step}: {error}", self.script);
        }
        outcome["ok"].take()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.steps.take()); // the script ends with its input
        if std::thread::panicking() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
