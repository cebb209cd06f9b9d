//! Sessions stick to their workers although every request takes its own way: over plain connections, TLS, and nginx
//! with and without TLS, while workers die and are replaced. Longer in tests/soak.sh.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use oxherd_supervisor::control::status::WorkerStatus;
use serde::Deserialize;
use serde_json::{Value, json};
use support::peer::Peer;
use support::proxy::{self, Proxy};
use support::tls::Certificate;
use support::{Herd, HerdBuilder, Scratch, signal_pid, soak_seconds};

const WORKERS: u16 = 4;
const SESSIONS: u32 = 200;
const UPGRADES: u32 = 10;

/// Seconds of talk, unless it is a soak.
const TALK: u64 = 4;

/// The same, when something is done meanwhile.
const LONGER_TALK: u64 = 8;

/// A step has a minute.
const TALK_SECONDS_MAX: u64 = 45;

/// The one answer other than 200 that a session may get: once it is gone.
const UNKNOWN: &str = r#"400 {"code":1,"message":"Session ID unknown"}"#;

/// How many connections the requests share.
#[derive(Clone, Copy, PartialEq)]
enum Connections {
    /// None: each has its own.
    Fresh,
    /// So many that are kept alive.
    Kept(u16),
}

/// What a session has to complain about.
#[derive(Debug, Deserialize)]
struct Member {
    official: bool,
    /// Answers other than 200, and broken connections.
    bad: Vec<String>,
    lost: Vec<String>,
    wrong: Vec<String>,
    sent: u64,
    back: bool,
}

impl Member {
    fn is_undisturbed(&self) -> bool {
        self.bad.is_empty() && self.lost.is_empty() && self.wrong.is_empty() && self.sent > 0
    }
}

/// All come from one address, so nothing but their session ids can tell where they belong.
fn herd(config: &str) -> Herd {
    let arguments = ["--affinity", "connection", "--slots", "16"];
    HerdBuilder::new().arguments(&arguments).config(config).start(WORKERS.into())
}

/// 200 sessions that poll, through this address.
struct Crowd {
    peer: Peer,
    /// The index of each one's worker.
    workers: Vec<u16>,
}

impl Crowd {
    fn open(to: SocketAddr, tls: Option<&Certificate>, connections: Connections) -> Crowd {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let connections = match connections {
            Connections::Fresh => "fresh".to_owned(),
            Connections::Kept(count) => count.to_string(),
        };
        let arguments = [&format!("{scheme}://{to}"), connections.as_str()];
        let mut peer = Peer::trusting("sticky.mjs", &arguments, tls.map(|certificate| &*certificate.chain));
        let workers = serde_json::from_value(peer.step("open", json!({ "count": SESSIONS }))).unwrap();
        Crowd { peer, workers }
    }

    /// Everybody talks, for so many seconds or as long as the soak; then what each of them has to complain about.
    fn talk(&mut self, seconds: u64) -> Vec<Member> {
        let mut rest = soak_seconds(seconds).as_secs();
        loop {
            let seconds = rest.min(TALK_SECONDS_MAX);
            let members = self.peer.step("talk", json!({ "seconds": seconds }));
            rest -= seconds;
            if rest == 0 {
                return serde_json::from_value(members).unwrap();
            }
        }
    }

    /// Talks while something is done in the middle of it.
    fn talk_meanwhile(&mut self, act: impl FnOnce()) -> Vec<Member> {
        thread::scope(|scope| {
            let talking = scope.spawn(|| self.talk(LONGER_TALK));
            thread::sleep(Duration::from_secs(LONGER_TALK / 4)); // in the middle of it
            act();
            talking.join().unwrap()
        })
    }

    fn close(mut self) {
        self.peer.step("close", Value::Null);
    }
}

/// Everybody talks, then some more come and upgrade. Nobody has anything to complain about.
fn campaign(herd: &Herd, mut crowd: Crowd) {
    let served: BTreeSet<_> = crowd.workers.iter().collect();
    assert_eq!(served.len(), usize::from(WORKERS), "everybody serves somebody");
    let members = crowd.talk(TALK);
    let disturbed: Vec<_> = members.iter().filter(|member| !member.is_undisturbed()).collect();
    assert!(disturbed.is_empty(), "{disturbed:#?}");
    crowd.peer.step("upgrade", json!({ "count": UPGRADES }));
    let requests = crowd.peer.step("requests", Value::Null);
    let (given, sent_on) = (sum(herd, |worker| worker.handed_off), sum(herd, |worker| worker.forwarded));
    eprintln!("{requests} requests of pollers; {given} connections handed off, {sent_on} requests forwarded");
    assert_eq!((sum(herd, |worker| worker.bus_lost), sum(herd, |worker| worker.panics)), (0, 0));
    crowd.close();
}

fn sum(herd: &Herd, count: fn(&WorkerStatus) -> u64) -> u64 {
    herd.status().workers.iter().map(count).sum()
}

