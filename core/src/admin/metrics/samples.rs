//! Metrics of sampled requests and of evictions: durations, hot keys, ages.

use super::family::{MetricFamily, MetricHistogram, MetricKind, MetricSample, MetricValue, label};
use crate::base::histogram::Histogram;
use crate::state::{CommandClass, ServerState};

/// Keys with samples.
const HOT_KEYS: usize = 10;

/// Adds the families of this group. Keys need the right to dump, as `stats hotkeys` does.
pub(super) fn push(families: &mut Vec<MetricFamily>, context: &ServerState) {
    let gauge = |name, help| MetricFamily::new(MetricKind::Gauge, name, help);
    let rate = context.cache.config().sample_rate;
    families.push(
        gauge("memcache_rs_sample_rate", "One of this number of requests is sampled; 0 means none.")
            .with(&[], f64::from(rate)),
    );

    let mut durations = MetricFamily::new(
        MetricKind::Histogram,
        "memcache_rs_command_duration_seconds",
        "Durations of sampled requests by class of command, from parsing to the encoded reply.",
    );
    for class in CommandClass::ALL {
        durations.samples.push(sample(&context.latency.of(class), 1e9, Some(("command", class.name()))));
    }
    families.push(durations);

    let mut ages = MetricFamily::new(
        MetricKind::Histogram,
        "memcache_rs_evicted_age_seconds",
        "Time for which evicted items had not been used.",
    );
    ages.samples.push(sample(&context.cache.evicted_ages(), 1.0, None));
    families.push(ages);

    if !context.config.dump_enabled {
        return;
    }
    let hot = context.cache.hot_keys(HOT_KEYS);
    let mut shares = gauge("memcache_rs_hot_key_ratio", "Part of all requests that are for a key.");
    let mut requests =
        gauge("memcache_rs_hot_key_requests", "Requests a second for a key, by command, an estimate.");
    for key in &hot.keys {
        let name = label(&key.key);
        shares = shares.with(&[("key", &name)], key.share);
        for (command, count) in [("read", key.reads), ("write", key.writes)] {
            let each_second = count as f64 / f64::from(hot.window_seconds);
            requests = requests.with(&[("key", &name), ("command", command)], each_second);
        }
    }
    families.extend([shares, requests].into_iter().filter(|family| !family.samples.is_empty()));
}

/// Returns a histogram whose numbers are divided by `unit`.
pub(super) fn sample(of: &Histogram, unit: f64, label: Option<(&'static str, &str)>) -> MetricSample {
    let buckets = of.buckets().map(|(bound, count)| (bound as f64 / unit, count)).collect();
    let histogram = MetricHistogram { buckets, sum: of.sum() as f64 / unit, count: of.count() };
    let labels = label.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    MetricSample { labels, value: MetricValue::Histogram(histogram) }
}
