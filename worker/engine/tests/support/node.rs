//! Scripts with the official clients, run by Node.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
};

use super::DEADLINE;

/// A running script that tells its progress line by line. It is killed when dropped.
pub struct Node {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Node {
    /// Starts `tests/<script>` with the packages of the repository's `tests/node`.
    pub fn start(script: &str, args: &[&str]) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node");
        assert!(packages.join("node_modules").is_dir(), "run `npm ci` in tests/node first");
        let mut child = Command::new("node")
            .arg(tests.join(script))
            .args(args)
            .env("PACKAGES", packages.join("package.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let stdout: Lines<BufReader<ChildStdout>> = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tx, lines) = mpsc::channel();
        thread::spawn(move || stdout.map_while(Result::ok).try_for_each(|line| tx.send(line)));
        Self { child, lines }
    }

    /// Waits for the script to say exactly this next.
    #[track_caller]
    pub fn says(&self, line: &str) {
        assert_eq!(self.lines.recv_timeout(DEADLINE).as_deref(), Ok(line));
    }

    /// Waits for the script to end well.
    #[track_caller]
    pub fn ends(mut self) {
        // The script has a deadline of its own.
        assert!(self.child.wait().unwrap().success(), "the script failed");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
