//! The local cache of hot keys in a proxy: single flight, invalidation, and its bounds in time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use memcache_rs::{Cache, Fault, FaultRule, FaultRuleId, Listen, ProxyConfig, Server, ServerConfig, Ttl};
use proxying::{Client, address, start};
use waiting::{PATIENCE, eventually};

struct Bench {
    backend: Server,
    proxy: Server,
}

impl Bench {
    fn new(hot: &str, threads: usize) -> Self {
        let backend = start(ServerConfig::default());
        let text = format!(
            "route = {{ by_prefix = {{ cold = 'a' }}, default = {{ hot = 'a', {hot} }} }}\n\
             [pools.a]\nbackends = ['{}']\nread_timeout_ms = 3600000\n",
            address(&backend)
        );
        let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
        let proxy = Some(ProxyConfig::Text(text));
        let proxy =
            Server::start(ServerConfig { proxy, listen, threads, ..ServerConfig::default() }).unwrap();
        Self { backend, proxy }
    }

    fn cache(&self) -> &Cache {
        self.backend.cache()
    }

    fn client(&self) -> Client {
        Client::new(&self.proxy)
    }

    /// Returns the reads that the backend has carried out.
    fn reads(&self) -> u64 {
        let mut client = Client::new(&self.backend);
        client.send("stats\r\n");
        let mut reads = 0;
        loop {
            let line = client.line();
            if let Some(count) = line.strip_prefix("STAT cmd_get ") {
                reads = count.trim().parse().unwrap();
            }
            if line == "END\r\n" {
                return reads;
            }
        }
    }

    /// Delays the replies of the backend to reads of `k`, which it carries out.
    fn hold_reads(&self) -> FaultRuleId {
        let rule = FaultRule {
            key: Some(b"k".to_vec()),
            command: Some("mg".into()),
            times: Some(1),
            ..FaultRule::new(Fault::DelayReply(PATIENCE / 100))
        };
        self.cache().faults().add(rule)
    }
}

