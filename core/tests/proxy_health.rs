//! Probes of backends, ejection, and gutters, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;

use memcache_rs::internal::proxy::config::parse;
use memcache_rs::internal::proxy::distribution::DISTRIBUTIONS;
use memcache_rs::internal::proxy::health::Eject;
use memcache_rs::internal::proxy::route::Routes;
use memcache_rs::{
    Fault, FaultRule, Hooks, Listen, NameAnswer, NameQuestion, NameRecords, ProxyConfig, Resolver, Server,
    ServerConfig, Ttl,
};
use proxying::{Client, address, start};
use waiting::{PATIENCE, eventually};

/// Probes as fast as they may be.
const HEALTH: &str = "every_ms = 10, fall = 2, rise = 2";

fn proxy(text: String) -> Server {
    start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() })
}

fn routes(proxy: &Server) -> Arc<Routes> {
    proxy.context().proxy.as_ref().and_then(|program| program.routes()).unwrap()
}

/// Starts a server where another one was.
fn start_at(at: &str) -> Server {
    let listen = vec![Listen::tcp(at.parse().unwrap())];
    Server::start(ServerConfig { listen, threads: 1, ..ServerConfig::default() }).unwrap()
}

/// Three backends, a pool of them, and a proxy with several workers.
struct Bench {
    proxy: Server,
    backends: Vec<Option<Server>>,
    addresses: Vec<String>,
    text: String,
}

impl Bench {
    fn new(health: &str, more: &str) -> Self {
        let backends: Vec<Server> = (0..3).map(|_| start(ServerConfig::default())).collect();
        let addresses: Vec<String> = backends.iter().map(|backend| address(backend).to_string()).collect();
        let text = format!(
            "route = 'a'\n[pools.a]\nbackends = {addresses:?}\nretry_ms = 10\nhealth = {{ {HEALTH}, {health} }}\n{more}\n"
        );
        let config = ServerConfig {
            proxy: Some(ProxyConfig::Text(text.clone())),
            listen: vec![Listen::tcp(([127, 0, 0, 1], 0).into())],
            threads: 3,
            ..ServerConfig::default()
        };
        let proxy = Server::start(config).unwrap();
        Self { proxy, backends: backends.into_iter().map(Some).collect(), addresses, text }
    }

    /// Returns whether probes have found that a backend is down.
    fn is_down(&self, index: usize) -> bool {
        routes(&self.proxy).pools[0].health.as_ref().unwrap().conditions[index].is_down()
    }

    fn kill(&mut self, index: usize) {
        self.backends[index] = None;
        eventually("the backend is down", || self.is_down(index));
    }

    fn revive(&mut self, index: usize) {
        self.backends[index] = Some(start_at(&self.addresses[index]));
        eventually("the backend is up", || !self.is_down(index));
    }

    fn has(&self, index: usize, key: &str) -> bool {
        self.backends[index].as_ref().unwrap().cache().get(key).is_some()
    }

    /// Returns clients, one for each worker.
    fn clients(&self) -> Vec<Client> {
        (0..3).map(|_| Client::new(&self.proxy)).collect()
    }

    /// Returns a key of a backend.
    fn key(&self, index: usize) -> String {
        let routes = parse(&self.text).unwrap();
        let mut keys = (0..).map(|n| format!("key{n}"));
        keys.find(|key| routes.pools[0].choose(key.as_bytes()) == index).unwrap()
    }
}

/// The keys of a backend that is down go to others and come home. Other keys stay.
#[test]
fn ejected_keys_go_to_other_backends_and_come_home() {
    for distribution in ["jump", "ketama"] {
        let mut bench = Bench::new("eject = 'rehash'", &format!("distribution = '{distribution}'"));
        let pool = parse(&bench.text).unwrap().pools.remove(0);
        let keys: Vec<String> = (0..60).map(|n| format!("key{n}")).collect();
        let mut clients = bench.clients();
        let store = |clients: &mut Vec<Client>, key: &str| {
            // Each worker sends a key to the same backend.
            for client in clients {
                client.asks(&format!("set {key} 0 0 1\r\nx\r\n"), "STORED\r\n");
            }
        };
        keys.iter().for_each(|key| store(&mut clients, key));
        bench.kill(1);
        // A worker sees that its connection is closed before the probes do, or after them.
        for client in &mut clients {
            eventually("others have the keys", || {
                client.send(&format!("get {}\r\n", bench.key(1)));
                client.line() == "END\r\n"
            });
        }
        let mut others = HashSet::new();
        for key in &keys {
            store(&mut clients, key);
            let own = pool.choose(key.as_bytes());
            let now: Vec<usize> = [0, 2].into_iter().filter(|index| bench.has(*index, key)).collect();
            if own == 1 {
                assert_eq!(now.len(), 1, "{distribution}: {key} is at {now:?}");
                others.insert(now[0]);
            } else {
                assert_eq!(now, [own], "{distribution}: {key}");
            }
        }
        assert_eq!(others.len(), 2, "{distribution}: both have keys of the other one");
        bench.revive(1);
        for key in keys.iter().filter(|key| pool.choose(key.as_bytes()) == 1) {
            eventually("the key is at home", || {
                clients[0].send(&format!("set {key} 0 0 1\r\nx\r\n"));
                clients[0].line();
                bench.has(1, key)
            });
        }
    }
}

