//! Names of a proxy's backends, and pools whose backends are discovered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use memcache_rs::internal::base::sync::Mutex;
use memcache_rs::internal::proxy::name::NameRules;
use memcache_rs::{
    ClusterNode, Hooks, Listen, NameAnswer, NameQuestion, NameRecords, ProxyConfig, Resolver, Server,
    ServerConfig, ServiceRecord,
};
use proxying::{Client, address, start};
use waiting::eventually;

/// A resolver whose answers change.
#[derive(Default)]
struct Answers {
    known: Mutex<HashMap<NameQuestion, NameRecords>>,
    /// Questions so far.
    asked: Mutex<usize>,
    /// The server that must be asked, if any.
    server: Mutex<Option<SocketAddr>>,
}

impl Answers {
    fn set_host(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
        self.known.lock().insert(NameQuestion::Host(name.into()), NameRecords::Host(addresses));
    }

    fn set_service(&self, name: &str, ports: &[u16]) {
        let record = |port: &u16| ServiceRecord { priority: 0, host: "127.0.0.1".into(), port: *port };
        let records = NameRecords::Service(ports.iter().map(record).collect());
        self.known.lock().insert(NameQuestion::Service(name.into()), records);
    }

    fn forget(&self) {
        self.known.lock().clear();
    }

    /// Waits until all names were asked for once more.
    fn next_round(&self) {
        let before = *self.asked.lock();
        eventually("names are looked up again", || *self.asked.lock() > before + 1);
    }
}

impl Resolver for Answers {
    fn look_up(&self, questions: &[NameQuestion], servers: &[SocketAddr]) -> Vec<Result<NameAnswer, String>> {
        *self.asked.lock() += questions.len();
        if self.server.lock().is_some_and(|server| !servers.contains(&server)) {
            return questions.iter().map(|_| Err("another server knows".into())).collect();
        }
        let known = self.known.lock();
        let answer = |question: &NameQuestion| match (question, known.get(question)) {
            (NameQuestion::Host(name), None) if name.parse::<IpAddr>().is_ok() => {
                Ok(NameAnswer { records: NameRecords::Host(vec![name.parse().unwrap()]), ttl: None })
            }
            (_, Some(records)) => Ok(NameAnswer { records: records.clone(), ttl: Some(Duration::ZERO) }),
            (_, None) => Err("no such name".into()),
        };
        questions.iter().map(answer).collect()
    }
}

/// Starts a proxy that looks names up again and again.
fn proxy(answers: &Arc<Answers>, pools: &str) -> Server {
    let rules = "[names]\nmin_seconds = 1\nelasticache_seconds = 1\n";
    start_proxy(answers, ProxyConfig::Text(format!("route = 'p'\n{rules}[pools.p]\n{pools}\n")))
}

fn start_proxy(answers: &Arc<Answers>, proxy: ProxyConfig) -> Server {
    let hooks = Hooks { resolver: Some(Arc::<Answers>::clone(answers)), ..Hooks::default() };
    let server = start(ServerConfig { proxy: Some(proxy), hooks, ..ServerConfig::default() });
    server.context().names.set_rules(often());
    server
}

/// Shorter times than a file may have, from the second look-up on.
fn often() -> NameRules {
    let time = Duration::from_millis(20);
    NameRules { min: time, max: time, elasticache: time, ..NameRules::default() }
}

fn connections(server: &Server) -> u64 {
    let stats = server.stats("").unwrap();
    stats.iter().find(|(name, _)| name == "curr_connections").unwrap().1.parse().unwrap()
}

fn port(server: &Server) -> u16 {
    address(server).port()
}

/// Stores keys through a proxy. Returns the counts of those that each backend got.
fn spread(client: &mut Client, backends: &[&Server]) -> Vec<usize> {
    for backend in backends {
        backend.cache().clear();
    }
    let mut requests = String::new();
    for key in 0..100 {
        write!(requests, "set key:{key} 0 0 1\r\nx\r\n").unwrap();
    }
    client.asks(&requests, &"STORED\r\n".repeat(100));
    let has =
        |backend: &Server| (0..100).filter(|key| backend.cache().get(format!("key:{key}")).is_some()).count();
    backends.iter().map(|backend| has(backend)).collect()
}

