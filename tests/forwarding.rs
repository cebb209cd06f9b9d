//! Requests that arrive, on a connection that is somewhere else, for a session that another worker owns.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::{self, Read, Write};
use std::net::TcpStream;

use oxherd_supervisor::control::status::Status;
use support::http::{After, HANDSHAKE, LOCALHOST, client, connect_from, open, receive, receive_whole, send};
use support::websocket::{hear, say, upgrade};
use support::{Herd, HerdBuilder};

fn builder() -> HerdBuilder {
    HerdBuilder::new().arguments(&["--affinity", "connection"])
}

fn forwarded(herd: &Herd) -> u64 {
    herd.status().workers.iter().map(|worker| worker.forwarded).sum()
}

/// A connection whose first request was of no session: it stays where it arrived.
fn kept(herd: &Herd) -> io::Result<TcpStream> {
    let stream = connect_from(client(0), herd.address())?;
    send(&stream, "GET", "/healthz", "", After::Keep)?;
    assert_eq!(receive(&stream)?.0, 200);
    Ok(stream)
}

/// Does something on kept connections, each with the id of a new session, until it was forwarded.
fn until_forwarded<T>(herd: &Herd, act: impl Fn(TcpStream, &str) -> T) -> T {
    for _ in 0..64 {
        let id = open(LOCALHOST, herd.address());
        let stream = kept(herd).unwrap();
        let before = forwarded(herd);
        let outcome = act(stream, &id);
        if forwarded(herd) > before {
            return outcome;
        }
    }
    panic!("every connection was at the owner of its session");
}

/// A pong, whose answer has a length: its head with more header lines.
fn pong(id: &str, lines: &str) -> String {
    let head = format!("POST {HANDSHAKE}&sid={id} HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n");
    format!("{head}Content-Type: text/plain\r\n{lines}\r\n3")
}

#[test]
fn an_upgrade_on_a_kept_connection_reaches_the_worker_that_owns_the_session_and_ends_with_it() {
    let herd = builder().start(2);
    let mut stream = until_forwarded(&herd, |stream, id| {
        let head = upgrade(&stream, id).unwrap();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        say(&stream, "2probe").unwrap();
        assert_eq!(hear(&stream).unwrap(), (0x81, b"3probe".to_vec()));
        stream
    });
    say(&stream, "5").unwrap(); // upgrade
    say(&stream, "1").unwrap(); // close
    stream.read_to_end(&mut Vec::new()).unwrap();
    // The client keeps its end open, and says nothing more.
    let nobody_is_served = |status: &Status| status.workers.iter().all(|one| one.connections == 0);
    herd.until("both ends of the pipe are closed", nobody_is_served);
}

#[test]
fn as_many_headers_as_may_arrive_may_be_forwarded() {
    let herd = builder().start(2);
    let lines: String = (0..97).map(|number| format!("x-{number}: y\r\n")).collect(); // hyper takes 100
    until_forwarded(&herd, |mut stream, id| {
        stream.write_all(pong(id, &lines).as_bytes()).unwrap();
        assert_eq!(receive(&stream).unwrap(), (200, "ok".to_owned()));
    });
}

#[test]
fn a_session_that_lives_is_not_called_unknown_when_there_is_no_room_to_forward() {
    const ROOM: usize = 4;
    let config = format!(
        "[http]\nconnections_max = {ROOM}\nhalf_open_max = {ROOM}\n[cors]\norigins = [\"https://page.example\"]"
    );
    let herd = builder().config(&config).start(2);
    let id = open(LOCALHOST, herd.address());
    let is_served = |mut stream: &TcpStream| {
        stream.write_all(pong(&id, "Origin: https://page.example\r\n").as_bytes()).unwrap();
        let (head, body) = receive_whole(stream).unwrap();
        assert!(head.contains("access-control-allow-origin: https://page.example\r\n"), "{head}");
        let served = head.starts_with("http/1.1 200 ");
        assert!(served || head.starts_with("http/1.1 503 ") && head.contains("retry-after: 1\r\n"), "{head}");
        assert!(served || body.contains("cannot be reached"), "{body}");
        served
    };
    // While one worker is full already and the other is not, the full one refuses.
    let connections: Vec<_> = (0..1000).filter_map(|_| kept(&herd).ok()).take(2 * ROOM).collect();
    let (at_owner, mut elsewhere): (Vec<_>, Vec<_>) = connections.into_iter().partition(is_served);
    assert_eq!((at_owner.len(), elsewhere.len()), (ROOM, ROOM));
    elsewhere.pop();
    support::eventually("there is room again", || is_served(&elsewhere[0]).then_some(()));
    // By now an idle connection to the owner has that room, which goes to a client that needs it.
    let came = support::eventually("a client gets the room", || kept(&herd).ok());
    assert!(!is_served(&came), "the owner was full");
}
