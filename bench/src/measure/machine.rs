//! What a report must say about where it was made.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the versions of what was compared.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    /// When, in UTC.
    pub date: String,
    /// Such as "Linux 6.18.0 x86_64".
    pub kernel: String,
    /// The model of the first core.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The commit of this repository, with "+" if files were changed since.
    pub commit: String,
    /// `rustc --version`.
    pub rustc: String,
    /// `node --version`.
    pub node: String,
    /// `redis-server --version`.
    pub redis: String,
    /// Of npm's `socket.io`.
    pub socket_io: String,
    /// Of crates.io's `socketioxide`.
    pub socketioxide: String,
}

impl Machine {
    /// This one; what cannot be found out is empty.
    pub fn look(repository: &Path) -> Self {
        let git = |arguments: &[&str]| {
            let repository = repository.to_str().unwrap_or(".");
            said("git", &[&["-C", repository], arguments].concat())
        };
        let changed =
            if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "+" };
        Machine {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M"]),
            kernel: said("uname", &["-srm"]),
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            commit: format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"])),
            rustc: said("rustc", &["--version"]),
            node: said("node", &["--version"]),
            redis: said("redis-server", &["--version"]),
            socket_io: version_in_json(&repository.join("bench/node/node_modules/socket.io/package.json")),
            socketioxide: version_in_lock(&repository.join("bench/peers/stock/Cargo.lock"), "socketioxide"),
        }
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned()
}

fn version_in_json(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    value["version"].as_str().unwrap_or_default().to_owned()
}

fn version_in_lock(path: &Path, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let after = text.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, rest)| rest);
    after.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}
