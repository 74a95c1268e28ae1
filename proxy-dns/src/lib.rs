//! Names of a proxy's backends, looked up in DNS: the TTL of each answer, and SRV records.
//!
//! The system's own function tells neither. `/etc/resolv.conf` and `/etc/hosts` count, and are read
//! for each round of look-ups, so that changes of them count, too. There is no cache and no thread:
//! the names thread of the server waits for all answers of a round together.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use memcache_core::{NameAnswer, NameQuestion, NameRecords, Resolver, ServiceRecord};
use tokio::time::{Instant, timeout_at};

/// Time for an answer of a DNS server.
const ANSWER: Duration = Duration::from_millis(1200);

/// Time for all answers.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Questions under way at a time. Each has a few sockets.
const AT_ONCE: usize = 128;

/// Attempts at most.
const ATTEMPTS: usize = 2;

/// The reason of a look-up that took too long.
const LATE: &str = "DNS does not answer in time";

/// Looks up names in DNS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dns;

impl Resolver for Dns {
    fn look_up(&self, questions: &[NameQuestion], servers: &[SocketAddr]) -> Vec<Result<NameAnswer, String>> {
        match look_up_all(questions, servers) {
            Ok(answers) => answers,
            Err(reason) => questions.iter().map(|_| Err(reason.clone())).collect(),
        }
    }
}

fn look_up_all(
    questions: &[NameQuestion],
    servers: &[SocketAddr],
) -> Result<Vec<Result<NameAnswer, String>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e: io::Error| e.to_string())?;
    runtime.block_on(async {
        let resolver = resolver(servers).map_err(|e| e.to_string())?;
        let until = Instant::now() + PATIENCE;
        let answer = async |(index, question)| match timeout_at(until, look_up(&resolver, question)).await {
            Ok(answer) => (index, answer),
            Err(_) => (index, Err(LATE.into())),
        };
        let questions = stream::iter(questions.iter().enumerate());
        let mut answers: Vec<_> = questions.map(answer).buffer_unordered(AT_ONCE).collect().await;
        answers.sort_unstable_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    })
}

/// Returns a resolver that asks these servers, or those of the system.
fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    // The rules of the proxy say when a name is looked up again.
    options.cache_size = 0;
    options.timeout = ANSWER;
    options.attempts = ATTEMPTS;
    builder.build()
}

async fn look_up(resolver: &TokioResolver, question: &NameQuestion) -> Result<NameAnswer, String> {
    match question {
        NameQuestion::Host(name) => {
            if let Ok(ip) = name.parse() {
                return Ok(NameAnswer { records: NameRecords::Host(vec![ip]), ttl: None });
            }
            let name = parse(name)?;
            let (v4, v6) =
                join(resolver.lookup(name.clone(), RecordType::A), resolver.lookup(name, RecordType::AAAA))
                    .await;
            let is_unknown =
                |result: &Result<Lookup, NetError>| result.as_ref().is_err_and(NetError::is_nx_domain);
            if is_unknown(&v4) && is_unknown(&v6) {
                return Err("no such host".into());
            }
            host(found(v4), found(v6))
        }
        NameQuestion::Service(name) => {
            let lookup = found(resolver.lookup(parse(name)?, RecordType::SRV).await)?;
            let records = lookup.as_ref().map(services).unwrap_or_default();
            Ok(NameAnswer { records: NameRecords::Service(records), ttl: lookup.as_ref().and_then(ttl) })
        }
        _ => Err("this kind of question is unknown".into()),
    }
}

/// Reads a name. Names of containers may have `_` anywhere, which names of hosts may not.
fn parse(name: &str) -> Result<Name, String> {
    Name::from_str_relaxed(name).map_err(|_| "it is not a name in DNS".into())
}

/// Joins the answers for both families. IPv6 alone counts only if there is certainly no IPv4, so
/// that a server that fails does not change the family.
fn host(
    v4: Result<Option<Lookup>, String>,
    v6: Result<Option<Lookup>, String>,
) -> Result<NameAnswer, String> {
    let v4 = v4?;
    let v6 = match v6 {
        Err(reason) if v4.is_none() => return Err(reason),
        Err(_) => None,
        Ok(v6) => v6,
    };
    let both = || v4.iter().chain(&v6);
    let addresses = both().flat_map(addresses).collect();
    Ok(NameAnswer { records: NameRecords::Host(addresses), ttl: both().filter_map(ttl).min() })
}

/// Returns `None` if the name has no such records.
fn found(result: Result<Lookup, NetError>) -> Result<Option<Lookup>, String> {
    match result {
        Ok(lookup) => Ok(Some(lookup)),
        Err(e) if e.is_no_records_found() => Ok(None),
        Err(e) => Err(reason(&e)),
    }
}

/// Returns one line of plain text. The library has types of Rust in some of its own.
fn reason(error: &NetError) -> String {
    match error {
        NetError::Timeout => LATE.into(),
        NetError::NoConnections => "no DNS server can be reached".into(),
        NetError::Io(e) => format!("no DNS server can be reached: {e}"),
        NetError::Message(text) => (*text).into(),
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the DNS server answers {code}"),
        _ => "the DNS server gave an answer that cannot be used".into(),
    }
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    let ip = |data: &RData| match data {
        RData::A(ip) => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
        _ => None,
    };
    lookup.answers().iter().filter_map(|record| ip(&record.data)).collect()
}

fn services(lookup: &Lookup) -> Vec<ServiceRecord> {
    let service = |data: &RData| match data {
        // A single dot means that there is no service.
        RData::SRV(record) if !record.target.is_root() => {
            let host = record.target.to_ascii();
            let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
            Some(ServiceRecord { priority: record.priority, host, port: record.port })
        }
        _ => None,
    };
    lookup.answers().iter().filter_map(|record| service(&record.data)).collect()
}

/// Returns the shortest TTL of the records.
fn ttl(lookup: &Lookup) -> Option<Duration> {
    lookup.answers().iter().map(|record| record.ttl).min().map(|ttl| Duration::from_secs(ttl.into()))
}
