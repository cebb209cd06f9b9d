//! The command line: `check`, `status`, which source of a setting wins, and where it listens if nobody says.

mod support;

use std::fs;
use std::process::{Command, Output, Stdio};

use oxherd_supervisor::control::Request;
use oxherd_supervisor::control::client::ask;
use serde_json::Value;
use support::{Herd, HerdBuilder, PATIENCE, Scratch, binary, eventually};

/// `EX_CONFIG`, as systemd is told not to try again.
const BAD_CONFIGURATION: i32 = 78;

fn oxherd(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear();
    command
}

fn check(config: &str) -> Output {
    let scratch = Scratch::new();
    let path = scratch.path().join("config.toml");
    fs::write(&path, config).unwrap();
    oxherd(&["check", "--config"]).arg(path).output().unwrap()
}

fn ask_herd(herd: &Herd, arguments: &[&str]) -> String {
    let output = oxherd(arguments).arg("--control").arg(&herd.control).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn check_tells_what_a_good_file_means() {
    let output = check("host = \"ox-1\"\nlisten = [\"127.0.0.1:4000\", \"[::1]:4000\"]\nworkers = 3\n");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    for said in ["ox-1", "127.0.0.1:4000", "[::1]:4000", "workers  3"] {
        assert!(text.contains(said), "{said} is missing:\n{text}");
    }
}

#[test]
fn check_complains_about_everything_at_once_with_key_value_and_what_is_allowed() {
    let output = check(
        "workers = 0\naffinity = \"nearest\"\nboot_timeout = \"5 parsecs\"\nworkres = 4\nlisten = \"localhost\"\n\
         [http]\nhalf_open_max = -1\nheader_timeout = 3\ncolour = \"red\"\n[log]\nformat = \"xml\"\n",
    );
    assert_eq!((output.status.code(), output.stdout.len()), (Some(BAD_CONFIGURATION), 0), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    for (line, said) in [
        (1, &["workers", "0", "from 1 to "] as &[&str]),
        (2, &["affinity", "nearest", "source-ip"]),
        (3, &["boot_timeout", "5 parsecs", "100ms", "1h"]),
        (4, &["workres", "unknown key"]),
        (5, &["listen", "localhost", "PORT"]),
        (7, &["http.half_open_max", "-1", "from 1 to "]),
        (8, &["http.header_timeout", "3", "unit"]),
        (9, &["http.colour", "unknown key"]),
        (11, &["log.format", "xml", "json"]),
    ] {
        let place = format!("config.toml:{line}: ");
        let complaint = text.lines().find(|complaint| complaint.contains(&place));
        let complaint = complaint.unwrap_or_else(|| panic!("nothing about line {line}:\n{text}"));
        assert!(said.iter().all(|part| complaint.contains(part)), "{said:?}: {complaint}");
    }
}

#[test]
fn a_bad_configuration_starts_nothing() {
    let scratch = Scratch::new();
    let control = scratch.path().join("control.sock");
    let output = oxherd(&["--listen", "127.0.0.1:0", "--workers", "many"]).arg("--control").arg(&control).output().unwrap();
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--workers") && text.contains("many") && text.contains("from 1 to "), "{text}");
    assert!(!control.exists());
    let output = oxherd(&["--config"]).arg(scratch.path().join("absent.toml")).arg("check").output().unwrap();
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "a file that was asked for must be there");
}

#[test]
fn a_flag_goes_over_the_environment_and_that_over_the_file_and_that_over_the_defaults() {
    let mut herd = HerdBuilder::new()
        .config("host = \"from-the-file\"\nworkers = 4\nslots = 12")
        .environment("OXHERD_HOST", "from-the-environment")
        .environment("OXHERD_WORKERS", "3")
        .environment("OXHERD_AFFINITY", "connection")
        .environment("UNRELATED", "stays")
        .start(2);
    let status = herd.until_ready(2);
    assert_eq!(status.supervisor.host, "from-the-environment");
    assert_eq!(status.supervisor.workers_wanted, 2);
    assert_eq!(status.listeners.len(), 1);
    assert_eq!((status.listeners[0].slots, status.listeners[0].steering.as_str()), (12, "connection"));
    // The application has its environment, but reads nothing of oxherd's own.
    let pid = status.workers[0].pid.unwrap();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("UNRELATED=stays") && !environment.contains("OXHERD_"), "{environment}");
}

#[test]
fn status_is_a_table_for_people_and_json_for_programs() {
    let herd = HerdBuilder::new().arguments(&["--host", "ox-3"]).start(2);
    let status = herd.status();
    let json: Value = serde_json::from_str(&ask_herd(&herd, &["status", "--json"])).unwrap();
    assert_eq!(json["supervisor"]["pid"], herd.pid());
    assert_eq!(json["supervisor"]["host"], "ox-3");
    assert_eq!(json["supervisor"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["listeners"][0]["address"], herd.address().to_string());
    let workers = json["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    for (worker, known) in workers.iter().zip(&status.workers) {
        assert_eq!((&worker["index"], &worker["state"]), (&known.index.0.into(), &"ready".into()));
        assert_eq!((worker["pid"].as_u64(), worker["generation"].as_u64()), (known.pid.map(u64::from), Some(1)));
        for number in ["connections", "sessions", "requests", "bytes_in", "bytes_out", "uptime_ms"] {
            assert!(worker[number].is_u64(), "{number}: {worker}");
        }
        assert!(worker["restarts"].is_object() && worker["last_death"].is_null(), "{worker}");
    }

    let table = ask_herd(&herd, &["status"]);
    assert!(table.contains("ox-3") && table.contains(&herd.address().to_string()), "{table}");
    for worker in &status.workers {
        let pid = worker.pid.unwrap().to_string();
        let row = table.lines().find(|line| line.split_whitespace().any(|cell| cell == pid));
        assert!(row.is_some_and(|row| row.contains("ready")), "no row for {pid}:\n{table}");
    }
}

#[test]
fn a_command_without_a_box_says_so_and_fails() {
    let scratch = Scratch::new();
    for command in [&["status"] as &[&str], &["status", "--json"], &["stop"], &["restart", "0"]] {
        let output = oxherd(command).arg("--control").arg(scratch.path().join("none.sock")).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{command:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("none.sock") && text.lines().count() == 1, "{command:?}: {text}");
    }
}

/// In a network of its own, so that the default port is free whatever runs on this machine.
#[test]
fn without_any_configuration_only_the_loopback_address_listens() {
    let scratch = Scratch::new();
    let (config, control) = (scratch.path().join("empty.toml"), scratch.path().join("control.sock"));
    fs::write(&config, "").unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    command.arg(binary()).arg("--config").arg(&config).arg("--control").arg(&control);
    let mut process = command.stderr(Stdio::null()).spawn().expect("unshare is missing: install Debian's util-linux");
    eventually("the box answers", || {
        assert!(process.try_wait().unwrap().is_none(), "it does not start");
        ask(&control, &Request::Status, PATIENCE).ok()
    });
    let listening = [listening(process.id(), "tcp"), listening(process.id(), "tcp6")].concat();
    ask(&control, &Request::Stop, PATIENCE).unwrap();
    assert!(process.wait().unwrap().success());
    assert!(!listening.is_empty());
    assert!(listening.iter().all(|address| address == "0100007F:0BB8"), "127.0.0.1:3000 only: {listening:?}");
}

/// The local addresses on which anybody listens in the network of a process, as the kernel writes them.
fn listening(pid: u32, protocol: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap_or_default();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == "0A").map(|row| row[1].to_owned()).collect()
}
