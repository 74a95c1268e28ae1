//! The resolver before a real DNS server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dns;

use std::net::IpAddr;
use std::time::Duration;

use dns::DnsServer;
use memcache_core::{NameAnswer, NameQuestion, NameRecords, Resolver as _, ServiceRecord};
use memcache_proxy_dns::Dns;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn host(name: &str) -> NameQuestion {
    NameQuestion::Host(name.into())
}

fn addresses(answer: Result<NameAnswer, String>) -> (Vec<IpAddr>, Option<u64>) {
    let NameAnswer { records: NameRecords::Host(mut addresses), ttl } = answer.unwrap() else {
        panic!("no addresses")
    };
    addresses.sort();
    (addresses, ttl.as_ref().map(Duration::as_secs))
}

#[test]
fn answers_have_their_shortest_ttl() {
    let server = DnsServer::start();
    server.set_host("two.test", &ips(&["10.0.0.2", "10.0.0.1", "::1"]), 77);
    server.set_host("six.test", &ips(&["::2"]), 5);
    server.set_service("_memcache._tcp.test", &[(1, "mc-0.test", 11211), (2, "mc-1.test", 7)], 9);
    let service = NameQuestion::Service("_memcache._tcp.test".into());
    let questions =
        [host("two.test"), host("six.test"), host("none.test"), host("10.9.8.7"), host("localhost"), service];
    let mut answers = Dns.look_up(&questions, &[server.address]).into_iter();
    let mut next = || answers.next().unwrap();
    assert_eq!(addresses(next()), (ips(&["10.0.0.1", "10.0.0.2", "::1"]), Some(77)));
    assert_eq!(addresses(next()), (ips(&["::2"]), Some(5)));
    assert_eq!(next(), Err("no such host".into()));
    assert_eq!(addresses(next()), (ips(&["10.9.8.7"]), None));
    // The file of hosts, or the rule for this name.
    assert!(addresses(next()).0.iter().all(IpAddr::is_loopback));
    let record = |priority, host: &str, port| ServiceRecord { priority, host: host.into(), port };
    let records = NameRecords::Service(vec![record(1, "mc-0.test", 11211), record(2, "mc-1.test", 7)]);
    assert_eq!(next(), Ok(NameAnswer { records, ttl: Some(Duration::from_secs(9)) }));
}

/// Each question is asked anew: the rules of the proxy know how long answers hold.
#[test]
fn an_answer_is_not_cached() {
    let server = DnsServer::start();
    for address in ["10.0.0.1", "10.0.0.2"] {
        server.set_host("a.test", &ips(&[address]), 1000);
        let answers = Dns.look_up(&[host("a.test")], &[server.address]);
        assert_eq!(addresses(answers.into_iter().next().unwrap()).0, ips(&[address]));
    }
    server.fail(true);
    let failure = Dns.look_up(&[host("a.test")], &[server.address]).remove(0);
    assert_eq!(failure, Err("the DNS server answers Server Failure".into()));
    assert!(server.questions() >= 5);
}

/// No question was sent for such a name.
#[test]
fn a_name_may_have_an_underscore() {
    let server = DnsServer::start();
    let names = ["my_cache.test", "cache_.test", "_cache.test", "my-cache.test"];
    for name in names {
        server.set_host(name, &ips(&["10.0.0.1"]), 9);
    }
    server.set_service("_my_cache._tcp.test", &[(1, "my_cache.test", 7)], 9);
    let questions: Vec<NameQuestion> = names.into_iter().map(host).collect();
    for (name, answer) in names.into_iter().zip(Dns.look_up(&questions, &[server.address])) {
        assert_eq!(addresses(answer), (ips(&["10.0.0.1"]), Some(9)), "{name}");
    }
    let service = NameQuestion::Service("_my_cache._tcp.test".into());
    let records = vec![ServiceRecord { priority: 1, host: "my_cache.test".into(), port: 7 }];
    let answer = Dns.look_up(&[service], &[server.address]).remove(0);
    assert_eq!(answer.map(|answer| answer.records), Ok(NameRecords::Service(records)));
    // The library has text of Rust for this one.
    let label = format!("{}.test", "a".repeat(64));
    let refused = Dns.look_up(&[host(&label)], &[server.address]).remove(0);
    assert_eq!(refused, Err("it is not a name in DNS".into()));
}
