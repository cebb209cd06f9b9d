//! What a box writes to stderr: who speaks, and the last words of a process that hangs.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs::File;
use std::io::Read;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use support::http::{client, request};
use support::{Herd, HerdBuilder, Scratch, eventually};

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

#[test]
fn a_log_that_nobody_reads_stops_nobody_and_says_later_what_was_lost() {
    let scratch = Scratch::new();
    let path = scratch.path().join("stderr");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut reader = File::options().read(true).write(true).open(&path).unwrap(); // so that no open waits
    fcntl(&reader, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let herd = HerdBuilder::new().shell(&format!("exec \"$@\" 2>{}", path.display())).start(2);
    for _ in 0..5 {
        let output = herd.command(&["restart", "0"]);
        assert!(output.status.success(), "{output:?}");
    }
    let mut read = || {
        let mut bytes = [0; 4096];
        let length = reader.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    read();
    assert!(herd.command(&["restart", "0"]).status.success());
    eventually("it says so", || read().contains("log lines lost: nobody read stderr").then_some(()));
}
