//! Slots come and go.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::Relaxed;

use oxherd_contract::ids::SlotId;
use oxherd_contract::listen::Address;
use oxherd_contract::message::ToChild;

use crate::client::{Client, WebSocket};
use crate::support::{Start, wait_until};

crate::trials![
    a_slot_serves_http_and_websockets_and_shows_the_client_address,
    a_unix_socket_is_a_slot_too,
    a_released_slot_keeps_its_queue_and_its_connections,
    two_processes_accept_on_one_listener,
];

fn a_slot_serves_http_and_websockets_and_shows_the_client_address() {
    let process = Start::default().ready();
    let (_listener, address) = process.listen();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").body, "hello");
    let ours = client.0.get_ref().local_addr().unwrap();
    assert_eq!(client.get("/peer").body, ours.to_string());
    let mut socket = WebSocket::open(address);
    socket.send(r#"421["echo","hi"]"#);
    assert_eq!(socket.hears("hi"), r#"431["hi"]"#);
}

fn a_unix_socket_is_a_slot_too() {
    let process = Start::default().ready();
    let directory = std::env::temp_dir().join(format!("oxherd-worker-{}", process.pid()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("http.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    process.accept(0, &listener, Address::Unix(path.clone()));
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("hello"), "{answer}");
}

fn a_released_slot_keeps_its_queue_and_its_connections() {
    let process = Start::default().ready();
    let (listener, address) = process.listen();
    let mut before = Client::connect(address);
    assert_eq!(before.get("/").status, 200);
    process.tell(&ToChild::Release(vec![SlotId(0)]), &[]);
    // Messages are heard in order: when the second slot is served, the first has been released.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other_address = other.local_addr().unwrap();
    process.accept(1, &other, Address::Tcp(other_address));
    assert_eq!(Client::connect(other_address).get("/").status, 200);

    let accepted = process.row().accepted.load(Relaxed);
    let mut queued = Client::connect(address);
    queued.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(before.get("/").status, 200);
    assert_eq!(Client::connect(other_address).get("/").status, 200);
    assert_eq!(process.row().accepted.load(Relaxed), accepted + 1);
    process.accept(0, &listener, Address::Tcp(address));
    assert_eq!(queued.answer().status, 200);
}

fn two_processes_accept_on_one_listener() {
    let processes = [Start::default().ready(), Start::default().ready()];
    let (listener, address) = processes[0].listen();
    processes[1].accept(0, &listener, Address::Tcp(address));
    let accepted = |at: usize| processes[at].row().accepted.load(Relaxed);
    let mut made = 0;
    // Both wake for each connection and the quicker one takes it; in bursts both have some.
    wait_until("both accept", || {
        let mut burst: Vec<_> = (0..50).map(|_| Client::connect(address)).collect();
        burst.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        made += burst.len() as u64;
        assert!(burst.iter_mut().all(|client| client.answer().status == 200));
        accepted(0) > 0 && accepted(1) > 0
    });
    assert_eq!(accepted(0) + accepted(1), made);
    drop(TcpStream::connect(address).unwrap());
    wait_until("the one that said nothing is taken too", || accepted(0) + accepted(1) == made + 1);
}