#[test]
fn reads_of_a_backend_that_is_down_may_miss() {
    let mut bench = Bench::new("eject = 'miss'", "");
    let (key, other) = (bench.key(2), bench.key(0));
    bench.kill(2);
    for mut client in bench.clients() {
        client.asks(&format!("get {key}\r\n"), "END\r\n");
        client.asks(&format!("get {key} {other}\r\n"), "END\r\n");
        client.asks(&format!("mg {key} v\r\n"), "EN\r\n");
        client.asks(&format!("mg {key} v q\r\nmn\r\n"), "MN\r\n");
        client.asks(&format!("gat 0 {key}\r\n"), "END\r\n");
        let failure = "SERVER_ERROR backend failure\r\n";
        client.asks(&format!("set {key} 0 0 1\r\nx\r\n"), failure);
        client.asks(&format!("delete {key}\r\n"), failure);
        client.asks(&format!("ms {key} 1\r\nx\r\n"), failure);
        client.asks(&format!("set {other} 0 0 1\r\nx\r\ndelete {other}\r\n"), "STORED\r\nDELETED\r\n");
    }
    bench.revive(2);
    eventually("writes succeed", || {
        let mut client = Client::new(&bench.proxy);
        client.send(&format!("set {key} 0 0 1\r\nx\r\n"));
        client.line() == "STORED\r\n"
    });
}

/// Returns a listener whose connections are never answered, and its address.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    (listener, at)
}

/// Without probes, a request waits for the time of a read.
#[test]
fn requests_to_a_backend_that_hangs_fail_at_once() {
    let (_listener, at) = mute();
    let (log, lines) = channel();
    let log = move |_, line: &str| drop(log.send(line.to_owned()));
    let text = format!(
        "route = {{ failover = ['a', 'null'] }}\n[pools.a]\nbackends = ['{at}']\nread_timeout_ms = 3600000\n\
         health = {{ {HEALTH}, timeout_ms = 50 }}\n"
    );
    let proxy = start(ServerConfig {
        proxy: Some(ProxyConfig::Text(text)),
        hooks: Hooks { log: Some(Arc::new(log)), ..Hooks::default() },
        ..ServerConfig::default()
    });
    let down = format!("proxy: pool a: backend {at} is down: timeout");
    while lines.recv_timeout(PATIENCE).unwrap() != down {}
    Client::new(&proxy).asks("get k\r\n", "END\r\n");
}

/// A resolver that knows each host at two addresses.
struct TwoAddresses;

impl Resolver for TwoAddresses {
    fn look_up(&self, questions: &[NameQuestion], _: &[SocketAddr]) -> Vec<Result<NameAnswer, String>> {
        let addresses = vec![[127, 0, 0, 2].into(), [127, 0, 0, 1].into()];
        let answer = NameAnswer { records: NameRecords::Host(addresses), ttl: None };
        questions.iter().map(|_| Ok(answer.clone())).collect()
    }
}

/// Probes stay at the address that answers, so that successes come in a row.
#[test]
fn a_backend_with_a_dead_address_comes_up_again() {
    let backend = start(ServerConfig::default());
    let at = address(&backend).to_string();
    let text = format!(
        "route = 'a'\n[pools.a]\nbackends = ['mc.test:{}']\nhealth = {{ {HEALTH} }}\n",
        address(&backend).port()
    );
    let hooks = Hooks { resolver: Some(Arc::new(TwoAddresses)), ..Hooks::default() };
    let config = ServerConfig { proxy: Some(ProxyConfig::Text(text)), hooks, ..ServerConfig::default() };
    let proxy = start(config);
    let routes = routes(&proxy);
    let is_down = || routes.pools[0].health.as_ref().unwrap().conditions[0].is_down();
    drop(backend);
    eventually("the backend is down", is_down);
    let _backend = start_at(&at);
    eventually("the backend is up", || !is_down());
}

