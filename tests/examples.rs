//! Every program in `examples/` starts, serves and stops.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;
use support::{Herd, HerdBuilder, example, get, node};

#[test]
fn every_example_starts_serves_and_stops() {
    let names = names();
    assert!(!names.is_empty());
    for name in names {
        let mut herd = start(&name, 2);
        let (status, open) = get(herd.address(), "/socket.io/?EIO=4&transport=polling").unwrap();
        assert!(status == 200 && open.starts_with("0{\"sid\":"), "{name}: {status} {open}");
        herd.signal(Signal::SIGTERM);
        assert_eq!(herd.wait().code(), Some(0), "{name}\n{}", herd.log());
    }
}

#[test]
fn the_chat_example_does_what_it_says() {
    let herd = start("chat", 1);
    let heard = node("examples.mjs", &[&format!("http://{}", herd.address()), "chat"]);
    let said = json!([{ "name": "Babe", "text": "moo" }]);
    assert_eq!(heard, json!({ "before": false, "wrong": false, "sent": true, "said": said }));
}

#[test]
fn the_auth_example_lets_in_who_has_a_token() {
    let herd = start("auth", 1);
    let heard = node("examples.mjs", &[&format!("http://{}", herd.address()), "auth"]);
    assert_eq!(
        heard,
        json!({ "s3cret": "babe", "hay": "moo", "wrong": "wrong token", "none": "wrong token" })
    );
}

/// With the variables that their documentation says to set.
fn start(name: &str, workers: usize) -> Herd {
    HerdBuilder::new().program(example(name)).environment("TOKENS", "babe:s3cret,moo:hay").start(workers)
}

/// Of all files and folders there, so that none can be forgotten.
fn names() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists()
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
