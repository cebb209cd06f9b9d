//! `status` for people: a few lines on the box and a table of its workers. Pure.

use std::fmt::Write;
use std::time::Duration;

use oxherd_contract::ids::SlotId;
use oxherd_contract::listen::Purpose;
use oxherd_supervisor::control::status::{Restarts, Status, WorkerStatus};

const TITLES: [&str; 15] = [
    "WORKER", "STATE", "PID", "ID", "GEN", "UP", "SLOTS", "CONNS", "SESSIONS", "REQUESTS", "ROUTED",
    "IN/OUT", "QUEUED", "SLOW", "RESTARTS",
];

/// The whole box, without a final newline.
pub(crate) fn render(status: &Status) -> String {
    let supervisor = &status.supervisor;
    let mut text = format!(
        "{} · oxherd {} · pid {} · generation {} · up {}{}\n",
        supervisor.host,
        supervisor.version,
        supervisor.pid,
        supervisor.generation,
        span(supervisor.uptime_ms),
        if supervisor.stopping { " · stopping" } else { "" },
    );
    for listener in &status.listeners {
        // Writing to a string cannot fail.
        let whom = if listener.purpose == Purpose::Boxes { " · for other boxes" } else { "" };
        let _ =
            writeln!(text, "{} · {} slots · {}{whom}", listener.address, listener.slots, listener.steering);
    }
    let bus = &status.bus;
    let pid = bus.pid.map_or_else(String::new, |pid| format!(" · pid {pid}"));
    let (clients, published) = (bus.clients, bus.published);
    let _ = match &status.redis {
        Some(redis) => {
            let (place, state) = (&redis.place, &redis.state);
            let (joined, boxes) = (redis.joined, redis.boxes);
            let lost = status.workers.iter().map(|worker| worker.bus_lost).sum::<u64>();
            writeln!(text, "redis {state} · {place} · {joined} workers · {boxes} other boxes · {lost} lost")
        }
        None => writeln!(text, "bus {}{pid} · {clients} clients · {published} published", bus.state),
    };
    if let Some(death) = &bus.last_death {
        let _ = writeln!(text, "bus: ended {} ago: {}", span(death.ago_ms), death.cause);
    }
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(status.workers.iter().map(row));
    text.push('\n');
    text.push_str(&aligned(&rows));
    for worker in &status.workers {
        if let Some(death) = &worker.last_death {
            let (index, ago) = (worker.index, span(death.ago_ms));
            let _ = write!(text, "\nworker {index}: id {} ended {ago} ago: {}", death.id, death.cause);
        }
    }
    text
}

fn row(worker: &WorkerStatus) -> [String; TITLES.len()] {
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let Restarts { crash, hang, boot, request } = worker.restarts;
    let restarts = by_reason(&[(crash, "crash"), (hang, "hang"), (boot, "boot"), (request, "request")]);
    let slow = by_reason(&[(worker.slow_over_budget, "budget"), (worker.slow_stalled, "stalled")]);
    let sessions = match worker.sessions_polling {
        0 => worker.sessions.to_string(),
        polling => format!("{} ({polling} polling)", worker.sessions),
    };
    [
        worker.index.to_string(),
        worker.state.clone(),
        or_dash(worker.pid.map(u64::from)),
        or_dash(worker.id.map(|id| id.0)),
        worker.generation.to_string(),
        span(worker.uptime_ms),
        slots(&worker.slots),
        worker.connections.to_string(),
        sessions,
        worker.requests.to_string(),
        // What went to the siblings: whole connections, and requests.
        format!("{}+{}", worker.handed_off, worker.forwarded),
        format!("{}/{}", bytes(worker.bytes_in), bytes(worker.bytes_out)),
        bytes(worker.queued_bytes),
        slow,
        restarts,
    ]
}

/// Counts that are not zero, each with its reason: `2 crash, 1 hang`; `0` if there are none.
fn by_reason(counts: &[(u64, &str)]) -> String {
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let written: Vec<_> = counts.map(|(count, why)| format!("{count} {why}")).collect();
    if written.is_empty() { "0".to_owned() } else { written.join(", ") }
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[[String; TITLES.len()]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let line = |row: &[String; TITLES.len()]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The longest list of slots that a cell shows.
const RANGES_MAX: usize = 8;

/// Slots as ranges: `0-3,8`; their number when there are too many ranges for a cell.
fn slots(slots: &[SlotId]) -> String {
    let mut numbers: Vec<u16> = slots.iter().map(|slot| slot.0).collect();
    numbers.sort_unstable();
    let ranges: Vec<_> = numbers.chunk_by(|a, b| u32::from(*a) + 1 == u32::from(*b)).collect();
    if ranges.is_empty() || ranges.len() > RANGES_MAX {
        return format!("{} slots", numbers.len());
    }
    let written: Vec<_> = ranges
        .into_iter()
        .map(|range| match range {
            [first, .., last] => format!("{first}-{last}"),
            alone => alone.iter().map(u16::to_string).collect(),
        })
        .collect();
    written.join(",")
}

/// A time span in its two largest units.
fn span(milliseconds: u64) -> String {
    let seconds = Duration::from_millis(milliseconds).as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) => format!("{milliseconds}ms"),
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, _, _) => format!("{d}d {h}h"),
    }
}