#[test]
fn a_pool_follows_the_records_of_a_service() {
    let servers = [(); 3].map(|()| start(ServerConfig::default()));
    let [a, b, c] = servers.each_ref();
    let answers = Arc::<Answers>::default();
    answers.set_service("_m._tcp.test", &[port(a)]);
    let proxy = proxy(&answers, "backends = [{ srv = '_m._tcp.test' }]");
    // The first look-up has ended when the proxy starts.
    let mut client = Client::new(&proxy);
    assert_eq!(spread(&mut client, &[a, b, c]), [100, 0, 0]);
    answers.set_service("_m._tcp.test", &[port(a), port(b), port(c)]);
    eventually("all three have keys", || spread(&mut client, &[a, b, c]).iter().all(|count| *count > 10));
    // A name that cannot be looked up keeps its backends.
    answers.forget();
    answers.next_round();
    assert!(spread(&mut client, &[a, b, c]).iter().all(|count| *count > 10));
    answers.set_service("_m._tcp.test", &[]);
    answers.next_round();
    assert!(spread(&mut client, &[a, b, c]).iter().all(|count| *count > 10));
    answers.set_service("_m._tcp.test", &[port(b)]);
    eventually("one is left", || spread(&mut client, &[a, b, c]) == [0, 100, 0]);
    let idle = connections(&start(ServerConfig::default()));
    eventually("the others have no connection", || connections(a) == idle && connections(c) == idle);
}

/// The addresses of one host are the backends of a pool, or alternatives of one backend.
#[test]
fn a_host_may_be_many_backends() {
    let one = start(ServerConfig::default());
    let at: SocketAddr = format!("127.0.0.2:{}", port(&one)).parse().unwrap();
    let listen = vec![Listen::tcp(at)];
    let other = Server::start(ServerConfig { listen, threads: 1, ..ServerConfig::default() }).unwrap();
    let answers = Arc::<Answers>::default();
    answers.set_host("mc.test", &["127.0.0.2", "127.0.0.1", "::1"]);
    let of_each = proxy(&answers, &format!("backends = [{{ dns = 'mc.test', port = {} }}]", port(&one)));
    let mut client = Client::new(&of_each);
    assert!(spread(&mut client, &[&one, &other]).iter().all(|count| *count > 10));
    // The rounds of one proxy are counted.
    drop(of_each);
    let of_one = proxy(&answers, &format!("backends = ['mc.test:{}']", port(&one)));
    let mut client = Client::new(&of_one);
    assert_eq!(spread(&mut client, &[&one, &other]), [0, 100]);
    // The backend moves: the next requests go to the new address, over another connection.
    answers.set_host("mc.test", &["127.0.0.1"]);
    eventually("the backend has moved", || spread(&mut client, &[&one, &other]) == [100, 0]);
    answers.forget();
    answers.next_round();
    assert_eq!(spread(&mut client, &[&one, &other]), [100, 0]);
}

/// No worker waits for a name.
#[test]
fn a_name_that_is_unknown_is_a_backend_that_is_down() {
    let backend = start(ServerConfig::default());
    let answers = Arc::<Answers>::default();
    let proxy = proxy(&answers, &format!("backends = ['mc.test:{}']\nretry_ms = 10", port(&backend)));
    let mut client = Client::new(&proxy);
    client.asks("get k\r\n", "SERVER_ERROR backend failure\r\n");
    answers.set_host("mc.test", &["127.0.0.1"]);
    eventually("the backend is found", || {
        client.send("get k\r\n");
        client.line() == "END\r\n"
    });
}

#[test]
fn a_pool_without_a_backend_answers_errors() {
    let answers = Arc::<Answers>::default();
    let proxy = proxy(&answers, "backends = [{ srv = '_m._tcp.test' }]\ndistribution = 'ketama'");
    let mut client = Client::new(&proxy);
    client.asks("get k\r\n", "SERVER_ERROR backend failure\r\n");
    let backend = start(ServerConfig::default());
    answers.set_service("_m._tcp.test", &[port(&backend)]);
    eventually("the backend is found", || {
        client.send("get k\r\n");
        client.line() == "END\r\n"
    });
}

