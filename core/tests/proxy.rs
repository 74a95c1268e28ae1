//! A proxy before real backends, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use memcache_rs::internal::proxy::config::parse;
use memcache_rs::{
    AuthConfig, AuthMethod, Cache, Fault, FaultRule, Listen, Passwords, ProxyConfig, Server, ServerConfig,
    StartError, Ttl,
};
use proxying::{Client, address, nowhere, start};
use waiting::PATIENCE;

/// A proxy, its backends, and its configuration.
struct Bench {
    proxy: Server,
    backends: Vec<Server>,
    text: String,
}

impl Bench {
    /// Starts backends, each in a pool `a`, `b`, … of its own and all in the pool `all`.
    fn new(count: usize, route: &str) -> Self {
        let backends: Vec<Server> = (0..count).map(|_| start(ServerConfig::default())).collect();
        let addresses: Vec<String> = backends.iter().map(|backend| address(backend).to_string()).collect();
        Self { proxy: proxy(&addresses, route), text: configuration(&addresses, route), backends }
    }

    fn cache(&self, index: usize) -> &Cache {
        self.backends[index].cache()
    }

    fn client(&self) -> Client {
        Client::new(&self.proxy)
    }
}

fn configuration(addresses: &[String], route: &str) -> String {
    let mut text = format!("{route}\n[pools.all]\nbackends = {addresses:?}\n");
    for (name, address) in ('a'..).zip(addresses) {
        writeln!(text, "[pools.{name}]\nbackends = [{address:?}]").unwrap();
    }
    text
}

fn proxy(addresses: &[String], route: &str) -> Server {
    let text = configuration(addresses, route);
    start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() })
}

