//! What a box writes to stderr: who speaks, and the last words of a process that hangs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use serde_json::Value;
use support::http::{client, request};
use support::{Herd, HerdBuilder, eventually};

/// All lines, each of which is one JSON object.
fn objects(herd: &Herd) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    herd.log().lines().map(parse).collect()
}

#[test]
fn a_json_line_says_who_speaks_at_its_top() {
    let mut herd = HerdBuilder::faulty().config("[log]\nformat = \"json\"\nfilter = \"debug\"").start(2);
    let (status, _) = request(client(0), herd.address(), "GET", "/panic", "").unwrap();
    assert_eq!(status, 500);
    assert!(herd.command(&["stop"]).status.success());
    herd.wait();
    let (mut supervisors, mut workers, mut buses) = (0, 0, 0);
    for line in objects(&herd) {
        match line["role"].as_str() {
            Some("supervisor") => supervisors += 1,
            Some("bus") => buses += 1,
            Some("worker") => {
                workers += 1;
                assert!(line["worker"].is_u64() && line["index"].is_u64(), "{line}");
                assert_eq!(line["generation"], 1, "{line}");
            }
            _ => panic!("nobody says it: {line}"),
        }
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        let spans = line["spans"].as_array().map(Vec::as_slice).unwrap_or_default(); // of the libraries
        assert!(spans.iter().all(|span| span["role"].is_null()), "{line}");
    }
    assert!(supervisors > 0 && workers > 0 && buses > 0, "{supervisors} {workers} {buses}");
    let panics = objects(&herd).into_iter().filter(|line| line["message"] == "panicked");
    assert_eq!(panics.filter(|line| line["role"] == "worker").count(), 1, "{}", herd.log());
}

#[test]
fn a_worker_that_hangs_logs_where() {
    let config = "hang_timeout = \"500ms\"\n[log]\nformat = \"json\"";
    let herd = HerdBuilder::faulty().config(config).start(1);
    let id = herd.worker(0).id.unwrap();
    let _spins = herd.begin(client(0), "/spin");
    let status = herd.until("it is gone", |status| status.workers[0].last_death.is_some());
    let cause = &status.workers[0].last_death.as_ref().unwrap().cause;
    assert!(cause.contains("SIGABRT") && cause.contains("it hung"), "{cause}");
    let words = eventually("its last words are in the log", || {
        objects(&herd).into_iter().find(|line| line["backtrace"].is_string())
    });
    assert_eq!((words["role"].as_str(), words["worker"].as_u64()), (Some("worker"), Some(id.0)), "{words}");
    assert!(words["backtrace"].as_str().unwrap().contains("faulty::spin"), "{words}");
}

#[test]
fn a_limit_on_connections_that_cannot_be_had_is_said_once_and_only_to_who_asked() {
    const WORDS: &str = "fewer connections for each worker than configured";
    for (files, config, said) in [
        (4096, "", 0),
        (4096, "[http]\nconnections_max = 5000", 1),
        (4096, "[http]\nconnections_max = 3000", 0),
        (512, "", 1),
    ] {
        let limit = format!("ulimit -n {files} && exec \"$@\"");
        let herd = HerdBuilder::new().shell(&limit).config(config).start(2);
        eventually("its workers have said what they had to", || {
            herd.log().contains("child ready").then_some(())
        });
        assert_eq!(herd.log().matches(WORDS).count(), said, "{files} {config}\n{}", herd.log());
    }
}
