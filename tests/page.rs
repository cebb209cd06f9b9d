//! The chat page of the plain binary, in a real browser.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::peer::Peer;
use support::{HerdBuilder, signal_pid};

#[test]
fn people_chat_in_the_page_and_it_survives_its_worker() {
    let mut herd = HerdBuilder::new().arguments(&["--host", "ox-1", "--affinity", "source-ip"]).start(2);
    let mut page = Peer::start("page.mjs", &[&format!("http://{}/", herd.address())]);
    let first = page.step("open", Value::Null);
    let second = page.step("open", Value::Null);
    assert_eq!(first, second);
    let index: u16 = first["worker"].as_str().unwrap().parse().unwrap();
    let head = |index: u16| json!({ "status": "connected", "host": "ox-1", "worker": index.to_string(), "generation": "1" });
    assert_eq!(first, head(index));

    assert_eq!(page.step("say", json!({ "tab": 0, "text": "hello from the first" })), json!([1, 1]));
    assert_eq!(page.step("say", json!({ "tab": 1, "text": "and from the second" })), json!([1, 1]));
    for tab in [0, 1] {
        page.step("join", json!({ "tab": tab, "room": "meadow <b>1</b>" }));
    }
    let text = "<img src=x onerror=alert(1)> & \"ös\" 🐂";
    assert_eq!(page.step("say", json!({ "tab": 0, "text": text })), json!([1, 1]));
    assert_eq!(page.step("wrong", Value::Null), json!([]));

    for (name, width, height, dark) in [("wide", 1000, 720, false), ("narrow", 360, 640, true)] {
        let path = herd.scratch.path().join(format!("page-{name}.png"));
        page.step(
            "screenshot",
            json!({ "tab": 0, "path": path, "width": width, "height": height, "dark": dark }),
        );
        assert!(fs::metadata(&path).unwrap().len() > 1000);
    }

    // One tab only, since two might come back to different workers.
    page.step("closeTab", Value::Null);
    signal_pid(herd.worker(index).pid.unwrap(), Signal::SIGKILL);
    let after = page.step("reconnected", Value::Null);
    let tab = &after[0];
    assert_eq!(tab["states"], json!(["connected", "waiting", "connected"]), "what the page said");
    let now: u16 = tab["worker"].as_str().unwrap().parse().unwrap();
    let note = json!(format!("connected to worker {now} on ox-1, generation 1"));
    assert!(tab["notes"].as_array().unwrap().contains(&note), "{tab}");
    assert_eq!(page.step("say", json!({ "tab": 0, "text": "still in the meadow" })), json!([1]));
    herd.until_ready(2);
    page.step("close", Value::Null);
}

#[test]
fn two_tabs_on_different_workers_see_each_others_messages() {
    let herd = HerdBuilder::new().arguments(&["--host", "ox-1", "--affinity", "connection"]).start(2);
    let mut page = Peer::start("page.mjs", &[&format!("http://{}/", herd.address())]);
    let first = page.step("open", Value::Null);
    // Each connection goes its own way; 50 that all go to one of two workers are no chance.
    let elsewhere = (0..50).any(|_| {
        let second = page.step("open", Value::Null);
        let apart = second["worker"] != first["worker"];
        if !apart {
            page.step("closeTab", Value::Null);
        }
        apart
    });
    assert!(elsewhere, "a second tab reaches the other worker");
    for tab in [0, 1] {
        page.step("join", json!({ "tab": tab, "room": "meadow" }));
    }
    assert_eq!(page.step("say", json!({ "tab": 0, "text": "anybody there?" })), json!([1, 1]));
    assert_eq!(page.step("say", json!({ "tab": 1, "text": "yes, on the other worker" })), json!([1, 1]));
    assert_eq!(page.step("wrong", Value::Null), json!([]));
    page.step("close", Value::Null);
}