/// A backend whose gets fail is down by a probe that gets, and up by one that asks for the version.
#[test]
fn a_probe_may_get_a_key() {
    let backend = start(ServerConfig::default());
    let at = address(&backend);
    let pool = |name, probe| {
        format!("[pools.{name}]\nbackends = ['{at}']\nhealth = {{ {HEALTH}, probe = '{probe}' }}\n")
    };
    let proxy = proxy(format!("route = 'a'\n{}{}", pool("a", "get health"), pool("b", "version")));
    let mut watch = Client::new(&proxy);
    watch.asks("watch proxyevents\r\n", "OK\r\n");
    let rule = FaultRule { key: Some(b"health".to_vec()), ..FaultRule::new(Fault::Error("busy".into())) };
    backend.cache().faults().add(rule);
    let at = format!("name={} port={} label={at}", at.ip(), at.port());
    let line = watch.line();
    assert!(
        line.ends_with(&format!("type=proxy_health status=down {at} error=unhandledres pool=a\n")),
        "{line}"
    );
    backend.cache().faults().clear();
    let line = watch.line();
    assert!(line.ends_with(&format!("type=proxy_health status=up {at} error= pool=a\n")), "{line}");
}

/// With any backends down, keys of the others stay, and keys of these go to others.
#[test]
fn only_keys_of_ejected_backends_move() {
    for distribution in &DISTRIBUTIONS {
        let backends: Vec<String> = (0..7).map(|n| format!("10.0.0.{n}")).collect();
        let text = format!(
            "route = 'a'\n[pools.a]\nbackends = {backends:?}\ndistribution = '{}'\n",
            distribution.name
        );
        let pool = &parse(&text).unwrap().pools[0];
        for down in [&[3][..], &[0, 6], &[0, 1, 2, 3, 4, 6]] {
            let up = |index: usize| !down.contains(&index);
            let mut taken = HashSet::new();
            for key in (0..2000).map(|n| format!("user:{n}")) {
                let own = pool.choose(key.as_bytes());
                let found = pool.find_among(key.as_bytes(), Eject::Rehash, up).unwrap();
                assert!(up(found));
                if up(own) {
                    assert_eq!(found, own, "{} {key}", distribution.name);
                } else {
                    taken.insert(found);
                }
            }
            assert_eq!(taken.len(), 7 - down.len(), "{}: the keys go to all others", distribution.name);
        }
        assert_eq!(pool.find_among(b"k", Eject::Rehash, |_| false), Err(Eject::Rehash));
    }
}

