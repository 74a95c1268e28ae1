//! A proxy whose backends are names in DNS.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dns;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dns::DnsServer;
use memcache_core::internal::proxy::name::NameRules;
use memcache_core::{BoundAddress, Hooks, Listen, ProxyConfig, Server, ServerConfig};
use memcache_proxy_dns::Dns;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn start(config: ServerConfig) -> (Server, u16) {
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let server = Server::start(ServerConfig { listen, threads: 2, ..config }).unwrap();
    let BoundAddress::Tcp(address) = server.addresses()[0] else { panic!("no TCP address") };
    (server, address.port())
}

/// Stores keys through the proxy at a port. Returns the counts of keys in the backends, and of
/// errors.
fn spread(port: u16, backends: &[(Server, u16)]) -> (Vec<usize>, usize) {
    backends.iter().for_each(|(backend, _)| backend.cache().clear());
    let mut client = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let mut errors = 0;
    for key in 0..60 {
        client.get_mut().write_all(format!("set key:{key} 0 0 1\r\nx\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        errors += usize::from(line != "STORED\r\n");
    }
    let has =
        |backend: &Server| (0..60).filter(|key| backend.cache().get(format!("key:{key}")).is_some()).count();
    (backends.iter().map(|(backend, _)| has(backend)).collect(), errors)
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The pods of a set join and leave, DNS fails in between, and no request is lost.
#[test]
fn a_pool_follows_dns() {
    let dns = DnsServer::start();
    let backends = [(); 3].map(|()| start(ServerConfig::default()));
    let names: Vec<String> = (0..3).map(|number| format!("mc-{number}.mc.test")).collect();
    for name in &names {
        dns.set_host(name, &[LOOPBACK], 1);
    }
    let service = "_memcached._tcp.mc.test";
    let publish = |count: usize| {
        let records: Vec<(u16, &str, u16)> = names
            .iter()
            .zip(&backends)
            .take(count)
            .map(|(name, (_, port))| (0, name.as_str(), *port))
            .collect();
        dns.set_service(service, &records, 1);
    };
    publish(1);
    let text = format!(
        "route = 'p'\n[names]\nmin_seconds = 1\nservers = ['{}']\n[pools.p]\nbackends = [{{ srv = '{service}' }}]\n",
        dns.address
    );
    let hooks = Hooks { resolver: Some(Arc::new(Dns)), ..Hooks::default() };
    let (proxy, port) =
        start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), hooks, ..ServerConfig::default() });
    // Shorter times than a file may have, from the second look-up on.
    let (time, servers) = (Duration::from_millis(20), vec![dns.address]);
    proxy.context().names.set_rules(NameRules { min: time, max: time, servers, ..NameRules::default() });
    assert_eq!(spread(port, &backends), (vec![60, 0, 0], 0));
    publish(3);
    let all_have_keys = || {
        let (counts, errors) = spread(port, &backends);
        assert_eq!(errors, 0);
        counts.iter().all(|count| *count > 5)
    };
    eventually("three backends have keys", all_have_keys);
    dns.fail(true);
    let questions = dns.questions();
    eventually("the names are asked for", || dns.questions() > questions + 8);
    assert!(all_have_keys());
    dns.fail(false);
    publish(2);
    eventually("two are left", || spread(port, &backends).0[2] == 0);
}
