//! `bench instructions`: runs one operation a given number of times and does nothing else.
//!
//! `scripts/instructions.py` counts the instructions of two such runs. They use one thread, a
//! frozen clock and one shard, so they differ only in the random key of the hash.

mod proxy;
mod sizes;

use std::hint::black_box;

use memcache_core::internal::config::MIB;
use memcache_core::internal::protocol::output::Output;
use memcache_core::internal::session::{Env, Session};
use memcache_core::internal::state::ServerState;
use memcache_core::{Cache, CacheConfig, Protocol, ServerConfig, Ttl};

use crate::error::{Error, Result};

use sizes::{GROUP, KEYS, VALUE};

/// Run one operation many times, to count its instructions with callgrind.
#[derive(Debug, clap::Args)]
pub struct Instructions {
    /// The operation. `list` prints the names of all.
    operation: String,
    /// Number of times to run it.
    #[arg(default_value_t = 0)]
    count: usize,
}

/// Appends the request for a key to the input of a session.
type Requests = fn(&mut Vec<u8>, key: &str);

/// The operations over a session: name, protocol, number of requests in one read, request.
const SESSIONS: [(&str, Protocol, usize, Requests); 8] = [
    ("text get", Protocol::Ascii, 1, |to, key| to.extend(format!("get {key}\r\n").bytes())),
    ("text get, pipelined", Protocol::Ascii, GROUP, |to, key| to.extend(format!("get {key}\r\n").bytes())),
    ("text set", Protocol::Ascii, 1, |to, key| {
        to.extend(format!("set {key} 0 0 {VALUE}\r\n{}\r\n", "v".repeat(VALUE)).bytes());
    }),
    ("text incr", Protocol::Ascii, 1, |to, key| to.extend(format!("incr n{key} 1\r\n").bytes())),
    ("meta get", Protocol::Ascii, 1, |to, key| to.extend(format!("mg {key} v\r\n").bytes())),
    ("meta set", Protocol::Ascii, 1, |to, key| {
        to.extend(format!("ms {key} {VALUE}\r\n{}\r\n", "v".repeat(VALUE)).bytes());
    }),
    ("binary get", Protocol::Binary, 1, |to, key| packet(to, 0, &[], key, &[])),
    ("binary set", Protocol::Binary, 1, |to, key| packet(to, 1, &[0; 8], key, &[b'v'; VALUE])),
];

/// Runs an operation on each of some keys.
type OnKeys = fn(&Cache, &[String]);

/// The operations on a cache in this process.
const CACHES: [(&str, OnKeys); 4] = [
    ("cache get", |cache, keys| {
        for key in keys {
            black_box(cache.get(black_box(key)));
        }
    }),
    ("cache get_many, a key", |cache, keys| {
        cache.get_many(keys, |_, value| {
            black_box(value);
        });
    }),
    ("cache set", |cache, keys| {
        for key in keys {
            let _ = black_box(cache.set(key, [b'v'; VALUE], Ttl::Never));
        }
    }),
    ("cache incr", |cache, keys| {
        for key in keys {
            let _ = black_box(cache.incr(format!("n{key}"), 1));
        }
    }),
];

/// Appends a request of the binary protocol.
fn packet(to: &mut Vec<u8>, opcode: u8, extras: &[u8], key: &str, value: &[u8]) {
    let body = (extras.len() + key.len() + value.len()) as u32;
    to.extend([0x80, opcode]);
    to.extend((key.len() as u16).to_be_bytes());
    to.extend([extras.len() as u8, 0, 0, 0]);
    to.extend(body.to_be_bytes());
    to.extend([0; 12]);
    to.extend([extras, key.as_bytes(), value].concat());
}

/// Runs an operation, or prints the names of all.
///
/// # Errors
/// If no operation has this name, or memory is exhausted.
pub fn run(arguments: &Instructions) -> Result<()> {
    if arguments.operation == "list" {
        let own = SESSIONS.iter().map(|(name, ..)| *name).chain(CACHES.iter().map(|(name, _)| *name));
        own.chain(proxy::names()).for_each(|name| println!("{name}"));
        return Ok(());
    }
    let config = CacheConfig {
        memory_limit: 64 * MIB,
        shards: Some(1),
        lru_maintainer: false,
        clock_frozen: true,
        ..CacheConfig::default()
    };
    let cache = Cache::new(config).map_err(|error| Error::Malformed(error.to_string()))?;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key-{number:06}")).collect();
    for key in &keys {
        // Fetch each item several times, because the first fetches change it.
        let stored = cache.set(key, [b'v'; VALUE], Ttl::Never).and(cache.set(
            format!("n{key}"),
            "10000000",
            Ttl::Never,
        ));
        stored.map_err(|error| Error::Malformed(error.to_string()))?;
        (0..16).for_each(|_| drop(cache.get(key)));
    }
    if let Some((.., group)) = CACHES.iter().find(|(name, _)| *name == arguments.operation) {
        for chunk in (0..arguments.count).step_by(GROUP) {
            let first = chunk % (KEYS - GROUP);
            group(&cache, &keys[first..first + GROUP.min(arguments.count - chunk)]);
        }
        return Ok(());
    }
    if proxy::run(&arguments.operation, arguments.count, &cache, &keys)? {
        return Ok(());
    }
    let Some(&(_, protocol, many, request)) = SESSIONS.iter().find(|(name, ..)| *name == arguments.operation)
    else {
        return Err(Error::Malformed(format!("unknown operation {:?}; see `list`", arguments.operation)));
    };
    let state = ServerState::new(cache, ServerConfig { threads: 1, ..ServerConfig::default() })
        .map_err(|error| Error::Malformed(error.to_string()))?;
    let inputs: Vec<Vec<u8>> = keys
        .chunks_exact(many)
        .map(|keys| {
            let mut input = Vec::new();
            keys.iter().for_each(|key| request(&mut input, key));
            input
        })
        .collect();
    let Some(worker) = state.workers.first() else { return Ok(()) };
    let mut session = Session::new(protocol);
    let mut out = Output::new();
    for number in 0..arguments.count / many {
        let input = &inputs[number % inputs.len()];
        let mut env = Env::new(&state, worker, 9, 64);
        let step = session.advance(&mut env, input, &mut out);
        if step.consumed != input.len() || out.is_empty() {
            return Err(Error::Malformed(format!("{} was not answered", arguments.operation)));
        }
        out.clear(usize::MAX);
    }
    Ok(())
}