/// A backend with `down = true` is neither asked nor probed, and its keys go where those of any
/// backend go that is down.
#[test]
fn a_backend_that_is_configured_down_is_not_probed() {
    let (listener, at) = mute();
    listener.set_nonblocking(true).unwrap();
    let other = start(ServerConfig::default());
    let text = |eject: &str| {
        format!(
            "route = 'a'\n[pools.a]\nbackends = [{{ address = '{at}', down = true }}, '{}']\n\
             health = {{ {HEALTH}, eject = '{eject}' }}\n",
            address(&other)
        )
    };
    let own = parse(&text("no")).unwrap();
    assert_eq!(own.probed(), 1);
    let mut keys = (0..1000).map(|n| format!("k{n}"));
    let key = keys.find(|key| own.pools[0].choose(key.as_bytes()) == 0).unwrap();
    for (eject, read, write) in [
        ("no", "SERVER_ERROR backend failure\r\n", "SERVER_ERROR backend failure\r\n"),
        ("miss", "END\r\n", "SERVER_ERROR backend failure\r\n"),
        ("rehash", "END\r\n", "STORED\r\n"),
    ] {
        let proxy = proxy(text(eject));
        let routes = routes(&proxy);
        let conditions = &routes.pools[0].health.as_ref().unwrap().conditions;
        // The other backend is probed after this one.
        eventually("there are probes", || conditions[1].probes.get() > 2);
        Client::new(&proxy).asks(&format!("get {key}\r\n"), read);
        Client::new(&proxy).asks(&format!("set {key} 0 0 1\r\nx\r\n"), write);
        assert_eq!(conditions[0].probes.get(), 0, "{eject}");
        let pool = &proxy.proxy_stats().unwrap().pools[0];
        assert_eq!((pool.backends, pool.down), (2, 1), "{eject}");
    }
    assert_eq!(listener.accept().map(drop).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
    assert!(other.cache().get(&key).is_some());
}

/// The result of probes counts only while they go on.
#[test]
fn a_backend_is_up_after_it_was_configured_down() {
    let (_listener, at) = mute();
    let text = |down: bool| {
        format!(
            "route = 'a'\n[pools.a]\nbackends = [{{ address = '{at}', down = {down} }}]\n\
             health = {{ {HEALTH}, timeout_ms = 50 }}\n"
        )
    };
    let proxy = proxy(text(false));
    let found = routes(&proxy);
    eventually("the backend is down", || found.pools[0].is_down(0));
    let mut before = found;
    for down in [true, false] {
        let mut next = parse(&text(down)).unwrap();
        next.keep_conditions(&before);
        assert_eq!(next.pools[0].is_down(0), down);
        // Statistics of the backend have what probes find.
        assert!(!next.pools[0].health.as_ref().unwrap().conditions[0].is_down());
        before = Arc::new(next);
    }
}

/// A pool that stays keeps the conditions of its backends at a reload.
#[test]
fn a_reload_keeps_what_probes_have_found() {
    let (_listener, at) = mute();
    let text = |more: &str| {
        format!(
            "route = 'a'\n[pools.a]\nbackends = [{more}'{at}']\nhealth = {{ {HEALTH}, timeout_ms = 50 }}\n"
        )
    };
    let proxy = proxy(text(""));
    let routes = routes(&proxy);
    let is_down = || routes.pools[0].health.as_ref().unwrap().conditions[0].is_down();
    eventually("the backend is down", is_down);
    let mut new = parse(&text("'10.0.0.1', ")).unwrap();
    new.keep_conditions(&routes);
    let conditions = &new.pools[0].health.as_ref().unwrap().conditions;
    assert_eq!([conditions[0].is_down(), conditions[1].is_down()], [false, true]);
}

/// Pools may change more often than a probe of a backend that hangs takes.
#[test]
fn reloads_do_not_keep_a_backend_up() {
    let (_listener, at) = mute();
    let proxy = proxy(format!(
        "route = 'a'\n[pools.a]\nbackends = ['{at}']\nhealth = {{ {HEALTH}, timeout_ms = 200 }}\n"
    ));
    eventually("the backend is down", || {
        assert_eq!(proxy.reload_proxy(), Ok(()));
        routes(&proxy).pools[0].health.as_ref().unwrap().conditions[0].is_down()
    });
}

/// Reads and stores go to the gutter while the main pool fails. A delete goes to both, and fails if
/// the main pool does, which may come back with the item.
#[test]
fn a_gutter_takes_over_but_does_not_hide_failed_deletes() {
    let spare = start(ServerConfig::default());
    let main = start(ServerConfig::default());
    let at = address(&main).to_string();
    let proxy = proxy(format!(
        "route = {{ gutter = 'spare', of = 'main', seconds = 50 }}\n[pools]\nspare.backends = ['{}']\n\
         main = {{ backends = ['{at}'], retry_ms = 10, health = {{ {HEALTH} }} }}\n",
        address(&spare),
    ));
    let mut client = Client::new(&proxy);
    client.asks("set k1 0 0 4\r\nmain\r\nget k1\r\n", "STORED\r\nVALUE k1 0 4\r\nmain\r\nEND\r\n");
    spare.cache().set("k1", "old", Ttl::Never).unwrap();
    client.asks("delete k1\r\n", "DELETED\r\n");
    eventually("the gutter has it no more", || spare.cache().get("k1").is_none());
    drop(main);
    eventually("the gutter answers", || {
        client.send("get k2\r\n");
        client.line() == "END\r\n"
    });
    client.asks("set k2 0 0 5\r\nspare\r\nget k2\r\n", "STORED\r\nVALUE k2 0 5\r\nspare\r\nEND\r\n");
    let ttl = spare.cache().info("k2").and_then(|info| info.ttl).unwrap();
    assert!((48..=50).contains(&ttl), "{ttl:?}");
    client.asks("set k2 0 -1 5\r\nspare\r\nget k2\r\n", "STORED\r\nEND\r\n");
    client.asks("set k2 0 5 5\r\nspare\r\n", "STORED\r\n");
    let ttl = spare.cache().info("k2").and_then(|info| info.ttl).unwrap();
    assert!(ttl <= 5, "{ttl:?}");
    client.asks("delete k2\r\n", "SERVER_ERROR backend failure\r\n");
    eventually("the gutter has it no more", || spare.cache().get("k2").is_none());
    client.asks("md k2\r\n", "SERVER_ERROR backend failure\r\n");
}
