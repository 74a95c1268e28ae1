//! Memory that clients and settings ask for, where there is none: an error, and the
//! process goes on. The allocator refuses what the calling thread says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::{Cache, CacheConfig, Protocol, ServerConfig, StartError};

thread_local! {
    /// Bytes from which on this thread is refused memory.
    static REFUSED: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn is_refused(size: usize) -> bool {
    REFUSED.try_with(|least| size >= least.get()).unwrap_or(false)
}

struct Refusing;

// SAFETY: an allocator may fail; all else is left to the system's.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_refused(size) {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// Runs `body` while there is no memory of `least` bytes or more.
fn refusing<R>(least: usize, body: impl FnOnce() -> R) -> R {
    REFUSED.set(least);
    let result = body();
    REFUSED.set(usize::MAX);
    result
}

/// A server without sockets, which counts by prefix.
fn context() -> ServerState {
    let cache = CacheConfig { detail_enabled: true, ..CacheConfig::default() };
    let config = ServerConfig { cache, cluster: vec!["a:1".parse().unwrap()], ..ServerConfig::default() };
    ServerState::new(Cache::new(config.cache.clone()).unwrap(), config).unwrap()
}

/// Returns the replies of a session to `text` while allocations of `least` bytes or more fail. The
/// replies themselves have memory.
fn answers(context: &ServerState, protocol: Protocol, least: usize, text: &[u8]) -> Vec<u8> {
    let mut output = Output::new();
    output.bytes().reserve(1 << 20);
    refusing(least, || advance(context, protocol, text, &mut output));
    output.bytes().clone()
}

fn advance(context: &ServerState, protocol: Protocol, text: &[u8], output: &mut Output) {
    let mut session = Session::new(protocol);
    let mut used = 0;
    loop {
        let mut env = Env::new(context, &context.workers[0], 0, 100);
        let step = session.advance(&mut env, &text[used..], output);
        used += step.consumed;
        match step.next {
            Next::Yield => {}
            _ if step.consumed == 0 || used == text.len() => return,
            _ => {}
        }
    }
}

#[test]
fn a_table_of_sizes_ended_the_process() {
    let config = CacheConfig {
        track_sizes: true,
        item_size_max: 256 * MIB,
        memory_limit: 1024 * MIB,
        ..CacheConfig::default()
    };
    let made = refusing(16 * MIB, || Cache::new(config.clone()).map(drop));
    assert!(matches!(made, Err(StartError::Memory(_))), "{made:?}");
    Cache::new(config).unwrap();
}

#[test]
fn an_uploaded_list_of_nodes_ended_the_process() {
    let context = context();
    let mut text = b"config set cluster 0 50000\r\n".to_vec();
    text.resize(text.len() + 50_000, b'x');
    text.extend_from_slice(b"\r\nmn\r\n");
    let answer = answers(&context, Protocol::Ascii, 32 * 1024, &text);
    assert_eq!(String::from_utf8_lossy(&answer), "SERVER_ERROR out of memory storing object\r\nMN\r\n");
    assert_eq!(answers(&context, Protocol::Ascii, usize::MAX, &text), b"STORED\r\nMN\r\n");
    assert_eq!(context.cluster.get().unwrap().1.len(), 50_000);
}

/// Counts 4,000 prefixes, which take more than 100 KB in the table and in a dump.
fn count_prefixes(cache: &Arc<Cache>) {
    (0..4000).for_each(|n| cache.prefixes().record_set(format!("prefix{n}:key").as_bytes()));
}

fn prefixes(cache: &Cache) -> usize {
    let mut count = 0;
    cache.prefixes().each(0, usize::MAX, |_, _| count += 1);
    count
}

#[test]
fn a_count_of_a_prefix_ended_the_process() {
    let context = context();
    refusing(64 * 1024, || count_prefixes(&context.cache));
    let counted = prefixes(&context.cache);
    assert!((1..4000).contains(&counted), "{counted}");
    count_prefixes(&context.cache);
    assert_eq!(prefixes(&context.cache), 4000);
}

#[test]
fn a_dump_of_prefixes_ended_the_process() {
    const SORRY: &[u8] = b"SERVER_ERROR Out of memory generating stats";
    let context = context();
    count_prefixes(&context.cache);
    // `stat` of the binary protocol, with the key "detail dump".
    let mut packet = vec![0x80, 0x10, 0, 11, 0, 0, 0, 0, 0, 0, 0, 11];
    packet.extend([0; 12]);
    packet.extend_from_slice(b"detail dump");
    let whole = answers(&context, Protocol::Binary, usize::MAX, &packet);
    assert!(whole.len() > 100_000 && !whole.windows(SORRY.len()).any(|part| part == SORRY));
    let refused = answers(&context, Protocol::Binary, 96 * 1024, &packet);
    assert_eq!((&refused[..2], &refused[6..8]), (&[0x81, 0x10][..], &[0, 0x82][..]));
    assert_eq!(&refused[24..], SORRY);
}
