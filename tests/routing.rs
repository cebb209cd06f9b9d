//! Whose a connection is: who may touch a session, what leads nowhere, who is handed over, who is kept.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use oxherd_supervisor::control::status::{Status, WorkerStatus};
use serde_json::Value;
use support::http::{
    After, HANDSHAKE, LOCALHOST, client, clients_of, connect_from, open, receive, request, send, who,
};
use support::websocket::upgrade;
use support::{HerdBuilder, PATIENCE, get};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// A polling session: the path of its requests, with its whole id.
struct Session {
    address: SocketAddr,
    source: IpAddr,
    id: String,
}

impl Session {
    fn open(source: IpAddr, address: SocketAddr) -> Session {
        Session { address, source, id: open(source, address) }
    }

    /// In the namespace; also its public id, the one that everybody may know.
    fn connected(source: IpAddr, address: SocketAddr) -> (Session, String) {
        let session = Session::open(source, address);
        assert_eq!(session.post("40"), (200, "ok".into()));
        let mut heard = String::new();
        while !heard.contains("40{") {
            heard.push_str(&session.poll());
        }
        let public = heard.split(r#"40{"sid":""#).nth(1).unwrap().split('"').next().unwrap();
        (session, public.to_owned())
    }

    fn path(&self) -> String {
        format!("{HANDSHAKE}&sid={}", self.id)
    }

    fn post(&self, body: &str) -> (u16, String) {
        request(self.source, self.address, "POST", &self.path(), body).unwrap()
    }

    fn poll(&self) -> String {
        let (status, body) = request(self.source, self.address, "GET", &self.path(), "").unwrap();
        assert_eq!(status, 200, "{body}");
        body
    }
}

fn sum(status: &Status, count: fn(&WorkerStatus) -> u64) -> u64 {
    status.workers.iter().map(count).sum()
}

/// All that siblings were ever asked for.
fn messages_between_workers(status: &Status) -> [u64; 4] {
    [
        sum(status, |worker| worker.handed_off),
        sum(status, |worker| worker.handed_in),
        sum(status, |worker| worker.forwarded),
        sum(status, |worker| worker.forwarded_in),
    ]
}

#[test]
fn who_knows_a_socket_id_can_neither_read_nor_write_nor_close_nor_upgrade_the_session() {
    let herd = HerdBuilder::new().arguments(&["--affinity", "connection"]).start(3);
    let address = herd.address();
    let (victim, public) = Session::connected(LOCALHOST, address);
    let (attacker, _) = Session::connected(LOCALHOST, address);
    assert!(victim.id.starts_with(&public), "the public id is the session's");
    let own_tag = attacker.id.split_once('.').unwrap().1;
    let (victims_sid, victims_tag) = victim.id.split_once('.').unwrap();
    let mut almost = victims_tag.to_owned();
    almost.replace_range(20..21, if &almost[20..21] == "A" { "B" } else { "A" });
    let forged = [
        public.clone(),
        format!("{public}."),
        format!("{public}.{own_tag}"),
        format!("{victims_sid}.{almost}"),
        format!("{victims_sid}.{}", &victims_tag[..victims_tag.len() - 1]),
        format!("{public}&sid={}", attacker.id),
        format!("{}&sid={public}", attacker.id),
    ];
    let asks = |id: &str| upgrade(connect_from(LOCALHOST, address).unwrap(), id).unwrap();
    for id in &forged {
        for _ in 0..6 {
            // On whichever worker: the victim's own one too.
            let forged = Session { address, source: LOCALHOST, id: id.clone() };
            for body in ["1", r#"42["join","a"]"#, "41"] {
                assert_eq!(forged.post(body).0, 400, "{id}");
            }
            assert_eq!(request(LOCALHOST, address, "GET", &forged.path(), "").unwrap().0, 400, "{id}");
            assert!(asks(id).starts_with("http/1.1 400 "), "{id}");
        }
    }
    assert_eq!(victim.post(r#"421["join","b"]"#).0, 200);
    assert_eq!(victim.poll(), r#"431[{"ok":true,"room":"b"}]"#, "nothing else has happened to it");
    assert!(asks(&victim.id).starts_with("http/1.1 101 "), "its owner may upgrade it");
}

#[test]
fn ten_thousand_ids_that_nobody_gave_cost_no_sibling_a_message() {
    const ON_ONE_CONNECTION: usize = 100;
    let herd = HerdBuilder::new().arguments(&["--affinity", "connection"]).start(3);
    let address = herd.address();
    let session = Session::open(LOCALHOST, address);
    let (sid, tag) = session.id.split_once('.').unwrap();
    let before = messages_between_workers(&herd.status());
    let bogus = |number: usize| match number % 5 {
        0 => format!("{number:016}"),
        1 => format!("{number:016}.{tag}"),
        2 => format!("{sid}.a{number:036}"),
        3 => format!("{sid}.{tag}&sid={sid}.{tag}"),
        _ => format!("%41{number:015}%2e{tag}"),
    };
    for first in (0..10_000).step_by(ON_ONE_CONNECTION) {
        let stream = connect_from(LOCALHOST, address).unwrap();
        for number in first..first + ON_ONE_CONNECTION {
            let path = format!("{HANDSHAKE}&sid={}", bogus(number));
            send(&stream, "GET", &path, "", After::Keep).unwrap();
            let (status, body) = receive(&stream).unwrap();
            assert_eq!(status, 400, "{path}");
            assert!(body == UNKNOWN || number % 5 == 3, "{path}: {body}");
        }
    }
    // And as the first request of a connection, where it is the kernel's bytes that are read.
    for number in 0..1000 {
        let path = format!("{HANDSHAKE}&sid={}", bogus(number));
        assert_eq!(request(LOCALHOST, address, "GET", &path, "").unwrap().0, 400, "{path}");
    }
    assert_eq!(messages_between_workers(&herd.status()), before);
}

#[test]
fn what_leads_nowhere_is_told_in_the_log_without_its_tag() {
    let herd = HerdBuilder::new().config("log.filter = \"info,oxherd=debug\"").start(1);
    let address = herd.address();
    let session = Session::open(LOCALHOST, address);
    let (sid, tag) = session.id.split_once('.').unwrap();
    let elsewhere = HerdBuilder::new().start(1);
    let foreign = Session::open(LOCALHOST, elsewhere.address()).id;
    for (id, why) in [
        (sid.to_owned(), "bare"),
        (format!("{sid}.a{}", "A".repeat(36)), "broken mac"),
        (foreign, "broken mac"),
        (format!("{}&sid=x", session.id), "repeated"),
        (format!("{sid}.x"), "not a tag"),
        ("short".to_owned(), "bare"),
    ] {
        let before = herd.log().matches(&format!("why={why}")).count();
        assert_eq!(get(address, &format!("{HANDSHAKE}&sid={id}")).unwrap().0, 400);
        let log = herd.log();
        assert_eq!(log.matches(&format!("why={why}")).count(), before + 1, "{log}");
        assert!(!log.contains(tag), "a tag is in the log");
    }
}

#[test]
fn a_dead_workers_session_is_unknown_at_once_and_a_shared_secret_knows_a_foreign_box() {
    let config = "cluster.secrets = \"a secret of two boxes\"\nlog.filter = \"info,oxherd=debug\"";
    let mut herd = HerdBuilder::new().arguments(&["--affinity", "source-ip"]).config(config).start(2);
    let other = HerdBuilder::new().config(config).start(1);
    let address = herd.address();
    let foreign = Session::open(LOCALHOST, other.address());
    let mut mine = Session::open(LOCALHOST, address);
    let victim = herd.status().workers.into_iter().find(|worker| worker.sessions > 0).unwrap();
    support::signal_pid(victim.pid.unwrap(), nix::sys::signal::Signal::SIGKILL);
    herd.until_ready(2);
    mine.source = client(7);
    for (id, why) in [(mine.id, "dead worker"), (foreign.id, "foreign box")] {
        let begun = Instant::now();
        let answer = get(address, &format!("{HANDSHAKE}&sid={id}")).unwrap();
        assert_eq!(answer, (400, UNKNOWN.to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(herd.log().contains(&format!("why={why}")), "{}", herd.log());
    }
}

#[test]
fn a_thousand_clients_of_one_address_spread_over_the_workers() {
    const CLIENTS: u64 = 1000;
    const WORKERS: u64 = 4;
    let herd = HerdBuilder::new().arguments(&["--affinity", "source-ip"]).start(WORKERS as usize);
    let address = herd.address();
    let sessions: Vec<_> = (0..CLIENTS).map(|_| Session::open(LOCALHOST, address)).collect();
    let status = herd.until("all are counted", |status| sum(status, |worker| worker.sessions) == CLIENTS);
    let each: Vec<u64> = status.workers.iter().map(|worker| worker.sessions).collect();
    let share = CLIENTS / WORKERS;
    assert!(each.iter().all(|count| count.abs_diff(share) <= share * 15 / 100), "{each:?}");
    // They are found again, wherever they are.
    assert!(sessions.iter().all(|session| session.post("40").0 == 200));
}

#[test]
fn who_sends_slowly_or_nothing_holds_up_nobody_and_comes_to_its_worker_all_the_same() {
    let config = "affinity = \"source-ip\"\nhttp.peek_timeout = \"300ms\"";
    let herd = HerdBuilder::new().config(config).start(2);
    let address = herd.address();
    let owned: Vec<_> = (0..40).map(|number| Session::open(client(number), address)).collect();
    let silent: Vec<_> = (0..50).map(|_| connect_from(LOCALHOST, address).unwrap()).collect();
    // Half a request line each, of a session that belongs to the one or the other worker.
    let mut slow: Vec<(TcpStream, &Session)> =
        owned.iter().map(|session| (connect_from(LOCALHOST, address).unwrap(), session)).collect();
    for (stream, session) in &mut slow {
        let path = session.path();
        stream.write_all(format!("POST {}", &path[..path.len() / 2]).as_bytes()).unwrap();
    }
    let begun = Instant::now();
    assert_eq!(get(address, "/healthz").unwrap().0, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let finish = |(stream, session): &mut (TcpStream, &Session)| {
        let path = session.path();
        let rest =
            format!("{} HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n40", &path[path.len() / 2..]);
        stream.write_all(rest.as_bytes()).unwrap();
        assert_eq!(receive(&*stream).unwrap(), (200, "ok".into()));
    };
    let (in_time, late) = slow.split_at_mut(20);
    in_time.iter_mut().for_each(finish);
    // The others are taken for the worker's own, and their requests are forwarded.
    let before = messages_between_workers(&herd.status());
    std::thread::sleep(Duration::from_millis(400)); // longer than peek_timeout
    late.iter_mut().for_each(finish);
    let after = messages_between_workers(&herd.status());
    assert!(after[2] > before[2], "{before:?} {after:?}");
    drop(silent);
}

#[test]
fn a_draining_worker_sends_new_sessions_on_kept_alive_connections_to_another() {
    let herd = HerdBuilder::faulty().config("affinity = \"source-ip\"").start(2);
    let address = herd.address();
    let victim = herd.worker(0);
    let its_client = clients_of(victim.pid.unwrap(), address, 1)[0];
    // A request in flight keeps it, and two connections on which the next request is just arriving.
    let _busy = herd.begin(its_client, "/slow?ms=2000");
    let mut kept: Vec<_> = (0..2).map(|_| connect_from(its_client, address).unwrap()).collect();
    for stream in &mut kept {
        stream.write_all(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: t").unwrap();
    }
    herd.until("their lines have been seen", |status| {
        status.workers.iter().any(|worker| worker.id == victim.id && worker.connections == 3)
    });
    support::signal_pid(victim.pid.unwrap(), nix::sys::signal::Signal::SIGTERM);
    herd.until("it drains", |status| {
        status.workers.iter().any(|worker| worker.id == victim.id && worker.state == "draining")
    });
    for stream in &mut kept {
        stream.write_all(b"est\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer} {}",
            herd.log()
        );
        // It lives on where it was opened.
        let open: Value = serde_json::from_str(answer.split_once("\r\n\r\n0").unwrap().1).unwrap();
        let id = open["sid"].as_str().unwrap().to_owned();
        let session = Session { address, source: client(9), id };
        assert_eq!(session.post("40"), (200, "ok".into()));
    }
    let status = herd.status();
    let draining = status.workers.iter().find(|worker| worker.id == victim.id).unwrap();
    assert_eq!((draining.forwarded, draining.sessions), (2, 0));
    assert_ne!(who(its_client, address).unwrap(), victim.pid.unwrap());
}
