//! The effect of one client on the others. No step of a session takes long, for any request. All
//! connections together hold a bounded amount of memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod dialogue;
mod waiting;

use std::io::{Read, Write};
use std::net::TcpStream;

use memcache_rs::internal::base::turn;
use memcache_rs::internal::config::MIB;
use memcache_rs::internal::protocol::binary;
use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::{BoundAddress, Cache, CacheConfig, Listen, Protocol, Server, ServerConfig, Ttl};

use dialogue::talk;
use waiting::eventually;

fn context_of(config: ServerConfig) -> ServerState {
    ServerState::new(Cache::new(config.cache.clone()).unwrap(), config).unwrap()
}

fn context() -> ServerState {
    context_of(ServerConfig { threads: 1, ..ServerConfig::default() })
}

/// Returns the number of steps for `input`, and the reply.
fn visits(context: &ServerState, input: &[u8]) -> (usize, Vec<u8>) {
    let (mut session, mut answer) = (Session::new(Protocol::Negotiating), Vec::new());
    let (mut rest, mut visits) = (input, 0);
    loop {
        let mut out = Output::new();
        let mut env = Env::new(context, &context.workers[0], 9, usize::MAX);
        let step = session.advance(&mut env, rest, &mut out);
        visits += 1;
        rest = &rest[step.consumed..];
        assert!(out.len() < 2 * turn::WORK, "{} bytes in one visit", out.len());
        while !out.is_empty() {
            out.write_to(&mut answer).unwrap();
        }
        if step.next != Next::Yield {
            return (visits, answer);
        }
    }
}

fn fill(cache: &Cache, count: usize) {
    for n in 0..count {
        cache.set(format!("prefix{n}:key").as_bytes(), b"value", Ttl::Never).unwrap();
    }
}

#[test]
fn cachedump_looked_at_every_item_in_one_visit() {
    let context = context();
    fill(&context.cache, 50_000);
    // There are items of class 1 or 2, and none of class 20.
    for line in ["stats cachedump 1 0\r\n", "stats cachedump 2 0\r\n", "stats cachedump 20 0\r\n"] {
        let (visits, answer) = visits(&context, line.as_bytes());
        assert!(visits > 2, "{line} took {visits} visits");
        assert!(answer.ends_with(b"END\r\n"));
    }
}

#[test]
fn cachedump_shows_each_item_once_and_no_more_than_asked_for() {
    let context = context();
    fill(&context.cache, 3000);
    let keys = |answer: &[u8]| {
        let lines = answer.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"ITEM "));
        lines.map(|line| line.split(|&byte| byte == b' ').nth(1).unwrap().to_vec()).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for class in 1..=3 {
        let (_, answer) = visits(&context, format!("stats cachedump {class} 0\r\n").as_bytes());
        let shown = keys(&answer);
        let (_, few) = visits(&context, format!("stats cachedump {class} 200\r\n").as_bytes());
        assert_eq!(keys(&few), shown[..shown.len().min(200)]);
        all.extend(shown);
    }
    assert_eq!(all.len(), 3000);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3000);
}

#[test]
fn a_pipeline_of_dear_commands_ran_in_one_visit() {
    let context = context();
    for line in [
        "stats",
        "stats items",
        "stats slabs",
        "stats settings",
        "stats conns",
        "stats sizes",
        "stats detail dump",
        "stats reset",
        "stats cachedump 1 1",
        "flush_all",
        "lru_crawler crawl all",
        "slabs reassign 1 2",
        "lru tune 10 20 0.1 2.0",
        "cache_memlimit 64",
    ] {
        let (visits, answer) = visits(&context, format!("{line}\r\n").repeat(50).as_bytes());
        assert!(visits >= 50, "{line}: {visits} visits for 50");
        assert!(!answer.is_empty());
    }
}

#[test]
fn a_pipeline_of_dear_packets_ran_in_one_visit() {
    const STAT: u8 = 0x10;
    const FLUSH: u8 = 0x08;
    let context = context();
    let packet = |opcode: u8, key: &[u8]| {
        let mut packet = vec![binary::REQUEST, opcode, 0, key.len() as u8, 0, 0, 0, 0];
        packet.extend_from_slice(&(key.len() as u32).to_be_bytes());
        packet.extend_from_slice(&[0; 12]);
        packet.extend_from_slice(key);
        packet
    };
    for (opcode, key) in [(STAT, &b""[..]), (STAT, b"items"), (STAT, b"detail dump"), (FLUSH, b"")] {
        let (visits, answer) = visits(&context, &packet(opcode, key).repeat(50));
        assert!(visits >= 50, "{opcode:x} {key:?}: {visits} visits for 50");
        assert!(!answer.is_empty());
    }
}

