//! A box for a test: the real binary on a free port, in a directory of its own, stopped when dropped.
//!
//! Nothing here sleeps for a guessed time: [`Herd::until`] and [`eventually`] wait for a condition with a deadline.
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

pub mod balancer;
pub mod http;
pub mod namespace;
pub mod network;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod tls;
pub mod websocket;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use oxherd_supervisor::control::client::{ClientError, ask};
use oxherd_supervisor::control::status::{Status, WorkerStatus};
use oxherd_supervisor::control::{Answer, Request};

/// How long anything that must happen may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long a campaign lasts: as long as the test says, or as long as `SOAK_SECONDS` says (tests/soak.sh).
pub fn soak_seconds(usual: u64) -> Duration {
    let wanted = std::env::var("SOAK_SECONDS").map(|text| text.parse().expect("SOAK_SECONDS is a number"));
    Duration::from_secs(wanted.unwrap_or(usual))
}

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_oxherd"))
}

/// An example of this package; `cargo build --examples` makes them.
pub fn example(name: &str) -> PathBuf {
    let path = binary().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --examples` first", path.display());
    path
}

/// A directory that is gone after the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("oxherd-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits for `condition` to give something; panics with `what` when it never does.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(LOOK);
    }
}

/// Sets a flag at the end of its scope, also by a panic: threads that wait for the flag must not outwait the test.
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How to start a box.
#[derive(Clone)]
pub struct HerdBuilder {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    config: String,
    shell: Option<String>,
}

/// A running box.
pub struct Herd {
    pub scratch: Scratch,
    pub control: PathBuf,
    builder: HerdBuilder,
    process: Child,
}

impl HerdBuilder {
    /// The stock server on a free port of the loopback address.
    pub fn new() -> HerdBuilder {
        HerdBuilder {
            program: binary(),
            arguments: Vec::new(),
            environment: Vec::new(),
            config: String::new(),
            shell: None,
        }
    }

    /// The application that misbehaves when it is told to (tests/programs/faulty.rs).
    pub fn faulty() -> HerdBuilder {
        HerdBuilder::new().program(example("faulty"))
    }

    /// Another program that embeds oxherd.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Whether it is the stock server.
    pub fn is_stock(&self) -> bool {
        self.program == binary()
    }

    /// More arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// One more variable of the environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Lines of the config file.
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Lets this line of bash start it, which finds the command in `"$@"`.
    pub fn shell(mut self, line: &str) -> Self {
        self.shell = Some(line.into());
        self
    }

    /// Starts it and returns at once.
    pub fn spawn(self) -> Herd {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("config.toml"), &self.config).unwrap();
        let process = self.process(&scratch, "127.0.0.1:0");
        Herd { control: control_in(&scratch), scratch, builder: self, process }
    }

    /// Its log goes on where an earlier one in the same directory ended.
    fn process(&self, scratch: &Scratch, listen: &str) -> Child {
        let mut command = match &self.shell {
            None => Command::new(&self.program),
            Some(line) => {
                let mut bash = Command::new("bash");
                bash.args(["-c", line, "bash"]).arg(&self.program);
                bash
            }
        };
        command.arg("--config").arg(scratch.path().join("config.toml"));
        command.arg("--control").arg(control_in(scratch));
        if !self.arguments.iter().any(|argument| argument == "--listen") && !self.config.contains("listen") {
            command.args(["--listen", listen]);
        }
        let log = File::options().create(true).append(true).open(scratch.path().join("log")).unwrap();
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
    }

    /// Starts it and waits until this many workers are READY.
    pub fn start(self, workers: usize) -> Herd {
        let mut herd = self.arguments(&["--workers", &workers.to_string()]).spawn();
        herd.until_ready(workers);
        herd
    }
}

fn control_in(scratch: &Scratch) -> PathBuf {
    scratch.path().join("control.sock")
}

impl Herd {
    /// Starts it once more after its end, at this address, with the same control socket.
    pub fn again(&mut self, address: SocketAddr) {
        assert!(self.try_wait().is_some(), "it runs still");
        self.process = self.builder.process(&self.scratch, &address.to_string());
    }

    /// Runs a command of the same program, such as `stop`.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.builder.program);
        command.args(arguments).arg("--control").arg(&self.control).stdin(Stdio::null());
        command.output().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it answers, or why not.
    pub fn try_ask(&self, request: &Request) -> Result<Answer, ClientError> {
        ask(&self.control, request, PATIENCE)
    }

    pub fn status(&self) -> Status {
        match self.try_ask(&Request::Status) {
            Ok(Answer::Status(status)) => *status,
            other => panic!("no status: {other:?}\n{}", self.log()),
        }
    }

    /// Waits until the status fulfils a condition; the status that does.
    pub fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Answer::Status(status)) = self.try_ask(&Request::Status)
                && condition(&status)
            {
                return *status;
            }
            assert!(Instant::now() < deadline, "never happened: {what}\n{}", self.log());
            sleep(LOOK);
        }
    }

    /// Waits until exactly this many workers are READY and nobody else is there.
    pub fn until_ready(&mut self, workers: usize) -> Status {
        self.until(&format!("{workers} workers are ready"), |status| {
            status.workers.len() == workers && status.workers.iter().all(|worker| worker.state == "ready")
        })
    }

    /// The address of its first TCP listener.
    pub fn address(&self) -> SocketAddr {
        let status = self.status();
        let found = status.listeners.iter().find_map(|listener| listener.address.parse().ok());
        found.expect("a TCP listener")
    }

    pub fn worker(&self, index: u16) -> WorkerStatus {
        let status = self.status();
        let found =
            status.workers.into_iter().find(|worker| worker.index.0 == index && worker.state == "ready");
        found.expect("a ready worker of this index")
    }

    /// The processes of all workers, by index.
    pub fn pids(&self) -> Vec<u32> {
        self.status().workers.iter().filter_map(|worker| worker.pid).collect()
    }

    /// Sends a request that takes its time, and waits until a worker has it.
    pub fn begin(&self, source: IpAddr, path: &str) -> TcpStream {
        let requests = |status: &Status| status.workers.iter().map(|worker| worker.requests).sum::<u64>();
        let before = requests(&self.status());
        let stream = http::connect_from(source, self.address()).unwrap();
        http::send(&stream, "GET", path, "", http::After::Close).unwrap();
        self.until("the request has arrived", |status| requests(status) > before);
        stream
    }

    /// All that it and its workers logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        signal_pid(self.pid(), signal);
    }

    /// Whether the supervisor has ended, and how.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Waits for the supervisor's end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE * 5;
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            assert!(Instant::now() < deadline, "the supervisor does not end\n{}", self.log());
            sleep(LOOK);
        }
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            self.signal(nix::sys::signal::Signal::SIGCONT);
            self.signal(nix::sys::signal::Signal::SIGTERM);
            self.signal(nix::sys::signal::Signal::SIGTERM); // the second one does not wait
            let deadline = Instant::now() + PATIENCE;
            while self.try_wait().is_none() && Instant::now() < deadline {
                sleep(LOOK);
            }
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- log of the box ----\n{}", self.log());
        }
    }
}

/// Signals a process that this test (or its box) started.
pub fn signal_pid(pid: u32, signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal); // it may be gone
}

/// Whether a process is there and not just a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// One plain HTTP/1.1 request on a connection of its own: status and body.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    status.map(|status| (status, body.to_owned())).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// Runs a script of `tests/node` with arguments; its standard output, which is one JSON value.
pub fn node(script: &str, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new("node").arg(script).args(arguments).current_dir(node_directory()).output();
    let output = output.expect("node is missing: install Debian's nodejs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?} failed: {}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{script} printed no JSON: {error}\n{}\n{errors}", String::from_utf8_lossy(&output.stdout))
    })
}

/// Where the scripts are, with their packages.
fn node_directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    let installed = directory.join("node_modules/.package-lock.json").exists();
    assert!(installed, "npm packages are missing: run `npm ci --prefix tests/node`");
    directory
}
