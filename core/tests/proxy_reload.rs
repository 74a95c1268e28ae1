//! The configuration of a proxy changes while it serves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use memcache_rs::internal::base::sync::Mutex;
use memcache_rs::{Hooks, Listen, ProxyConfig, ReloadError, Server, ServerConfig};
use proxying::{Client, address, nowhere, start};
use waiting::eventually;

/// A file that is removed at the end.
struct Configuration(PathBuf);

impl Configuration {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcrs-reload-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    /// Starts a proxy with a new file, and connects a client.
    fn serve(name: &str, text: &str) -> (Self, Server, Client) {
        let file = Self::new(name, text);
        let proxy = start(file.config());
        let client = Client::new(&proxy);
        (file, proxy, client)
    }

    /// Replaces the text, and has the proxy read it.
    fn reload(&self, proxy: &Server, text: &str) {
        self.write(text);
        assert_eq!(proxy.reload_proxy(), Ok(()));
    }

    fn config(&self) -> ServerConfig {
        ServerConfig { proxy: Some(ProxyConfig::File(self.0.clone())), ..ServerConfig::default() }
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns a configuration of one pool.
fn pool(backends: &[&Server]) -> String {
    let addresses: Vec<String> = backends.iter().map(|backend| address(backend).to_string()).collect();
    format!("route = 'p'\n[pools.p]\nbackends = {addresses:?}\n")
}

fn stat(server: &Server, name: &str) -> u64 {
    let stats = server.stats("").unwrap();
    stats.iter().find(|(own, _)| own == name).unwrap().1.parse().unwrap()
}

/// Returns the counts of loads and of failed ones.
fn loads(proxy: &Server) -> (u64, u64) {
    let statistics = proxy.context().proxy.as_ref().unwrap().statistics();
    (statistics.reloads, statistics.reload_fails)
}

#[test]
fn requests_after_a_reload_follow_the_new_file() {
    let [one, other] = [(); 2].map(|()| start(ServerConfig::default()));
    let (file, proxy, mut client) = Configuration::serve("follow", &pool(&[&one]));
    client.asks("set k 0 0 1\r\na\r\n", "STORED\r\n");
    file.write(&pool(&[&other]));
    // The file alone changes nothing.
    client.asks("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
    assert_eq!(proxy.reload_proxy(), Ok(()));
    client.asks("get k\r\n", "END\r\n");
    client.asks("set k 0 0 1\r\nb\r\n", "STORED\r\n");
    assert_eq!(one.cache().get("k").as_deref(), Some(&b"a"[..]));
    assert_eq!(other.cache().get("k").as_deref(), Some(&b"b"[..]));
    assert_eq!(loads(&proxy), (2, 0));
    // The backend that left has no connection any more. The listener counts as one.
    let idle = stat(&start(ServerConfig::default()), "curr_connections");
    eventually("the connection closes", || stat(&one, "curr_connections") == idle);
}

#[test]
fn a_backend_that_stays_keeps_its_connection() {
    let [one, other] = [(); 2].map(|()| start(ServerConfig::default()));
    let (file, proxy, mut client) = Configuration::serve("stays", &pool(&[&one]));
    client.asks("set k 0 0 1\r\na\r\n", "STORED\r\n");
    let before = stat(&one, "total_connections");
    for backends in [&[&one, &other][..], &[&other, &one], &[&one]] {
        file.reload(&proxy, &pool(backends));
        client.asks("set k 0 0 1\r\na\r\n", "STORED\r\n");
    }
    assert_eq!(stat(&one, "total_connections"), before);
    // Other bounds are another connection.
    file.reload(&proxy, &(pool(&[&one]) + "read_timeout_ms = 1234\n"));
    client.asks("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
    assert_eq!(stat(&one, "total_connections"), before + 1);
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let log = move |_: u8, line: &str| kept.lock().push(line.to_owned());
    let hooks = Hooks { log: Some(Arc::new(log)), ..Hooks::default() };
    let backend = start(ServerConfig::default());
    let good = pool(&[&backend]);
    let file = Configuration::new("bad", &good);
    let proxy = start(ServerConfig { hooks, ..file.config() });
    let mut watcher = Client::new(&proxy);
    watcher.asks("watch proxyevents\r\n", "OK\r\n");
    let mut client = Client::new(&proxy);
    client.asks("set k 0 0 1\r\na\r\n", "STORED\r\n");
    let path = file.0.display().to_string();
    let cases = [
        ("route = 'q'\n", ":1: route: there is no pool or route \"q\""),
        ("route = ", ":1: "),
        (&*"#".repeat(2 << 20), ": cannot be read: it has more than 1048576 bytes"),
        (
            &(good.clone() + "[pools.p.tls]\nca = 'none.pem'\n"),
            ":4: pools.p.tls: failed to load the CA certificate ",
        ),
    ];
    for (text, reason) in cases {
        file.write(text);
        let Err(ReloadError::Configuration(line)) = proxy.reload_proxy() else { panic!("{reason}") };
        assert!(line.starts_with(&format!("{path}{reason}")), "{line}");
        assert!(!line.contains('\n'), "{line}");
        client.asks("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
    }
    fs::write(&file.0, [b'#', 0xff]).unwrap();
    assert!(proxy.reload_proxy().is_err());
    fs::remove_file(&file.0).unwrap();
    assert!(proxy.reload_proxy().is_err_and(|e| e.to_string().contains("No such file")));
    assert_eq!(loads(&proxy), (7, 6));
    file.write(&good);
    assert_eq!(proxy.context().reload(), Ok(()));
    assert_eq!(loads(&proxy), (8, 6));
    let mut statuses = Vec::new();
    while statuses.len() < 14 {
        let line = watcher.line();
        if let Some((_, status)) = line.trim_end().split_once("type=proxy_conf status=") {
            statuses.push(status.to_owned());
        }
    }
    let expected = ["start", "failed"].repeat(6).into_iter().chain(["start", "done"]);
    assert_eq!(statuses, expected.collect::<Vec<_>>());
    client.asks("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
    assert_eq!(start(ServerConfig::default()).reload_proxy(), Err(ReloadError::NoProxy));
}

#[test]
fn another_configuration_replaces_the_first_and_is_the_one_of_later_reloads() {
    let [one, other] = [(); 2].map(|()| start(ServerConfig::default()));
    let (file, proxy, mut client) = Configuration::serve("replaces", &pool(&[&one]));
    client.asks("set k 0 0 1\r\na\r\n", "STORED\r\n");
    assert_eq!(proxy.set_proxy(ProxyConfig::Text(pool(&[&other]))), Ok(()));
    client.asks("get k\r\n", "END\r\n");
    file.write("no TOML");
    assert_eq!(proxy.reload_proxy(), Ok(()));
    // A mistake keeps the text, also for later reloads.
    let mistake = proxy.set_proxy(file.config().proxy.unwrap()).unwrap_err();
    assert!(mistake.to_string().contains(".toml:1: "), "{mistake}");
    let mistake = proxy.set_proxy("127.0.0.1:11211".into()).unwrap_err();
    assert!(mistake.to_string().starts_with("proxy: must be a text in TOML"), "{mistake}");
    let mistake = proxy.set_proxy("pools.p.backends = ['a']\nroute = 'q'".into()).unwrap_err();
    assert_eq!(mistake.to_string(), "proxy: line 2: route: there is no pool or route \"q\"");
    assert_eq!(proxy.reload_proxy(), Ok(()));
    client.asks("get k\r\n", "END\r\n");
    file.write(&pool(&[&one]));
    assert_eq!(proxy.set_proxy(file.config().proxy.unwrap()), Ok(()));
    client.asks("get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n");
    assert_eq!(loads(&proxy), (8, 3));
    let server = start(ServerConfig::default());
    assert_eq!(server.set_proxy(ProxyConfig::Text(pool(&[&one]))), Err(ReloadError::NoProxy));
}

/// A backend that is slow: it reads lines, and its owner replies.
struct Slow {
    listener: TcpListener,
}

impl Slow {
    fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn accept(&self) -> (BufReader<TcpStream>, TcpStream) {
        let (mut socket, _) = self.listener.accept().unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap());
        assert_eq!(next_line(&mut lines), "version\r\n");
        socket.write_all(b"VERSION 1\r\n").unwrap();
        (lines, socket)
    }
}

fn next_line(lines: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line
}

/// A request under way ends by the old routes, also by a backend that it has not asked yet.
#[test]
fn a_request_under_way_ends_with_the_old_routes() {
    let slow = Slow::new();
    let [old, new] = [(); 2].map(|()| start(ServerConfig::default()));
    let at = slow.listener.local_addr().unwrap();
    let before = format!(
        "route = {{ failover = ['slow', 'old'] }}\npools.slow.backends = ['{at}']\npools.old.backends = ['{}']\n",
        address(&old)
    );
    let (file, proxy, mut client) = Configuration::serve("under-way", &before);
    client.send("set k 0 0 1\r\na\r\nset l 0 0 1\r\nb\r\n");
    let (mut lines, mut socket) = slow.accept();
    for expected in ["set k 0 0 1\r\n", "a\r\n", "set l 0 0 1\r\n", "b\r\n"] {
        assert_eq!(next_line(&mut lines), expected);
    }
    file.reload(&proxy, &pool(&[&new]));
    Client::new(&proxy).asks("set k 0 0 1\r\nn\r\n", "STORED\r\n");
    socket.write_all(b"STORED\r\n").unwrap();
    // The second one fails over to a backend that is in no configuration any more.
    socket.write_all(b"SERVER_ERROR busy\r\n").unwrap();
    client.expect("STORED\r\nSTORED\r\n");
    assert_eq!(old.cache().get("l").as_deref(), Some(&b"b"[..]));
    // The connection ends with its last reply.
    assert_eq!(next_line(&mut lines), "");
    assert_eq!(new.cache().get("k").as_deref(), Some(&b"n"[..]));
    let idle = stat(&start(ServerConfig::default()), "curr_connections");
    eventually("the connection closes", || stat(&old, "curr_connections") == idle);
}

#[test]
fn a_rate_limit_at_the_same_place_keeps_its_fill() {
    let backend = start(ServerConfig::default());
    let text = |pool: &str, place: &str| {
        let limit = "{ rate_limit = 'p', per_second = 1, burst = 3, over = { error = 'slow down' } }";
        format!("{place} = {limit}\npools.{pool}.backends = ['{}']\n", address(&backend))
            .replace("'p'", &format!("'{pool}'"))
    };
    let (file, proxy, mut client) = Configuration::serve("limit", &text("p", "route"));
    let over = "SERVER_ERROR slow down\r\n";
    let taken = |client: &mut Client| {
        let mut taken = 0;
        loop {
            client.send("get k\r\n");
            match &*client.line() {
                "END\r\n" => taken += 1,
                line => {
                    assert_eq!(line, over);
                    return taken;
                }
            }
        }
    };
    assert!(taken(&mut client) >= 3);
    file.reload(&proxy, &text("q", "route"));
    // A second or two may have passed.
    assert!(taken(&mut client) < 3);
    file.reload(&proxy, &format!("route = 'named'\n{}", text("q", "routes.named")));
    assert!(taken(&mut client) >= 3, "another place is another limit");
}

#[test]
fn workers_share_a_rate_limit() {
    let text = |shared: bool, over: &str| {
        format!(
            "route = {{ rate_limit = 'null', tokens = 1, every_ms = 3600000, burst = 3, shared = {shared}, \
             over = {{ error = '{over}' }} }}"
        )
    };
    let file = Configuration::new("shared", &text(true, "slow"));
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let proxy = Server::start(ServerConfig { listen, threads: 2, ..file.config() }).unwrap();
    // Both workers have clients.
    let mut clients: Vec<Client> = (0..4).map(|_| Client::new(&proxy)).collect();
    let mut ask = |requests: usize| {
        let mut ask = |client: &mut Client| {
            client.send("get k\r\n");
            client.line() == "END\r\n"
        };
        (0..requests)
            .flat_map(|_| clients.iter_mut().map(&mut ask).collect::<Vec<_>>())
            .filter(|got| *got)
            .count()
    };
    assert_eq!(ask(3), 3);
    file.reload(&proxy, &text(true, "slower"));
    assert_eq!(ask(3), 0);
    file.reload(&proxy, &text(false, "slow"));
    assert_eq!(ask(3), 6);
}

#[test]
fn counters_of_routes_go_on() {
    let main = start(ServerConfig::default());
    let text = |limited: &str| {
        format!(
            "route = {{ by_prefix = {{ k = 'hit', l = 'limit' }}, default = 'dead' }}\n\
             [routes]\n\
             hit = {{ failover = ['main', 'null'], until_hit = true, counter = 'misses' }}\n\
             limit = {{ rate_limit = 'null', tokens = 1, every_ms = 3600000, counter = '{limited}' }}\n\
             dead = {{ failover = ['none', 'none', 'null'], counter = 'failures' }}\n\
             [pools]\nmain.backends = ['{}']\nnone.backends = ['{}']\n",
            address(&main),
            nowhere(),
        )
    };
    let file = Configuration::new("counters", &text("over"));
    let proxy = start(file.config());
    let user = || {
        let rows = proxy.stats("proxy").unwrap().into_iter();
        let rows = rows.filter_map(|(name, value)| Some(format!("{} {value}", name.strip_prefix("user_")?)));
        rows.collect::<Vec<_>>().join(", ")
    };
    let mut client = Client::new(&proxy);
    assert_eq!(user(), "misses 0, over 0, failures 0");
    client.asks("set k 0 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    client.asks("get l\r\n", "END\r\n");
    assert_eq!(user(), "misses 0, over 0, failures 0");
    client.asks("get k2 l dead\r\n", "END\r\n");
    assert_eq!(user(), "misses 1, over 1, failures 2");
    // Another name is another counter.
    file.reload(&proxy, &text("other"));
    client.asks("get k2 l\r\n", "END\r\n");
    assert_eq!(user(), "misses 2, other 1, failures 2");
}

/// A backend that is down stays down: the next configuration does not begin with requests to it.
#[test]
fn a_backend_that_is_down_stays_down() {
    let health = "health = { every_ms = 10, timeout_ms = 10, fall = 1, rise = 1, eject = 'miss' }";
    let text = format!("route = 'p'\n[pools.p]\nbackends = ['{}']\n{health}\n", nowhere());
    let (file, proxy, mut client) = Configuration::serve("down", &text);
    eventually("the backend is down", || {
        client.send("get k\r\n");
        client.line() == "END\r\n"
    });
    for turn in 0..20 {
        file.reload(&proxy, &format!("{text}# {turn}\n"));
        client.asks("get k\r\n", "END\r\n");
    }
}

/// Clients of four workers see one of two configurations, and each reply is right.
#[test]
fn clients_lose_nothing_while_the_routes_change() {
    let [one, other] = [(); 2].map(|()| start(ServerConfig::default()));
    let file = Configuration::new("load", &pool(&[&one]));
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let proxy = Server::start(ServerConfig { listen, threads: 4, ..file.config() }).unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (mut client, ends) = (Client::new(&proxy), Arc::clone(&ends));
            thread::spawn(move || {
                let mut round = 0;
                while !ends.load(Relaxed) {
                    round += 1;
                    let requests = format!("set k{number} 0 0 1\r\na\r\nmn\r\n").repeat(20);
                    client.asks(&requests, &"STORED\r\nMN\r\n".repeat(20));
                }
                round
            })
        })
        .collect();
    for turn in 0..40 {
        let both = [&one, &other];
        let shared = format!("shared = {}\n", turn % 3 == 0);
        file.reload(&proxy, &(pool(if turn % 2 == 0 { &both[1..] } else { &both }) + &shared));
    }
    ends.store(true, Relaxed);
    for client in clients {
        assert!(client.join().unwrap() > 0);
    }
    assert_eq!(loads(&proxy), (41, 0));
    // A last reload to one backend leaves one connection a worker there, and none at the other.
    file.reload(&proxy, &pool(&[&other]));
    let idle = stat(&start(ServerConfig::default()), "curr_connections");
    eventually("connections close", || stat(&one, "curr_connections") == idle);
    eventually("one a worker stays", || stat(&other, "curr_connections") == idle + 4);
    // Or one that all workers share.
    file.reload(&proxy, &(pool(&[&other]) + "shared = true\n"));
    eventually("one stays", || stat(&other, "curr_connections") == idle + 1);
}
