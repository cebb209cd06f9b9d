//! A plain TCP load balancer, as HAProxy's mode tcp or nginx' stream module: every connection to the next box, whatever is
//! in it; one that refuses is passed over.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long a box may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections end with their clients; new ones are refused when it is dropped.
pub struct Balancer {
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Balancer {
    /// On a free port of an address of this thread's network namespace.
    pub fn start(ip: IpAddr, boxes: Vec<SocketAddr>) -> Balancer {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, next) = (stopped.clone(), AtomicUsize::new(0));
        thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let first = next.fetch_add(1, Ordering::Relaxed);
                let order: Vec<_> = (0..boxes.len()).map(|at| boxes[(first + at) % boxes.len()]).collect();
                thread::spawn(move || serve(&client, &order)); // inside the same namespace
            }
        });
        Balancer { address, stopped }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address); // wakes it
    }
}

fn serve(client: &TcpStream, boxes: &[SocketAddr]) {
    let connect = |address: &SocketAddr| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).ok();
    let Some(server) = boxes.iter().find_map(connect) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let second = Duration::from_secs(1); // a host that vanished sends no end
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second).with_retries(3);
    let _ = SockRef::from(&server).set_tcp_keepalive(&keepalive);
    let _ = SockRef::from(&server).set_tcp_user_timeout(Some(second * 4));
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
}

/// Until the end of one side, which the other side then sees; a broken connection ends both.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut bytes = [0; 16 * 1024];
    let mut pass = || -> io::Result<usize> {
        let read = from.read(&mut bytes)?;
        to.write_all(&bytes[..read])?;
        Ok(read)
    };
    let broken = loop {
        match pass() {
            Ok(0) => break false,
            Ok(_) => {}
            Err(_) => break true,
        }
    };
    let _ = to.shutdown(if broken { Shutdown::Both } else { Shutdown::Write });
}
