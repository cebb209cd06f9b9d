//! Reload: what can change while a box runs changes, or nothing does.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::process::Output;

use support::http::{self, After, HANDSHAKE, client, connect_from, receive, request, send};
use support::{Herd, HerdBuilder};

const BEFORE: &str = "http.header_timeout = \"10s\"\ncluster.secrets = [\"the first of two secrets\"]\n";

fn reload(herd: &Herd, config: &str) -> (Option<i32>, String) {
    fs::write(herd.scratch.path().join("config.toml"), config).unwrap();
    let Output { status, stdout, stderr } = herd.command(&["reload"]);
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A new session over polling.
fn open(herd: &Herd) -> String {
    format!("{HANDSHAKE}&sid={}", http::open(client(1), herd.address()))
}

/// Whether a session is known, whichever worker is asked.
fn is_known(herd: &Herd, session: &str) -> bool {
    let answers =
        (0..8).map(|number| request(client(number), herd.address(), "POST", session, "3").unwrap().0);
    let known = answers.filter(|status| *status == 200).count();
    assert!(known == 0 || known == 8, "{known} of 8");
    known == 8
}

#[test]
fn a_bad_configuration_or_one_that_needs_a_restart_changes_nothing() {
    let herd = HerdBuilder::faulty().config(BEFORE).start(2);
    let session = open(&herd);
    for (config, reasons) in [
        ("http.header_timeout = \"x\"\nnonsense = 1\n".to_owned(), &["header_timeout", "nonsense"][..]),
        (BEFORE.replace("10s", "11s") + "slots = 64\n", &["http.header_timeout", "slots", "restart"]),
    ] {
        let (status, said) = reload(&herd, &config.replace("first of two", "second of all"));
        assert_eq!(status, Some(1), "{said}");
        assert!(reasons.iter().all(|reason| said.contains(reason)), "{said}");
        assert!(is_known(&herd, &session));
    }
    let (status, said) = reload(&herd, BEFORE);
    assert_eq!(status, Some(0), "after a failure the next one works: {said}");
}

#[test]
fn secrets_rotate_without_losing_a_session() {
    let herd = HerdBuilder::faulty().config(BEFORE).start(4);
    let both = BEFORE.replace("[", "[\"the second of two secrets\", ");
    let only_new = BEFORE.replace("first", "second");
    let old = open(&herd);
    assert_eq!(reload(&herd, &both).0, Some(0));
    let new = open(&herd);
    assert!(is_known(&herd, &old) && is_known(&herd, &new));
    assert_eq!(reload(&herd, &only_new).0, Some(0));
    assert!(!is_known(&herd, &old) && is_known(&herd, &new));
}

#[test]
fn a_worker_that_drains_is_told_too_and_delays_nobody() {
    let herd = HerdBuilder::faulty().config(BEFORE).start(1);
    let slow = connect_from(client(1), herd.address()).unwrap();
    send(&slow, "GET", "/slow?ms=3000", "", After::Close).unwrap();
    herd.until("the request has arrived", |status| status.workers[0].requests > 0);
    assert_eq!(herd.command(&["restart", "0"]).status.code(), Some(0));
    let status = herd.until("the old one drains", |status| status.workers.len() == 2);
    assert!(status.workers.iter().any(|worker| worker.state == "draining"));
    let (code, said) = reload(&herd, &BEFORE.replace("first", "second"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(herd.status().workers.len(), 2, "it was answered while one drains");
    assert_eq!(receive(&slow).unwrap().0, 200);
}
