//! Sources of backends: a name or an endpoint that names the backends of a pool.
//!
//! The backends of a source have a stable order. Numbers within names count as numbers, so `mc-10`
//! comes after `mc-9`: the pods of a set that grows are appended.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use super::backend::{Address, Backend};
use crate::config::{ClusterNode, ServiceRecord};

/// Backends of one source at most.
pub const MAX_FOUND: usize = 1000;

/// A source of backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Each address of a host, with this port.
    Dns(String, u16),
    /// The hosts and ports of the SRV records of a name.
    Srv(String),
    /// The nodes that the configuration endpoint of `ElastiCache` at this host and port reports.
    ElastiCache(String, u16),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(host, port) => write!(f, "each address of {host}, port {port}"),
            Self::Srv(name) => write!(f, "the SRV records of {name}"),
            Self::ElastiCache(host, port) => write!(f, "the nodes of ElastiCache at {host}:{port}"),
        }
    }
}

/// Returns a backend for each address of `host`: IPv4 addresses, or IPv6 ones if there are no
/// others. A host with both would be two backends.
pub fn of_addresses(host: &str, addresses: &[IpAddr], port: u16) -> Vec<Backend> {
    let has_v4 = addresses.iter().any(IpAddr::is_ipv4);
    let mut chosen: Vec<IpAddr> = addresses.iter().copied().filter(|ip| ip.is_ipv4() == has_v4).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.iter().map(|ip| of_host(host, *ip, port)).collect()
}

/// Returns a backend for each record of the lowest priority.
///
/// # Errors
/// A record that cannot be used.
pub fn of_records(records: &[ServiceRecord]) -> Result<Vec<Backend>, String> {
    let lowest = records.iter().map(|record| record.priority).min();
    let mut chosen: Vec<(&str, u16)> = records
        .iter()
        .filter(|record| Some(record.priority) == lowest)
        .map(|record| (record.host.as_str(), record.port))
        .collect();
    chosen.sort_unstable_by(|a, b| natural(a.0, b.0).then(a.1.cmp(&b.1)));
    chosen.dedup();
    chosen.into_iter().map(|(host, port)| address(host, port).map(Backend::at)).collect()
}

/// Returns a backend for each node. Its name is the host and port of the node, so that a node keeps
/// its keys when its address changes.
///
/// # Errors
/// A node that cannot be used.
pub fn of_nodes(nodes: &[ClusterNode]) -> Result<Vec<Backend>, String> {
    let mut chosen: Vec<&ClusterNode> = nodes.iter().collect();
    chosen.sort_by(|a, b| natural(a.host(), b.host()).then(a.port().cmp(&b.port())));
    chosen.dedup_by(|a, b| (a.host(), a.port()) == (b.host(), b.port()));
    let found = chosen.into_iter().map(|node| {
        let named = address(node.host(), node.port())?;
        Ok(match node.ip() {
            Some(ip) => Backend { name: Some(named.to_string()), ..of_host(node.host(), ip, node.port()) },
            None => Backend::at(named),
        })
    });
    found.collect()
}

/// Returns the backend at an address of a host, whose certificate has the name of the host.
fn of_host(host: &str, ip: IpAddr, port: u16) -> Backend {
    Backend { server_name: Some(host.to_owned()), ..Backend::at(Address::Tcp(ip.to_string(), port)) }
}

/// Returns the address of a host that was found, if a configuration could name it.
fn address(host: &str, port: u16) -> Result<Address, String> {
    let text = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Address::parse(&text).map_err(|_| format!("{:?} is no host and port", text.escape_default().to_string()))
}

/// Compares names. Numbers within them count as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(first_a), Some(first_b)) = (rest_a.first(), rest_b.first()) else {
            // Names that differ in leading zeros alone are not equal.
            return rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b));
        };
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (one, other) = (take_number(&mut rest_a), take_number(&mut rest_b));
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            let order = first_a.cmp(first_b);
            (rest_a, rest_b) = (rest_a.get(1..).unwrap_or_default(), rest_b.get(1..).unwrap_or_default());
            order
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes the digits at the start of a text. Returns them without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    *text = rest;
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn texts(backends: &[Backend]) -> Vec<String> {
        backends.iter().map(|backend| format!("{backend} at {}", backend.address)).collect()
    }

    #[test]
    fn the_order_of_names_is_stable() {
        let mut names = ["mc-10", "mc-9", "b", "a10b2", "mc-1", "a10b10", "a2", "mc-010", "mc", ""];
        let order = ["", "a2", "a10b2", "a10b10", "b", "mc", "mc-1", "mc-9", "mc-010", "mc-10"];
        for _ in 0..names.len() {
            names.rotate_left(3);
            names.sort_by(|a, b| natural(a, b));
            assert_eq!(names, order);
        }
    }

    #[test]
    fn a_host_with_two_families_is_one_backend_an_address() {
        let all: Vec<IpAddr> =
            ["::1", "10.0.0.10", "10.0.0.9", "10.0.0.9"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            texts(&of_addresses("a", &all, 7)),
            ["10.0.0.9:7 at 10.0.0.9:7", "10.0.0.10:7 at 10.0.0.10:7"]
        );
        assert_eq!(texts(&of_addresses("a", &all[..1], 7)), ["[::1]:7 at [::1]:7"]);
    }

    #[test]
    fn records_of_the_lowest_priority_count() {
        let record = |priority, host: &str, port| ServiceRecord { priority, host: host.into(), port };
        let records = [record(1, "mc-10.x", 1), record(2, "spare", 1), record(1, "mc-9.x", 2)];
        let found = of_records(&records).unwrap();
        assert_eq!(texts(&found), ["mc-9.x:2 at mc-9.x:2", "mc-10.x:1 at mc-10.x:1"]);
        assert!(of_records(&[record(1, "a b", 1)]).is_err());
        assert!(of_records(&[record(1, "a", 0)]).is_err());
    }

    #[test]
    fn a_node_has_its_host_as_its_name() {
        let nodes: Vec<ClusterNode> =
            ["c.0010|10.0.0.1|1", "c.0002||1"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(texts(&of_nodes(&nodes).unwrap()), ["c.0002:1 at c.0002:1", "c.0010:1 at 10.0.0.1:1"]);
    }
}
