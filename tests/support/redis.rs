//! A real redis-server of a test's own, on a free port, with a password.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::{eventually, signal_pid};

/// What its clients must present.
pub const PASSWORD: &str = "open sesame";

/// Ended when dropped.
pub struct Redis {
    ip: IpAddr,
    port: u16,
    process: Child,
}

impl Redis {
    /// On the loopback address.
    pub fn start() -> Redis {
        Redis::on(Ipv4Addr::LOCALHOST.into())
    }

    /// On an address of this thread's network namespace.
    pub fn on(ip: IpAddr) -> Redis {
        loop {
            // Free now; should somebody else be faster, then again.
            let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
            let mut redis = Redis { ip, port, process: spawn(ip, port) };
            let started = eventually("redis-server answers or ends", || {
                let ended = redis.process.try_wait().unwrap().is_some();
                (ended || redis.answers()).then_some(!ended)
            });
            if started {
                return redis;
            }
        }
    }

    pub fn host(&self) -> String {
        self.ip.to_string()
    }

    pub fn port(&self) -> String {
        self.port.to_string()
    }

    pub fn url(&self) -> String {
        format!("redis://:{}@{}:{}/0", PASSWORD.replace(' ', "%20"), self.ip, self.port)
    }

    /// Lines of a config file that name it.
    pub fn config(&self) -> String {
        format!("[redis]\nurl = \"{}\"", self.url())
    }

    /// kill -9
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// On the same port.
    pub fn restart(&mut self) {
        self.process = spawn(self.ip, self.port);
        eventually("redis-server answers", || self.answers().then_some(()));
    }

    /// It keeps its connections and says nothing.
    pub fn pause(&self) {
        super::process::stop(self.process.id());
    }

    pub fn resume(&self) {
        signal_pid(self.process.id(), Signal::SIGCONT);
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect((self.ip, self.port))?;
            write!(stream, "AUTH \"{PASSWORD}\"\r\nPING\r\nQUIT\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.contains("+PONG"))
        };
        ask().unwrap_or(false)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill(); // a paused one dies too
        let _ = self.process.wait();
    }
}

fn spawn(ip: IpAddr, port: u16) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", &ip.to_string(), "--port", &port.to_string(), "--requirepass", PASSWORD]);
    command.args(["--save", "", "--appendonly", "no"]).stdout(Stdio::null());
    command.spawn().expect("redis-server is missing: install Debian's redis-server")
}
