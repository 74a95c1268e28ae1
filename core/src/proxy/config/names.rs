//! The table `[names]`: when the names of backends are looked up again.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::name::NameRules;
use super::entry::{ConfigFault, Table};

/// Longest time between two look-ups, in seconds: a day.
const MAX_SECONDS: u64 = 24 * 3600;
/// DNS servers at most.
const MAX_SERVERS: usize = 8;
/// The port of DNS.
const DNS_PORT: u16 = 53;

/// Reads the rules.
pub fn rules(top: &Table<'_>) -> Result<NameRules, ConfigFault> {
    let default = NameRules::default();
    let Some(entry) = top.get("names") else { return Ok(default) };
    let table = entry.table()?;
    table.allow(&["min_seconds", "max_seconds", "elasticache_seconds", "servers"])?;
    let time = |key, default| {
        let seconds = table.number(key, 1, MAX_SECONDS)?;
        Ok(seconds.map_or(default, Duration::from_secs))
    };
    let rules = NameRules {
        min: time("min_seconds", default.min)?,
        max: time("max_seconds", default.max)?,
        elasticache: time("elasticache_seconds", default.elasticache)?,
        servers: servers(&table)?,
    };
    if rules.min > rules.max {
        return table.fail("min_seconds must be at most max_seconds");
    }
    Ok(rules)
}

fn servers(table: &Table<'_>) -> Result<Vec<SocketAddr>, ConfigFault> {
    let Some(entry) = table.get("servers") else { return Ok(Vec::new()) };
    let list = entry.list("a list of DNS servers")?;
    if list.is_empty() || list.len() > MAX_SERVERS {
        return entry.fail(&format!("there must be 1 to {MAX_SERVERS} DNS servers, got {}", list.len()));
    }
    let server = |text: &str| {
        let ip = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        text.parse::<SocketAddr>().or_else(|_| ip()).ok().filter(|server| server.port() != 0)
    };
    list.iter().map(|entry| entry.read("IP or IP:PORT of a DNS server", server)).collect()
}
