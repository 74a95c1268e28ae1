//! Settings that a face gives in another form than the core keeps them.

use memcache_core::internal::config::PAGE_SIZE;
use memcache_core::{CacheConfig, ClusterNode, ConfigError};

/// Sets the largest item in bytes, rounded up to whole chunks by memcached's rule: the chunk size
/// divides a page. 0 leaves the default.
pub fn set_item_size_max(config: &mut CacheConfig, bytes: usize) {
    if bytes == 0 {
        return;
    }
    let chunk = PAGE_SIZE / 2;
    let chunk = if bytes < chunk { 1 << bytes.ilog2() } else { chunk };
    config.slab_chunk_max = chunk;
    config.item_size_max = bytes.saturating_add(chunk - 1) / chunk * chunk;
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
    fn an_item_size_is_rounded_up_to_whole_chunks() {
        let rounded = |bytes| {
            let mut config = CacheConfig::default();
            set_item_size_max(&mut config, bytes);
            (config.item_size_max, config.slab_chunk_max)
        };
        let default = CacheConfig::default();
        assert_eq!(rounded(0), (default.item_size_max, default.slab_chunk_max));
        assert_eq!(rounded(1_500_000), (3 << 19, 1 << 19));
        assert_eq!(rounded(1025), (2048, 1024));
        assert_eq!(rounded(1 << 20), (1 << 20, 1 << 19));
    }

    #[test]
    fn one_bad_node_refuses_the_list() {
        let nodes = ["127.0.0.1:11211".to_owned(), "cache|10.0.0.1|11212".to_owned()];
        assert_eq!(cluster_nodes(&nodes).unwrap().len(), 2);
        assert!(cluster_nodes(&[nodes[0].clone(), "nowhere".to_owned()]).is_err());
    }
}
