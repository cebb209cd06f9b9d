//! Debian's nginx in front of a box, with the configuration that README.md shows.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::{Scratch, eventually, signal_pid};

/// A running nginx, stopped when dropped.
pub struct Nginx {
    pub address: SocketAddr,
    scratch: Scratch,
    process: Child,
}

impl Nginx {
    /// Starts it in front of this upstream, which is written as nginx writes it.
    pub fn before(upstream: &str) -> Nginx {
        let scratch = Scratch::new();
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxies/nginx.conf.template");
        let address = free_address();
        let config = fs::read_to_string(template).unwrap();
        let config = config.replace("DIRECTORY", scratch.path().to_str().unwrap());
        let config = config.replace("UPSTREAM", upstream).replace("LISTEN", &address.to_string());
        fs::write(scratch.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(scratch.path().join("nginx.conf")).stdin(Stdio::null());
        command.arg("-e").arg(scratch.path().join("error.log")).stderr(Stdio::null());
        let process = command.spawn().expect("nginx is missing: install Debian's nginx");
        let nginx = Nginx { address, scratch, process };
        eventually("nginx listens", || TcpStream::connect(address).ok());
        nginx
    }

    /// What it complained about.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.scratch.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        signal_pid(self.process.id(), Signal::SIGTERM);
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- errors of nginx ----\n{}", self.errors());
        }
    }
}

/// nginx cannot be asked for a free port: this one is free now, and the address is nobody else's.
fn free_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 3, high, low), 0)).unwrap();
    listener.local_addr().unwrap()
}
