//! Metrics: the names of the public exporter with the values of `stats`, and our own groups.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use memcache_rs::{
    BoundAddress, CacheConfig, Listen, MetricKind, MetricValue, Metrics, MetricsFormat, Server, ServerConfig,
    Ttl,
};

/// The series of the public exporter.
const EXPORTER: &str = include_str!("exporter.txt");

struct Series<'a> {
    name: &'a str,
    kind: &'a str,
    group: &'a str,
    stat: &'a str,
}

fn exporter() -> Vec<Series<'static>> {
    let lines = EXPORTER.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name, kind, group, stat] => Series { name, kind, group, stat },
            _ => panic!("{line}"),
        })
        .collect()
}

/// A server with a request of each kind behind it.
fn used_server() -> Server {
    let cache = CacheConfig { temporary_ttl: Some(30), detail_enabled: true, ..CacheConfig::default() };
    let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
    let server =
        Server::start(ServerConfig { cache, listen, maxconns_fast: true, ..ServerConfig::default() })
            .unwrap();
    let [BoundAddress::Tcp(address)] = server.addresses() else { panic!("one address") };
    let mut client = TcpStream::connect(address).unwrap();
    let lines = "set a:1 0 0 1\r\n1\r\nset a:2 0 0 300\r\n".to_owned()
        + &"x".repeat(300)
        + "\r\nget a:1 a:2 a:3\r\nincr a:1 2\r\ndecr a:1 1\r\nincr none 1\r\ndecr none 1\r\n\
           touch a:1 0\r\ntouch none 0\r\ncas a:1 0 0 1 1\r\n1\r\ncas none 0 0 1 1\r\n1\r\n\
           delete a:2\r\ndelete none\r\nmg a:1 v\r\nset \u{ff}: 0 20 1\r\n1\r\nflush_all 100\r\nversion\r\n";
    // The byte of the key is not UTF-8.
    let bytes: Vec<u8> = lines.chars().map(|character| character as u8).collect();
    client.write_all(&bytes).unwrap();
    let mut replies = String::new();
    while !replies.contains("VERSION ") {
        let mut part = [0; 4096];
        let length = client.read(&mut part).unwrap();
        assert_ne!(length, 0, "{replies}");
        replies.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    let cas = server.cache().info("a:1").unwrap().cas;
    server.cache().cas("a:1", "9", cas, Ttl::Never).unwrap();
    server.cache().set("third", "x", Ttl::Never).unwrap();
    server
}

/// Returns each number with its family's type, by the name with labels in braces, without `slab`.
fn series(metrics: &Metrics) -> BTreeMap<(String, Option<String>), (MetricKind, f64)> {
    let mut all = BTreeMap::new();
    for family in &metrics.families {
        for sample in &family.samples {
            let MetricValue::Number(value) = sample.value else { continue };
            let slab = sample.labels.iter().find(|(name, _)| *name == "slab").map(|(_, value)| value.clone());
            let labels: Vec<String> = (sample.labels.iter())
                .filter(|(name, _)| *name != "slab")
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let before = all.insert((family.name.to_owned() + &braces, slab), (family.kind, value));
            assert_eq!(before, None, "{} {:?} is there twice", family.name, sample.labels);
        }
    }
    all
}

/// Statistics by group, slab class and name.
type Stats = HashMap<(&'static str, Option<String>, String), f64>;

fn stats(server: &Server) -> Stats {
    let mut all = Stats::new();
    for (group, command) in [("stats", ""), ("settings", "settings"), ("items", "items"), ("slabs", "slabs")]
    {
        for (name, value) in server.stats(command).unwrap() {
            let number = match value.as_str() {
                "yes" => 1.0,
                "no" => 0.0,
                text => match text.parse() {
                    Ok(number) => number,
                    Err(_) => continue,
                },
            };
            let key = match name.strip_prefix("items:").unwrap_or(&name).split_once(':') {
                Some((class, name)) => (group, Some(class.to_owned()), name.to_owned()),
                None if name == "total_malloced" => ("stats", None, name),
                None => (group, None, name),
            };
            all.insert(key, number);
        }
    }
    all
}

/// Returns the statistic of a series, or the difference that it is.
fn value(stats: &Stats, series: &Series<'_>, class: Option<&String>) -> Option<f64> {
    let mut parts = series.stat.split('-');
    let mut part = || Some(*stats.get(&(series.group, class.cloned(), parts.next()?.to_owned()))?);
    let mut value = part()?;
    for _ in series.stat.matches('-') {
        value -= part()?;
    }
    Some(value)
}

#[test]
fn every_name_of_the_public_exporter_has_the_value_of_stats() {
    let server = used_server();
    server.cache().clock().freeze();
    // The times of the process go on, so each value is between two readings.
    let before = stats(&server);
    let metrics = series(&server.metrics());
    let after = stats(&server);
    let classes: BTreeSet<&String> = before.keys().filter_map(|(_, class, _)| class.as_ref()).collect();
    assert!(classes.len() >= 2, "{classes:?}");
    let mut compared = 0;
    for series in exporter() {
        let is_by_class = ["items", "slabs"].contains(&series.group);
        let of: Vec<Option<&String>> =
            if is_by_class { classes.iter().map(|class| Some(*class)).collect() } else { vec![None] };
        for class in of {
            let found = metrics.get(&(series.name.to_owned(), class.cloned()));
            if ["extstore", "proxy"].contains(&series.group) {
                assert_eq!((found, value(&before, &series, class)), (None, None), "{}", series.name);
                continue;
            }
            // A class has no row in `stats items` once it is empty.
            let Some(low) = value(&before, &series, class) else {
                assert!(is_by_class && found.is_none(), "{} {class:?}", series.name);
                continue;
            };
            let (kind, number) = found.unwrap_or_else(|| panic!("no {} {class:?}", series.name));
            let high = value(&after, &series, class).unwrap();
            assert!((low..=high).contains(number), "{} {class:?}: {low} {number} {high}", series.name);
            let kind = if *kind == MetricKind::Counter { "counter" } else { "gauge" };
            assert_eq!(kind, series.kind, "{}", series.name);
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
    assert_eq!(metrics[&("memcached_up".into(), None)].1.to_bits(), 1f64.to_bits());
    assert_eq!(metrics[&("memcached_version{version=\"1.6.45\"}".into(), None)].1.to_bits(), 1f64.to_bits());
    // No other name looks like one of the exporter.
    let known: BTreeSet<&str> = exporter().iter().map(|series| series.name).collect();
    for (name, _) in metrics.keys().filter(|(name, _)| name.starts_with("memcached_")) {
        let extra = name == "memcached_up" || name.starts_with("memcached_version{");
        assert!(extra || known.contains(name.as_str()), "{name}");
    }
}

#[test]
fn durations_ages_and_hot_keys_are_shown() {
    let cache = CacheConfig { sample_rate: 1, ..CacheConfig::default() };
    let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
    let server = Server::start(ServerConfig { cache, listen, ..ServerConfig::default() }).unwrap();
    let [BoundAddress::Tcp(address)] = server.addresses() else { panic!("one address") };
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(&b"get hot\r\nget cold\r\nget hot\r\nset hot 0 0 1 noreply\r\n1\r\n".repeat(10))
        .unwrap();
    let metrics = server.metrics();
    let find = |name: &str| metrics.families.iter().find(|family| family.name == name).unwrap();
    let durations = find("memcache_rs_command_duration_seconds");
    let of = |command: &str| {
        let sample = durations.samples.iter().find(|sample| sample.labels == [("command", command.into())]);
        let MetricValue::Histogram(histogram) = &sample.unwrap().value else { panic!("a histogram") };
        histogram.clone()
    };
    let get = of("get");
    assert_eq!((get.count, of("set").count, of("touch").count), (30, 10, 0));
    assert!(get.sum > 0.0 && get.buckets.first().unwrap().0 < 1e-6, "{get:?}");
    assert!(get.buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{get:?}");
    assert_eq!(find("memcache_rs_evicted_age_seconds").kind, MetricKind::Histogram);
    let series = series(&metrics);
    let share = |key: &str| series[&(format!("memcache_rs_hot_key_ratio{{key=\"{key}\"}}"), None)].1;
    assert_eq!([share("hot"), share("cold")].map(|share| (share * 100.0) as u32), [75, 25]);
    // A server that lets no client dump does not show keys.
    let silent = Server::with_cache(
        ServerConfig { dump_enabled: false, ..ServerConfig::default() },
        Arc::clone(server.cache()),
    );
    let hidden = silent.unwrap().metrics();
    assert!(hidden.families.iter().all(|family| !family.name.starts_with("memcache_rs_hot_key")));
}

#[test]
fn requests_are_counted_by_prefix() {
    let metrics = series(&used_server().metrics());
    let count = |prefix: &str, command: &str, status: &str| {
        let labels = format!("{{prefix=\"{prefix}\",command=\"{command}\",status=\"{status}\"}}");
        metrics[&(format!("memcache_rs_prefix_commands_total{labels}"), None)].1
    };
    let found = [count("a", "get", "hit"), count("a", "get", "miss"), count(r"\xff", "set", "any")];
    assert_eq!(found.map(|count| count as u64), [2, 1, 1]);
}

#[test]
fn prefixes_have_a_bounded_number_of_samples() {
    let server = used_server();
    let cache = Arc::clone(server.cache());
    for number in 0..1000 {
        for _ in 0..=number % 500 {
            cache.get(format!("p{number}:x"));
        }
    }
    let metrics = server.metrics();
    let family = metrics.families.iter().find(|family| family.name == "memcache_rs_prefix_commands_total");
    let prefixes: BTreeSet<&str> = (family.unwrap().samples.iter())
        .flat_map(|sample| &sample.labels)
        .filter(|(name, _)| *name == "prefix")
        .map(|(_, prefix)| prefix.as_str())
        .collect();
    let most: BTreeSet<String> =
        (450..500).flat_map(|number| [format!("p{number}"), format!("p{}", number + 500)]).collect();
    assert_eq!(prefixes, most.iter().map(String::as_str).collect());
    let counted = series(&metrics)[&("memcache_rs_prefixes".into(), None)].1;
    assert_eq!(counted as u64, 1002);
}

#[test]
fn every_family_has_help_and_a_name_of_its_own() {
    let metrics = used_server().metrics();
    let mut names = BTreeSet::new();
    for family in &metrics.families {
        assert!(names.insert(family.name), "{}", family.name);
        assert!(family.help.ends_with('.') || family.help.contains(':'), "{}", family.name);
        assert!(!family.samples.is_empty(), "{}", family.name);
        let is_own = family.name.starts_with("memcache_rs_");
        assert!(is_own || family.name.starts_with("memcached_"), "{}", family.name);
        let is_total = family.name.ends_with("_total");
        assert!(!is_own || is_total == (family.kind == MetricKind::Counter), "{}", family.name);
    }
    let text = metrics.text(MetricsFormat::Prometheus);
    assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE ")).count(), names.len());
    assert!(text.contains("\nmemcached_current_items 3\n"), "{text}");
}
