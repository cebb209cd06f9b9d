//! Medians with ranges, as a table for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::measure::machine::Machine;
use crate::sample::Sample;
use crate::spread::Spread;

/// Reports that must not stand in one table.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("one report is of {first}, another of {other}")]
pub struct NotOneRun {
    first: String,
    other: String,
}

/// All that a run of the benchmark found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where and with what.
    pub machine: Machine,
    /// Every run.
    pub samples: Vec<Sample>,
}

impl Report {
    /// Takes the samples of another part of the same campaign: of one commit on one machine.
    pub fn append(&mut self, part: Report) -> Result<(), NotOneRun> {
        let what = |machine: &Machine| format!("{} on {}, {}", machine.commit, machine.kernel, machine.cpu);
        let (first, other) = (what(&self.machine), what(&part.machine));
        if first != other {
            return Err(NotOneRun { first, other });
        }
        self.samples.extend(part.samples);
        Ok(())
    }

    /// A Markdown table for each workload, servers as rows. Void runs are left out and counted.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            if seen.insert(&sample.workload) {
                self.put_workload(&sample.workload, &mut text);
            }
        }
        text
    }

    fn put_workload(&self, workload: &str, text: &mut String) {
        let of_it: Vec<&Sample> = self.samples.iter().filter(|sample| sample.workload == workload).collect();
        let mut columns: Vec<&str> = Vec::new();
        let mut servers: Vec<&str> = Vec::new();
        for sample in &of_it {
            if !servers.contains(&sample.server.as_str()) {
                servers.push(&sample.server);
            }
            let names = sample.values.iter().map(|(name, _)| name.as_ref());
            columns.extend(names.filter(|name| is_worth_a_column(name, &of_it)));
            let mut known = BTreeSet::new();
            columns.retain(|name| known.insert(*name));
        }
        servers.sort_by_key(|server| rank(server));
        // A String takes everything.
        let _ = writeln!(text, "\n### {workload}\n\n| server | {} | runs |", columns.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len() + 1));
        for server in servers {
            let cells = columns.iter().map(|column| {
                let spread = Spread::among(&self.samples, workload, server, column);
                spread.map_or("–".to_owned(), |spread| spread.to_string())
            });
            let cells: Vec<String> = cells.collect();
            let runs = || of_it.iter().filter(|sample| sample.server == server);
            let void = runs().filter(|sample| sample.void.is_some()).count();
            let valid = runs().count() - void;
            let count = if void == 0 { valid.to_string() } else { format!("{valid} + {void} void") };
            let _ = writeln!(text, "| {server} | {} | {count} |", cells.join(" | "));
        }
    }
}

/// Where everything is as it should be, faults take no column.
fn is_worth_a_column(name: &str, samples: &[&Sample]) -> bool {
    let is_fault = matches!(name, "lost" | "doubled" | "reordered" | "strange" | "clients gone" | "failed");
    !is_fault || samples.iter().any(|sample| sample.get(name).is_some_and(|value| value != 0.0))
}

/// The order of [`Peer::ALL`](crate::servers::Peer::ALL).
fn rank(server: &str) -> usize {
    let all = crate::servers::Peer::ALL;
    all.iter().position(|peer| peer.to_string() == server).unwrap_or(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(server: &str, value: f64, void: bool) -> Sample {
        let mut sample = Sample::new(server.into(), "fan-out".into(), 1);
        sample.put("cpu us/delivery", value);
        sample.put("lost", 0.0);
        sample.void = void.then(|| "why".to_owned());
        sample
    }

    #[test]
    fn a_table_leaves_out_void_runs_and_columns_without_a_fault() {
        let machine = Machine::look(std::path::Path::new("."));
        let mut samples =
            vec![sample("node", 9.0, false), sample("floor", 5.0, false), sample("floor", 1.0, true)];
        let table = Report { machine, samples: samples.clone() }.table();
        assert!(table.contains("| server | cpu us/delivery | runs |"), "{table}");
        assert!(table.contains("| floor | 5.00 | 1 + 1 void |\n| node | 9.00 | 1 |"), "{table}");
        samples[0].put("lost", 0.0);
        samples[0].values[1].1 = 3.0;
        let machine = Machine::look(std::path::Path::new("."));
        assert!(Report { machine, samples }.table().contains("| node | 9.00 | 3.00 | 1 |"));
    }

    #[test]
    fn parts_of_different_commits_are_not_one_report() {
        let part = |commit: &str| {
            let machine = Machine::look(std::path::Path::new("."));
            Report {
                machine: Machine { commit: commit.into(), ..machine },
                samples: vec![sample("a", 1.0, false)],
            }
        };
        let mut report = part("one");
        assert_eq!(report.append(part("one")), Ok(()));
        assert_eq!(report.samples.len(), 2);
        assert!(report.append(part("two")).is_err());
        let text = serde_json::to_string(&report).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(read.samples[1].get("cpu us/delivery"), Some(1.0));
    }
}
