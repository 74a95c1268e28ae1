//! Statistics and metrics of a proxy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use memcache_rs::{
    CacheConfig, Hooks, MetricValue, Metrics, NameAnswer, NameQuestion, NameRecords, ProxyBackendStats,
    ProxyConfig, Resolver, Server, ServerConfig,
};
use proxying::{Client, address, nowhere, start};
use waiting::{PATIENCE, eventually};

/// Returns a proxy that samples each request, with a pool `main` and a pool `dead`, to which the
/// keys that begin with `dead` go.
fn proxy(backend: &Server, dead: &str) -> Server {
    let text = format!(
        "route = {{ by_prefix = {{ dead = 'dead' }}, default = 'main' }}\n\
         [pools]\nmain.backends = ['{0}']\nsame.backends = ['{0}']\ndead.backends = ['{dead}']\n\
         dead.failure_limit = 0\ndead.retry_ms = 100000\n",
        address(backend)
    );
    let cache = CacheConfig { sample_rate: 1, ..CacheConfig::default() };
    start(ServerConfig { cache, proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() })
}

#[track_caller]
fn value(server: &Server, group: &str, name: &str) -> u64 {
    let stats = server.stats(group).unwrap();
    let found = stats.iter().find(|(own, _)| own == name);
    found.unwrap_or_else(|| panic!("no {name} in {stats:?}")).1.parse().unwrap()
}

/// Returns the value of a sample, or the count of a histogram.
#[track_caller]
fn sample(metrics: &Metrics, name: &str, labels: &[(&'static str, &str)]) -> u64 {
    let family = metrics.families.iter().find(|family| family.name == name);
    let family = family.unwrap_or_else(|| panic!("no {name}"));
    let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let sample = family.samples.iter().find(|sample| sample.labels == labels).unwrap();
    match &sample.value {
        MetricValue::Number(number) => *number as u64,
        MetricValue::Histogram(histogram) => histogram.count,
        _ => panic!("a new kind"),
    }
}

fn backend<'a>(all: &'a [ProxyBackendStats], name: &str) -> &'a ProxyBackendStats {
    all.iter().find(|backend| backend.name == name).unwrap()
}

