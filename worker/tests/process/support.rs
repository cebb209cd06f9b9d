//! The supervisor's part, as little of it as a worker needs.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use oxherd_bus::{Bus, BusSettings, Listeners, bind_unix};
use oxherd_contract::edge::EdgeSettings;
use oxherd_contract::ids::{BoxId, Generation, ListenerId, RowIndex, SlotId, WorkerId, WorkerIndex};
use oxherd_contract::link::{self, SupervisorLink};
use oxherd_contract::listen::{Address, Purpose};
use oxherd_contract::message::{Slot, ToChild, ToSupervisor};
use oxherd_contract::scoreboard::{Row, Scoreboard};
use oxherd_contract::secret::Secret;
use oxherd_contract::settings::{
    ClusterSettings, EngineSettings, HttpSettings, Identity, LogFormat, LogSettings, SharedSettings,
    StockSettings, WorkerSettings,
};
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must happen; ten times what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The row that the tested worker is given.
pub const ROW: RowIndex = RowIndex(1);

/// A worker process and the supervisor's end of everything.
pub struct Process {
    child: Child,
    link: Option<SupervisorLink>,
    board: Scoreboard,
    log: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
    pub worker: WorkerId,
}

/// What a worker is started with.
pub struct Start {
    pub application: &'static str,
    pub shared: SharedSettings,
    /// The version that the supervisor claims to speak.
    pub contract: u32,
    /// `RLIMIT_NOFILE` of the process.
    pub descriptors: Option<u64>,
}

impl Default for Start {
    fn default() -> Self {
        Start {
            application: "",
            shared: SharedSettings {
                log: LogSettings { format: LogFormat::Json, filter: "info".into() },
                http: HttpSettings {
                    connections_max: 1000,
                    half_open_max: 500,
                    header_timeout: PATIENCE * 3,
                    keep_alive: PATIENCE * 3,
                    write_timeout: PATIENCE * 3,
                    peek_timeout: Duration::from_secs(1),
                },
                edge: EdgeSettings::default(),
                engine: EngineSettings {
                    payload_bytes_max: 1_000_000,
                    slow_budget_bytes: 1 << 20,
                    slow_after: PATIENCE * 3,
                    flush_window: Duration::ZERO,
                },
                cluster: ClusterSettings { secrets: vec![Secret::new("the secret of all tests")] },
                orphan_grace: Duration::from_secs(2),
                redis: None,
                boxes: None,
                stock: StockSettings::default(),
            },
            contract: oxherd_contract::VERSION,
            descriptors: None,
        }
    }
}

impl Start {
    pub fn application(application: &'static str) -> Self {
        Start { application, ..Start::default() }
    }

    /// Starts the process and tells it who it is.
    pub fn process(self) -> Process {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let worker = WorkerId(LAST.fetch_add(1, Relaxed) + 1);
        let (link, theirs) = link::pair().unwrap();
        let program = std::env::current_exe().unwrap();
        let mut command = match self.descriptors {
            Some(descriptors) => {
                let mut shell = Command::new("sh"); // the limit must stand before the process does
                shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]).arg(program);
                shell
            }
            None => Command::new(program),
        };
        command
            .arg(oxherd_contract::CHILD_ARGUMENT)
            .env("APPLICATION", self.application)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .fd_mappings(vec![FdMapping { parent_fd: theirs, child_fd: link::INHERITED }])
            .unwrap();
        let mut child = command.spawn().unwrap();
        drop(command); // with our copy of the worker's end
        let log = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            collect(child.stdout.take().unwrap(), log.clone()),
            collect(child.stderr.take().unwrap(), log.clone()),
        ];
        let board = Scoreboard::create(3).unwrap();
        let settings = WorkerSettings {
            contract: self.contract,
            identity: Identity {
                box_id: BoxId(7),
                host: "test".into(),
                worker,
                index: WorkerIndex(0),
                generation: Generation(1),
            },
            row: ROW,
            bus: bus(),
            siblings: siblings(),
            shared: self.shared,
        };
        link.send(&ToChild::Settings(Box::new(settings)), &[board.as_fd()]).unwrap();
        Process { child, link: Some(link), board, log, readers, worker }
    }

    /// Starts the process and waits until it is READY.
    pub fn ready(self) -> Process {
        let process = self.process();
        assert_eq!(process.hears(), ToSupervisor::Ready, "{}", process.log());
        process
    }
}

impl Process {
    pub fn row(&self) -> &Row {
        self.board.row(ROW).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the worker says next.
    pub fn hears(&self) -> ToSupervisor {
        let link = self.link.as_ref().unwrap();
        let mut said = None;
        wait_until("the worker says something", || {
            said = link.receive().unwrap();
            said.is_some()
        });
        said.unwrap().0
    }

    pub fn tell(&self, message: &ToChild, descriptors: &[BorrowedFd<'_>]) {
        self.link.as_ref().unwrap().send(message, descriptors).unwrap();
    }

    /// Gives it a slot.
    pub fn accept(&self, id: u16, listener: &impl AsFd, address: Address) {
        let slot = Slot { id: SlotId(id), listener: ListenerId(0), address, purpose: Purpose::Clients };
        self.tell(&ToChild::Accept(vec![slot]), &[listener.as_fd()]);
    }

    /// Gives it a new TCP slot.
    pub fn listen(&self) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        self.accept(0, &listener, Address::Tcp(address));
        (listener, address)
    }

    pub fn drain(&self, within: Duration) {
        self.tell(&ToChild::Drain { within }, &[]);
    }

    /// The supervisor is gone.
    pub fn orphan(&mut self) {
        self.link = None;
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// Waits for its end, at most this long.
    pub fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                return status;
            }
            assert!(Instant::now() < deadline, "the worker lives on; {}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end in peace.
    pub fn leaves(&mut self) {
        let status = self.ends_within(PATIENCE);
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

/// Waits for what must become true.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The bus of all workers of this test process; it lives as long.
fn bus() -> PathBuf {
    static BUS: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::temp_dir().join(format!("oxherd-worker-test-{}.bus", std::process::id()));
        let listeners = Listeners { unix: vec![bind_unix(&path).unwrap()], tcp: Vec::new() };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let bus = Bus::new(BusSettings::default());
            runtime.block_on(bus.serve(listeners, CancellationToken::new())).unwrap();
        });
        path
    });
    BUS.clone()
}

/// Where the workers of this test process have their sockets.
fn siblings() -> PathBuf {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::temp_dir().join(format!("oxherd-worker-test-{}.workers", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    });
    DIRECTORY.clone()
}
