//! The bus by itself: `cargo run --example bus -- --unix PATH --tcp 127.0.0.1:0 [--password WORD]`.
//!
//! Prints one line for each address that it listens on, and serves until its standard input ends: whoever starts it
//! holds a pipe, and a test that dies takes it along.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use oxherd_bus::{Bus, BusOptions, BusSettings, Listeners, OutputLimit, Password, bind_unix};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut options = BusOptions::default();
    let mut listeners = Listeners::default();
    let mut arguments = std::env::args().skip(1);
    let mut out = std::io::stdout();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or("a value is missing")?;
        match flag.as_str() {
            "--unix" => {
                listeners.unix.push(bind_unix(Path::new(&value))?);
                writeln!(out, "unix {value}")?;
            }
            "--tcp" => {
                let listener = TcpListener::bind(&value)?;
                writeln!(out, "tcp {}", listener.local_addr()?)?;
                listeners.tcp.push(listener);
            }
            "--password" => options.password = Some(Password::new(value)?),
            "--output-bytes" => {
                let bytes = value.parse()?;
                options.frame_bytes_max = bytes / 2;
                options.output = OutputLimit { hard_bytes: bytes, soft_bytes: bytes, ..options.output };
            }
            other => return Err(format!("unknown flag {other}").into()),
        }
    }
    writeln!(out, "ready")?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let mut nothing = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut nothing);
        stop.cancel();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Bus::new(BusSettings::try_from(options)?).serve(listeners, shutdown))?;
    Ok(())
}
