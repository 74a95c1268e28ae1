//! Pools and backends of a configuration.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::super::backend::{Address, Backend, DEFAULT_PORT};
use super::super::bounds::Bounds;
use super::super::distribution::{DISTRIBUTIONS, Distribution, POINTS};
use super::super::filter::KeyFilter;
use super::super::hash::{KEY_HASHES, KeyHash};
use super::super::health::{EJECTS, Eject, Health, PoolHealth, Probe};
use super::super::log::LogRules;
use super::super::pool::{Member, Pool};
use super::super::source::Source;
use super::entry::{ConfigFault, Entry, MAX_NAME, Table};
use crate::tls::ClientFiles;

/// Backends of a pool at most.
const MAX_BACKENDS: usize = 1000;
/// Longest time of a bound: an hour.
const MAX_MILLIS: u64 = 3_600_000;
/// Connections of a worker to a backend at most.
const MAX_CONNECTIONS: u64 = 8;
/// Shortest time between probes.
const LEAST_PROBE_MILLIS: u64 = 10;
/// Results in a row that change the condition of a backend, at most.
const MAX_RESULTS: u64 = 100;
/// The keys about connections.
const BOUNDS: [&str; 11] = [
    "connect_timeout_ms",
    "read_timeout_ms",
    "retry_ms",
    "failure_limit",
    "depth_limit",
    "flap_time_ms",
    "flap_ramp",
    "flap_max_ms",
    "connections",
    "shared",
    "tls",
];
/// Points of a backend at most.
const MAX_POINTS: u64 = 1000;
/// Weight of a backend at most.
const MAX_WEIGHT: u32 = 1000;

/// Reads a pool.
pub fn pool(name: &str, table: &Table<'_>) -> Result<Pool, ConfigFault> {
    let own =
        ["backends", "distribution", "points", "key_hash", "hash_tag", "hash_stop", "seed", "health", "log"];
    table.allow(&[&own[..], &BOUNDS].concat())?;
    let distribution = match table.get("distribution") {
        Some(entry) => entry.one_of(&DISTRIBUTIONS, |distribution| distribution.name)?,
        None => &DISTRIBUTIONS[0],
    };
    let key_hash = match (table.get("key_hash"), distribution.key_hash) {
        (Some(entry), Some(_)) => Some(entry.one_of(&KEY_HASHES, |hash| hash.name)?),
        (None, default) => default.and_then(KeyHash::named),
        (Some(entry), None) => {
            return entry
                .fail(&format!("distribution {} hashes keys in a way of its own", distribution.name));
        }
    };
    let members = members(&table.required("backends")?, distribution)?;
    let filter = filter(table)?;
    let points = points(table, distribution)?;
    let seed = table.get("seed");
    if let Some(entry) = seed.as_ref().filter(|_| !key_hash.is_some_and(KeyHash::is_seeded)) {
        return entry.fail("only key_hash = \"xxh3\" has a seed");
    }
    let seed = seed.map(|entry| entry.string()).transpose()?;
    let fixed = members.iter().filter_map(|member| match member {
        Member::Backend(backend) => Some(backend.clone()),
        Member::Source(_) => None,
    });
    let mut pool = Pool::new(name, fixed.collect(), distribution, key_hash, filter, points, seed);
    pool.members = (members.len() > pool.backends.len()).then_some(members);
    pool.bounds = bounds(table)?;
    pool.tls_line = table.get("tls").map_or(0, |entry| entry.number_of_line());
    if let Some(entry) = table.get("health") {
        pool.health = Some(PoolHealth::new(health(&entry.table()?)?, pool.backends.len()));
    }
    pool.log = table.get("log").map(|entry| log(&entry.table()?)).transpose()?;
    let has_socket = pool.backends.iter().any(|backend| matches!(backend.address, Address::Unix(_)));
    match table.get("tls") {
        Some(entry) if has_socket => entry.fail("a Unix socket has no TLS"),
        _ => Ok(pool),
    }
}

/// Reads the number of points of a backend.
fn points(table: &Table<'_>, distribution: &Distribution) -> Result<u32, ConfigFault> {
    let Some(entry) = table.get("points") else { return Ok(POINTS) };
    let Some(step) = distribution.point_step else {
        return entry.fail(&lacks(distribution, "points", |other| other.point_step.is_some()));
    };
    let points = table.needed_number("points", 1, MAX_POINTS)? as u32;
    if points.is_multiple_of(step) {
        return Ok(points);
    }
    entry.wanted(&format!("a multiple of {step}, because {} has {step} by each hash", distribution.name))
}

