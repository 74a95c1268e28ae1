//! A session answers the same however its input is cut into pieces.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use memcache_core::cache::Cache;
use memcache_core::config::{CacheConfig, MIB, Protocol, ServerConfig};
use memcache_core::context::Context;
use memcache_core::output::Output;
use memcache_core::session::{Env, Next, Session, Step};

fn context() -> Context {
    let config = CacheConfig { memory_limit: 8 * MIB, shards: Some(1), ..CacheConfig::default() };
    let cache: Arc<Cache> = Cache::new(config).expect("a cache");
    cache.clock().freeze();
    Context::new(cache, ServerConfig::default()).expect("a context")
}

/// Feeds `input` in pieces of the sizes that `cuts` says, over and over.
fn talk(input: &[u8], cuts: &[u8]) -> Vec<u8> {
    let context = context();
    let mut session = Session::new(Protocol::Ascii);
    let mut answered = Vec::new();
    let mut sizes = cuts.iter().map(|&cut| usize::from(cut) + 1).cycle();
    let (mut start, mut end) = (0, 0);
    loop {
        let mut out = Output::new();
        let mut env = Env { context: &context, stats: &context.workers[0], fd: 9, budget: 20 };
        let Step { consumed, next } = session.advance(&mut env, &input[start..end], &mut out);
        start += consumed;
        while !out.is_empty() {
            out.write_to(&mut answered).expect("a vector takes all");
        }
        match next {
            Next::Input => {}
            Next::Yield if consumed > 0 => continue,
            Next::Yield => {}
            _ => return answered,
        }
        if end == input.len() {
            return answered;
        }
        end = (end + sizes.next().unwrap_or(usize::MAX / 2)).min(input.len());
    }
}

/// Answers that tell the time or count bytes differ from run to run.
fn tells_all(input: &[u8]) -> bool {
    let has = |word: &[u8]| input.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    !has(b"stats") && !has(b"watch") && !has(b"debug") && !has(b"shutdown") && !has(b"lru_crawler")
}

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, bytes) = input;
    let whole = talk(bytes, &[]);
    let cut = talk(bytes, &cuts);
    if tells_all(bytes) {
        assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&cut));
    }
});
