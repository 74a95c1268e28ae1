//! Requests by prefix of the key, as `stats detail` counts them.

use std::cmp::Reverse;

use super::family::{MetricFamily, MetricKind, label};
use crate::state::ServerState;

/// Prefixes with samples: those with the most gets, then with the most sets. So hostile keys cannot
/// add samples without bound. There is no sum of all others: it would fall whenever one of them
/// moves up, and a counter must not fall.
const MOST: usize = 100;

/// Adds the families of this group, if prefixes are counted (`-D`, `stats detail on`) and dumps are
/// allowed.
pub(super) fn push(families: &mut Vec<MetricFamily>, context: &ServerState) {
    let prefixes = context.cache.prefixes();
    if !prefixes.enabled() || !context.config.dump_enabled {
        return;
    }
    let mut all: Vec<(Box<[u8]>, [u64; 4])> = Vec::new();
    let mut next = Some(0);
    // In steps, because requests wait for the lock.
    while let Some(from) = next {
        next = prefixes.each(from, 1024, |prefix, counts| all.push((prefix.into(), counts)));
    }
    families.push(
        MetricFamily::new(MetricKind::Gauge, "memcache_rs_prefixes", "Prefixes that are counted.")
            .with(&[], all.len() as f64),
    );
    if all.len() > MOST {
        all.select_nth_unstable_by_key(MOST, |(_, [gets, _, sets, _])| Reverse((*gets, *sets)));
        all.truncate(MOST);
    }
    all.sort_unstable();
    let mut family = MetricFamily::new(
        MetricKind::Counter,
        "memcache_rs_prefix_commands_total",
        "Requests by prefix of the key, command and outcome, for the 100 prefixes with the most gets.",
    );
    for (prefix, [gets, hits, sets, deletes]) in &all {
        let prefix = label(prefix);
        let misses = gets.saturating_sub(*hits);
        for (command, status, count) in [
            ("get", "hit", *hits),
            ("get", "miss", misses),
            ("set", "any", *sets),
            ("delete", "any", *deletes),
        ] {
            let labels = [("prefix", prefix.as_str()), ("command", command), ("status", status)];
            family = family.with(&labels, count as f64);
        }
    }
    if !family.samples.is_empty() {
        families.push(family);
    }
}
