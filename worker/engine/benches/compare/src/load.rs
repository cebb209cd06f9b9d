//! The load generator: clients that read, count and measure; some may stop reading.

use std::{
    cell::RefCell,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use crate::now_ns;

pub struct Load {
    pub clients: usize,
    pub rate: u64,
    pub seconds: u64,
    pub bytes: usize,
    pub stalled: usize,
}

impl Load {
    /// Messages that must arrive.
    pub fn due(&self) -> u64 {
        self.rate * self.seconds * (self.clients - self.stalled) as u64
    }
}

struct Server {
    child: Child,
    /// The server ends when it is closed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What came of it, as far as it can be wrong.
pub struct Outcome {
    pub messages: u64,
    pub lost: usize,
    pub grown_kb: i64,
    /// `NAME=NUMBER` of the server.
    pub report: String,
}

/// CPU in microseconds, memory in KB, and what else the server says.
struct Report(u64, u64, String);

impl Server {
    fn start(command: &[&str]) -> io::Result<(Self, String)> {
        let mut child =
            Command::new(command[0]).args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, input, output };
        let addr = server.line()?;
        Ok((server, addr))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.input.as_mut().unwrap(), "{line}")
    }

    fn report(&mut self) -> io::Result<Report> {
        let line = self.line()?;
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next().unwrap().parse().unwrap();
        let (cpu, memory) = (number(), number());
        Ok(Report(cpu, memory, words.next().unwrap_or_default().to_owned()))
    }

    fn ask(&mut self) -> io::Result<Report> {
        self.send("report")?;
        self.report()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Seen {
    connected: usize,
    messages: u64,
    bytes: u64,
    lost: usize,
    latencies_us: Vec<u32>,
}

pub fn run(job: &str, load: &Load, command: &[&str]) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(job, load, command))
}

async fn measure(job: &str, load: &Load, command: &[&str]) -> io::Result<Outcome> {
    let (mut server, addr) = Server::start(command)?;
    let seen = Rc::new(RefCell::new(Seen::default()));
    let Report(cpu_before, memory_before, _) = server.ask()?;
    for n in 0..load.clients {
        let stream = TcpStream::connect(&addr).await?;
        tokio::task::spawn_local(client(stream, seen.clone(), n < load.stalled, job == "latency"));
        // Few handshakes at a time: what is measured is their cost, not a queue.
        while n.saturating_sub(seen.borrow().connected) > 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    while seen.borrow().connected < load.clients {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let Report(cpu_after, memory_after, _) = server.ask()?;
    let per_client = |value: u64| value as f64 / load.clients as f64;
    let connect_us = per_client(cpu_after - cpu_before);
    let idle_kb = per_client(memory_after.saturating_sub(memory_before));
    if job == "idle" {
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(load.seconds)).await;
        let Report(cpu_end, memory_end, report) = server.ask()?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = per_client(cpu_end - cpu_after) / seconds;
        let lost = seen.borrow().lost;
        println!("connect_us={connect_us:.1} idle_kb={idle_kb:.2} cpu_us_per_session_s={cpu:.3} lost={lost} {report}");
        return Ok(Outcome { messages: 0, lost, grown_kb: memory_end as i64 - memory_after as i64, report });
    }
    let awake = tokio::task::spawn_local(stay_awake());
    server.send(&format!("run {} {} {}", load.rate, load.seconds, load.bytes))?;
    let reading = tokio::task::spawn_blocking(move || server.report().map(|report| (report, server)));
    let (Report(cpu, memory_end, report), _server) = reading.await??;
    tokio::time::sleep(Duration::from_millis(200)).await;
    awake.abort();
    let mut seen = seen.borrow_mut();
    let due = load.due();
    let grown_kb = memory_end as i64 - memory_after as i64;
    seen.latencies_us.sort_unstable();
    let percentile = |p: usize| {
        let len = seen.latencies_us.len();
        seen.latencies_us.get((len * p / 100).min(len.saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1000.0)
    };
    println!(
        "us_per_delivery={:.2} delivered={:.3} p50_ms={:.2} p99_ms={:.2} connect_us={connect_us:.1} \
         idle_kb={idle_kb:.2} grown_kb={grown_kb} lost={} {report}",
        cpu as f64 / seen.messages.max(1) as f64,
        seen.messages as f64 / due as f64,
        percentile(50),
        percentile(99),
        seen.lost,
    );
    Ok(Outcome { messages: seen.messages, lost: seen.lost, grown_kb, report })
}

/// Keeps the generator's core busy. On the loopback who sends to a core that sleeps pays for waking it, some 3 µs on a
/// virtual machine: a server that is a little slower than the clients would wake one for each message, and seem to cost
/// half as much again.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Connects to the namespace and reads until the end; a stalled client does not read once it is connected.
async fn client(mut stream: TcpStream, seen: Rc<RefCell<Seen>>, stalled: bool, latencies: bool) {
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
        Origin: http://127.0.0.1:3000\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
        Accept-Language: en-US,en;q=0.5\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n";
    let _ = stream.set_nodelay(true);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 16 << 10];
    let mut unread = Vec::new();
    let mut is_open = false;
    loop {
        let len = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(len) => len,
        };
        unread.extend_from_slice(&buffer[..len]);
        if !is_open {
            let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            unread.drain(..end + 4);
            is_open = true;
        }
        let mut rest = &unread[..];
        while let Some((payload, tail)) = split_frame(rest) {
            rest = tail;
            if payload.starts_with(b"0{") {
                // A masked "40" with a mask of zeros.
                let _ = stream.write_all(b"\x81\x82\0\0\0\x0040").await;
            } else if payload == b"2" {
                let _ = stream.write_all(b"\x81\x81\0\0\0\x003").await;
            } else if payload.starts_with(b"40") {
                seen.borrow_mut().connected += 1;
                if stalled {
                    std::future::pending::<()>().await;
                }
            } else if let Some(message) = payload.strip_prefix(b"42[\"m\",") {
                let mut seen = seen.borrow_mut();
                seen.messages += 1;
                seen.bytes += payload.len() as u64;
                // One in eight will do.
                if latencies || seen.messages % 8 == 0 {
                    let sent = message.iter().take_while(|byte| byte.is_ascii_digit());
                    let sent = sent.fold(0, |sent, digit| sent * 10 + u64::from(digit - b'0'));
                    seen.latencies_us.push((now_ns().saturating_sub(sent) / 1000) as u32);
                }
            }
        }
        let left = rest.len();
        let read = unread.len() - left;
        unread.drain(..read);
        if unread.is_empty() {
            unread = Vec::new();
        }
    }
    seen.borrow_mut().lost += 1;
}

fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match head[1] {
        126 => rest.split_first_chunk().map(|(len, rest)| (u16::from_be_bytes(*len) as usize, rest))?,
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len) as usize, rest))?,
        len => (len as usize, rest),
    };
    rest.split_at_checked(len)
}