#[test]
fn a_hot_key_is_read_from_the_backend_once() {
    let bench = Bench::new("at_least = 1, ttl_ms = 60000", 1);
    bench.cache().set("k", "x", Ttl::Never).unwrap();
    let mut client = bench.client();
    for _ in 0..50 {
        client.asks("get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
        client.asks("get k k none\r\n", "VALUE k 0 1\r\nx\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
        client.asks("mg k v k s f O7\r\n", "VA 1 kk s1 f0 O7\r\nx\r\n");
        client.asks("mg k v q\r\nmn\r\n", "VA 1\r\nx\r\nMN\r\n");
        client.asks("mg k\r\n", "HD\r\n");
    }
    client.send("gets k\r\n");
    assert!(client.line().starts_with("VALUE k 0 1 "));
    client.expect("x\r\nEND\r\n");
    // A miss is not kept.
    assert_eq!(bench.reads(), 1 + 50);
    // These ask the backend.
    client.asks("mg k h v\r\n", "VA 1 h1\r\nx\r\n");
    client.asks("mg aw== b v\r\n", "VA 1\r\nx\r\n");
    client.asks("gat 0 k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n");
    // The last one counts as a touch.
    assert_eq!(bench.reads(), 1 + 50 + 2);
}

/// Requests for a key that is being fetched wait for that fetch, of hits and of misses.
#[test]
fn requests_share_a_fetch() {
    for stored in [true, false] {
        let bench = Bench::new("at_least = 1", 1);
        if stored {
            bench.cache().set("k", "x", Ttl::Never).unwrap();
        }
        bench.hold_reads();
        let mut clients: Vec<Client> = (0..50).map(|_| bench.client()).collect();
        for client in &mut clients {
            client.send("get k\r\n");
        }
        let reply = if stored { "VALUE k 0 1\r\nx\r\nEND\r\n" } else { "END\r\n" };
        for client in &mut clients {
            client.expect(reply);
        }
        assert_eq!(bench.reads(), 1, "{stored}");
    }
}

/// A fetch that fails, fails for all that wait.
#[test]
fn a_failed_fetch_fails_for_all() {
    let bench = Bench::new("at_least = 1", 1);
    let command = Some("mg".into());
    let busy = FaultRule { times: Some(1), command, ..FaultRule::new(Fault::Error("busy".into())) };
    bench.cache().faults().add(busy);
    let mut clients: Vec<Client> = (0..3).map(|_| bench.client()).collect();
    clients.iter_mut().for_each(|client| client.send("get k\r\n"));
    let replies: Vec<String> = clients.iter_mut().map(Client::line).collect();
    assert!(replies.contains(&"SERVER_ERROR busy\r\n".into()), "{replies:?}");
    for mut client in clients {
        client.asks("get k\r\n", "END\r\n");
    }
}

/// Each kind of write removes the key, for the clients of all workers.
#[test]
fn a_write_removes_the_key_on_all_workers() {
    let bench = Bench::new("at_least = 1, ttl_ms = 60000", 3);
    let mut clients: Vec<Client> = (0..3).map(|_| bench.client()).collect();
    for (write, reply) in [
        ("set k 0 0 1\r\n1", "STORED\r\n"),
        ("set k 0 0 1 noreply\r\n2\r\nget none", "END\r\n"),
        ("incr k 5", "7\r\n"),
        ("append k 0 0 1\r\n0", "STORED\r\n"),
        ("ms k 1\r\n5", "HD\r\n"),
        ("ma k", "HD\r\n"),
        ("ms aw== 1 b\r\n9", "HD\r\n"),
        ("touch k 0", "TOUCHED\r\n"),
        ("delete k", "DELETED\r\n"),
    ] {
        for writer in 0..3 {
            bench.cache().set("k", "2", Ttl::Never).unwrap();
            for client in &mut clients {
                client.send("get k\r\n");
                while client.line() != "END\r\n" {}
            }
            clients[writer].send(&format!("{write}\r\n"));
            let got = clients[writer].line();
            assert!(got == reply || write.starts_with("incr"), "{write}: {got}");
            let expected = match bench.cache().get("k") {
                Some(value) => {
                    let value = String::from_utf8(value.clone()).unwrap();
                    format!("VALUE k 0 {}\r\n{value}\r\nEND\r\n", value.len())
                }
                None => "END\r\n".into(),
            };
            for client in &mut clients {
                client.asks("get k\r\n", &expected);
            }
        }
    }
}

/// The backend has carried out the fetch before the delete. Its reply comes afterwards.
#[test]
fn no_old_value_after_a_delete_during_a_fetch() {
    let bench = Bench::new("at_least = 1, ttl_ms = 60000", 2);
    bench.cache().set("k", "old", Ttl::Never).unwrap();
    let mut clients: Vec<Client> = (0..4).map(|_| bench.client()).collect();
    bench.hold_reads();
    let [reader, other, writer, last] = &mut clients[..] else { panic!("four clients") };
    reader.send("get k\r\n");
    eventually("the backend has read the key", || bench.reads() == 1);
    writer.asks("delete k\r\n", "DELETED\r\n");
    // They do not join the fetch that is under way.
    other.asks("get k\r\n", "END\r\n");
    last.asks("get k\r\n", "END\r\n");
    reader.expect("VALUE k 0 3\r\nold\r\nEND\r\n");
    for client in [other, last, writer, reader] {
        client.asks("get k\r\n", "END\r\n");
    }
}

/// Writes of others are seen after the time, and keys that are not asked for often are not kept.
#[test]
fn items_are_kept_for_a_short_time_and_if_they_are_hot() {
    let bench = Bench::new("at_least = 1000000, ttl_ms = 60000", 1);
    let mut client = bench.client();
    for n in 0..20 {
        bench.cache().set("k", format!("{n:02}"), Ttl::Never).unwrap();
        client.asks("get k\r\n", &format!("VALUE k 0 2\r\n{n:02}\r\nEND\r\n"));
    }
    let bench = Bench::new("at_least = 1, ttl_ms = 20", 1);
    let mut client = bench.client();
    bench.cache().set("k", "1", Ttl::Never).unwrap();
    client.asks("get k\r\n", "VALUE k 0 1\r\n1\r\nEND\r\n");
    bench.cache().set("k", "2", Ttl::Never).unwrap();
    eventually("the new value is read", || {
        client.send("get k\r\n");
        client.line();
        let value = client.line();
        client.expect("END\r\n");
        value == "2\r\n"
    });
    bench.cache().set("cold", "1", Ttl::Never).unwrap();
    client.asks("get cold\r\n", "VALUE cold 0 1\r\n1\r\nEND\r\n");
    bench.cache().set("cold", "2", Ttl::Never).unwrap();
    client.asks("get cold\r\n", "VALUE cold 0 1\r\n2\r\nEND\r\n");
}
