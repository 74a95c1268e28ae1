//! Settings that a face gives in another form than the core keeps them.

use memcache_core::{ClusterNode, ConfigError};

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
}
