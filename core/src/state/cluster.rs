//! The list of nodes that a node of a hosted cluster reports to its clients.
//!
//! `ElastiCache`'s clients ask one node for all nodes (auto discovery). The rules are those of its
//! documentation, "Adding auto discovery to your client library". A server here reports the list
//! that it was given, so that such clients can be tested. The list is a text of two lines. Clients
//! may replace it by any other text, as on a real node:
//!
//! ```text
//!   12\n                                      version: one more a change
//!   a.example|10.0.0.1|11211 b.example|10.0.0.2|11211\n
//! ```

use std::fmt;
use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::config::ClusterNode;

/// Longest text that a client may store, in bytes.
pub const TEXT_MAX: usize = 64 * 1024;

/// The list of a server. All methods may be called from any thread.
#[derive(Default)]
pub struct Cluster(Mutex<State>);

#[derive(Default)]
struct State {
    on: bool,
    /// The version of the last list.
    version: u64,
    /// Client flags and text.
    stored: Option<(u32, Arc<Vec<u8>>)>,
}

impl Cluster {
    /// Returns a list of these nodes. Without nodes, the list is off.
    pub fn new(nodes: &[ClusterNode]) -> Self {
        let cluster = Self::default();
        if !nodes.is_empty() {
            cluster.set_nodes(nodes);
        }
        cluster
    }

    /// Returns whether clients can read, replace and delete the list.
    pub fn is_on(&self) -> bool {
        self.0.lock().on
    }

    /// Replaces the nodes, or turns the list off if there are none. Returns the version, one more
    /// than before.
    pub fn set_nodes(&self, nodes: &[ClusterNode]) -> u64 {
        let mut state = self.0.lock();
        state.version = state.version.wrapping_add(1);
        state.on = !nodes.is_empty();
        let list: Vec<String> = nodes.iter().map(ClusterNode::to_string).collect();
        let text = format!("{}\n{}\n", state.version, list.join(" "));
        state.stored = state.on.then(|| (0, Arc::new(text.into_bytes())));
        state.version
    }

    /// Returns client flags and text, or `None` if a client deleted them.
    pub fn get(&self) -> Option<(u32, Arc<Vec<u8>>)> {
        self.0.lock().stored.clone()
    }

    /// Stores a text from a client. If its first line is a number, that number becomes the version.
    pub fn set_text(&self, flags: u32, text: Vec<u8>) {
        let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let version = std::str::from_utf8(first.trim_ascii()).ok().and_then(|first| first.parse().ok());
        let mut state = self.0.lock();
        state.version = version.unwrap_or(state.version);
        state.stored = Some((flags, Arc::new(text)));
    }

    /// Deletes the text. Returns `false` if there was none.
    pub fn delete(&self) -> bool {
        self.0.lock().stored.take().is_some()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Cluster").field("on", &state.on).field("version", &state.version).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ConfigError;

    #[test]
    fn versions_go_up() -> Result<(), ConfigError> {
        let (one, two) = ("a:1".parse::<ClusterNode>()?, "b|10.0.0.2|2".parse::<ClusterNode>()?);
        let cluster = Cluster::new(&[]);
        assert!(!cluster.is_on());
        assert_eq!(cluster.set_nodes(std::slice::from_ref(&one)), 1);
        assert!(cluster.is_on());
        assert_eq!(cluster.get(), Some((0, Arc::new(b"1\na||1\n".to_vec()))));
        assert_eq!(cluster.set_nodes(&[one.clone(), two]), 2);
        assert_eq!(cluster.get(), Some((0, Arc::new(b"2\na||1 b|10.0.0.2|2\n".to_vec()))));
        cluster.set_text(9, b"41\r\nany".to_vec());
        assert_eq!(cluster.get(), Some((9, Arc::new(b"41\r\nany".to_vec()))));
        assert!(cluster.delete() && !cluster.delete() && cluster.is_on());
        cluster.set_text(0, b"no number".to_vec());
        assert_eq!(cluster.set_nodes(&[one]), 42);
        assert_eq!(cluster.set_nodes(&[]), 43);
        assert!(!cluster.is_on() && cluster.get().is_none());
        Ok(())
    }
}
