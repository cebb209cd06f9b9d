//! What one run of one workload against one server gave.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The generator itself was the limit if its thread had more of a core than this.
const OWN_CPU_MAX: f64 = 0.9;
/// ... or if one message in a hundred was sent later than this, in milliseconds.
const LATENESS_MAX_MS: f64 = 20.0;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The server's name.
    pub server: String,
    /// The workload's name.
    pub workload: String,
    /// From 1.
    pub round: usize,
    /// Why the run proves nothing, if so.
    pub void: Option<String>,
    /// The numbers; each name has its unit.
    pub values: Vec<(Cow<'static, str>, f64)>,
}

impl Sample {
    /// Nothing measured yet.
    pub fn new(server: String, workload: String, round: usize) -> Self {
        Sample { server, workload, round, void: None, values: Vec::new() }
    }

    /// Adds a number.
    pub fn put(&mut self, name: &'static str, value: f64) {
        self.values.push((name.into(), value));
    }

    /// A number that was measured.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Adds what a server spent on `count` things: `names` are that of the CPU time of one in microseconds and that of
    /// the same in yardsticks, a number without a unit.
    pub fn put_cost(&mut self, names: [&'static str; 2], cpu: Duration, count: u64, yardstick: Duration) {
        let each_us = cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
        let yardstick_us = yardstick.as_secs_f64() * 1e6;
        self.put(names[0], each_us);
        self.put("yardstick us", yardstick_us);
        if yardstick_us > 0.0 {
            self.put(names[1], each_us / yardstick_us);
        }
    }

    /// Marks a run as void whose generator could not keep up: `cpu_share` of a core for its thread, and the time
    /// by which the latest hundredth of its messages was late.
    pub fn judge_generator(&mut self, cpu_share: f64, late_ms_p99: f64) {
        self.put("generator cpu", cpu_share);
        self.put("generator late p99 ms", late_ms_p99);
        if cpu_share > OWN_CPU_MAX {
            self.void = Some(format!("the generator used {:.0} % of a core", cpu_share * 100.0));
        } else if late_ms_p99 > LATENESS_MAX_MS {
            self.void = Some(format!("the generator sent {late_ms_p99:.0} ms late"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_given_in_microseconds_and_in_yardsticks() {
        let mut sample = Sample::new("a".into(), "b".into(), 1);
        sample.put_cost(["us", "cost"], Duration::from_millis(60), 10_000, Duration::from_micros(4));
        assert_eq!((sample.get("us"), sample.get("cost")), (Some(6.0), Some(1.5)));
    }

    #[test]
    fn a_run_whose_generator_was_the_limit_is_void() {
        for (cpu, late, void) in [(0.5, 1.0, false), (0.95, 1.0, true), (0.5, 30.0, true)] {
            let mut sample = Sample::new("a".into(), "b".into(), 1);
            sample.judge_generator(cpu, late);
            assert_eq!(sample.void.is_some(), void, "{cpu} {late}");
            assert_eq!(sample.get("generator cpu"), Some(cpu));
        }
    }
}