fn bytes(count: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => format!("{:.1}{name}", count as f64 / unit as f64),
        None => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_shown_as_ranges() {
        for (numbers, text) in [
            (vec![], "0 slots"),
            ((0..20).step_by(2).collect(), "10 slots"),
            (vec![3], "3"),
            (vec![2, 0, 1, 7], "0-2,7"),
            (vec![65_535, 65_534, 4, 2], "2,4,65534-65535"),
        ] {
            assert_eq!(slots(&numbers.into_iter().map(SlotId).collect::<Vec<_>>()), text);
        }
    }

    #[test]
    fn spans_and_sizes_are_short() {
        for (milliseconds, text) in
            [(0, "0ms"), (999, "999ms"), (61_000, "1m 1s"), (7_260_000, "2h 1m"), (180_000_000, "2d 2h")]
        {
            assert_eq!(span(milliseconds), text);
        }
        assert_eq!((bytes(1023), bytes(1536), bytes(3 << 30)), ("1023".into(), "1.5K".into(), "3.0G".into()));
    }

    #[test]
    fn a_waiting_place_and_a_serving_one_stand_in_one_table() {
        let json = serde_json::json!({
            "supervisor": {"pid": 7, "version": "0.1.0", "box_id": 1, "host": "ox", "uptime_ms": 65_000, "generation": 1,
                "workers_wanted": 2, "open_files_max": 1024, "stopping": false},
            "listeners": [{"address": "127.0.0.1:3000", "slots": 8, "steering": "source-ip"}],
            "bus": {"state": "ready", "pid": 8, "path": "/run/oxherd/3000.bus", "listen": [], "uptime_ms": 5000,
                "clients": 4, "published": 17, "bytes_in": 0, "bytes_out": 0, "evicted": 0,
                "restarts": {"crash": 1, "hang": 0, "boot": 0, "request": 0},
                "last_death": {"id": 1, "cause": "was killed by SIGKILL", "ago_ms": 6000}},
            "workers": [worker(0, "ready", Some(9)), worker(1, "backoff", None)],
        });
        let text = render(&serde_json::from_value(json).unwrap());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ox · oxherd 0.1.0 · pid 7 · generation 1 · up 1m 5s");
        assert_eq!(lines[1], "127.0.0.1:3000 · 8 slots · source-ip");
        assert_eq!(lines[2], "bus ready · pid 8 · 4 clients · 17 published");
        assert_eq!(lines[3], "bus: ended 6s ago: was killed by SIGKILL");
        assert!(lines[5].starts_with("WORKER  STATE    PID  ID"), "{text}");
        assert!(lines[6].starts_with("0       ready    9    9   1    5s  0-3"), "{text}");
        assert!(
            lines[6].contains("  2 (1 polling)  ") && lines[6].contains("  1.5K    4 stalled  "),
            "{text}"
        );
        assert!(lines[7].starts_with("1       backoff  -    -"), "{text}");
        assert_eq!(lines[8], "worker 1: id 4 ended 2s ago: killed by SIGSEGV");
    }

    fn worker(index: u16, state: &str, id: Option<u64>) -> serde_json::Value {
        let death =
            id.is_none().then(|| serde_json::json!({"id": 4, "cause": "killed by SIGSEGV", "ago_ms": 2000}));
        serde_json::json!({
            "index": index, "state": state, "id": id, "pid": id, "generation": 1, "slots": [0, 1, 2, 3],
            "uptime_ms": 5000, "connections": 1, "sessions": 2, "requests": 3, "bytes_in": 10, "bytes_out": 2048,
            "accepted": 3, "evicted": 0, "panics": 0, "bus_lost": 0, "sessions_polling": 1, "sessions_websocket": 1,
            "queued_bytes": 1536, "slow_over_budget": 0, "slow_stalled": 4, "sessions_refused": 0,
             "handed_off": 5, "handed_in": 6, "forwarded": 7, "forwarded_in": 8,
            "restarts": {"crash": 1, "hang": 0, "boot": 0, "request": 2}, "last_death": death,
        })
    }
}