/// Reads the keys about connections.
fn bounds(table: &Table<'_>) -> Result<Bounds, ConfigFault> {
    let default = Bounds::default();
    let time = |key, default| {
        let millis = table.number(key, 1, MAX_MILLIS)?;
        Ok(millis.map_or(default, Duration::from_millis))
    };
    let number = |key, most| table.number(key, 0, most);
    Ok(Bounds {
        connect_timeout: time("connect_timeout_ms", default.connect_timeout)?,
        read_timeout: time("read_timeout_ms", default.read_timeout)?,
        retry: time("retry_ms", default.retry)?,
        failure_limit: number("failure_limit", 100)?.map_or(default.failure_limit, |limit| limit as u32),
        depth_limit: number("depth_limit", 1_000_000)?.map_or(default.depth_limit, |limit| limit as usize),
        flap_time: table.number("flap_time_ms", 1, MAX_MILLIS)?.map(Duration::from_millis),
        flap_ramp: flap_ramp(table)?.unwrap_or(default.flap_ramp),
        flap_max: time("flap_max_ms", default.flap_max)?,
        connections: table.number("connections", 1, MAX_CONNECTIONS)?.map_or(1, |count| count as usize),
        shared: table.switch("shared")?,
        tls: table.get("tls").map(|entry| tls(&entry.table()?)).transpose()?,
        ..default
    })
}

/// Reads how backends are probed.
fn health(table: &Table<'_>) -> Result<Health, ConfigFault> {
    table.allow(&["every_ms", "probe", "timeout_ms", "fall", "rise", "eject"])?;
    let time = |key, default| {
        Ok(Duration::from_millis(table.number(key, LEAST_PROBE_MILLIS, MAX_MILLIS)?.unwrap_or(default)))
    };
    let results = |key, default| Ok(table.number(key, 1, MAX_RESULTS)?.unwrap_or(default) as u32);
    let eject = match table.get("eject") {
        None => Eject::No,
        Some(entry) => entry.one_of(&EJECTS, |(name, _)| name)?.1,
    };
    Ok(Health {
        every: time("every_ms", 2000)?,
        probe: table.get("probe").map_or(Ok(Probe::Version), |entry| probe(&entry))?,
        timeout: time("timeout_ms", 1000)?,
        fall: results("fall", 3)?,
        rise: results("rise", 2)?,
        eject,
    })
}

/// Reads the request of a probe.
fn probe(entry: &Entry<'_>) -> Result<Probe, ConfigFault> {
    let is_key = |key: &&str| {
        (1..=MAX_NAME).contains(&key.len()) && !key.contains(|c: char| c.is_control() || c == ' ')
    };
    entry.read("version, or get and a key", |text| match text.strip_prefix("get ").filter(is_key) {
        Some(key) => Some(Probe::Get(key.into())),
        None => (text == "version").then_some(Probe::Version),
    })
}

/// Reads the rules that choose the requests to log.
fn log(table: &Table<'_>) -> Result<LogRules, ConfigFault> {
    table.allow(&["slow_ms", "sample", "errors"])?;
    let slow = table.number("slow_ms", 1, MAX_MILLIS)?.map(Duration::from_millis);
    let sample = table.number("sample", 1, u32::MAX.into())?.map_or(0, |one_of| one_of as u32);
    let rules = LogRules { slow, sample, errors: table.switch("errors")? };
    if rules == LogRules::default() {
        return table.fail("log has at least one of slow_ms, sample and errors = true");
    }
    Ok(rules)
}

fn flap_ramp(table: &Table<'_>) -> Result<Option<f64>, ConfigFault> {
    let Some(entry) = table.get("flap_ramp") else { return Ok(None) };
    let ramp = match entry.value.get_ref() {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) => number.as_str().parse().ok(),
        _ => None,
    };
    match ramp.filter(|ramp: &f64| (1.1..=100.0).contains(ramp)) {
        Some(ramp) => Ok(Some(ramp)),
        None => entry.wanted("a number from 1.1 to 100"),
    }
}

/// Reads the files of TLS. They are opened later.
fn tls(table: &Table<'_>) -> Result<ClientFiles, ConfigFault> {
    table.allow(&["ca", "cert", "key", "server_name", "verify"])?;
    let path = |key| Ok(table.get(key).map(|entry| entry.line()).transpose()?.map(PathBuf::from));
    let verify = table.get("verify").is_none() || table.switch("verify")?;
    let (ca, cert, key) = (path("ca")?, path("cert")?, path("key")?);
    if verify && ca.is_none() {
        return table.fail("ca is missing: it verifies the backends, and verify = false does not");
    }
    let identity = match (cert, key) {
        (Some(cert), key) => Some((cert.clone(), key.unwrap_or(cert))),
        (None, None) => None,
        (None, Some(_)) => return table.fail("cert is missing: it belongs to key"),
    };
    let server_name = table.get("server_name").map(|entry| entry.line()).transpose()?;
    Ok(ClientFiles { ca: ca.filter(|_| verify), identity, server_name })
}

