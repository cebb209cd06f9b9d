//! A socketioxide server: every client joins one room; "run RATE SECONDS BYTES" broadcasts to it.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use socketioxide::{SocketIo, extract::SocketRef};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

use crate::{cpu_us, memory_kb, now_ns, padding};

pub fn run(kind: &str) -> io::Result<()> {
    let mut builder = match kind {
        "engine-mt" => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.worker_threads(2).enable_all().build()?.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let ping = std::env::var("PING_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(25_000);
    let (service, io) =
        SocketIo::builder().ping_interval(Duration::from_millis(ping)).max_payload(10_000_000).build_svc();
    io.ns("/", async |socket: SocketRef| socket.join("room"));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let control = control();
    let own = control.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (service, control) = (service.clone(), own.clone());
            let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                control.attach(&mut request);
                hyper::service::Service::call(&service, request)
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(wrap(stream)), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        if line.starts_with("run") {
            let [rate, seconds, bytes] = words[..] else { panic!("run RATE SECONDS BYTES") };
            let before = cpu_us();
            broadcast(&io, rate, seconds, bytes as usize).await;
            println!("{} {} {}", cpu_us() - before, memory_kb(), control.report());
        } else {
            println!("{} {} {}", cpu_us(), memory_kb(), control.report());
        }
    }
    Ok(())
}

async fn broadcast(io: &SocketIo, rate: u64, seconds: u64, bytes: usize) {
    let padding = padding(bytes);
    let mut tick = tokio::time::interval(Duration::from_nanos(1_000_000_000 / rate));
    for _ in 0..rate * seconds {
        tick.tick().await;
        let _ = io.to("room").emit("m", &(now_ns(), &padding)).await;
    }
    // What is queued goes out, and counts.
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// As oxherd's worker does it, which wraps its sockets anyway.
#[cfg(feature = "ours")]
fn wrap(stream: tokio::net::TcpStream) -> crate::corked::Corked {
    crate::corked::Corked(stream)
}
#[cfg(not(feature = "ours"))]
fn wrap(stream: tokio::net::TcpStream) -> tokio::net::TcpStream {
    stream
}

#[cfg(feature = "ours")]
fn control() -> ours::Attach {
    ours::Attach::from_env()
}
#[cfg(not(feature = "ours"))]
fn control() -> stock::Attach {
    stock::Attach
}

#[cfg(feature = "ours")]
mod ours {
    use std::time::Duration;

    use engineioxide::control::{Control, Options};

    #[derive(Clone)]
    pub struct Attach(Control);

    impl Attach {
        pub fn from_env() -> Self {
            let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
            Self(Control::new(Options {
                slow_budget: number("BUDGET").and_then(|bytes| std::num::NonZeroUsize::new(bytes as usize)),
                flush_window: Duration::from_millis(number("WINDOW_MS").unwrap_or(0)),
                dismantle: Some(crate::corked::dismantle),
                ..Options::default()
            }))
        }
        pub fn attach<B>(&self, request: &mut http::Request<B>) {
            self.0.attach(request);
        }
        pub fn report(&self) -> String {
            let now = self.0.counters().snapshot();
            format!("slow={} sessions={} pings={}", now.slow_over_budget, now.sessions_websocket, now.pings)
        }
    }
}

#[cfg(not(feature = "ours"))]
mod stock {
    #[derive(Clone)]
    pub struct Attach;

    impl Attach {
        pub fn attach<B>(&self, _: &mut http::Request<B>) {}
        pub fn report(&self) -> &str {
            "stock"
        }
    }
}
