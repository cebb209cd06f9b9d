//! Two boxes that share a Redis, each a machine of its own (a network namespace), behind a balancer that knows nothing of
//! sessions: every request of every session is answered, whichever box it arrives at.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use oxherd_supervisor::control::status::Status;
use serde_json::{Value, json};
use support::balancer::Balancer;
use support::http::{HANDSHAKE, connect_from, open, publish, request};
use support::network::Network;
use support::peer::Peer;
use support::process::{stop, until_gone};
use support::redis::Redis;
use support::websocket::{hear, say, upgrade};
use support::{Herd, HerdBuilder, signal_pid, soak_seconds};

const WORKERS: usize = 2;
const SECRET: &str = "a secret of the whole cluster";
const KEY: &str = "a key for backends";

/// Two boxes, their Redis and their balancer in the middle, where the clients are too.
struct Site {
    herds: Vec<Herd>,
    balancer: Balancer,
    redis: Redis,
    network: Network,
}

impl Site {
    fn new(secrets: [&str; 2]) -> Site {
        let network = Network::new(2);
        let redis = network.middle.run(|| Redis::on(Network::middle_address()));
        let herds: Vec<_> =
            (0..2).map(|number| start(&network, &redis, number, secrets[usize::from(number)])).collect();
        let addresses = herds.iter().map(Herd::address).collect();
        let balancer = network.middle.run(|| Balancer::start(Network::middle_address(), addresses));
        Site { herds, balancer, redis, network }
    }

    /// With both boxes known to each other.
    fn together() -> Site {
        let site = Site::new([SECRET; 2]);
        for herd in &site.herds {
            herd.until("the other box is known", |status| boxes_known(status) == 1);
        }
        site
    }

    /// A new session at one box.
    fn open(&self, at: usize) -> String {
        self.network.middle.run(|| open(Network::middle_address(), self.herds[at].address()))
    }

    /// The status of the answer to a pong for a session, on a connection of its own to one box.
    fn pong(&self, by: usize, id: &str) -> u16 {
        let (here, by) = (Network::middle_address(), self.herds[by].address());
        let path = format!("{HANDSHAKE}&sid={id}");
        self.network.middle.run(|| request(here, by, "POST", &path, "3").unwrap().0)
    }

    fn peer(&self, script: &str) -> Peer {
        let url = format!("http://{}", self.balancer.address);
        self.network.middle.run(|| Peer::start(script, &[&url]))
    }

    /// Kills everything of a box at once, as a power cut would.
    fn kill(&self, number: usize) {
        let herd = &self.herds[number];
        let pids: Vec<u32> = herd.pids().into_iter().chain([herd.pid()]).collect();
        stop(herd.pid()); // so that it replaces nobody
        pids.iter().for_each(|pid| signal_pid(*pid, Signal::SIGKILL));
        until_gone(&pids);
    }
}

fn start(network: &Network, redis: &Redis, number: u8, secret: &str) -> Herd {
    let address = Network::address(number);
    let cluster = format!("[cluster]\nsecrets = [\"{secret}\"]\nadvertise = \"{address}:7000\"");
    let listen = format!("{address}:3000");
    // Each connection to a worker of its own: so a box hands over and forwards as much as it can.
    let arguments = ["--listen", &listen, "--affinity", "connection", "--host", &format!("box {number}")];
    let api = format!("[api]\nkey = \"{KEY}\"");
    // Neither is a worker that a test stops taken for hung, nor a client that it lets wait for slow.
    let builder = HerdBuilder::new()
        .environment("OXHERD_HANG_TIMEOUT", "60s")
        .environment("OXHERD_SLOW_BUDGET", "100000000")
        .arguments(&arguments)
        .config(&redis.config())
        .config(&cluster);
    network.hosts[usize::from(number)].run(|| builder.config(&api).start(WORKERS))
}

fn boxes_known(status: &Status) -> u64 {
    status.redis.as_ref().map_or(0, |redis| redis.boxes)
}

/// How many live at a box.
fn sessions(herd: &Herd) -> u64 {
    herd.status().workers.iter().map(|worker| worker.sessions).sum()
}

