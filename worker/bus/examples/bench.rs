//! Publish → deliver over a Unix socket: the bus beside redis-server, and beside a bare relay, in interleaved runs.
//!
//! `cargo run --release --example bench [RUNS]` (build `--examples` first: the bus runs as a process of its own).
//! Compare the ratios of one run, not values of two.
//!
//! * fan-out: 4 publishers pipeline, 4 subscribers of `socket.io#/#*` count; deliveries/s and server CPU per delivery;
//! * hop: one publisher at 10,000 messages/s, one subscriber, both in processes other than the server; p50 and p99. The
//!   relay is the floor: a process that copies one socket to another.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CHANNEL: &str = "socket.io#/#room#";
const PATTERN: &str = "socket.io#/#*";
const PAYLOAD_BYTES: usize = 200;

const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 4;
const PUBLISHES: usize = 50_000;
const PIPELINE: usize = 64;

const HOPS: usize = 20_000;
const HOP_EVERY: Duration = Duration::from_micros(100);

/// Clock ticks of `/proc/PID/stat` (`USER_HZ`, 100 on every Linux that Rust supports).
const TICK: Duration = Duration::from_millis(10);

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if let (Some("relay"), Some(path)) = (first.as_deref(), arguments.next()) {
        return relay(Path::new(&path));
    }
    let runs: usize = first.map_or(Ok(5), |text| text.parse())?;
    let (mut fan_out, mut hop) = (vec![Vec::new(); 2], vec![Vec::new(); 3]);
    for _ in 0..runs {
        for (kind, results) in [Kind::Bus, Kind::Redis].into_iter().zip(&mut fan_out) {
            results.push(measure_fan_out(&Server::start(kind)?)?);
        }
        for (kind, results) in [Kind::Bus, Kind::Redis, Kind::Relay].into_iter().zip(&mut hop) {
            results.push(measure_hop(&Server::start(kind)?)?);
        }
    }
    println!("medians of {runs}           bus      redis   bus/redis");
    for (at, what) in ["deliveries/s", "server ns/delivery"].into_iter().enumerate() {
        let [bus, redis] = [0, 1].map(|server| median(&fan_out[server], at));
        println!("{what:20} {bus:10.0} {redis:10.0} {:8.2}", bus / redis);
    }
    println!("                        bus      redis   bus/redis      relay   bus/relay");
    for (at, what) in ["hop p50 µs", "hop p99 µs"].into_iter().enumerate() {
        let [bus, redis, relay] = [0, 1, 2].map(|server| median(&hop[server], at));
        println!("{what:20} {bus:10.1} {redis:10.1} {:8.2} {relay:13.1} {:8.2}", bus / redis, bus / relay);
    }
    Ok(())
}

fn median(results: &[[f64; 2]], at: usize) -> f64 {
    let mut values: Vec<f64> = results.iter().map(|result| result[at]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bus,
    Redis,
    Relay,
}

/// A server process; it is killed with the value.
struct Server {
    kind: Kind,
    path: PathBuf,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(kind: Kind) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("socket");
        let this = std::env::current_exe()?;
        let mut command = match kind {
            Kind::Bus => {
                let mut command = Command::new(this.with_file_name("bus"));
                command.arg("--unix").arg(&path);
                command
            }
            Kind::Redis => {
                let mut command = Command::new("redis-server");
                command
                    .args(["--port", "0", "--save", "", "--unixsocket"])
                    .arg(&path)
                    .current_dir(&directory);
                command
            }
            Kind::Relay => {
                let mut command = Command::new(this);
                command.arg("relay").arg(&path);
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        for line in lines {
            if line?.to_lowercase().contains("ready") {
                break;
            }
        }
        Ok(Self { kind, path, child, _directory: directory })
    }

    fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Fields 14 and 15 of proc(5), counted after the name.
        Ok(TICK * (fields[11].parse::<u32>()? + fields[12].parse::<u32>()?))
    }

    fn subscriber(&self) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.path)?;
        if self.kind != Kind::Relay {
            stream.write_all(&command(&["HELLO", "3"]))?;
            stream.write_all(&command(&["PSUBSCRIBE", PATTERN]))?;
            read_until(&mut stream, format!("{PATTERN}\r\n:1\r\n").as_bytes())?;
        }
        Ok(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies what the first connection says to the second.
fn relay(path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path)?;
    println!("ready");
    let (mut to, _) = listener.accept()?;
    let (mut from, _) = listener.accept()?;
    let mut buffer = [0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            len => to.write_all(&buffer[..len])?,
        }
    }
}

