//! The command line as its users meet it: what it prints, and how it exits. No box runs here.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::process::{Command, Output, Stdio};

use support::{Scratch, binary};

/// Runs the binary to its end, without what this test's own environment says.
fn oxherd(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let output: Output = Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn file(scratch: &Scratch, text: &str) -> String {
    let path = scratch.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_bad_redis_is_refused_and_its_password_shown_nowhere() {
    let scratch = Scratch::new();
    let path = file(&scratch, "[redis]\nurl = \"redis://:hunter2@127.0.0.1:x\"\n");
    let url = "redis://:hunter2@127.0.0.1:x";
    for (arguments, environment) in [
        (vec!["check", "--config", &path], vec![]),
        (vec!["--redis", url], vec![]),
        (vec!["check"], vec![("OXHERD_REDIS_URL", url)]),
    ] {
        let (status, out, err) = oxherd(&arguments, &environment);
        assert_eq!(status, 78);
        assert!(err.contains("redis.url: expected redis://"), "{err}");
        assert!(!err.contains("hunter2") && !out.contains("hunter2"), "{err}{out}");
    }
}

#[test]
fn a_command_line_without_sense_has_status_2_and_help_has_0() {
    for arguments in [vec!["--nonsense"], vec!["upgrade"], vec!["restart"], vec!["restart", "-1"]] {
        let (status, _, err) = oxherd(&arguments, &[]);
        assert_eq!(status, 2, "{arguments:?}");
        assert!(err.contains("--help"), "{err}");
    }
    let (status, out, _) = oxherd(&["--help"], &[]);
    assert!(status == 0 && out.contains("Exit status: 0 done"), "{out}");
    let (status, out, _) = oxherd(&["--version"], &[]);
    assert_eq!((status, out.as_str()), (0, concat!("oxherd ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn a_command_without_a_box_says_where_it_looked() {
    let scratch = Scratch::new();
    let runtime = scratch.path().to_str().unwrap();
    let expected = format!("no oxherd answers at {runtime}/oxherd/80.sock");
    for command in [&["status"][..], &["stop"], &["restart", "0"], &["status", "--json"]] {
        let arguments = [command, &["--listen", "127.0.0.1:80"]].concat();
        let (status, out, err) = oxherd(&arguments, &[("XDG_RUNTIME_DIR", runtime)]);
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.contains(&expected), "{err}");
    }
}

#[test]
fn a_child_without_a_supervisor_says_so() {
    let (status, _, err) = oxherd(&[oxherd_contract::CHILD_ARGUMENT], &[]);
    assert_ne!(status, 0);
    assert!(err.contains("was not started by a supervisor"), "{err}");
}