#[test]
fn an_elasticache_endpoint_names_the_backends() {
    let servers = [(); 3].map(|()| start(ServerConfig::default()));
    let [a, b, c] = servers.each_ref();
    let node = |name: &str, server: &Server| {
        ClusterNode::new(name, Some("127.0.0.1".parse().unwrap()), port(server)).unwrap()
    };
    // Any node is an endpoint.
    a.set_cluster_nodes(&[node("n.0001", a)]);
    let answers = Arc::<Answers>::default();
    let proxy = proxy(&answers, &format!("backends = [{{ elasticache = '127.0.0.1:{}' }}]", port(a)));
    let mut client = Client::new(&proxy);
    assert_eq!(spread(&mut client, &[a, b, c]), [100, 0, 0]);
    a.set_cluster_nodes(&[node("n.0002", b), node("n.0001", a)]);
    eventually("both have keys", || spread(&mut client, &[a, b, c]).iter().take(2).all(|count| *count > 10));
    let both = spread(&mut client, &[a, b, c]);
    let mut endpoint = Client::new(a);
    // A list that is older, one that is wrong, and none.
    let older = format!("1\nn.0003|127.0.0.1|{}\n", port(c));
    for text in [older.as_str(), "9\nnonsense\n", "nonsense", "99\n\n"] {
        endpoint.asks(&format!("config set cluster 0 {}\r\n{text}\r\n", text.len()), "STORED\r\n");
        answers.next_round();
        assert_eq!(spread(&mut client, &[a, b, c]), both, "{text}");
    }
    endpoint.asks("config delete cluster\r\n", "DELETED\r\n");
    answers.next_round();
    assert_eq!(spread(&mut client, &[a, b, c]), both);
    let newer = format!("100\nn.0003|127.0.0.1|{}\n", port(c));
    endpoint.asks(&format!("config set cluster 0 {}\r\n{newer}\r\n", newer.len()), "STORED\r\n");
    eventually("the list is taken", || spread(&mut client, &[a, b, c]) == [0, 0, 100]);
}

/// A reload waits for the sources that are new, and forgets those that have left.
#[test]
fn a_reload_changes_the_sources() {
    let [a, b] = [(); 2].map(|()| start(ServerConfig::default()));
    let answers = Arc::<Answers>::default();
    answers.set_service("_a._tcp.test", &[port(&a)]);
    answers.set_service("_b._tcp.test", &[port(&b)]);
    let path = std::env::temp_dir().join(format!("mcrs-sources-{}.toml", std::process::id()));
    let text = |name: &str| {
        format!(
            "route = 'p'\nnames.min_seconds = 1\n[pools.p]\nbackends = [{{ srv = '_{name}._tcp.test' }}]\n"
        )
    };
    fs::write(&path, text("a")).unwrap();
    let proxy = start_proxy(&answers, ProxyConfig::File(path.clone()));
    let mut client = Client::new(&proxy);
    assert_eq!(spread(&mut client, &[&a, &b]), [100, 0]);
    fs::write(&path, text("b")).unwrap();
    assert_eq!(proxy.reload_proxy(), Ok(()));
    assert_eq!(spread(&mut client, &[&a, &b]), [0, 100]);
    // The change of a name that has left does not matter.
    answers.set_service("_a._tcp.test", &[port(&a), port(&b)]);
    answers.next_round();
    assert_eq!(spread(&mut client, &[&a, &b]), [0, 100]);
    fs::remove_file(&path).unwrap();
}

/// A reload asks the servers of the new configuration for its sources.
#[test]
fn a_reload_looks_names_up_by_its_own_rules() {
    let backend = start(ServerConfig::default());
    let answers = Arc::<Answers>::default();
    answers.set_service("_a._tcp.test", &[port(&backend)]);
    *answers.server.lock() = Some("10.0.0.1:53".parse().unwrap());
    let path = std::env::temp_dir().join(format!("mcrs-rules-{}.toml", std::process::id()));
    fs::write(&path, format!("route = 'p'\n[pools.p]\nbackends = ['{}']\n", address(&backend))).unwrap();
    let proxy = start_proxy(&answers, ProxyConfig::File(path.clone()));
    let text =
        "route = 'p'\nnames.servers = ['10.0.0.1']\n[pools.p]\nbackends = [{ srv = '_a._tcp.test' }]\n";
    fs::write(&path, text).unwrap();
    assert_eq!(proxy.reload_proxy(), Ok(()));
    let mut client = Client::new(&proxy);
    assert_eq!(spread(&mut client, &[&backend]), [100]);
    fs::remove_file(&path).unwrap();
}