fn command(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len());
    args.iter().for_each(|arg| bytes.push_str(&format!("${}\r\n{arg}\r\n", arg.len())));
    bytes.into_bytes()
}

fn delivery(payload: &str) -> Vec<u8> {
    let mut bytes = command(&["pmessage", PATTERN, CHANNEL, payload]);
    bytes[0] = b'>';
    bytes
}

fn read_until(stream: &mut UnixStream, end: &[u8]) -> Result<()> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(end) {
        stream.read_exact(&mut byte)?;
        all.push(byte[0]);
    }
    Ok(())
}

/// Reads `len` bytes and drops them.
fn skip(stream: &mut UnixStream, mut len: usize) -> Result<()> {
    let mut buffer = [0; 64 * 1024];
    while len > 0 {
        let room = buffer.len().min(len);
        match stream.read(&mut buffer[..room])? {
            0 => return Err("closed".into()),
            read => len -= read,
        }
    }
    Ok(())
}

fn measure_fan_out(server: &Server) -> Result<[f64; 2]> {
    let payload = "x".repeat(PAYLOAD_BYTES);
    let message_bytes = delivery(&payload).len();
    let streams = (0..SUBSCRIBERS).map(|_| server.subscriber()).collect::<Result<Vec<_>>>()?;
    let before = server.cpu()?;
    let start = Instant::now();
    let subscribers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| thread::spawn(move || skip(&mut stream, PUBLISHERS * PUBLISHES * message_bytes)))
        .collect();
    let batch = command(&["PUBLISH", CHANNEL, &payload]).repeat(PIPELINE);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (batch, mut stream) = (batch.clone(), UnixStream::connect(&server.path)?);
            Ok(thread::spawn(move || {
                for _ in 0..PUBLISHES / PIPELINE {
                    stream.write_all(&batch)?;
                    skip(&mut stream, PIPELINE * ":4\r\n".len())?;
                }
                stream.write_all(&batch[..batch.len() / PIPELINE * (PUBLISHES % PIPELINE)])?;
                skip(&mut stream, PUBLISHES % PIPELINE * ":4\r\n".len())
            }))
        })
        .collect::<Result<Vec<_>>>()?;
    for thread in publishers.into_iter().chain(subscribers) {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    let took = start.elapsed();
    let deliveries = (PUBLISHERS * PUBLISHES * SUBSCRIBERS) as f64;
    let cpu = server.cpu()? - before;
    Ok([deliveries / took.as_secs_f64(), cpu.as_nanos() as f64 / deliveries])
}

fn measure_hop(server: &Server) -> Result<[f64; 2]> {
    let mut stream = server.subscriber()?;
    let mut publisher = UnixStream::connect(&server.path)?;
    let epoch = Instant::now();
    let now = move || epoch.elapsed().as_nanos() as u64;
    let kind = server.kind;
    let stamped = move |stamp: u64| {
        let payload = format!("{stamp:020}{}", "x".repeat(PAYLOAD_BYTES - 20));
        // The relay is spared the protocol: it copies what a subscriber is to get.
        if kind == Kind::Relay { delivery(&payload) } else { command(&["PUBLISH", CHANNEL, &payload]) }
    };
    let subscriber = thread::spawn(move || -> Result<Vec<u64>> {
        let mut message = delivery(&"x".repeat(PAYLOAD_BYTES));
        let at = message.len() - PAYLOAD_BYTES - 2;
        let mut reader = BufReader::with_capacity(64 * 1024, &mut stream);
        (0..HOPS)
            .map(|_| {
                reader.read_exact(&mut message)?;
                Ok(now().saturating_sub(std::str::from_utf8(&message[at..at + 20])?.parse()?))
            })
            .collect()
    });
    let mut replies = publisher.try_clone()?;
    let drain =
        thread::spawn(move || if kind == Kind::Relay { Ok(()) } else { skip(&mut replies, HOPS * 4) });
    for hop in 0..HOPS {
        let due = HOP_EVERY * hop as u32;
        if let Some(early) = due.checked_sub(epoch.elapsed()) {
            thread::sleep(early);
        }
        publisher.write_all(&stamped(now()))?;
    }
    let mut times = subscriber.join().map_err(|_| "a thread panicked")??;
    drain.join().map_err(|_| "a thread panicked")??;
    times.sort_unstable();
    let micros = |share: f64| times[(times.len() as f64 * share) as usize] as f64 / 1000.0;
    Ok([micros(0.5), micros(0.99)])
}
