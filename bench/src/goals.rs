//! The numbers that oxherd is held to, as far as this benchmark measures them, beside what it measured. Pure.

use std::fmt::Write;

use crate::report::Report;
use crate::spread::{Spread, places};

/// What one number of one server must not exceed.
struct Goal {
    workload: &'static str,
    server: &'static str,
    number: &'static str,
    limit: Limit,
}

enum Limit {
    /// The number itself.
    Value(f64),
    /// So many times that of another server.
    Times(f64, &'static str),
}

const FAN_OUT: &str = "fan-out 1000 x 100/s";
const SATURATION: &str = "saturation 1000";

const GOALS: [Goal; 11] = [
    goal(FAN_OUT, "oxherd-1", "cost/delivery", Limit::Times(1.2, "floor")),
    goal(FAN_OUT, "oxherd-2", "cost/delivery", Limit::Times(1.2, "floor")),
    goal(FAN_OUT, "oxherd-2", "cost/delivery", Limit::Times(0.5, "node-redis")),
    goal(FAN_OUT, "paced-1", "cost/delivery", Limit::Times(1.0, "floor")),
    goal(SATURATION, "oxherd-1", "cost/delivery", Limit::Times(0.2, "node")),
    goal(SATURATION, "oxherd-2", "cost/delivery", Limit::Times(0.2, "node-redis")),
    goal("idle 5000", "oxherd-1", "private KB/client", Limit::Value(4.0)),
    goal("idle 5000", "oxherd-1", "supervisor private MB", Limit::Value(5.0)),
    goal("storm 2000 websocket", "oxherd-1", "cost/connect", Limit::Times(0.7, "stock-1")),
    goal("hop to 1 x 10000/s", "oxherd-2", "p99 ms", Limit::Times(3.0, "relay")),
    goal(FAN_OUT, "oxherd-2", "start ms", Limit::Value(300.0)),
];

const fn goal(workload: &'static str, server: &'static str, number: &'static str, limit: Limit) -> Goal {
    Goal { workload, server, number, limit }
}

/// A Markdown table of all goals of which the report has both sides.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    let median = |goal: &Goal, server| {
        Spread::among(&report.samples, goal.workload, server, goal.number).map(|spread| spread.median)
    };
    for goal in &GOALS {
        let Some(measured) = median(goal, goal.server) else { continue };
        let (limit, of) = match goal.limit {
            Limit::Value(limit) => (limit, String::new()),
            Limit::Times(factor, other) => {
                let Some(theirs) = median(goal, other) else { continue };
                let ratio = measured / theirs;
                (factor * theirs, format!(" = {factor} × {other} (measured: {ratio:.2} ×)"))
            }
        };
        let met = if measured <= limit { "yes" } else { "**no**" };
        let (digits, limit_digits) = (places(measured), places(limit));
        // A String takes everything.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {measured:.digits$} | ≤ {limit:.limit_digits$}{of} | {met} |",
            goal.workload, goal.server, goal.number
        );
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "\n### goals\n\n| workload | server | number | measured | goal | met |\n|---|---|---|---:|---|---|\n{text}"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::campaign::Campaign;
    use crate::measure::machine::Machine;
    use crate::sample::Sample;

    #[test]
    fn a_goal_is_met_missed_or_left_out() {
        let sample = |server: &str, value| {
            let mut sample = Sample::new(server.into(), FAN_OUT.into(), 1);
            sample.put("cost/delivery", value);
            sample
        };
        let samples = vec![sample("floor", 5.0), sample("oxherd-1", 5.5), sample("oxherd-2", 7.0)];
        let table = table(&Report { machine: Machine::look(Path::new(".")), samples });
        let rows: Vec<&str> = table.lines().skip(5).collect();
        assert_eq!(rows.len(), 2, "{table}");
        assert!(rows[0].ends_with("| 5.50 | ≤ 6.00 = 1.2 × floor (measured: 1.10 ×) | yes |"), "{table}");
        assert!(rows[1].ends_with("(measured: 1.40 ×) | **no** |"), "{table}");
    }

    #[test]
    fn the_full_campaign_measures_every_goal() {
        let full = Campaign::full();
        for goal in &GOALS {
            let is_its = |workload: &&crate::workload::Workload| workload.to_string() == goal.workload;
            let workload = full.workloads.iter().find(is_its).expect(goal.workload);
            let others = match goal.limit {
                Limit::Times(_, other) => vec![goal.server, other],
                Limit::Value(_) => vec![goal.server],
            };
            for server in others {
                let peer = server.parse().expect(server);
                assert!(full.servers.contains(&peer) && workload.suits(peer), "{server}, {}", goal.workload);
            }
        }
    }
}
