//! Settings by name, as a program in another language gives them. The core checks each.

use memcache_core::internal::config::Scope;
use memcache_core::{CacheConfig, ClusterNode, ConfigError, ServerConfig, Value};

/// Names of settings and their values, in the order in which they are set.
pub type Settings = Vec<(String, Value)>;

/// Sets settings of a cache.
///
/// # Errors
/// A cache has no such setting, or the setting does not take that value.
pub fn set_cache(config: &mut CacheConfig, settings: Settings) -> Result<(), ConfigError> {
    settings.into_iter().try_for_each(|(name, value)| config.set(&name, value))
}

/// Sets settings of a server, and those of the cache that it makes.
///
/// # Errors
/// There is no such setting, or it does not take that value.
pub fn set_server(config: &mut ServerConfig, settings: Settings) -> Result<(), ConfigError> {
    settings.into_iter().try_for_each(|(name, value)| config.set(&name, value))
}

/// Checks settings of a server, each alone.
///
/// # Errors
/// There is no such setting, or it does not take that value.
pub fn check(settings: Settings) -> Result<(), ConfigError> {
    set_server(&mut ServerConfig::default(), settings)
}

/// Returns whether a cache has the setting `name`. A server passes such settings to the cache that
/// it makes.
pub fn is_of_cache(name: &str) -> bool {
    ServerConfig::rows().any(|row| row.scope == Scope::Cache && row.name == name)
}

/// Reads the nodes of a cluster, each `host|ip|port` or `host:port`.
///
/// # Errors
/// A node is not written so.
pub fn cluster_nodes(nodes: &[String]) -> Result<Vec<ClusterNode>, ConfigError> {
    nodes.iter().map(|node| node.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_node_refuses_the_list() {
        let nodes = ["127.0.0.1:11211".to_owned(), "cache|10.0.0.1|11212".to_owned()];
        assert_eq!(cluster_nodes(&nodes).unwrap().len(), 2);
        assert!(cluster_nodes(&[nodes[0].clone(), "nowhere".to_owned()]).is_err());
    }

    #[test]
    fn a_server_takes_the_settings_of_its_cache_and_a_cache_none_of_a_server() {
        let settings = || vec![("memory_limit".to_owned(), "8m".into()), ("threads".to_owned(), 2.into())];
        let mut server = ServerConfig::default();
        assert_eq!(set_server(&mut server, settings()), Ok(()));
        assert_eq!((server.cache.memory_limit, server.threads), (8 << 20, 2));
        let refused = set_cache(&mut CacheConfig::default(), settings()).unwrap_err();
        assert_eq!(refused.setting, "threads");
        assert!(is_of_cache("memory_limit") && !is_of_cache("threads") && !is_of_cache("nothing"));
        assert!(check(vec![("threads".to_owned(), 0.into())]).is_err());
    }
}
