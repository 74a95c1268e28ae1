//! Metrics as text.

use std::error::Error;
use std::fmt;

use memcache_core::MetricsFormat;
use memcache_core::internal::admin::metrics;
use memcache_core::internal::state::ServerState;

/// A text form of metrics that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(pub String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format must be 'prometheus' or 'openmetrics', got {:?}", self.0)
    }
}

impl Error for UnknownFormat {}

/// Returns the metrics of a server or a cache as text.
///
/// # Errors
/// The form does not exist.
pub fn text(of: &ServerState, format: &str) -> Result<String, UnknownFormat> {
    let format = MetricsFormat::named(format).ok_or_else(|| UnknownFormat(format.to_owned()))?;
    Ok(metrics(of).text(format))
}

#[cfg(test)]
mod tests {
    use memcache_core::{Cache, CacheConfig};

    use super::*;
    use crate::stats::CacheStats;

    #[test]
    fn a_cache_has_metrics_in_both_forms() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let stats = CacheStats::default();
        let of = |format: &str| text(stats.state(&cache), format);
        assert!(of("prometheus").unwrap().contains("\nmemcached_current_items 0\n"));
        assert!(of("openmetrics").unwrap().ends_with("\n# EOF\n"));
        assert_eq!(of("xml"), Err(UnknownFormat("xml".into())));
    }
}
