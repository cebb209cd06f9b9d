//! Whether two reports agree, or what a change between them was worth: the medians of one beside those of the other.
//! Pure.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::report::Report;
use crate::spread::{Spread, places};

/// The numbers that two runs on one machine should agree on; latencies depend on whatever else it does.
const COMPARED: [&str; 3] = ["cost/delivery", "cost/connect", "private KB/client"];

/// Two reports side by side.
#[derive(Debug, Default)]
pub struct Agreement {
    /// A Markdown table.
    pub table: String,
    /// The largest distance of two medians, as a share of the first.
    pub apart_max: f64,
}

impl Agreement {
    /// Compares what both have.
    pub fn of(first: &Report, second: &Report) -> Self {
        let mut agreement = Agreement::default();
        let text = &mut agreement.table;
        // A String takes everything.
        let _ = writeln!(text, "| workload | server | number | first | second | apart |");
        let _ = writeln!(text, "|---|---|---|---:|---:|---:|");
        let mut seen = BTreeSet::new();
        for sample in &first.samples {
            let (workload, server) = (sample.workload.as_str(), sample.server.as_str());
            if !seen.insert((workload, server)) {
                continue;
            }
            for name in COMPARED {
                let median = |report: &Report| Spread::among(&report.samples, workload, server, name);
                let (Some(before), Some(after)) = (median(first), median(second)) else { continue };
                let (before, after) = (before.median, after.median);
                let apart = after / before - 1.0;
                agreement.apart_max = agreement.apart_max.max(apart.abs());
                let places = places(before);
                let _ = writeln!(
                    text,
                    "| {workload} | {server} | {name} | {before:.places$} | {after:.places$} | {:+.1} % |",
                    apart * 100.0
                );
            }
        }
        agreement
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::measure::machine::Machine;
    use crate::sample::Sample;

    fn report(values: &[(&str, f64)]) -> Report {
        let samples = values.iter().map(|(server, value)| {
            let mut sample = Sample::new((*server).into(), "fan-out".into(), 1);
            sample.put("cost/delivery", *value);
            sample
        });
        Report { machine: Machine::look(Path::new(".")), samples: samples.collect() }
    }

    #[test]
    fn medians_of_what_both_have_are_compared() {
        let first = report(&[("floor", 5.0), ("floor", 4.0), ("floor", 6.0), ("node", 10.0)]);
        let agreement = Agreement::of(&first, &report(&[("floor", 5.5), ("stock", 7.0)]));
        assert!((agreement.apart_max - 0.1).abs() < 1e-9);
        let last = agreement.table.lines().last().unwrap();
        assert_eq!(last, "| fan-out | floor | cost/delivery | 5.00 | 5.50 | +10.0 % |");
        assert_eq!(agreement.table.lines().count(), 3);
    }
}
