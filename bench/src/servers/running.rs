//! A running server: its processes, its address, its end. It is killed when dropped, with everything below it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Peer, ServerError};
use crate::measure::{cpu, memory, tree};

/// For a server to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often one that does not answer yet is asked again.
const LOOK: Duration = Duration::from_millis(2);
/// For a server to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// Of a log, in an error.
const LOG_BYTES: usize = 2000;

/// One server of the comparison while it runs.
#[derive(Debug)]
pub struct Running {
    peer: Peer,
    address: SocketAddr,
    roots: Vec<Child>,
    directory: TempDir,
    begun: Instant,
    start: Duration,
}

impl Running {
    /// A directory and a port for a server, which is to be [`spawn`](Self::spawn)ed.
    pub(super) fn new(peer: Peer) -> Result<Self, ServerError> {
        let directory = tempfile::tempdir().map_err(ServerError::Prepare)?;
        let address = free_address().map_err(ServerError::Prepare)?;
        let (roots, begun) = (Vec::new(), Instant::now());
        Ok(Running { peer, address, roots, directory, begun, start: Duration::ZERO })
    }

    /// Which server it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start of its program to its first answer.
    pub fn start(&self) -> Duration {
        self.start
    }

    /// All its processes now.
    pub fn processes(&self) -> Vec<u32> {
        tree::with_descendants(&self.roots.iter().map(Child::id).collect::<Vec<_>>())
    }

    /// CPU time of all its processes.
    pub fn cpu(&self) -> Duration {
        cpu::of(&self.processes())
    }

    /// Memory of all its processes.
    pub fn memory(&self) -> memory::Memory {
        memory::of(&self.processes())
    }

    /// The process that was started last: the server itself.
    pub fn root(&self) -> u32 {
        self.roots.last().map_or(0, Child::id)
    }

    pub(super) fn port(&self) -> String {
        self.address.port().to_string()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a program that belongs to it.
    pub(super) fn spawn(&mut self, program: &Path, arguments: &[&str]) -> Result<(), ServerError> {
        let log = File::options().create(true).append(true).open(self.file("log"));
        let log = log.map_err(ServerError::Prepare)?;
        let errors = log.try_clone().map_err(ServerError::Prepare)?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path()).env("NODE_ENV", "production");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.begun = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| ServerError::Start { program: program.display().to_string(), error })?;
        self.roots.push(child);
        Ok(())
    }

    /// Waits until a handshake is answered.
    pub(super) fn until_it_answers(&mut self) -> Result<(), ServerError> {
        let address = self.address;
        self.until(|_| handshake(address).is_some())?;
        self.start = self.begun.elapsed();
        Ok(())
    }

    /// Waits until the server's output has this line.
    pub(super) fn until_it_says(&self, line: &str) -> Result<(), ServerError> {
        self.until(|running| running.log().lines().any(|said| said == line))
    }

    pub(super) fn until(&self, mut condition: impl FnMut(&Self) -> bool) -> Result<(), ServerError> {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            if Instant::now() > deadline {
                let mut log = self.log();
                log.drain(..log.floor_char_boundary(log.len().saturating_sub(LOG_BYTES)));
                return Err(ServerError::NotReady { peer: self.peer, seconds: PATIENCE.as_secs(), log });
            }
            sleep(LOOK);
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read(self.file("log")).map_or(String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let all = self.processes();
        // The server before what it needs, such as its Redis.
        for root in self.roots.iter_mut().rev() {
            let _ = kill(Pid::from_raw(root.id() as i32), Signal::SIGTERM); // it may have ended
            let deadline = Instant::now() + GRACE;
            while matches!(root.try_wait(), Ok(None)) && Instant::now() < deadline {
                sleep(LOOK);
            }
            let _ = root.kill();
            let _ = root.wait();
        }
        // Whoever is left was below a root a moment ago.
        for process in all {
            let _ = kill(Pid::from_raw(process as i32), Signal::SIGKILL);
        }
    }
}

/// A port that was free a moment ago.
pub(super) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Asks for a WebSocket and goes away.
fn handshake(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(&crate::generate::http::upgrade("")).ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    (answer == *b"HTTP/1.1 101").then_some(())
}
