//! Metrics that are statistics under another name: a row each.

use std::collections::{BTreeMap, HashMap};

use super::family::{MetricFamily, MetricKind, MetricSample, MetricValue};

/// A metric family whose samples are statistics.
pub(super) struct Row {
    pub(super) kind: MetricKind,
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) samples: &'static [Sample],
}

/// A sample of a row. It is left out while `stats` does not have the statistic.
pub(super) struct Sample {
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// The statistic.
    pub(super) stat: &'static str,
    /// Statistics that are subtracted.
    pub(super) less: &'static [&'static str],
    /// Factor from the unit of the statistic to that of the metric.
    pub(super) unit: f64,
}

/// Writes a table of rows.
///
/// ```text
/// COUNTER "name", "help": "stat";
/// GAUGE "name", "help": "stat" * factor;
/// COUNTER "name", "help": { label = "value": "stat" - "other stat" - "third stat", … };
/// ```
macro_rules! rows {
    ($($kind:ident $name:literal, $help:literal: $samples:tt $(* $unit:literal)?;)*) => {
        &[$($crate::admin::metrics::rows::Row {
            kind: rows!(@kind $kind),
            name: $name,
            help: $help,
            samples: rows!(@samples $samples $(* $unit)?),
        }),*]
    };
    (@kind COUNTER) => { $crate::admin::metrics::family::MetricKind::Counter };
    (@kind GAUGE) => { $crate::admin::metrics::family::MetricKind::Gauge };
    (@samples { $($($label:ident = $value:literal)+: $stat:literal $(- $less:literal)*),* $(,)? }) => {
        &[$($crate::admin::metrics::rows::Sample {
            labels: &[$((stringify!($label), $value)),+],
            stat: $stat,
            less: &[$($less),*],
            unit: 1.0,
        }),*]
    };
    (@samples $stat:literal) => { rows!(@samples $stat * 1.0) };
    (@samples $stat:literal * $unit:literal) => {
        &[$crate::admin::metrics::rows::Sample { labels: &[], stat: $stat, less: &[], unit: $unit }]
    };
}
pub(super) use rows;

/// Statistics by name. Those without a number are left out.
#[derive(Default)]
pub(super) struct Readings(HashMap<String, f64>);

impl Readings {
    /// Adds a statistic as `stats` writes it. `yes` and `no` are 1 and 0.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        let number = match value {
            "yes" | "on" => Some(1.0),
            "no" | "off" => Some(0.0),
            text => text.parse().ok().filter(|number: &f64| number.is_finite()),
        };
        if let Some(number) = number {
            self.0.insert(name.to_owned(), number);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Returns the value of a sample. A counter of parts is never negative, although `stats` reads
    /// the parts one after the other.
    fn value(&self, sample: &Sample) -> Option<f64> {
        let mut value = self.get(sample.stat)?;
        for part in sample.less {
            value -= self.get(part)?;
        }
        if !sample.less.is_empty() {
            value = value.max(0.0);
        }
        Some(value * sample.unit)
    }
}

/// Statistics of each slab class, by its number.
pub(super) type ByClass = BTreeMap<u32, Readings>;

/// Adds a statistic of a slab class: `number:name`.
pub(super) fn add_by_class(classes: &mut ByClass, name: &str, value: &str) {
    if let Some((number, name)) = name.split_once(':')
        && let Ok(number) = number.parse()
    {
        classes.entry(number).or_default().add(name, value);
    }
}

/// Adds the families of rows that have a sample.
pub(super) fn push(families: &mut Vec<MetricFamily>, rows: &[Row], readings: &Readings) {
    families.extend(rows.iter().filter_map(|row| family(row, [(None, readings)].into_iter())));
}

/// Like [`push`], with a sample for each slab class.
pub(super) fn push_by_class(families: &mut Vec<MetricFamily>, rows: &[Row], classes: &ByClass) {
    let all = || classes.iter().map(|(number, readings)| (Some(*number), readings));
    families.extend(rows.iter().filter_map(|row| family(row, all())));
}

fn family<'a>(row: &Row, all: impl Iterator<Item = (Option<u32>, &'a Readings)>) -> Option<MetricFamily> {
    let mut family = MetricFamily::new(row.kind, row.name, row.help);
    for (class, readings) in all {
        for sample in row.samples {
            let Some(value) = readings.value(sample) else { continue };
            let class = class.map(|number| ("slab", number.to_string()));
            let own = sample.labels.iter().map(|&(name, value)| (name, value.to_owned()));
            let labels = class.into_iter().chain(own).collect();
            family.samples.push(MetricSample { labels, value: MetricValue::Number(value) });
        }
    }
    (!family.samples.is_empty()).then_some(family)
}
