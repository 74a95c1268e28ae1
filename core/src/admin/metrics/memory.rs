//! Memory and its segments.

use super::family::{MetricFamily, MetricKind};
use crate::state::ServerState;

/// Adds the families of this group.
pub(super) fn push(families: &mut Vec<MetricFamily>, context: &ServerState) {
    let totals = context.cache.store().totals();
    let usage = &totals.usage;
    let segments = usage.malloced.checked_div(totals.segment_size).unwrap_or(0);
    let gauge = |name, help| MetricFamily::new(MetricKind::Gauge, name, help);
    let counter = |name, help| MetricFamily::new(MetricKind::Counter, name, help);
    families.extend([
        gauge("memcache_rs_index_bytes", "Memory of the index.").with(&[], totals.index_bytes as f64),
        gauge("memcache_rs_segment_size_bytes", "Memory of a segment.").with(&[], totals.segment_size as f64),
        gauge("memcache_rs_segments", "Segments of item memory, by state.")
            .with(&[("state", "used")], segments.saturating_sub(usage.pool) as f64)
            .with(&[("state", "free")], usage.pool as f64),
        gauge("memcache_rs_live_bytes", "Bytes of entries that are not dead.")
            .with(&[], totals.live_bytes as f64),
        counter("memcache_rs_compacted_segments_total", "Segments compacted.")
            .with(&[], totals.compacted as f64),
        counter("memcache_rs_compacted_items_total", "Items moved by compaction.")
            .with(&[], totals.moved as f64),
    ]);
}