/// Requests of a client, and the replies of both a server and a proxy.
const DIALOGUE: &[(&str, &str)] = &[
    ("set k 5 0 3\r\nabc\r\n", "STORED\r\n"),
    ("get k\r\n", "VALUE k 5 3\r\nabc\r\nEND\r\n"),
    ("get none\r\n", "END\r\n"),
    ("get k none k\r\n", "VALUE k 5 3\r\nabc\r\nVALUE k 5 3\r\nabc\r\nEND\r\n"),
    ("get none nothing\r\n", "END\r\n"),
    ("gat 100 k\r\n", "VALUE k 5 3\r\nabc\r\nEND\r\n"),
    ("gat 100 k none\r\n", "VALUE k 5 3\r\nabc\r\nEND\r\n"),
    ("add k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
    ("append k 0 0 1\r\nd\r\n", "STORED\r\n"),
    ("prepend k 0 0 1\r\nz\r\n", "STORED\r\n"),
    ("replace none 0 0 1\r\nx\r\n", "NOT_STORED\r\n"),
    ("cas none 0 0 1 1\r\nx\r\n", "NOT_FOUND\r\n"),
    ("get k\r\n", "VALUE k 5 5\r\nzabcd\r\nEND\r\n"),
    ("touch k 0\r\n", "TOUCHED\r\n"),
    ("set n 0 0 1\r\n9\r\n", "STORED\r\n"),
    ("incr n 2\r\n", "11\r\n"),
    ("decr n 20\r\n", "0\r\n"),
    ("incr none 1\r\n", "NOT_FOUND\r\n"),
    ("delete n\r\n", "DELETED\r\n"),
    ("delete n\r\n", "NOT_FOUND\r\n"),
    ("set q 0 0 1 noreply\r\nx\r\nget q\r\n", "VALUE q 0 1\r\nx\r\nEND\r\n"),
    ("delete q noreply\r\nget q\r\n", "END\r\n"),
    ("ms m 2 T0 F7\r\nhi\r\n", "HD\r\n"),
    ("mg m v f k Oab\r\n", "VA 2 f7 km Oab\r\nhi\r\n"),
    ("mg m\r\n", "HD\r\n"),
    ("mg none v\r\n", "EN\r\n"),
    ("mg none v q\r\nmn\r\n", "MN\r\n"),
    ("mg m v q\r\nmn\r\n", "VA 2\r\nhi\r\nMN\r\n"),
    // A flag is known by its first letter.
    ("mg none v qx\r\nmn\r\nget none\r\n", "MN\r\nEND\r\n"),
    ("mg none vx qx qy\r\nmn\r\nget none\r\n", "CLIENT_ERROR duplicate flag\r\nMN\r\nEND\r\n"),
    ("ms m 2 q\r\nho\r\nmn\r\n", "MN\r\n"),
    ("ms m 2 ME q\r\nho\r\nmn\r\n", "NS\r\nMN\r\n"),
    ("ma none\r\n", "NF\r\n"),
    ("md m\r\n", "HD\r\n"),
    ("ms bWV0YQ== 1 b\r\nx\r\n", "HD\r\n"),
    ("mg bWV0YQ== b k v\r\n", "VA 1 kbWV0YQ== b\r\nx\r\n"),
    // The item remembers that its key was in base64.
    ("mg meta k v\r\n", "VA 1 kbWV0YQ== b\r\nx\r\n"),
    ("mg meta q k v O1\r\n", "VA 1 kbWV0YQ== b O1\r\nx\r\n"),
    ("set bad 0 0 1\r\nlon", "CLIENT_ERROR bad data chunk\r\n"),
    ("get\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("set k 0 0 x\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ("incr k x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"),
    ("incr k 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    ("get k\r\n", "VALUE k 5 5\r\nzabcd\r\nEND\r\n"),
];

/// Through a proxy, a client gets the replies of a server, whole or byte by byte.
#[test]
fn a_proxy_answers_as_its_backend() {
    let server = start(ServerConfig::default());
    let mut direct = Client::new(&server);
    for (request, reply) in DIALOGUE {
        direct.asks(request, reply);
    }
    let bench = Bench::new(1, "route = 'a'");
    let mut client = bench.client();
    for (request, reply) in DIALOGUE {
        client.asks(request, reply);
    }
    let mut client = bench.client();
    client.0.set_nodelay(true).unwrap();
    for (request, reply) in DIALOGUE {
        for byte in request.bytes() {
            client.0.write_all(&[byte]).unwrap();
        }
        client.expect(reply);
    }
    assert_eq!(bench.proxy.cache().get("k"), None);
}

/// Replies leave in the order of the requests, although backends answer in any order.
#[test]
fn a_pipeline_over_three_backends_keeps_its_order() {
    let bench = Bench::new(3, "route = 'all'");
    let mut client = bench.client();
    let (mut requests, mut replies) = (String::new(), String::new());
    for key in 0..1000 {
        write!(requests, "set k{key} 0 0 5\r\n{key:05}\r\nget k{key}\r\nget none{key}\r\n").unwrap();
        write!(replies, "STORED\r\nVALUE k{key} 0 5\r\n{key:05}\r\nEND\r\nEND\r\n").unwrap();
    }
    client.asks(&requests, &replies);
    let pool = parse(&bench.text).unwrap().pools.into_iter().find(|pool| pool.name == "all").unwrap();
    for key in 0..1000 {
        let key = format!("k{key}");
        for (index, backend) in bench.backends.iter().enumerate() {
            let is_there = backend.cache().get(&key).is_some();
            assert_eq!(is_there, index == pool.choose(key.as_bytes()), "{key} at {index}");
        }
    }
}

/// The keys of a get are in many reads and at many backends.
#[test]
fn a_get_of_thousands_of_keys() {
    let bench = Bench::new(3, "route = 'all'");
    let mut client = bench.client();
    let (mut stores, mut request, mut reply) = (String::new(), "get".to_owned(), String::new());
    for key in 0..5000 {
        write!(stores, "set key:{key} 0 0 5 noreply\r\n{key:05}\r\n").unwrap();
        write!(request, " key:{key}").unwrap();
        write!(reply, "VALUE key:{key} 0 5\r\n{key:05}\r\n").unwrap();
    }
    client.send(&stores);
    client.asks(&format!("{request}\r\n"), &format!("{reply}END\r\n"));
    let mut client = bench.client();
    let many = "x ".repeat(20_000);
    client.asks(&format!("get {many}\r\nversion\r\n"), "CLIENT_ERROR too many keys\r\nVERSION ");
}

#[test]
fn large_values_pass() {
    let bench = Bench::new(1, "route = 'a'");
    let value = "v".repeat(1_000_000);
    let mut client = bench.client();
    client.asks(&format!("set large 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    client.asks("get large\r\n", &format!("VALUE large 0 1000000\r\n{value}\r\nEND\r\n"));
    client.asks("set larger 0 0 2000000\r\n", "");
    client.send(&"w".repeat(2_000_000));
    client.asks("\r\n", "SERVER_ERROR object too large for cache\r\n");
    client.asks("get larger\r\n", "END\r\n");
}

/// As on a server, a client does not find the item that its refused store was to replace.
#[test]
fn a_store_that_the_proxy_refuses_removes_the_old_item() {
    let bench = Bench::new(1, "route = 'a'");
    let mut client = bench.client();
    let body = "w".repeat(2_000_000);
    let refused = "SERVER_ERROR object too large for cache\r\n";
    for (store, key, is_kept) in [
        ("set k 0 0 2000000 noreply", "k", false),
        ("add k 0 0 2000000", "k", true),
        ("append k 0 0 2000000", "k", true),
        ("ms k 2000000 q", "k", false),
        ("ms azE= 2000000 b", "k1", false),
    ] {
        client.asks(&format!("set {key} 0 0 3\r\nold\r\n"), "STORED\r\n");
        client.send(&format!("{store}\r\n{body}"));
        client.asks("\r\n", refused);
        let item = if is_kept { format!("VALUE {key} 0 3\r\nold\r\nEND\r\n") } else { "END\r\n".to_owned() };
        client.asks(&format!("get {key}\r\n"), &item);
    }
}

#[test]
fn a_store_that_the_proxy_refuses_removes_the_item_of_each_child_of_a_failover() {
    let bench = Bench::new(2, "route = { failover = ['a', 'b'] }");
    for index in 0..2 {
        bench.cache(index).set("k", "old", Ttl::Never).unwrap();
    }
    let mut client = bench.client();
    client.send(&format!("set k 0 0 2000000\r\n{}", "w".repeat(2_000_000)));
    client.asks("\r\n", "SERVER_ERROR object too large for cache\r\n");
    for index in 0..2 {
        assert_eq!(bench.cache(index).get("k"), None);
    }
}

/// The backends of deletes need not have the items of stores.
#[test]
fn a_store_that_the_proxy_refuses_takes_the_route_of_its_command() {
    let route = "route = { by_command = { set = 'a', ms = 'a' }, default = 'b' }";
    let bench = Bench::new(2, route);
    let mut client = bench.client();
    let body = "w".repeat(2_000_000);
    for store in ["set k 0 0 2000000", "ms k 2000000"] {
        for index in 0..2 {
            bench.cache(index).set("k", "old", Ttl::Never).unwrap();
        }
        client.send(&format!("{store}\r\n{body}"));
        client.asks("\r\n", "SERVER_ERROR object too large for cache\r\n");
        assert_eq!([0, 1].map(|index| bench.cache(index).get("k").is_some()), [false, true], "{store}");
    }
    let counted = bench.proxy.stats("proxy").unwrap();
    for (command, count) in [("cmd_set", "1"), ("cmd_ms", "1"), ("cmd_delete", "0"), ("cmd_md", "0")] {
        assert!(counted.contains(&(command.into(), count.into())), "{command}: {counted:?}");
    }
}

/// A client takes no reply to a quiet store for a success.
#[test]
fn null_tells_a_quiet_store_that_nothing_is_stored() {
    let bench = Bench::new(1, "route = { rate_limit = 'a', tokens = 1, every_ms = 3600000, burst = 1 }");
    let mut client = bench.client();
    client.asks("ms k 1 q\r\nx\r\nmn\r\n", "MN\r\n");
    client.asks("ms k 1 q\r\ny\r\nmn\r\n", "NS\r\nMN\r\n");
    client.asks("set k 0 0 1\r\ny\r\n", "NOT_STORED\r\n");
    client.asks("cas k 0 0 1 1\r\ny\r\n", "NOT_STORED\r\n");
    client.asks("set k 0 0 1 noreply\r\ny\r\nmg k v q\r\nmn\r\n", "MN\r\n");
}

#[test]
fn a_dead_backend_is_an_error_of_its_keys_alone() {
    let bench = Bench::new(1, "route = 'a'");
    let addresses = [address(&bench.backends[0]).to_string(), nowhere()];
    let proxy = proxy(&addresses, "route = { by_prefix = { dead = 'b' }, default = 'a' }");
    let mut client = Client::new(&proxy);
    for _ in 0..20 {
        client.asks("get dead\r\n", "SERVER_ERROR backend failure\r\n");
        client.asks("set live 0 0 1\r\nx\r\n", "STORED\r\n");
        client.asks("set dead 0 0 1 noreply\r\nx\r\n", "SERVER_ERROR backend failure\r\n");
        // A get has one reply. One that is partly an error would be read as two.
        client.asks("get live dead live\r\n", "SERVER_ERROR backend failure\r\n");
        client.asks("get live live\r\n", "VALUE live 0 1\r\nx\r\nVALUE live 0 1\r\nx\r\nEND\r\n");
        client.asks("mg dead v q\r\nmn\r\n", "SERVER_ERROR backend failure\r\nMN\r\n");
    }
}

#[test]
fn many_clients_before_a_dead_backend_are_all_answered() {
    let proxy = proxy(&[nowhere()], "route = 'a'");
    let mut clients: Vec<Client> = (0..300).map(|_| Client::new(&proxy)).collect();
    for client in &mut clients {
        client.send("get a\r\nset b 0 0 1\r\nx\r\nmg c v\r\nversion\r\n");
    }
    for client in &mut clients {
        let failure = "SERVER_ERROR backend failure\r\n";
        client.expect(&format!("{failure}{failure}{failure}VERSION "));
    }
}

#[test]
fn failover_asks_the_next_pool() {
    let bench = Bench::new(1, "route = 'a'");
    let addresses = [nowhere(), address(&bench.backends[0]).to_string()];
    let proxy = proxy(&addresses, "route = { failover = ['a', 'b'] }");
    let mut client = Client::new(&proxy);
    for _ in 0..10 {
        client.asks("set k 0 0 1\r\nx\r\n", "STORED\r\n");
        client.asks("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
    }
}

#[test]
fn a_route_waits_for_a_slow_backend_as_long_as_it_may() {
    let bench = Bench::new(2, "route = 'a'");
    let slow = FaultRule { key: Some(b"k".to_vec()), ..FaultRule::new(Fault::Delay(PATIENCE * 100)) };
    bench.cache(0).faults().add(slow);
    let [a, b] = [0, 1].map(|at| address(&bench.backends[at]).to_string());
    let proxy = |route: &str| {
        let text = format!(
            "route = {route}\n[pools]\nb.backends = ['{b}']\n\
             a = {{ backends = ['{a}'], read_timeout_ms = 3600000 }}\n"
        );
        start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() })
    };
    let failover = proxy("{ failover = [{ failover = ['a'], wait_ms = 10 }, 'b'] }");
    let mut client = Client::new(&failover);
    for _ in 0..3 {
        client.asks("set k 0 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    }
    assert_eq!(bench.cache(1).get("k").as_deref(), Some(&b"x"[..]));
    let fastest = proxy("{ all_fastest = ['a', 'null'], until_hit = true, wait_ms = 10 }");
    let mut client = Client::new(&fastest);
    client.asks("get k\r\nmg k v\r\n", "END\r\nEN\r\n");
    let late = proxy("{ all_fastest = ['a'], wait_ms = 10 }");
    let mut client = Client::new(&late);
    client.asks("set k 0 0 1 noreply\r\nx\r\nget n k\r\n", &"SERVER_ERROR backend failure\r\n".repeat(2));
}

#[test]
fn all_sync_stores_everywhere_and_answers_with_the_worst() {
    let bench = Bench::new(3, "route = { all_sync = ['a', 'b', 'c'] }");
    let mut client = bench.client();
    client.asks("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    for index in 0..3 {
        assert_eq!(bench.cache(index).get("k").as_deref(), Some(&b"x"[..]));
    }
    bench.cache(1).faults().add(FaultRule::new(Fault::Error("no".into())));
    client.asks("set k 0 0 1\r\ny\r\n", "SERVER_ERROR no\r\n");
    client.asks("get k\r\n", "SERVER_ERROR no\r\n");
}

/// The faults of a proxy are those of its own clients. They reach no backend.
#[test]
fn a_proxy_has_faults_of_its_own() {
    let bench = Bench::new(1, "route = 'all'");
    let faults = bench.proxy.cache().faults();
    let mut client = bench.client();
    client.asks("set k 0 0 1\r\nx\r\nset n 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n");

    faults.add(FaultRule::new(Fault::Error("no".into())));
    for request in ["get k\r\n", "get k n\r\n", "gats 0 k\r\n", "mg k v\r\n", "incr n 1\r\n"] {
        client.asks(request, "SERVER_ERROR no\r\n");
    }
    client.asks("set k 0 0 1\r\ny\r\nms k 1\r\ny\r\n", "SERVER_ERROR no\r\nSERVER_ERROR no\r\n");
    faults.clear();
    client.asks("get k n\r\n", "VALUE k 0 1\r\nx\r\nVALUE n 0 1\r\n1\r\nEND\r\n");

    faults.add(FaultRule { key: Some(b"k".to_vec()), ..FaultRule::new(Fault::Miss) });
    client.asks("get k n k\r\nget k\r\n", "VALUE n 0 1\r\n1\r\nEND\r\nEND\r\n");
    client.asks("mg k v\r\ndelete k\r\n", "EN\r\nNOT_FOUND\r\n");
    client.asks("set k 0 0 1\r\nz\r\n", "STORED\r\n");
    faults.clear();
    client.asks("get k\r\n", "VALUE k 0 1\r\nz\r\nEND\r\n");

    for fault in [Fault::Delay(PATIENCE / 1000), Fault::DelayReply(PATIENCE / 1000)] {
        let id = faults.add(FaultRule::new(fault));
        client.asks("get k\r\nget n k\r\n", "VALUE k 0 1\r\nz\r\nEND\r\nVALUE n 0 1\r\n1\r\n");
        client.asks("set k 0 0 1\r\nz\r\n", "VALUE k 0 1\r\nz\r\nEND\r\nSTORED\r\n");
        assert_eq!(faults.remove(id), Some(3));
    }

    // A backend's reply is truncated after its last byte.
    for (fault, request, wanted) in [
        (Fault::Drop, "get k\r\n", ""),
        (Fault::Drop, "incr n 1\r\n", ""),
        (Fault::Truncate(3), "get k\r\n", "VALUE k 0 1\r\nz\r\nEND\r\n"),
        (Fault::Truncate(3), "mg k v\r\n", "VA 1\r\nz\r\n"),
    ] {
        faults.clear();
        faults.add(FaultRule::new(fault));
        let mut client = bench.client();
        client.send(request);
        let mut reply = String::new();
        client.0.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, wanted);
    }
    assert_eq!(bench.cache(0).get("n").as_deref(), Some(&b"1"[..]));
}

/// The old pool answers a read that misses in the new one, in the client's form. The new pool
/// gets the item with flags and TTL.
#[test]
fn warm_up_fills_the_cold_pool() {
    let bench = Bench::new(2, "route = { warm_up = 'a', from = 'b' }");
    let mut client = bench.client();
    for key in ["k1", "k2", "k3"] {
        let mut old = Client::new(&bench.backends[1]);
        old.asks(&format!("set {key} 7 1000 3\r\nabc\r\n"), "STORED\r\n");
    }
    client.asks("get k1\r\n", "VALUE k1 7 3\r\nabc\r\nEND\r\n");
    client.asks("mg k2 v f s k Oq\r\n", "VA 3 f7 s3 kk2 Oq\r\nabc\r\n");
    client.asks("get k1 k3 none\r\n", "VALUE k1 7 3\r\nabc\r\nVALUE k3 7 3\r\nabc\r\nEND\r\n");
    client.asks("get none\r\n", "END\r\n");
    for key in ["k1", "k2", "k3"] {
        waiting::eventually("the new pool has it", || bench.cache(0).get(key).is_some());
        let mut new = Client::new(&bench.backends[0]);
        new.asks(&format!("mg {key} f v\r\n"), "VA 3 f7\r\nabc\r\n");
        bench.cache(0).info(key).and_then(|info| info.ttl).expect("a TTL");
    }
    // A delete reaches both, so that no old value comes back.
    client.asks("delete k1\r\n", "DELETED\r\n");
    waiting::eventually("the old pool has it no more", || bench.cache(1).get("k1").is_none());
    client.asks("get k1\r\n", "END\r\n");
}

#[test]
fn a_ttl_replaces_that_of_the_client() {
    let bench = Bench::new(1, "route = { ttl = 'a', seconds = 50 }");
    let mut client = bench.client();
    let stores = [
        "set k1 0 0 1\r\nx\r\n",
        "add k2 0 9999 1\r\nx\r\n",
        "ms k3 1\r\nx\r\n",
        "ms k4 1 T9999 F1\r\nx\r\n",
    ];
    for (store, reply) in stores.iter().zip(["STORED\r\n", "STORED\r\n", "HD\r\n", "HD\r\n"]) {
        client.asks(store, reply);
    }
    bench.cache(0).set("k5", "x", Ttl::Never).unwrap();
    client.asks("touch k5 0\r\n", "TOUCHED\r\n");
    for key in ["k1", "k2", "k3", "k4", "k5"] {
        let ttl = bench.cache(0).info(key).and_then(|info| info.ttl).expect(key);
        assert!((48..=50).contains(&ttl), "{key}: {ttl:?}");
    }
}

/// Such an item would be served for as long as the route says.
#[test]
fn an_item_that_has_expired_stays_so() {
    let bench = Bench::new(1, "route = { ttl = 'a', max_seconds = 50 }");
    let mut client = bench.client();
    for store in ["set k 0 -1 1\r\nx\r\n", "set k 0 2592001 1\r\nx\r\n"] {
        client.asks(store, "STORED\r\n");
        client.asks("get k\r\n", "END\r\n");
    }
    client.asks("ms k 1 T-1\r\nx\r\nmg k v\r\n", "HD\r\nEN\r\n");
    for (exptime, least, most) in [("5", 3, 5), ("0", 48, 50), ("51", 48, 50)] {
        client.asks(&format!("set k 0 {exptime} 1\r\nx\r\n"), "STORED\r\n");
        let ttl = bench.cache(0).info("k").and_then(|info| info.ttl).expect(exptime);
        assert!((least..=most).contains(&ttl), "{exptime}: {ttl:?}");
    }
}

/// A backend that lies is cut off. Its requests fail, and those of others do not.
#[test]
fn backends_that_break_the_protocol() {
    for lie in [
        "nonsense\r\n",
        "VALUE k 0 5\r\nabc\r\nEND\r\n",
        "STAT pid 1\r\n",
        "END\r\nEND\r\n",
        "VERSION 1\r\n",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                thread::spawn(move || {
                    let mut input = [0; 1000];
                    let _ = socket.read(&mut input);
                    let _ = socket.write_all(b"VERSION 1.0\r\n");
                    let _ = socket.read(&mut input);
                    let _ = socket.write_all(lie.as_bytes());
                });
            }
        });
        let bench = Bench::new(1, "route = 'a'");
        let addresses = [address(&bench.backends[0]).to_string(), at];
        let proxy = proxy(&addresses, "route = { by_prefix = { lie = 'b' }, default = 'a' }");
        let mut client = Client::new(&proxy);
        client.asks("set k 0 0 1\r\nx\r\n", "STORED\r\n");
        let mut other = Client::new(&proxy);
        client.send("get lie1\r\nget lie2\r\n");
        if lie == "END\r\nEND\r\n" {
            client.expect("END\r\nEND\r\n");
        } else {
            client.expect("SERVER_ERROR backend failure\r\nSERVER_ERROR backend failure\r\n");
        }
        other.asks("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
    }
}

/// A client that closes does not disturb the replies of others.
#[test]
fn replies_never_reach_another_client() {
    let bench = Bench::new(1, "route = 'a'");
    bench.cache(0).set("secret", "mine", Ttl::Never).unwrap();
    let late =
        FaultRule { key: Some(b"secret".to_vec()), ..FaultRule::new(Fault::DelayReply(PATIENCE / 100)) };
    bench.cache(0).faults().add(late);
    for _ in 0..20 {
        let mut gone = bench.client();
        gone.send("get secret\r\n");
        drop(gone);
        let mut next = bench.client();
        next.asks("get other\r\n", "END\r\n");
        next.asks("version\r\n", "VERSION ");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_an_error_with_its_line() {
    let text = "pools.a.backends = ['a:1']\nroute = 'b'\n";
    let words = "route: there is no pool or route \"b\"";
    let file = std::env::temp_dir().join(format!("mcrs-mistake-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    for (source, place) in [(text, "proxy: line 2".to_owned()), (path, format!("{path}:2"))] {
        let mut config = ServerConfig::default();
        config.set("proxy", source).unwrap();
        let error = Server::start(config).err().unwrap();
        assert_eq!(error.to_string(), format!("{place}: {words}"));
        let StartError::Proxy(mistake) = error else { panic!("{error:?}") };
        assert_eq!(mistake.line, Some(2));
    }
    std::fs::remove_file(&file).unwrap();
    let gone = ServerConfig { proxy: Some(path.into()), ..ServerConfig::default() };
    let error = Server::start(gone).err().unwrap();
    assert!(error.to_string().starts_with(path), "{error}");
}

/// A program that starts a backend again need not wait until the proxy has found it.
#[test]
fn a_backend_that_is_back_serves_the_next_request() {
    let backend = start(ServerConfig::default());
    let at = address(&backend);
    let text = format!("route = 'a'\n[pools.a]\nbackends = ['{at}']\nretry_ms = 3600000\n");
    let proxy = start(ServerConfig { proxy: Some(text.as_str().into()), ..ServerConfig::default() });
    let mut client = Client::new(&proxy);
    client.asks("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    drop(backend);
    for _ in 0..20 {
        assert!(proxy.settle(PATIENCE));
        client.asks("get k\r\n", "SERVER_ERROR backend failure\r\n");
    }
    let _backend =
        Server::start(ServerConfig { listen: vec![Listen::tcp(at)], ..ServerConfig::default() }).unwrap();
    client.asks("get k\r\n", "SERVER_ERROR backend failure\r\n");
    assert!(proxy.retry_backends());
    client.asks("get k\r\n", "END\r\n");
}

#[test]
fn routes_follow_the_clock_of_the_proxy() {
    let bench = Bench::new(2, "route = { migrate = 'a', to = 'b', start = 4000000000, interval = 60 }");
    let mut client = bench.client();
    client.asks("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    assert!(bench.cache(0).get("k").is_some());
    let clock = bench.proxy.cache().clock();
    clock.freeze();
    clock.advance(4_000_000_060 - clock.unix()).unwrap();
    client.asks("set l 0 0 1\r\nx\r\n", "STORED\r\n");
    assert!(bench.cache(0).get("l").is_none() && bench.cache(1).get("l").is_some());
}

#[test]
fn a_handle_of_a_backend_sees_stores_without_replies() {
    let bench = Bench::new(1, "route = 'a'");
    bench.backends[0].settle_after(&bench.proxy);
    let cache = &bench.backends[0].context().cache;
    let mut client = bench.client();
    for number in 0..100 {
        client.send(&format!("set k{number} 0 0 1 noreply\r\nx\r\n"));
        cache.settle();
        assert!(cache.get(format!("k{number}")).is_some(), "{number}");
    }
}

/// A client that may only read some keys gets no others from backends, however long its get is.
#[test]
fn rights_count_before_any_route() {
    let bench = Bench::new(1, "route = 'a'");
    for key in ["mine", "other"] {
        bench.cache(0).set(key, "x", Ttl::Never).unwrap();
    }
    let users = Passwords::List(vec![(b"ann".to_vec(), b"pw".to_vec())]);
    let server = start(ServerConfig {
        proxy: Some(ProxyConfig::Text(bench.text.clone())),
        auth: Some(AuthConfig { method: AuthMethod::Text, passwords: users }),
        rights: Some("ann ro,prefix=mine".into()),
        ..ServerConfig::default()
    });
    let mut client = Client::new(&server);
    client.asks("get mine\r\n", "CLIENT_ERROR unauthenticated\r\n");
    let mut client = Client::new(&server);
    client.asks("set login 0 0 6\r\nann pw\r\n", "STORED\r\n");
    let found = "VALUE mine 0 1\r\nx\r\n";
    client.asks("get mine\r\n", &format!("{found}END\r\n"));
    client.asks("mg mine v\r\n", "VA 1\r\nx\r\n");
    let refused = "CLIENT_ERROR not permitted\r\n";
    for request in [
        "get other",
        "get mine other",
        "get other mine",
        "mg other v",
        "gat 0 mine",
        "delete mine",
        "set mine 0 0 1\r\ny",
        "ms mine 1\r\ny",
    ] {
        client.asks(&format!("{request}\r\n"), refused);
    }
    // These gets are longer than a line may be, so that their keys are used as they arrive.
    let many = "mine ".repeat(1000);
    client.asks(&format!("get {many}\r\n"), &format!("{}END\r\n", found.repeat(1000)));
    client.asks(&format!("get {many} other {many}\r\nget mine\r\n"), &format!("{refused}{found}END\r\n"));
    assert_eq!(bench.cache(0).get("mine").as_deref(), Some(&b"x"[..]));
}

/// The parser reads 24 tokens of a line. Later ones must not hide a `noreply` from the proxy.
#[test]
fn a_backend_that_is_told_to_be_silent_would_shift_all_replies() {
    let bench = Bench::new(1, "route = 'a'");
    bench.cache(0).set("n", "1", Ttl::Never).unwrap();
    let server = start(ServerConfig::default());
    server.cache().set("n", "1", Ttl::Never).unwrap();
    for tokens in 0..30 {
        let line = format!("incr n 1{} noreply y", " a".repeat(tokens));
        for end in ["", " noreply", " noreply y", " y noreply"] {
            let requests = format!("{line}{end}\r\nget none\r\nversion\r\n");
            let (mut direct, mut client) = (Client::new(&server), bench.client());
            let mut replies = Vec::new();
            for one in [&mut direct, &mut client] {
                one.send(&requests);
                one.send("quit\r\n");
                let mut reply = String::new();
                one.0.read_to_string(&mut reply).unwrap();
                replies.push(reply);
            }
            assert_eq!(replies[0], replies[1], "{line}{end}");
        }
    }
    let long = format!("delete k {}\r\n", "x".repeat(20_000));
    let mut client = bench.client();
    client.asks(&long, "CLIENT_ERROR request too long\r\n");
    client.asks("get none\r\n", "END\r\n");
}

/// A request takes the connection that does not wait for a slow reply.
#[test]
fn several_connections_to_a_backend() {
    let backend = start(ServerConfig::default());
    let late = FaultRule { key: Some(b"late".to_vec()), ..FaultRule::new(Fault::DelayReply(PATIENCE * 2)) };
    backend.cache().faults().add(late);
    let at = address(&backend);
    let text = format!("route = 'a'\n[pools.a]\nbackends = ['{at}']\nconnections = 2\n");
    let proxy = start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() });
    let (mut slow, mut quick) = (Client::new(&proxy), Client::new(&proxy));
    slow.asks("get k\r\n", "END\r\n");
    slow.send("get late\r\n");
    let open = || backend.context().workers.iter().map(|worker| worker.connections.get()).sum::<u64>();
    waiting::eventually("both connections are open", || open() == 2);
    for _ in 0..10 {
        quick.asks("get k\r\n", "END\r\n");
    }
}
