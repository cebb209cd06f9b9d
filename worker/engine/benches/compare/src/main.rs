//! One server and one load generator, for comparisons: `compare.sh` runs them against each other in turn.
//!
//! `compare server engine|engine-mt|floor` serves on a free port and says it; then it obeys lines on its standard input.
//! `compare load JOB CLIENTS RATE SECONDS BYTES STALLED -- SERVER ARGS…` starts a server and measures it; `compare check`
//! also fails if it did not do what this engine promises (`check.rs`).

mod check;
#[cfg(feature = "ours")]
mod corked;
mod floor;
mod load;
mod serve;

use std::io;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", "floor"] => floor::run(),
        ["server", kind] => serve::run(kind),
        [what @ ("load" | "check"), job, clients, rate, seconds, bytes, stalled, "--", ref server @ ..] => {
            let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("not a number: {text}"));
            let load = load::Load {
                clients: number(clients) as usize,
                rate: number(rate),
                seconds: number(seconds),
                bytes: number(bytes) as usize,
                stalled: number(stalled) as usize,
            };
            let outcome = load::run(job, &load, server)?;
            if what == "check" { check::check(job, &load, &outcome) } else { Ok(()) }
        }
        _ => panic!("see src/main.rs"),
    }
}

/// CPU time of this process and its threads in microseconds, to 10 ms.
pub fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10_000
}

/// Private memory of this process in KB.
pub fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Nanoseconds of the clock that both processes share.
pub fn now_ns() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// The message of a broadcast: its time, and padding.
pub fn padding(bytes: usize) -> String {
    "x".repeat(bytes)
}
