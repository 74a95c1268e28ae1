//! The reply of the configuration endpoint of an `ElastiCache` cluster: the nodes of the cluster.
//!
//! ```text
//!   CONFIG cluster 0 LENGTH\r\n
//!   VERSION\n
//!   HOST|IP|PORT HOST|IP|PORT\n\r\n
//!   END\r\n
//! ```

use crate::config::ClusterNode;

/// Reads a reply. Returns the version of the list and its nodes.
///
/// # Errors
/// The reason why it is not a list.
pub fn parse(reply: &str) -> Result<(u64, Vec<ClusterNode>), String> {
    let bad = || {
        let start: String = reply.chars().take(60).collect();
        format!("the endpoint answered {start:?}")
    };
    let (line, rest) = reply.split_once("\r\n").ok_or_else(bad)?;
    let length = line.strip_prefix("CONFIG cluster ").and_then(|line| line.split_once(' '));
    let length: usize = length.and_then(|(_, length)| length.parse().ok()).ok_or_else(bad)?;
    let (text, end) = rest.split_at_checked(length).ok_or_else(bad)?;
    if end != "\r\nEND\r\n" {
        return Err(bad());
    }
    let (version, nodes) = text.split_once('\n').ok_or_else(bad)?;
    let version = version.trim().parse().map_err(|_| bad())?;
    let nodes = nodes.split_whitespace().map(|node| node.parse::<ClusterNode>().map_err(|e| e.to_string()));
    Ok((version, nodes.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn replies_are_read_or_refused() {
        let whole = "CONFIG cluster 0 27\r\n12\na|10.0.0.1|11211 b||7\n\r\nEND\r\n";
        let (version, nodes) = parse(&whole.replace("27", "25")).unwrap();
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        assert_eq!((version, nodes), (12, vec!["a|10.0.0.1|11211".to_owned(), "b||7".to_owned()]));
        let bad = [
            "",
            "END\r\n",
            "ERROR\r\n",
            whole,
            "CONFIG cluster 0 99999\r\n1\na||1\n\r\nEND\r\n",
            "CONFIG cluster 0 3\r\n1\na\r\nEND\r\n",
            "CONFIG cluster 0 7\r\nx\na||1\n\r\nEND\r\n",
            "CONFIG cluster 0 -1\r\n",
            "CONFIG cluster 0 1\r\né\r\nEND\r\n",
        ];
        for reply in bad {
            assert!(parse(reply).is_err(), "{reply:?}");
        }
    }
}
