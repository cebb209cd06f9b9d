//! Medians with ranges, as a table for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use crate::measure::machine::Machine;
use crate::sample::Sample;

/// All that a run of the benchmark found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where and with what.
    pub machine: Machine,
    /// Every run.
    pub samples: Vec<Sample>,
}

/// What several runs say of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Report {
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
            columns.extend(
                sample.values.iter().map(|(name, _)| *name).filter(|name| is_worth_a_column(name, &of_it)),
            );
            let mut known = BTreeSet::new();
            columns.retain(|name| known.insert(*name));
        }
        servers.sort_by_key(|server| rank(server));
        // A String takes everything.
        let _ = writeln!(text, "\n### {workload}\n\n| server | {} | runs |", columns.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len() + 1));
        for server in servers {
            let runs: Vec<&&Sample> = of_it.iter().filter(|sample| sample.server == server).collect();
            let valid: Vec<&&&Sample> = runs.iter().filter(|sample| sample.void.is_none()).collect();
            let cells = columns.iter().map(|column| {
                let spread = Spread::of(valid.iter().filter_map(|sample| sample.get(column)).collect());
                spread.map_or("–".to_owned(), |spread| spread.to_string())
            });
            let cells: Vec<String> = cells.collect();
            let void = runs.len() - valid.len();
            let count =
                if void == 0 { valid.len().to_string() } else { format!("{} + {void} void", valid.len()) };
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

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, least, most })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Spread { median, least, most } = *self;
        let digits = |value: f64| match value.abs() {
            0.0 => 0,
            ..0.095 => 3,
            ..9.95 => 2,
            ..99.5 => 1,
            _ => 0,
        };
        let places = digits(median);
        if least == most {
            return write!(f, "{median:.places$}");
        }
        write!(f, "{median:.places$} ({least:.places$}–{most:.places$})")
    }
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
    fn a_spread_is_a_median_with_its_range() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = |values: &[f64]| Spread::of(values.to_vec()).unwrap().to_string();
        assert_eq!(spread(&[3.0, 1.0, 2.0]), "2.00 (1.00–3.00)");
        assert_eq!(spread(&[1.0, 2.0]), "1.50 (1.00–2.00)");
        assert_eq!(spread(&[100_000.4]), "100000");
        assert_eq!(spread(&[0.0]), "0");
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
}
