//! Hot keys, durations, and ages of evicted items, as a program and a client see them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dialogue;

use std::collections::BTreeMap;
use std::sync::Arc;

use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::{Cache, CacheConfig, CommandClass, HotKeys, Protocol, ServerConfig, Ttl};

fn cache(sample_rate: u32) -> Arc<Cache> {
    let config = CacheConfig { sample_rate, clock_frozen: true, ..CacheConfig::default() };
    Cache::new(config).unwrap()
}

/// A server without sockets, and a client of it.
struct Dialogue {
    server: ServerState,
    session: Session,
    unused: Vec<u8>,
}

impl Dialogue {
    fn new(config: ServerConfig) -> Self {
        let cache = Cache::new(config.cache.clone()).unwrap();
        let server = ServerState::new(cache, ServerConfig { threads: 1, ..config }).unwrap();
        Self { server, session: Session::new(Protocol::Negotiating), unused: Vec::new() }
    }

    /// Begins with a frozen clock, and samples one of `sample_rate` requests.
    fn sampling(sample_rate: u32) -> Self {
        let cache = CacheConfig { sample_rate, clock_frozen: true, ..CacheConfig::default() };
        Self::new(ServerConfig { cache, ..ServerConfig::default() })
    }

    fn say(&mut self, input: impl AsRef<[u8]>) -> String {
        let (answer, _) = dialogue::talk(&self.server, &mut self.session, input.as_ref());
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a part of a request. Keeps what the session does not use yet, as a connection does.
    fn feed(&mut self, part: impl AsRef<[u8]>) {
        self.unused.extend_from_slice(part.as_ref());
        let mut env = Env::new(&self.server, &self.server.workers[0], 9, 256);
        let step = self.session.advance(&mut env, &self.unused, &mut Output::new());
        self.unused.drain(..step.consumed);
    }

    /// Returns the numbers of requests of all classes whose durations are known.
    fn durations(&self) -> BTreeMap<&'static str, u64> {
        let counts = CommandClass::ALL.map(|class| (class.name(), self.server.latency.of(class).count()));
        counts.into_iter().filter(|&(_, count)| count > 0).collect()
    }
}

/// Returns keys with their reads and writes, in ascending order.
fn counts(hot: &HotKeys) -> Vec<(String, u64, u64)> {
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let mut counts: Vec<_> = hot.keys.iter().map(|key| (text(&key.key), key.reads, key.writes)).collect();
    counts.sort();
    counts
}

/// Numbers with the distribution of Zipf.
struct Zipf {
    sums: Vec<f64>,
    random: u64,
}

impl Zipf {
    fn new(keys: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| (rank as f64).powf(-skew));
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect(), random: 7 }
    }

    fn next(&mut self) -> usize {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let random = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        let at = random * self.sums.last().unwrap();
        self.sums.partition_point(|&sum| sum < at)
    }
}

/// Checks the ten hottest keys of a load against an exact count. `most` is the largest error of a
/// count, as a part of it.
fn check_zipf(skew: f64, sample_rate: u32, requests: u32, most: f64) {
    let cache = cache(sample_rate);
    let (mut zipf, mut exact) = (Zipf::new(100_000, skew), vec![0_u32; 100_000]);
    for _ in 0..requests {
        let key = zipf.next();
        exact[key] += 1;
        cache.get(format!("key{key}"));
    }
    let mut by_count: Vec<(usize, u32)> = exact.into_iter().enumerate().collect();
    by_count.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let hot = cache.hot_keys(40);
    for &(key, count) in &by_count[..10] {
        let name = format!("key{key}");
        let found = hot.keys.iter().find(|hot| hot.key == name.as_bytes());
        let reads = found.map_or(0.0, |found| found.reads as f64);
        let error = (reads - f64::from(count)).abs() / f64::from(count);
        assert!(error <= most, "skew {skew}, 1 of {sample_rate}: {name} has {count}, found {reads}");
    }
}

#[test]
fn the_ten_hottest_keys_of_a_zipf_load_are_found_within_a_tenth() {
    for skew in [0.9, 1.0, 1.2, 1.5] {
        check_zipf(skew, 1, 100_000, 0.1);
    }
}

/// Each of the ten has at least 1,300 samples, so 15% are more than 5 standard deviations.
#[test]
fn samples_find_the_hottest_keys_as_an_exact_count_does() {
    check_zipf(1.2, 4, 400_000, 0.15);
}