/// Names, order and values of memcached's proxy.
#[test]
fn memcached_has_the_same_rows() {
    let real = start(ServerConfig::default());
    let dead = nowhere();
    let proxy = proxy(&real, &dead);
    let mut client = Client::new(&proxy);
    client.asks("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    client.asks("get k none\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
    client.asks("mg k v\r\nmn\r\n", "VA 1\r\nx\r\nMN\r\n");
    client.asks("set k 0 0 1\r\nlong\r\n", "CLIENT_ERROR bad data chunk\r\n");
    let mut client = Client::new(&proxy);
    client.asks("get\r\n", "CLIENT_ERROR bad command line format\r\n");
    let (limit, used) = ("STAT buffer_memory_limit 268435456\r\n", "STAT buffer_memory_used 0\r\n");
    let counts = [
        ("mg", 1),
        ("ms", 0),
        ("md", 0),
        ("mn", 0),
        ("ma", 0),
        ("me", 0),
        ("get", 2),
        ("gat", 0),
        ("set", 1),
        ("add", 0),
        ("cas", 0),
        ("gets", 0),
        ("gats", 0),
        ("incr", 0),
        ("decr", 0),
        ("touch", 0),
        ("append", 0),
        ("prepend", 0),
        ("delete", 0),
        ("replace", 0),
    ];
    let counts: String = counts.map(|(word, count)| format!("STAT cmd_{word} {count}\r\n")).concat();
    let vm = "STAT vm_gc_runs 0\r\nSTAT vm_memory_kb 0\r\n";
    let rows = format!("STAT active_req_limit 0\r\n{limit}{used}{vm}{counts}END\r\n");
    client.asks("stats proxy\r\n", &rows);
    client.asks("stats p\r\n", &rows);
    client.asks("stats proxyfuncs\r\n", "END\r\n");
    client.asks("get dead1\r\n", "SERVER_ERROR backend failure\r\n");
    let bad = format!("STAT bad_{dead} 1\r\nEND\r\n");
    eventually("the backend is bad", || !proxy.stats("proxybe").unwrap().is_empty());
    client.asks("stats proxybe\r\n", &bad);

    let names: Vec<String> = proxy.stats("").unwrap().into_iter().map(|(name, _)| name).collect();
    let after = |name: &str, count: usize| {
        let at = names.iter().position(|own| own == name).unwrap() + 1;
        names[at..at + count].join(" ")
    };
    assert_eq!(
        after("reserved_fds", 5),
        "proxy_conn_requests proxy_conn_errors proxy_conn_oom proxy_req_active cmd_get"
    );
    assert_eq!(
        after("log_watchers", 8),
        "proxy_config_reloads proxy_config_reload_fails proxy_config_cron_runs proxy_config_cron_fails \
         proxy_backend_total proxy_backend_marked_bad proxy_backend_failed proxy_request_failed_depth"
    );
    for (name, wanted) in [
        ("proxy_conn_requests", 5),
        ("proxy_conn_errors", 2),
        ("proxy_conn_oom", 0),
        ("proxy_req_active", 0),
        ("proxy_config_reloads", 1),
        ("proxy_backend_total", 2),
        ("proxy_backend_marked_bad", 1),
        ("proxy_backend_failed", 0),
    ] {
        assert_eq!(value(&proxy, "", name), wanted, "{name}");
    }
    let settings = proxy.stats("settings").unwrap();
    for (name, wanted) in [("proxy_enabled", "yes"), ("proxy_uring_enabled", "no")] {
        assert_eq!(settings.iter().find(|(own, _)| own == name).unwrap().1, wanted);
    }
    client.asks("stats reset\r\n", "RESET\r\n");
    assert_eq!(value(&proxy, "", "proxy_conn_requests"), 0);
    assert_eq!(value(&proxy, "proxy", "cmd_get"), 3);
    assert_eq!(value(&proxy, "", "proxy_backend_marked_bad"), 1);
}

/// The rows of a proxy are missing.
#[test]
fn a_server_has_no_rows_of_a_proxy() {
    let server = start(ServerConfig::default());
    let mut client = Client::new(&server);
    for group in ["proxy", "proxyfuncs", "proxybe", "proxypools"] {
        client.asks(&format!("stats {group}\r\n"), "ERROR\r\n");
        assert_eq!(server.stats(group), None);
    }
    let rows = [server.stats("").unwrap(), server.stats("settings").unwrap()].concat();
    assert!(rows.iter().all(|(name, _)| !name.contains("proxy")));
    assert_eq!(server.proxy_stats(), None);
    assert!(server.metrics().families.iter().all(|family| !family.name.contains("proxy")));
}

#[test]
fn pools_and_backends_are_counted() {
    let real = start(ServerConfig::default());
    let (dead, live) = (nowhere(), address(&real).to_string());
    let proxy = proxy(&real, &dead);
    let mut client = Client::new(&proxy);
    let stats = || proxy.proxy_stats().unwrap();
    for _ in 0..10 {
        client.asks("set k 0 0 5\r\nabcde\r\n", "STORED\r\n");
        client.asks("get dead1\r\n", "SERVER_ERROR backend failure\r\n");
    }
    client.asks("incr k 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    let of_all = stats();
    assert_eq!((of_all.requests, of_all.errors, of_all.active, of_all.held_bytes), (21, 0, 0, 0));
    let pools = of_all.pools.iter().map(|pool| (pool.name.as_str(), pool.requests, pool.errors));
    assert_eq!(pools.collect::<Vec<_>>(), [("dead", 10, 10), ("main", 11, 1), ("same", 0, 0)]);
    assert_eq!(of_all.backends.len(), 2);

    let up = backend(&of_all.backends, &live);
    assert_eq!(up.pools, ["main", "same"]);
    assert_eq!((up.connections, up.open, up.bad, up.depth), (1, 1, 0, 0));
    assert_eq!((up.requests, up.error_replies, up.connects), (11, 1, 1));
    assert_eq!(up.bytes_sent, 10 * 20 + 10);
    let refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    assert_eq!(up.bytes_received, 10 * 8 + refusal.len() as u64);
    assert_eq!((up.lost.as_slice(), up.times.count()), (&[][..], 11));

    let down = backend(&of_all.backends, &dead);
    assert_eq!((down.connections, down.open, down.bad, down.depth), (1, 0, 1, 0));
    // The first request may have come before the connection was refused.
    let lost: u64 = down.lost.iter().map(|(_, count)| count).sum();
    assert_eq!(lost, 10, "{:?}", down.lost);
    assert_eq!(down.lost.last().unwrap().0, "bad");

    let mut rows = proxy.stats("proxypools").unwrap().into_iter();
    let wanted = [("pool:1:name", "dead"), ("pool:1:requests", "10"), ("pool:1:errors", "10")];
    for (name, wanted) in wanted {
        assert_eq!(rows.next().unwrap(), (name.to_owned(), wanted.to_owned()));
    }
    let all: Vec<_> = rows.collect();
    let number = all.iter().find_map(|(name, value)| {
        let number = name.strip_prefix("backend:")?.strip_suffix(":name")?;
        (*value == live).then(|| number.to_owned())
    });
    let row = |name: &str| {
        let name = format!("backend:{}:{name}", number.as_ref().unwrap());
        all.iter().find(|(own, _)| *own == name).unwrap().1.as_str()
    };
    assert_eq!([row("pools"), row("open"), row("requests"), row("sampled")], ["main,same", "1", "11", "11"]);

    let metrics = proxy.metrics();
    let number = |name: &str, labels: &[(&'static str, &str)]| sample(&metrics, name, labels);
    assert_eq!(number("memcache_rs_proxy_pool_requests_total", &[("pool", "main")]), 11);
    assert_eq!(number("memcache_rs_proxy_pool_errors_total", &[("pool", "dead")]), 10);
    let of_live = |name: &str| number(name, &[("backend", &live)]);
    assert_eq!(of_live("memcache_rs_proxy_backend_requests_total"), 11);
    assert_eq!(of_live("memcache_rs_proxy_backend_connects_total"), 1);
    assert_eq!(of_live("memcache_rs_proxy_backend_duration_seconds"), 11);
    assert_eq!(of_live("memcache_rs_proxy_backend_sent_bytes_total"), up.bytes_sent);
    let connections = "memcache_rs_proxy_backend_connections";
    assert_eq!(number(connections, &[("backend", &dead), ("state", "bad")]), 1);
    assert_eq!(number(connections, &[("backend", &live), ("state", "open")]), 1);
    let info = [("pool", "same"), ("backend", live.as_str())];
    assert_eq!(number("memcache_rs_proxy_backend_info", &info), 1);
    let errors = "memcache_rs_proxy_backend_errors_total";
    assert_eq!(number(errors, &[("backend", &live), ("reason", "reply")]), 1);
    for line in include_str!("exporter.txt").lines().filter(|line| !line.starts_with('#')) {
        let [name, _, "proxy", stat] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        assert_eq!(number(name, &[]), value(&proxy, "", stat), "{name}");
    }
    client.asks("stats reset\r\n", "RESET\r\n");
    let reset = stats();
    let up = backend(&reset.backends, &live);
    assert_eq!((up.open, up.requests, up.connects, up.times.count()), (1, 0, 0, 0));
}

/// A resolver that knows one name.
struct OneName;

impl Resolver for OneName {
    fn look_up(&self, questions: &[NameQuestion], _: &[SocketAddr]) -> Vec<Result<NameAnswer, String>> {
        let answer = |question: &NameQuestion| match question {
            NameQuestion::Host(name) if name == "known.test" => {
                let records = NameRecords::Host(vec![[127, 0, 0, 1].into()]);
                Ok(NameAnswer { records, ttl: Some(Duration::ZERO) })
            }
            _ => Err("there is no such name".into()),
        };
        questions.iter().map(answer).collect()
    }
}

#[test]
fn probes_and_look_ups_are_counted() {
    let real = start(ServerConfig::default());
    let (dead, live) = (nowhere(), address(&real).to_string());
    let text = format!(
        "route = 'probed'\n[pools.probed]\nbackends = ['{live}', '{dead}']\n\
         health = {{ every_ms = 10, fall = 2 }}\n\
         [pools.found]\nbackends = [{{ dns = 'known.test', port = {} }}, {{ srv = 'unknown.test' }}]\n",
        address(&real).port()
    );
    let hooks = Hooks { resolver: Some(Arc::new(OneName)), ..Hooks::default() };
    let proxy =
        start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), hooks, ..ServerConfig::default() });
    let stats = || proxy.proxy_stats().unwrap();
    eventually("a backend is down", || backend(&stats().backends, &dead).down > 0);
    let all = stats();
    let pools = all.pools.iter().map(|pool| (pool.name.as_str(), pool.backends, pool.down));
    assert_eq!(pools.collect::<Vec<_>>(), [("found", 1, 0), ("probed", 2, 1)]);
    let down = backend(&all.backends, &dead);
    assert!(down.down == 1 && down.probes >= 2 && down.probes == down.failed_probes, "{down:?}");
    eventually("a probe succeeds", || {
        let all = stats();
        let up = backend(&all.backends, &live);
        assert_eq!((up.down, up.failed_probes), (0, 0));
        up.probes > 0
    });
    let names: Vec<&str> = all.names.iter().map(|name| name.name.as_str()).collect();
    assert_eq!(names, ["SRV unknown.test", "known.test"]);
    assert!(all.names[0].failures > 0 && all.names[0].failures == all.names[0].lookups);
    assert!(all.names[1].failures == 0 && all.names[1].lookups > 0);

    let bad = proxy.stats("proxybe").unwrap();
    assert!(bad.contains(&(format!("down_{dead}"), "1".into())), "{bad:?}");
    assert!(!bad.iter().any(|(name, _)| name.ends_with(&live)), "{bad:?}");
    let rows = proxy.stats("proxypools").unwrap();
    for (name, wanted) in
        [("pool:2:backends", "2"), ("pool:2:down", "1"), ("name:1:name", "SRV unknown.test")]
    {
        assert!(rows.contains(&(name.into(), wanted.into())), "{name}: {rows:?}");
    }
    for name in ["probes", "failed_probes", "down"] {
        assert!(rows.iter().any(|(row, _)| row.starts_with("backend:1:") && row.ends_with(name)), "{name}");
    }
    for name in ["age", "lookups", "failures"] {
        assert!(rows.iter().any(|(row, _)| *row == format!("name:2:{name}")), "{name}");
    }

    let metrics = proxy.metrics();
    let number = |name: &str, labels: &[(&'static str, &str)]| sample(&metrics, name, labels);
    for (state, count) in [("up", 1), ("down", 1)] {
        let labels = [("pool", "probed"), ("state", state)];
        assert_eq!(number("memcache_rs_proxy_pool_backends", &labels), count, "{state}");
    }
    assert_eq!(number("memcache_rs_proxy_backend_down", &[("backend", &dead)]), 1);
    assert_eq!(number("memcache_rs_proxy_backend_down", &[("backend", &live)]), 0);
    let probes = "memcache_rs_proxy_probes_total";
    assert_eq!(number(probes, &[("backend", &dead), ("result", "ok")]), 0);
    assert!(number(probes, &[("backend", &dead), ("result", "failed")]) >= down.failed_probes);
    let lookups = "memcache_rs_proxy_name_lookups_total";
    assert!(number(lookups, &[("name", "SRV unknown.test"), ("result", "failed")]) > 0);
    assert!(number(lookups, &[("name", "known.test"), ("result", "ok")]) > 0);
    number("memcache_rs_proxy_name_age_seconds", &[("name", "known.test")]);

    let before = stats().names[1].lookups;
    Client::new(&proxy).asks("stats reset\r\n", "RESET\r\n");
    let after = stats();
    // A look-up or some probes may have ended since.
    assert!(after.names[1].lookups <= before);
    assert_eq!(backend(&after.backends, &dead).down, 1);
}

#[test]
fn keys_of_routed_requests_are_hot() {
    let backend = start(ServerConfig::default());
    let text = format!(
        "route = {{ by_prefix = {{ here = 'local' }}, default = 'main' }}\npools.main.backends = ['{}']\n",
        address(&backend)
    );
    let start = |sample_rate| {
        let cache = CacheConfig { sample_rate, clock_frozen: true, ..CacheConfig::default() };
        let proxy = Some(ProxyConfig::Text(text.clone()));
        start(ServerConfig { cache, proxy, ..ServerConfig::default() })
    };
    let proxy = start(1);
    let mut client = Client::new(&proxy);
    client.asks("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    // The rest of a value and of a line is read by a later visit.
    client.send("set a 0 0 1\r\n");
    assert!(proxy.settle(PATIENCE));
    client.asks("y\r\n", "STORED\r\n");
    client.send(&format!("get {}", "a ".repeat(1200)));
    assert!(proxy.settle(PATIENCE));
    client.asks("b\r\n", &("VALUE a 0 1\r\ny\r\n".repeat(1200) + "END\r\n"));
    client.asks("mg Yg== b v\r\n", "EN\r\n");
    client.asks("touch b 0\r\n", "NOT_FOUND\r\n");
    // The cache of the proxy does not count the request a second time.
    client.asks("set here 0 0 1\r\nx\r\n", "STORED\r\n");
    client.asks("get here\r\n", "VALUE here 0 1\r\nx\r\nEND\r\n");
    let hot = proxy.hot_keys(10);
    let counts: Vec<_> = hot.keys.iter().map(|key| (&*key.key, key.reads, key.writes)).collect();
    assert_eq!(counts, [(&b"a"[..], 1200, 2), (b"b", 2, 1), (b"here", 1, 1)]);

    let proxy = start(0);
    let mut client = Client::new(&proxy);
    client.asks("get a\r\n", "VALUE a 0 1\r\ny\r\nEND\r\n");
    assert!(proxy.hot_keys(10).keys.is_empty());
}
