//! What a running box says of itself: its status, which source of a setting won, and where it listens if nobody says.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy knows only what is inside a #[test]

mod support;

use std::fs;

use serde_json::Value;
use support::namespace::Namespace;
use support::{Herd, HerdBuilder};

fn ask_herd(herd: &Herd, arguments: &[&str]) -> String {
    let output = herd.command(arguments);
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
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
        assert_eq!(
            (worker["pid"].as_u64(), worker["generation"].as_u64()),
            (known.pid.map(u64::from), Some(1))
        );
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

/// In a network of its own, where the default port is free and nobody else listens.
#[test]
fn without_any_configuration_only_the_loopback_address_listens() {
    Namespace::new().run(|| {
        // The harness finds this word and then does not choose an address itself.
        let herd = HerdBuilder::new().config("# listen: the default").start(1);
        let listening = [listening(herd.pid(), "tcp"), listening(herd.pid(), "tcp6")].concat();
        assert!(!listening.is_empty());
        let default = "0100007F:0BB8"; // 127.0.0.1:3000
        assert!(listening.iter().all(|address| address == default), "{listening:?}");
    });
}

/// The local addresses on which anybody listens in the network of a process, as the kernel writes them.
fn listening(pid: u32, protocol: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap_or_default();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == "0A").map(|row| row[1].to_owned()).collect()
}
