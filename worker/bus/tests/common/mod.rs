//! What the tests share: a bus on a thread, a real Redis in its own directory, and a client that sees raw bytes.
//!
//! Nothing here has a fixed port or sleeps: whatever takes time is awaited with a deadline.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use oxherd_bus::{Bus, BusOptions, BusSettings, Counters, Hold, Listeners, bind_unix};
use tokio_util::sync::CancellationToken;

/// After this long something that should happen has not.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A bus in this process, on its own thread; it ends with the value.
pub struct TestBus {
    pub path: PathBuf,
    pub tcp: SocketAddr,
    pub counters: Arc<Counters>,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl TestBus {
    pub fn start(options: BusOptions) -> Self {
        Self::start_with(options, None)
    }

    pub fn start_with(options: BusOptions, hold: Option<Hold>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.sock");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let listeners = Listeners { unix: vec![bind_unix(&path).unwrap()], tcp: vec![tcp] };
        let mut bus = Bus::new(BusSettings::try_from(options).unwrap());
        if let Some(hold) = hold {
            bus = bus.hold(hold);
        }
        let counters = bus.counters();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(bus.serve(listeners, stop)).unwrap();
        });
        Self { path, tcp: address, counters, shutdown, thread: Some(thread), _directory: directory }
    }

    pub fn connect(&self) -> Raw<UnixStream> {
        Raw::unix(&self.path)
    }

    pub fn connect_tcp(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.tcp).unwrap())
    }

    /// Stops the bus and waits for its thread.
    pub fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the bus panicked");
        }
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the bus panicked");
            }
        }
    }
}

/// A real redis-server on a Unix socket only.
pub struct TestRedis {
    pub path: PathBuf,
    child: Child,
    _directory: tempfile::TempDir,
}

impl TestRedis {
    pub fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&path)
            .args(options)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed");
        let redis = Self { path, child, _directory: directory };
        wait_until("redis-server answers", || UnixStream::connect(&redis.path).is_ok());
        redis
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A client that sends and sees bytes.
pub struct Raw<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl Raw<UnixStream> {
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }
}

impl Raw<TcpStream> {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }
}

impl<S: Read + Write> Raw<S> {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn command(&mut self, args: &[&[u8]]) {
        self.send(&command(args));
    }

    /// Sends one command and returns the one frame that answers it.
    pub fn ask(&mut self, args: &[&str]) -> String {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.command(&args);
        String::from_utf8_lossy(&self.frames(1)).into_owned()
    }

    /// The bytes of the next `count` frames.
    pub fn frames(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..count {
            loop {
                if let Some(len) = frame_len(&self.buffer) {
                    all.extend(self.buffer.drain(..len));
                    break;
                }
                let mut chunk = [0; 64 * 1024];
                match self.stream.read(&mut chunk) {
                    Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(&all)),
                    Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
                    Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
                }
            }
        }
        all
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.buffer);
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return all,
                Ok(len) => all.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("{error} instead of the end"),
            }
        }
    }
}

/// A command as a client library writes it.
pub fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend(*arg);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// The length of the frame at the head of `buffer`, of either protocol, if all of it is there.
pub fn frame_len(buffer: &[u8]) -> Option<usize> {
    let line = buffer.windows(2).position(|pair| pair == b"\r\n")?;
    let count = || std::str::from_utf8(&buffer[1..line]).unwrap().parse::<i64>().unwrap();
    let mut end = line + 2;
    match buffer[0] {
        b'$' | b'=' if count() >= 0 => end += count() as usize + 2,
        b'*' | b'~' | b'>' | b'%' => {
            let elements = count().max(0) * if buffer[0] == b'%' { 2 } else { 1 };
            for _ in 0..elements {
                end += frame_len(&buffer[end..])?;
            }
        }
        _ => {}
    }
    (buffer.len() >= end).then_some(end)
}

/// A small generator of reproducible numbers (xorshift64*).
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}
