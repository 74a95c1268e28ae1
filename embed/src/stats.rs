//! Statistics as typed values under memcached's names.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use memcache_core::Cache;
use memcache_core::internal::admin::{PROXY_STAT_GROUPS, STAT_GROUPS, each_stat};
use memcache_core::internal::state::ServerState;

/// The value of a statistic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatValue {
    /// A whole number.
    Number(i128),
    /// Any other text, such as a version or a number with a point.
    Text(String),
}

impl From<&str> for StatValue {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Number)
    }
}

/// A group of statistics that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGroup(pub String);

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (groups, of_proxy) = (STAT_GROUPS.join("', '"), PROXY_STAT_GROUPS.join("', '"));
        write!(f, "group must be '', '{groups}', or for a proxy '{of_proxy}', got {:?}", self.0)
    }
}

impl Error for UnknownGroup {}

/// Lists a group of statistics, in memcached's order.
///
/// # Errors
/// The group does not exist.
pub fn list(of: &ServerState, group: &str) -> Result<Vec<(String, StatValue)>, UnknownGroup> {
    let mut all = Vec::new();
    if each_stat(of, group, &mut |name, value| all.push((name.to_owned(), value.into()))) {
        return Ok(all);
    }
    Err(UnknownGroup(group.to_owned()))
}

/// The source of a cache's statistics. Those about connections read as those of a server without
/// any.
#[derive(Default)]
pub struct CacheStats(OnceLock<Arc<ServerState>>);

impl CacheStats {
    /// Lists a group of statistics. Pass the same cache to each call.
    ///
    /// # Errors
    /// The group does not exist.
    pub fn list(&self, cache: &Arc<Cache>, group: &str) -> Result<Vec<(String, StatValue)>, UnknownGroup> {
        list(self.state(cache), group)
    }

    /// Returns the state from which statistics and metrics are read. Pass the same cache to each
    /// call.
    pub fn state(&self, cache: &Arc<Cache>) -> &ServerState {
        self.0.get_or_init(|| Arc::new(ServerState::of_cache(Arc::clone(cache))))
    }
}

impl fmt::Debug for CacheStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheStats").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use memcache_core::CacheConfig;

    use super::*;

    #[test]
    fn whole_numbers_are_numbers() {
        for (text, number) in [("5", 5), ("-1", -1), ("18446744073709551615", i128::from(u64::MAX))] {
            assert_eq!(StatValue::from(text), StatValue::Number(number));
        }
        for text in ["1.6.45", "0.5", "", "yes"] {
            assert_eq!(StatValue::from(text), StatValue::Text(text.to_owned()));
        }
    }

    #[test]
    fn a_cache_has_statistics_and_no_unknown_groups() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let stats = CacheStats::default();
        let all = stats.list(&cache, "").unwrap();
        let value = |name: &str| &all.iter().find(|(found, _)| found == name).unwrap().1;
        assert_eq!(value("curr_items"), &StatValue::Number(0));
        assert!(matches!(value("version"), StatValue::Text(_)));
        assert_eq!(stats.list(&cache, "none"), Err(UnknownGroup("none".into())));
    }
}