#[test]
fn a_list_of_all_prefixes_or_sizes_came_in_one_visit() {
    let cache = CacheConfig { track_sizes: true, item_size_max: 8 * MIB, ..CacheConfig::default() };
    let context = context_of(ServerConfig { cache, threads: 1, ..ServerConfig::default() });
    talk(&context, &mut Session::new(Protocol::Ascii), b"stats detail on\r\n");
    fill(&context.cache, 20_000);
    for n in 0..20_000 {
        context.cache.prefixes().record_set(format!("prefix{n}:key").as_bytes());
    }
    let (turns, answer) = visits(&context, b"stats detail dump\r\n");
    assert!(turns > 4, "{turns} visits");
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("PREFIX prefix").count(), 20_000);
    assert!(answer.ends_with("END\r\n"));
    let (turns, answer) = visits(&context, b"stats sizes\r\n");
    assert!(turns > 2, "{turns} visits");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("STAT ") && answer.ends_with("END\r\n"), "{answer}");
}

#[test]
fn a_long_get_of_keys_that_are_not_there_took_one_visit() {
    let context = context();
    let keys: Vec<_> = (0..20_000).map(|n| format!(" k{n}")).collect();
    let (visits, answer) = visits(&context, format!("get{}\r\n", keys.concat()).as_bytes());
    assert!(visits >= 4, "{visits} visits");
    assert_eq!(answer, b"END\r\n");
}

#[test]
fn a_turn_that_ended_between_them_hid_a_pipeline() {
    let context = context();
    let (_, answer) = visits(&context, b"stats reset\r\nlru_crawler metadump all\r\n");
    assert_eq!(answer, b"RESET\r\nERROR cannot pipeline other commands before metadump\r\n");
}

fn server(configure: impl FnOnce(&mut ServerConfig)) -> (Server, std::net::SocketAddr) {
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let mut config = ServerConfig { listen, threads: 1, ..ServerConfig::default() };
    configure(&mut config);
    let server = Server::start(config).unwrap();
    let &[BoundAddress::Tcp(address)] = server.addresses() else { panic!("one address") };
    (server, address)
}

#[test]
fn unfinished_sets_took_memory_without_bound() {
    let (server, address) = server(|config| {
        config.cache.memory_limit = 16 * MIB;
        config.read_buf_mem_limit = 4 * MIB;
        config.max_connections = 200;
    });
    let beside = server.cache().store().beside();
    let mut clients: Vec<_> = (0..64)
        .map(|n| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(format!("set k{n} 0 0 1000000\r\n").as_bytes()).unwrap();
            client.write_all(&vec![b'x'; 990_000]).unwrap();
            client
        })
        .collect();
    // Each refused client gets an error.
    let mut refused = 0;
    eventually("most are refused", || {
        assert!(beside.held() <= 5 * MIB, "{} bytes", beside.held());
        for client in &mut clients {
            client.set_nonblocking(true).unwrap();
            let mut answer = [0; 64];
            if let Ok(n) = client.read(&mut answer) {
                let answer = String::from_utf8_lossy(&answer[..n]).to_lowercase();
                assert!(answer.starts_with("server_error out of memory "), "{answer}");
                refused += 1;
            }
        }
        refused >= 40
    });
    drop(clients);
    eventually("all is given back", || beside.held() == 0);
}

#[test]
fn partial_requests_took_memory_without_bound() {
    let (server, address) = server(|config| {
        config.read_buf_mem_limit = 64 * 1024;
        config.max_connections = 200;
    });
    let beside = server.cache().store().beside();
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(&[b'x'; 2000]).unwrap();
            client
        })
        .collect();
    let oom = || server.context().workers.iter().map(|worker| worker.read_buf_oom.get()).sum::<u64>();
    eventually("those above the bound are closed", || oom() >= 60);
    assert!(beside.held() <= 64 * 1024, "{} bytes", beside.held());
    drop(clients);
    eventually("all is given back", || beside.held() == 0);
}

#[test]
fn unread_replies_took_memory_without_bound() {
    let (server, address) = server(|config| {
        config.read_buf_mem_limit = 8 * 1024;
        config.max_connections = 200;
    });
    server.cache().set(b"k", [7; 4000], Ttl::Never).unwrap();
    let beside = server.cache().store().beside();
    let request = "get k\r\n".repeat(4000);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            client
        })
        .collect();
    let oom = || server.context().workers.iter().map(|worker| worker.response_obj_oom.get()).sum::<u64>();
    eventually("those above the bound are closed", || oom() > 0);
    eventually("the bound holds", || beside.held() <= 8 * 1024);
    drop(clients);
    eventually("all is given back", || beside.held() == 0);
}

#[test]
fn a_reader_of_large_values_is_cut_off_and_served_to_the_end() {
    let (server, address) = server(|config| config.cache.item_size_max = 16 * MIB);
    let value: Vec<u8> = (0..8 * MIB).map(|n| (n / 1000) as u8).collect();
    server.cache().set(b"k", &value, Ttl::Never).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"get k\r\nget k\r\nquit\r\n").unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    let mut one = format!("VALUE k 0 {}\r\n", value.len()).into_bytes();
    one.extend_from_slice(&value);
    one.extend_from_slice(b"\r\nEND\r\n");
    assert!(all == one.repeat(2));
}
