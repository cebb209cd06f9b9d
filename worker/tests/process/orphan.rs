//! A worker whose supervisor is gone.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::client::{Client, WebSocket};
use crate::support::{PATIENCE, Start};

crate::trials![an_orphan_leaves_within_its_grace, a_stuck_orphan_is_aborted_after_its_grace];

fn an_orphan_leaves_within_its_grace() {
    let mut process = Start::default().ready();
    let (listener, address) = process.listen();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    let mut socket = WebSocket::open(address);
    client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(listener);
    let orphaned = Instant::now();
    process.orphan();
    assert!(socket.ends());
    let refused = || std::net::TcpStream::connect(address).is_err();
    crate::support::wait_until("the listener is closed", refused);
    process.leaves();
    assert!(orphaned.elapsed() < Duration::from_secs(2), "{:?}", orphaned.elapsed());
}

fn a_stuck_orphan_is_aborted_after_its_grace() {
    let mut process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut client = Client::connect(address);
    client.send("GET /spin HTTP/1.1\r\nHost: x\r\n\r\n");
    crate::support::wait_until("it is stuck", || {
        let requests = || process.row().requests.load(std::sync::atomic::Ordering::Relaxed);
        requests() == 1
    });
    process.orphan();
    let status = process.ends_within(PATIENCE);
    assert_eq!(status.signal(), Some(nix::libc::SIGABRT), "{status:?}");
}