/// All requests were answered with 200.
fn assert_all_good(answers: &Value) {
    let statuses: Vec<&str> = answers["statuses"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((statuses, &answers["errors"]), (vec!["200"], &json!({})), "{answers}");
}

/// A session with its box, and how it ended.
fn ended(peer: &mut Peer) -> Vec<(String, Vec<Value>)> {
    let all = peer.step("ended", json!({}));
    let of = |one: &Value| (one["sid"].as_str().unwrap().to_owned(), one["ends"].as_array().unwrap().clone());
    all.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn sessions_that_poll_stick_to_their_box_and_worker_through_a_plain_balancer() {
    let site = Site::together();
    let ms = soak_seconds(10).as_millis() as u64;
    for (sessions, connections) in [(60, 0), (20, 32)] {
        let mut peer = site.peer("pollers.mjs");
        peer.step("open", json!({ "count": sessions, "rooms": 6, "connections": connections }));
        let mut rest = ms;
        while rest > 0 {
            let part = rest.min(20_000); // a step has a minute
            assert!(peer.step("chatter", json!({ "ms": part })).as_u64().unwrap() > 0);
            rest -= part;
        }
        assert_all_good(&peer.step("close", json!({})));
    }
    for herd in &site.herds {
        let status = herd.status();
        assert!(status.workers.iter().any(|worker| worker.forwarded_in > 0), "{status:#?}");
        assert!(status.workers.iter().all(|worker| worker.panics == 0 && worker.bus_lost == 0));
        assert!(!herd.log().contains(SECRET), "no secret in the log");
    }
}

#[test]
fn official_clients_upgrade_and_hear_everything_once_through_a_plain_balancer() {
    let site = Site::together();
    let mut peer = site.peer("cluster.mjs");
    peer.step("open", json!({ "count": 36, "rooms": 3, "local": false }));
    peer.step("chatter", json!({ "each": 20, "churn": false }));
    peer.step("chatter", json!({ "each": 10, "churn": true }));
    let disconnects = peer.step("disconnects", json!({}));
    assert_eq!(disconnects, json!([]), "nobody lost its session or failed to upgrade");
}

#[test]
fn a_killed_box_costs_its_own_sessions_one_clean_answer_and_the_others_nothing() {
    let site = Site::together();
    let mut peer = site.peer("pollers.mjs");
    let sids = peer.step("open", json!({ "count": 40, "rooms": 4, "connections": 0 }));
    peer.step("chatter", json!({ "ms": 1000 }));
    let (first, second) = (sessions(&site.herds[0]), sessions(&site.herds[1]));
    assert_eq!(first + second, 40);
    assert!(first >= 10 && second >= 10, "{first} and {second}");

    site.kill(1);
    peer.step("again", json!({ "count": second }));
    let mut ends = 0;
    for (sid, session) in ended(&mut peer) {
        ends += session.len();
        for end in &session {
            assert_eq!(end["status"], 400, "{sid}: {end}");
            assert_eq!(end["text"], r#"{"code":1,"message":"Session ID unknown"}"#, "{sid}: {end}");
            assert!(end["waited"].as_u64().unwrap() < 5_000, "within seconds: {end}");
        }
        assert!(session.len() <= 1, "{sid}: {session:?}");
    }
    assert_eq!(ends as u64, second, "each of its own, once");
    let before: BTreeSet<_> =
        sids.as_array().unwrap().iter().map(|sid| sid.as_str().unwrap().to_owned()).collect();
    let after: BTreeSet<_> = ended(&mut peer).into_iter().map(|(sid, _)| sid).collect();
    assert_eq!(before.intersection(&after).count() as u64, first, "the others are as they were");
    site.herds[0].until("the killed box is gone", |status| boxes_known(status) == 0);
    peer.step("chatter", json!({ "ms": 2000 }));
}

#[test]
fn a_box_that_vanishes_from_the_network_is_given_up_within_seconds() {
    let site = Site::together();
    let mut peer = site.peer("pollers.mjs");
    peer.step("open", json!({ "count": 20, "rooms": 2, "connections": 0 }));
    peer.step("chatter", json!({ "ms": 1000 }));
    let first = sessions(&site.herds[0]);
    site.network.cut(1);
    peer.step("again", json!({ "count": 20 - first }));
    for (_, session) in ended(&mut peer) {
        // It may be alive. A session of the other box, whose poll came by this one, polls twice at a time: a bad packet.
        let bears = |end: &Value| end["status"] == 503 || end["status"] == 400 && end["text"] == "";
        assert!(session.iter().all(bears), "{session:?}");
    }
    site.herds[0].until("it is gone", |status| boxes_known(status) == 0);
}

#[test]
fn a_box_that_stops_says_goodbye_and_nobody_meets_an_error_of_its_making() {
    let mut site = Site::together();
    let mut peer = site.peer("cluster.mjs");
    peer.step("open", json!({ "count": 24, "rooms": 3, "local": false }));
    site.herds[1].signal(Signal::SIGTERM);
    assert!(site.herds[1].wait().success());
    site.herds[0].until("it is gone at once", |status| boxes_known(status) == 0);
    let said = || site.herds[0].log().contains("another box said goodbye").then_some(());
    support::eventually("the operator is told", said);
    peer.step("settled", json!({}));
    peer.step("chatter", json!({ "each": 5, "churn": false }));
}

#[test]
fn a_box_that_stops_passes_on_what_the_other_has_said_to_the_sessions_that_came_by_it() {
    const EACH: usize = 100_000;
    let site = Site::together();
    let [by, of] = [&site.herds[0], &site.herds[1]];
    let here = Network::middle_address();
    let id = site.open(1);
    let stream = site.network.middle.run(|| {
        let stream = connect_from(here, by.address()).unwrap();
        assert!(upgrade(&stream, &id).unwrap().starts_with("http/1.1 101 "));
        stream
    });
    for (said, heard) in [("2probe", "3probe"), ("5", ""), ("40", "40{")] {
        say(&stream, said).unwrap();
        if !heard.is_empty() {
            let (_, text) = hear(&stream).unwrap();
            assert!(text.starts_with(heard.as_bytes()), "{text:?}");
        }
    }
    // The client reads nothing, so what is said to it fills the way: so much more waits that it must be full.
    let body = json!({ "event": "news", "args": ["x".repeat(EACH)] }).to_string();
    let queued =
        |status: &Status| status.workers.iter().map(|worker| worker.queued_bytes).sum::<u64>() as usize;
    let key = format!("Bearer {KEY}");
    let mut emitted = 0;
    while queued(&of.status()) < 20 * EACH {
        let answer = site.network.middle.run(|| publish(here, of.address(), &key, &body).unwrap());
        assert_eq!(answer.0, 200, "{}", answer.1);
        emitted += 1;
    }
    let on_the_way = emitted - queued(&of.status()) / EACH - 1;
    thread::sleep(Duration::from_secs(9)); // a slow client is no silent box: that has 4 s, to the next probe of its window
    assert_eq!(sessions(of), 1);
    by.signal(Signal::SIGTERM);
    of.until("the session has ended", |status| status.workers.iter().all(|worker| worker.sessions == 0));
    let mut heard = 0;
    while let Ok((0x81, text)) = hear(&stream) {
        heard += usize::from(text.len() > EACH);
    }
    assert!(heard >= on_the_way, "{heard} of {on_the_way}, of {emitted}");
}

#[test]
fn a_worker_that_hangs_makes_no_session_of_another_worker_of_its_box_unknown() {
    const SESSIONS: usize = 20;
    let site = Site::together();
    let of = &site.herds[1];
    let at_the_first = || of.worker(0).sessions;
    let ids = std::iter::from_fn(|| {
        let before = at_the_first();
        let id = site.open(1);
        Some((at_the_first() > before).then_some(id))
    });
    let ids: Vec<_> = ids.flatten().take(SESSIONS).collect();
    let hanging = of.worker(1).pid.unwrap();
    stop(hanging);
    // At once, so that each has a connection between the boxes: half of them meet the one that hangs.
    let site = &site;
    let statuses: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = ids.iter().map(|id| scope.spawn(|| site.pong(0, id))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    signal_pid(hanging, Signal::SIGCONT); // else it outlives its box
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_box_that_is_silent_is_not_taken_for_gone() {
    let site = Site::together();
    let id = site.open(1);
    let workers = site.herds[1].pids();
    workers.iter().for_each(|pid| stop(*pid));
    site.herds[0].until("it is silent", |status| boxes_known(status) == 0);
    assert_eq!(site.pong(0, &id), 503);
    workers.iter().for_each(|pid| signal_pid(*pid, Signal::SIGCONT));
    support::eventually("its sessions are reached again", || match site.pong(0, &id) {
        200 => Some(()),
        status => {
            assert_eq!(status, 503);
            None
        }
    });
}

#[test]
fn boxes_with_different_secrets_do_not_talk_and_say_so() {
    let site = Site::new([SECRET, "another secret of nobody else"]);
    for herd in &site.herds {
        let noise = |status: &Status| status.redis.as_ref().is_some_and(|redis| redis.box_noise > 0);
        let status = herd.until("a stranger is heard", noise);
        assert_eq!(boxes_known(&status), 0);
        let said = || herd.log().contains("another cluster.secrets").then_some(());
        support::eventually("the operator is told", said);
    }
    let served = |address: SocketAddr, sent: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        stream.write_all(sent).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // refused is reset or ended
        answer
    };
    site.network.middle.run(|| {
        let address = SocketAddr::new(Network::address(0), 7000);
        let request =
            b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\noxherd-peer: 10.0.0.1:1\r\n\r\n";
        assert!(served(address, request).is_empty(), "HTTP is not for strangers");
        assert!(served(address, b"oxherd1\n").is_empty(), "who says nothing more is left");
        assert!(served(address, &[0; 4096]).is_empty());
    });
}

#[test]
fn without_its_redis_the_boxes_still_find_each_others_sessions() {
    let mut site = Site::together();
    let mut peer = site.peer("pollers.mjs");
    peer.step("open", json!({ "count": 20, "rooms": 20, "connections": 0 }));
    for kill in [false, true] {
        if kill {
            site.redis.kill()
        } else {
            site.redis.pause()
        }
        for herd in &site.herds {
            let lost =
                |status: &Status| status.redis.as_ref().is_some_and(|redis| redis.state == "disconnected");
            herd.until("the loss of redis is noticed", lost);
        }
        peer.step("chatter", json!({ "ms": 5000 })); // longer than a silent box is waited for
        assert_all_good(&peer.step("answers", json!({})));
        if !kill {
            site.redis.resume();
            for herd in &site.herds {
                herd.until("both know each other", |status| boxes_known(status) == 1);
            }
        }
    }
    assert_all_good(&peer.step("close", json!({})));

    // A new worker knows no other box, and cannot ask.
    let id = site.open(1);
    signal_pid(site.herds[0].pids()[0], Signal::SIGKILL);
    site.herds[0].until_ready(WORKERS);
    let statuses: Vec<_> = (0..20).map(|_| site.pong(0, &id)).collect();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
}
