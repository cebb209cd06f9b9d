//! What several runs say of one number: the median with its range. Pure.

use std::fmt;

use crate::sample::Sample;

/// A median with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these values; `None` if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, least, most })
    }

    /// Of a number of all valid runs of a workload against a server.
    pub fn among(samples: &[Sample], workload: &str, server: &str, name: &str) -> Option<Self> {
        let runs = samples.iter().filter(|sample| sample.workload == workload && sample.server == server);
        Self::of(runs.filter(|sample| sample.void.is_none()).filter_map(|sample| sample.get(name)).collect())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, least, most } = *self;
        let places = places(median);
        if least == most {
            return write!(f, "{median:.places$}");
        }
        write!(f, "{median:.places$} ({least:.places$}–{most:.places$})")
    }
}

/// Decimal places that leave two or three digits of a number.
pub fn places(value: f64) -> usize {
    match value.abs() {
        0.0 => 0,
        ..0.095 => 3,
        ..9.95 => 2,
        ..99.5 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_void_run_says_nothing() {
        let run = |value, void: Option<&str>| {
            let mut sample = Sample::new("a".into(), "b".into(), 1);
            sample.put("c", value);
            sample.void = void.map(str::to_owned);
            sample
        };
        let samples = [run(1.0, None), run(9.0, Some("why")), run(3.0, None)];
        let spread = Spread::among(&samples, "b", "a", "c");
        assert_eq!(spread, Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::among(&samples, "b", "other", "c"), None);
    }
}