/// For the box, and for the proxy in front of it.
fn certificate(scratch: &Scratch) -> Certificate {
    Certificate::make_for(scratch, "ox", &["127.0.0.1".to_owned(), proxy::ip().to_string()])
}

#[test]
fn every_request_on_a_connection_of_its_own() {
    let herd = herd("");
    campaign(&herd, Crowd::open(herd.address(), None, Connections::Fresh));
    let workers = herd.status().workers;
    assert!(workers.iter().all(|worker| worker.handed_off > 0 && worker.handed_in > 0), "{workers:?}");
}

#[test]
fn all_sessions_over_few_connections_that_are_kept_alive() {
    let herd = herd("");
    campaign(&herd, Crowd::open(herd.address(), None, Connections::Kept(32)));
    let workers = herd.status().workers;
    assert!(workers.iter().all(|worker| worker.forwarded > 0 && worker.forwarded_in > 0), "{workers:?}");
}

#[test]
fn with_tls_in_the_workers() {
    let scratch = Scratch::new();
    let certificate = certificate(&scratch);
    for connections in [Connections::Fresh, Connections::Kept(32)] {
        let herd = herd(&certificate.config());
        campaign(&herd, Crowd::open(herd.address(), Some(&certificate), connections));
        assert!(sum(&herd, |worker| worker.forwarded) > 0);
        assert_eq!(sum(&herd, |worker| worker.handed_off), 0, "never under TLS");
    }
}

#[test]
fn through_nginx_that_keeps_connections_alive_and_knows_nothing_of_sessions() {
    let scratch = Scratch::new();
    let certificate = certificate(&scratch);
    for tls in [None, Some(&certificate)] {
        let herd = herd("trusted_proxies = \"127.0.0.1\"");
        let upstream = herd.address().to_string();
        let nginx = match tls {
            None => Proxy::nginx(&upstream),
            Some(certificate) => Proxy::nginx_with_tls(&upstream, certificate),
        };
        campaign(&herd, Crowd::open(nginx.address, tls, Connections::Fresh));
        assert!(sum(&herd, |worker| worker.forwarded) > 0);
        assert_eq!(nginx.errors(), "");
    }
}

#[test]
fn a_killed_worker_is_noticed_by_its_own_sessions_only_and_they_come_back() {
    let mut herd = herd("");
    let mut crowd = Crowd::open(herd.address(), None, Connections::Fresh);
    let victim = herd.worker(1);
    let members = crowd.talk_meanwhile(|| signal_pid(victim.pid.unwrap(), Signal::SIGKILL));
    herd.until_ready(WORKERS.into());
    for (worker, member) in crowd.workers.iter().zip(&members) {
        if *worker != 1 {
            assert!(member.is_undisturbed(), "of worker {worker}: {member:?}");
            continue;
        }
        assert!(member.back, "{member:?}");
        // The request that was under way may be broken; then one clean answer.
        assert!(
            member.bad.iter().all(|bad| bad.ends_with(UNKNOWN) || bad.contains("ECONNRESET")),
            "{member:?}"
        );
        assert!(member.bad.len() <= 2 && member.official == member.bad.is_empty(), "{member:?}");
    }
    crowd.close();
}

/// A worker that dies takes the connections along that came to it, also those that it forwarded. But nobody is told
/// that a session is unknown which is alive.
#[test]
fn under_tls_a_killed_worker_makes_no_living_session_unknown() {
    let scratch = Scratch::new();
    let certificate = certificate(&scratch);
    let mut herd = herd(&certificate.config());
    let mut crowd = Crowd::open(herd.address(), Some(&certificate), Connections::Fresh);
    let victim = herd.worker(1);
    let members = crowd.talk_meanwhile(|| signal_pid(victim.pid.unwrap(), Signal::SIGKILL));
    herd.until_ready(WORKERS.into());
    for (worker, member) in crowd.workers.iter().zip(&members) {
        assert!(member.lost.is_empty() || member.back, "{member:?}");
        let unknown = member.bad.iter().any(|bad| bad.ends_with(UNKNOWN));
        assert!(*worker == 1 || !unknown, "of worker {worker}: {member:?}");
    }
    crowd.close();
}

#[test]
fn workers_that_are_replaced_one_after_the_other_break_no_request() {
    let scratch = Scratch::new();
    let certificate = certificate(&scratch);
    for tls in [None, Some(&certificate)] {
        let herd = herd(&tls.map(Certificate::config).unwrap_or_default());
        let mut crowd = Crowd::open(herd.address(), tls, Connections::Fresh);
        let restart = |worker: u16| {
            let output = herd.command(&["restart", &worker.to_string()]);
            assert!(output.status.success(), "{output:?}");
        };
        let members = crowd.talk_meanwhile(|| (0..WORKERS).for_each(restart));
        for member in &members {
            // A session is told its end by a close packet; who asks again is told that it is gone.
            assert!(member.bad.iter().all(|bad| bad.ends_with(UNKNOWN)), "{}: {member:?}", tls.is_some());
            assert!(!member.lost.is_empty() && member.back && member.wrong.is_empty(), "{member:?}");
        }
        crowd.close();
    }
}
