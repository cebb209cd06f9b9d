//! Where a box listens: addresses of every kind, and its control socket.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use support::http::{After, client, receive, send, who};
use support::{HerdBuilder, PATIENCE, Scratch, binary};

#[test]
fn one_box_serves_ipv4_ipv6_both_on_one_socket_and_a_unix_socket() {
    let scratch = Scratch::new();
    let unix = scratch.path().join("http.sock");
    let config = format!(
        "listen = [\"127.0.0.1:0\", \"[::1]:0\", \"[::]:0\", \"0.0.0.0:0\", \"unix:{}\"]\nslots = 8",
        unix.display()
    );
    let mut herd = HerdBuilder::faulty().config(&config).start(2);
    let status = herd.status();
    let slots: Vec<u16> = status.listeners.iter().map(|listener| listener.slots).collect();
    assert_eq!(slots, [8, 8, 8, 8, 1]);
    let held: usize = status.workers.iter().map(|worker| worker.slots.len()).sum();
    assert_eq!(held, 33, "every slot has one worker");

    let pids: Vec<u32> = status.workers.iter().filter_map(|worker| worker.pid).collect();
    let port = |at: usize| status.listeners[at].address.parse::<SocketAddr>().unwrap().port();
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    for number in 0..20 {
        for to in [(v4, port(0)).into(), (v4, port(2)).into(), (v4, port(3)).into()] {
            assert!(pids.contains(&who(client(number), to).unwrap()), "{to}");
        }
        for to in [(v6, port(1)).into(), (v6, port(2)).into()] {
            assert!(pids.contains(&who(v6.into(), to).unwrap()), "{to}");
        }
        let stream = UnixStream::connect(&unix).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        send(&stream, "GET", "/who", "", After::Close).unwrap();
        assert_eq!(receive(&stream).unwrap().0, 200);
    }
    assert!(std::net::TcpStream::connect((v4, port(1))).is_err(), "[::1] is not for IPv4");

    herd.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(herd.wait().code(), Some(0));
    assert!(!unix.exists(), "the socket file is gone");
}

#[test]
fn a_unix_listener_has_the_permissions_that_were_asked_for_and_takes_over_a_dead_ones_file() {
    let scratch = Scratch::new();
    let unix = scratch.path().join("http.sock");
    drop(std::os::unix::net::UnixListener::bind(&unix).unwrap());
    let config = format!("[[listen]]\naddress = \"unix:{}\"\nmode = \"0660\"", unix.display());
    let _herd = HerdBuilder::faulty().config(&config).start(1);
    assert_eq!(fs::metadata(&unix).unwrap().permissions().mode() & 0o777, 0o660);
    let stream = UnixStream::connect(&unix).unwrap();
    send(&stream, "GET", "/who", "", After::Close).unwrap();
    assert_eq!(receive(&stream).unwrap().0, 200);
}

#[test]
fn the_control_socket_is_for_its_owner_and_refuses_nonsense_in_a_sentence() {
    let herd = HerdBuilder::faulty().start(1);
    assert_eq!(fs::metadata(&herd.control).unwrap().permissions().mode() & 0o777, 0o600);
    let long = vec![b'x'; 100_000];
    let strange: [&[u8]; 8] = [
        b"\n",
        b"status\n",
        b"{}\n",
        b"{\"Dance\":null}\n",
        b"{\"Restart\":{\"index\":-1}}\n",
        b"{\"Restart\":{\"index\":7}}\n",
        b"\xff\xfe\x00\n",
        &long,
    ];
    for request in strange {
        let shown = String::from_utf8_lossy(&request[..request.len().min(40)]).into_owned();
        let stream = UnixStream::connect(&herd.control).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = (&stream).write_all(request); // it may have heard enough before the end
        let mut answer = String::new();
        match BufReader::new(&stream).read_line(&mut answer) {
            Ok(_) => {
                assert!(answer.starts_with("{\"Err\":\"") && answer.ends_with("\"}\n"), "{shown}: {answer}")
            }
            // What it did not read makes the kernel reset the connection, with or without the answer.
            Err(error) => {
                assert!(error.kind() == ErrorKind::ConnectionReset && request.len() > 4096, "{shown}")
            }
        }
        assert_eq!(herd.status().workers.len(), 1, "after {shown}");
    }
}

#[test]
fn control_connections_that_say_nothing_or_half_a_word_hold_nobody_up() {
    let herd = HerdBuilder::faulty().start(1);
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&herd.control).unwrap()).collect();
    silent.iter().step_by(2).for_each(|mut stream| stream.write_all(b"{\"Sta").unwrap());
    assert_eq!(herd.status().workers.len(), 1);
    drop(silent);
    assert_eq!(herd.status().workers.len(), 1);
}

#[test]
fn a_control_socket_that_answers_is_not_taken_over() {
    let herd = HerdBuilder::faulty().start(1);
    let second = std::process::Command::new(support::example("faulty"))
        .args(["--listen", "127.0.0.1:0", "--control"])
        .arg(&herd.control)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(75), "{errors}");
    assert!(errors.contains("another oxherd answers at"), "{errors}");
    assert_eq!(herd.status().workers.len(), 1);
}

#[test]
fn a_file_where_a_socket_should_be_is_left_alone() {
    for in_the_way in ["control.sock", "control.sock.bus", "control.sock.workers/file"] {
        let scratch = Scratch::new();
        let (control, file) = (scratch.path().join("control.sock"), scratch.path().join(in_the_way));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "precious").unwrap();
        let arguments = ["--listen", "127.0.0.1:0", "--control"];
        let output = Command::new(binary()).args(arguments).arg(&control).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("a file that is no socket is there"), "{errors}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}

#[test]
fn without_a_descriptor_left_a_control_connection_is_refused_at_once() {
    let herd = HerdBuilder::new().shell("ulimit -n 40 && exec \"$@\"").start(1);
    let connections: Vec<_> = (0..30).map(|_| UnixStream::connect(&herd.control).unwrap()).collect();
    let last = connections.last().unwrap();
    last.set_read_timeout(Some(PATIENCE / 4)).unwrap(); // half of what an accepted connection may take
    let heard = BufReader::new(last).read_line(&mut String::new());
    let refused =
        heard.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| *read == 0);
    assert!(refused, "{heard:?}");
    drop(connections);
    herd.until("it answers again", |status| status.workers.len() == 1);
}