fn members(entry: &Entry<'_>, distribution: &Distribution) -> Result<Vec<Member>, ConfigFault> {
    let list = entry.list("a list of backends")?;
    if list.is_empty() || list.len() > MAX_BACKENDS {
        return entry.fail(&format!("a pool must have 1 to {MAX_BACKENDS} backends, got {}", list.len()));
    }
    let mut seen = HashMap::new();
    let mut members = Vec::new();
    for entry in &list {
        let member = member(entry)?;
        let (name, address) = match &member {
            Member::Backend(backend) => {
                if backend.weight != 1 && !distribution.is_weighted {
                    return entry.fail(&lacks(distribution, "weights", |other| other.is_weighted));
                }
                (backend.to_string(), Some(backend.address.clone()))
            }
            Member::Source(source) => (source.to_string(), None),
        };
        match seen.insert(name.clone(), address.clone()) {
            Some(other) if other != address => {
                return entry.fail(&format!("two backends have the name {name}"));
            }
            Some(_) => return entry.fail(&format!("the pool has {name} twice")),
            None => {}
        }
        members.push(member);
    }
    Ok(members)
}

/// Returns the message that a distribution lacks something, with those that have it.
fn lacks(distribution: &Distribution, what: &str, has: fn(&Distribution) -> bool) -> String {
    let others: Vec<&str> = DISTRIBUTIONS.iter().filter(|other| has(other)).map(|other| other.name).collect();
    format!("distribution {} has no {what}, those with {what} are {}", distribution.name, others.join(", "))
}

/// Reads a backend, which is an address or a table with more, or a source of backends.
fn member(entry: &Entry<'_>) -> Result<Member, ConfigFault> {
    let address =
        |entry: &Entry<'_>, text| Address::parse(text).or_else(|fault| entry.wanted(&fault.to_string()));
    let table = match entry.value.get_ref() {
        DeValue::String(text) => return Ok(Member::Backend(Backend::at(address(entry, text)?))),
        DeValue::Table(_) => entry.table()?,
        _ => return entry.wanted("an address, or a table with an address or a source"),
    };
    if let Some(source) = source(&table)? {
        return Ok(Member::Source(source));
    }
    table.allow(&["address", "name", "weight", "down"])?;
    let weight = table.number("weight", 1, u64::from(MAX_WEIGHT))?.unwrap_or(1) as u32;
    let name = table.get("name").map(|entry| entry.line()).transpose()?;
    let is_down = table.switch("down")?;
    let entry = table.required("address")?;
    let address = address(&entry, entry.string()?)?;
    Ok(Member::Backend(Backend { name, weight, is_down, ..Backend::at(address) }))
}

/// Reads a source of backends, if the table is one.
fn source(table: &Table<'_>) -> Result<Option<Source>, ConfigFault> {
    if let Some(entry) = table.get("dns") {
        table.allow(&["dns", "port"])?;
        let port = table.number("port", 1, u64::from(u16::MAX))?;
        let host = entry.read("the name of a host", host)?;
        return Ok(Some(Source::Dns(host, port.map_or(DEFAULT_PORT, |port| port as u16))));
    }
    if let Some(entry) = table.get("srv") {
        table.allow(&["srv"])?;
        let name = entry.read("a name such as _memcache._tcp.example.com", host)?;
        return Ok(Some(Source::Srv(name)));
    }
    let Some(entry) = table.get("elasticache") else { return Ok(None) };
    table.allow(&["elasticache"])?;
    entry.read("HOST:PORT of a configuration endpoint", |text| match Address::parse(text) {
        Ok(Address::Tcp(host, port)) => Some(Some(Source::ElastiCache(host, port))),
        Ok(Address::Unix(_)) | Err(_) => None,
    })
}

/// Returns the name of a host, if it is one.
fn host(text: &str) -> Option<String> {
    match Address::parse(text) {
        Ok(Address::Tcp(host, DEFAULT_PORT)) if host == text && host.parse::<IpAddr>().is_err() => Some(host),
        Ok(_) | Err(_) => None,
    }
}

fn filter(table: &Table<'_>) -> Result<Option<KeyFilter>, ConfigFault> {
    match (table.get("hash_tag"), table.get("hash_stop")) {
        (Some(entry), Some(_)) => entry.fail("a pool has one of hash_tag and hash_stop"),
        (Some(entry), None) => entry.read("two characters such as {}", |text| match *text.as_bytes() {
            [open, close] if open.is_ascii_graphic() && close.is_ascii_graphic() => {
                Some(Some(KeyFilter::Tag(open, close)))
            }
            _ => None,
        }),
        (None, Some(entry)) => entry
            .read("a text such as /", |text| (!text.is_empty()).then(|| Some(KeyFilter::Stop(text.into())))),
        (None, None) => Ok(None),
    }
}