#[test]
fn requests_of_the_program_are_counted() {
    let cache = cache(1);
    cache.set("a", "1", Ttl::Never).unwrap();
    cache.incr("a", 1).unwrap();
    cache.touch("a", Ttl::Never);
    cache.get_many(&["a", "b", ""], |_, _| ());
    cache.get("a");
    cache.delete("b");
    cache.info("c");
    let hot = cache.hot_keys(10);
    assert_eq!(counts(&hot), [("a".into(), 2, 3), ("b".into(), 1, 1)]);
    assert_eq!((hot.requests, hot.sample_rate), (7, 1));
    let shares: f64 = hot.keys.iter().map(|key| key.share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    assert_eq!(cache.hot_keys(1).keys.len(), 1);
}

#[test]
fn without_samples_there_are_no_hot_keys() {
    let cache = cache(0);
    for _ in 0..1000 {
        cache.get("a");
    }
    assert_eq!(cache.hot_keys(10), HotKeys { window_seconds: 1, ..HotKeys::default() });
}

#[test]
fn a_key_that_is_hot_now_is_found_and_a_former_one_leaves() {
    let mut client = Dialogue::sampling(1);
    let clock = Arc::clone(client.server.cache.clock());
    let found = |client: &Dialogue| counts(&client.server.cache.hot_keys(10));
    for _ in 0..5 {
        client.say("get old\r\n".repeat(1000));
        clock.advance(1).unwrap();
    }
    // In the second in which it becomes hot.
    client.say("get new\r\n".repeat(3000));
    assert_eq!(found(&client), [("new".into(), 3000, 0), ("old".into(), 3000, 0)]);
    clock.advance(1).unwrap();
    client.say("get new\r\n".repeat(3000));
    clock.advance(1).unwrap();
    assert_eq!(client.server.cache.hot_keys(1).keys[0].key, b"new");
    clock.advance(1).unwrap();
    assert_eq!(found(&client), [("new".into(), 3000, 0)]);
    clock.advance(4).unwrap();
    assert_eq!(found(&client), []);
    // A clock that is moved back.
    client.say("get new\r\n");
    clock.advance(-3600).unwrap();
    assert_eq!(found(&client), []);
    client.say("get new\r\n");
    assert_eq!(found(&client), [("new".into(), 1, 0)]);
}

#[test]
fn each_command_is_counted_once_with_its_class() {
    let mut client = Dialogue::sampling(1);
    let lines = "set a 0 0 1\r\n1\r\nms a 1\r\n1\r\nget a b\r\ngat 100 a\r\nmg a v\r\nme a\r\ntouch a 100\r\n\
                 incr a 1\r\nma a\r\ndelete b\r\nmd b\r\nversion\r\nget a\r\n";
    client.say(lines);
    let classes = [("arithmetic", 2), ("delete", 2), ("get", 5), ("other", 1), ("set", 2), ("touch", 1)];
    assert_eq!(client.durations(), classes.into());
    let hot = client.server.cache.hot_keys(10);
    assert_eq!(counts(&hot), [("a".into(), 5, 5), ("b".into(), 1, 2)]);
}

#[test]
fn packets_are_counted_once_with_their_class() {
    let mut client = Dialogue::sampling(1);
    let packet = |opcode: u8, extras: &[u8], value: &[u8]| {
        let mut packet = vec![0x80, opcode, 0, 1, extras.len() as u8, 0, 0, 0];
        packet.extend(((extras.len() + 1 + value.len()) as u32).to_be_bytes());
        packet.extend([0; 12]);
        [&packet, extras, b"a", value].concat()
    };
    client.say(packet(1, &[0; 8], b"1"));
    client.say(packet(0, &[], b""));
    client.say(packet(5, &[0; 20], b""));
    client.say(packet(4, &[], b""));
    client.say([&[0x80, 11], &[0; 22][..]].concat());
    assert_eq!(
        client.durations(),
        [("arithmetic", 1), ("delete", 1), ("get", 1), ("other", 1), ("set", 1)].into()
    );
    assert_eq!(counts(&client.server.cache.hot_keys(10)), [("a".into(), 1, 3)]);
}

#[test]
fn a_request_in_parts_is_counted_once() {
    let mut client = Dialogue::sampling(1);
    for part in ["set a 0 0 4\r\n", "va", "lu", "\r\n", "get a", " b\r", "\n"] {
        client.feed(part);
    }
    let mut keys: Vec<String> = (0..1000).map(|n| format!("key{n:04}")).collect();
    let line = format!("get {}\r\n", keys.join(" "));
    for part in line.as_bytes().chunks(3000) {
        client.feed(part);
    }
    assert_eq!(client.durations(), [("get", 2), ("set", 1)].into());
    keys.extend(["a".into(), "b".into()]);
    let hot = client.server.cache.hot_keys(2000);
    assert_eq!(hot.requests, 1003);
    // The sketch has fewer entries than there are keys.
    assert!(counts(&hot).iter().all(|(key, reads, _)| *reads == 1 && keys.contains(key)));
}

#[test]
fn one_of_many_requests_is_looked_at() {
    let mut client = Dialogue::sampling(16);
    for _ in 0..100 {
        client.say("get a\r\n".repeat(160));
    }
    // 1,000 samples are expected. The bounds are 6 standard deviations from that.
    let count = client.durations()["get"];
    assert!((810..1190).contains(&count), "{count}");
    assert_eq!(counts(&client.server.cache.hot_keys(1)), [("a".into(), 16 * count, 0)]);
}

#[test]
fn stats_show_and_reset_samples() {
    let mut client = Dialogue::sampling(1);
    client.say("get a%b\r\n".repeat(2));
    client.say("set c 0 0 1\r\n1\r\n");
    let header = "STAT window_seconds 1\r\nSTAT sample_rate 1\r\nSTAT requests 3\r\n";
    let first = "STAT 1:key a%25b\r\nSTAT 1:reads 2\r\nSTAT 1:writes 0\r\nSTAT 1:error 0\r\n";
    let second = "STAT 2:key c\r\nSTAT 2:reads 0\r\nSTAT 2:writes 1\r\nSTAT 2:error 0\r\n";
    assert_eq!(client.say("stats hotkeys\r\n"), format!("{header}{first}{second}END\r\n"));
    assert_eq!(client.say("stats hotkeys 1\r\n"), format!("{header}{first}END\r\n"));
    assert_eq!(client.say("stats hotkeys x\r\n"), "CLIENT_ERROR bad command line format\r\n");
    let latency = client.say("stats latency\r\n");
    let lines: Vec<&str> = latency.lines().collect();
    assert_eq!(lines[..2], ["STAT sample_rate 1", "STAT get:count 2"]);
    assert!(lines[2].starts_with("STAT get:sum_ns "));
    assert!(lines.contains(&"STAT set:count 1") && lines.contains(&"STAT set:le_1000000000 1"));
    assert_eq!(client.say("stats reset\r\n"), "RESET\r\n");
    assert!(client.say("stats hotkeys\r\n").contains("STAT requests 0\r\nEND\r\n"));
    // The command `stats reset` itself ended after the reset.
    assert!(client.durations().keys().all(|&name| name == "other"));
}

#[test]
fn a_client_that_may_not_dump_keys_sees_no_hot_keys() {
    let config = ServerConfig { dump_enabled: false, ..ServerConfig::default() };
    let mut client = Dialogue::new(config);
    assert_eq!(client.say("stats hotkeys\r\n"), "CLIENT_ERROR stats hotkeys not allowed\r\n");
    assert!(client.say("stats latency\r\n").starts_with("STAT sample_rate 128\r\n"));
}

#[test]
fn evicted_items_have_ages() {
    let config = CacheConfig { memory_limit: 4 << 20, clock_frozen: true, ..CacheConfig::default() };
    let cache = Cache::new(config).unwrap();
    let store = |from: u32, to: u32| {
        for n in from..to {
            cache.set(format!("key{n}"), [0; 1000], Ttl::Never).unwrap();
        }
    };
    store(0, 1000);
    assert_eq!(cache.evicted_ages().count(), 0);
    cache.clock().advance(100).unwrap();
    store(1000, 9000);
    let ages = cache.evicted_ages();
    assert_eq!(ages.count(), cache.store().totals().class_sum().evicted);
    let buckets: BTreeMap<u64, u64> = ages.buckets().collect();
    let old = buckets[&128] - buckets[&64];
    assert!(old > 0 && old <= 1000, "{buckets:?}");
    assert_eq!((buckets[&128], ages.sum()), (ages.count(), 100 * old));
    cache.reset_stats();
    assert_eq!(cache.evicted_ages().count(), 0);
}

#[test]
fn prefixes_have_counts() {
    let cache = cache(0);
    assert_eq!(cache.prefix_counts(), []);
    cache.prefixes().enable(true);
    cache.get("user:1");
    cache.delete("user:2");
    let [user] = &cache.prefix_counts()[..] else { panic!("one prefix") };
    assert_eq!((&user.prefix[..], user.gets, user.hits, user.sets, user.deletes), (&b"user"[..], 1, 0, 0, 1));
}
