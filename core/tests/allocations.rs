//! In steady state no request allocates: not in process, not through a session, and not in a worker
//! of a server. The allocator counts per thread, so clients and the background thread do not
//! matter.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::{BoundAddress, Cache, CacheConfig, Listen, Protocol, Server, ServerConfig, TlsMode, Ttl};

/// Number of threads that have a counter of their own.
const THREADS: usize = 1024;

static TABLE: [(AtomicI32, AtomicU64); THREADS] = [const { (AtomicI32::new(0), AtomicU64::new(0)) }; THREADS];

thread_local! {
    /// This thread's index in the table, plus one.
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// Returns the index of the calling thread. Threads beyond the table share the last one.
fn place() -> usize {
    PLACE.with(|place| {
        if place.get() == 0 {
            // SAFETY: takes nothing and cannot fail.
            let thread = unsafe { libc::gettid() };
            let free =
                |(owner, _): &(AtomicI32, _)| owner.compare_exchange(0, thread, Relaxed, Relaxed).is_ok();
            place.set(TABLE.iter().position(free).unwrap_or(THREADS - 1) + 1);
        }
        place.get() - 1
    })
}

/// The system's allocator, with a counter for each thread.
struct Counting;

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TABLE[place()].1.fetch_add(1, Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        TABLE[place()].1.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        TABLE[place()].1.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the number of allocations of the calling thread.
fn own() -> u64 {
    TABLE[place()].1.load(Relaxed)
}

/// Returns the number of allocations of thread `id`. Returns 0 if it has made none.
fn of(id: i32) -> u64 {
    TABLE.iter().find(|(owner, _)| owner.load(Relaxed) == id).map_or(0, |(_, count)| count.load(Relaxed))
}

/// Returns the settings of a cache that is small enough to be full soon.
fn config() -> CacheConfig {
    CacheConfig { memory_limit: 8 * MIB, concurrency: 1, ..CacheConfig::default() }
}

/// Returns the size of value `n`. Sizes change with every store and have all magnitudes up to 4
/// KiB.
fn size(n: u64) -> usize {
    let scale = 32 << (n % 8);
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize % scale
}

/// Requests of one kind. The function appends request number `n` to the buffer.
type Kind = (&'static str, fn(u64, &mut Vec<u8>));

const VALUE: [u8; 4096] = [b'x'; 4096];

fn put_set(out: &mut Vec<u8>, key: std::fmt::Arguments<'_>, size: usize) {
    write!(out, "set {key} 0 0 {size}\r\n").unwrap();
    out.extend_from_slice(&VALUE[..size]);
    out.extend_from_slice(b"\r\n");
}

const GET_OF_50: Kind = ("get of 50 keys", |n, out| {
    out.extend_from_slice(b"get");
    (0..50).for_each(|key| write!(out, " k{}", (n + key * 21) % 1000).unwrap());
    out.extend_from_slice(b"\r\n");
});

const KINDS: [Kind; 9] = [
    ("get", |n, out| write!(out, "get k{}\r\n", n % 1000).unwrap()),
    ("set of the same size", |n, out| put_set(out, format_args!("k{}", n % 1000), 100)),
    ("set of changing sizes", |n, out| put_set(out, format_args!("k{}", n % 1000), size(n))),
    ("set with evictions", |n, out| put_set(out, format_args!("e{n}"), 100)),
    ("set of changing sizes with evictions", |n, out| put_set(out, format_args!("c{n}"), size(n))),
    GET_OF_50,
    ("mg", |n, out| write!(out, "mg k{} s v t f c k O{n}\r\n", n % 1000).unwrap()),
    ("ms", |n, out| {
        let size = size(n);
        write!(out, "ms k{} {size} T0 c\r\n", n % 1000).unwrap();
        out.extend_from_slice(&VALUE[..size]);
        out.extend_from_slice(b"\r\n");
    }),
    ("delete and set", |n, out| {
        write!(out, "delete k{}\r\n", n % 1000).unwrap();
        put_set(out, format_args!("k{}", n % 1000), size(n));
    }),
];

fn put_packet(out: &mut Vec<u8>, opcode: u8, extras: &[u8], key: u64, value: &[u8]) {
    let mut digits = [0; 24];
    let mut rest = &mut digits[..];
    write!(rest, "k{key}").unwrap();
    let length = 24 - rest.len();
    out.extend_from_slice(&[0x80, opcode, 0, length as u8, extras.len() as u8, 0, 0, 0]);
    out.extend_from_slice(&((extras.len() + length + value.len()) as u32).to_be_bytes());
    out.extend_from_slice(&[0; 12]);
    out.extend_from_slice(extras);
    out.extend_from_slice(&digits[..length]);
    out.extend_from_slice(value);
}

/// The same requests in the binary protocol.
const PACKETS: [Kind; 4] = [
    ("binary get", |n, out| put_packet(out, 0x00, &[], n % 1000, &[])),
    ("binary set", |n, out| put_packet(out, 0x01, &[0; 8], n % 1000, &VALUE[..size(n)])),
    ("50 of binary getkq", |n, out| {
        (0..50).for_each(|key| put_packet(out, 0x0d, &[], (n + key * 21) % 1000, &[]));
    }),
    ("binary add and delete", |n, out| {
        put_packet(out, 0x02, &[0; 8], n, &VALUE[..size(n)]);
        put_packet(out, 0x04, &[], n, &[]);
    }),
];

/// Fills a cache with the smallest items, so that its index has its final size. Then runs every
/// kind until all memory was used several times.
fn warm_up(mut request: impl FnMut(&[u8])) {
    let mut text = Vec::with_capacity(8192);
    let mut run = |fill: &dyn Fn(u64, &mut Vec<u8>), numbers: std::ops::Range<u64>| {
        for n in numbers {
            text.clear();
            fill(n, &mut text);
            request(&text);
        }
    };
    run(&|n, out| put_set(out, format_args!("t{n}"), 0), 0..300_000);
    // Buffers grow to the size of the largest reply.
    run(&|n, out| put_set(out, format_args!("k{n}"), 4095), 0..1000);
    run(&GET_OF_50.1, 0..1000);
    for (_, fill) in KINDS {
        run(&fill, 0..40_000);
    }
}

/// Returns the numbers of the counted requests, none of which the warm-up used.
fn counted(rounds: u64) -> std::ops::Range<u64> {
    1_000_000..1_000_000 + rounds
}

#[test]
fn sessions_do_not_allocate() {
    let config = ServerConfig { cache: config(), threads: 1, ..ServerConfig::default() };
    let cache = Cache::new(config.cache.clone()).unwrap();
    let context = ServerState::new(Arc::clone(&cache), config).unwrap();
    let mut output = Output::new();
    let mut run = |session: &mut Session, text: &[u8]| {
        let mut used = 0;
        while used < text.len() {
            let mut env = Env::new(&context, &context.workers[0], 0, 100);
            let step = session.advance(&mut env, &text[used..], &mut output);
            used += step.consumed;
            assert!(matches!(step.next, Next::Input | Next::Yield));
        }
        assert!(!output.bytes().starts_with(b"SERVER_ERROR") && !output.bytes().starts_with(b"ERROR"));
        output.clear(usize::MAX);
    };
    let (mut lines, mut packets) = (Session::new(Protocol::Ascii), Session::new(Protocol::Binary));
    warm_up(|text| run(&mut lines, text));
    assert!(cache.store().totals().class_sum().evicted > 0);
    let mut text = Vec::with_capacity(8192);
    let asked = cache.store().totals().commands.get_cmds;
    for (session, kinds) in [(&mut lines, &KINDS[..]), (&mut packets, &PACKETS[..])] {
        for (name, fill) in kinds {
            let before = own();
            for n in counted(20_000) {
                text.clear();
                fill(n, &mut text);
                run(session, &text);
            }
            assert_eq!(own() - before, 0, "allocations in 20,000 requests: {name}");
        }
    }
    // 52 keys of each kind of line, 51 of each kind of packet.
    assert_eq!(cache.store().totals().commands.get_cmds - asked, 20_000 * (52 + 51));
}

#[test]
fn workers_do_not_allocate() {
    let listen = vec![Listen::Tcp {
        addr: "127.0.0.1:0".parse().unwrap(),
        protocol: Protocol::Negotiating,
        tls: TlsMode::Off,
        tag: None,
    }];
    let server =
        Server::start(ServerConfig { listen, cache: config(), threads: 1, ..ServerConfig::default() })
            .unwrap();
    let Some(BoundAddress::Tcp(address)) = server.addresses().first() else { unreachable!("one address") };
    let mut client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    let mut reply = vec![0; 64 * 1024];
    let mut run = |text: &[u8]| {
        client.write_all(text).unwrap();
        let mut got = 0;
        while !reply[..got].ends_with(b"MN\r\n") {
            // The end of a long reply suffices.
            let kept = got.min(4);
            reply.copy_within(got - kept..got, 0);
            let more = client.read(&mut reply[kept..]).unwrap();
            assert!(more > 0, "the server has closed the connection");
            got = kept + more;
            assert!(!reply[kept..].starts_with(b"SERVER_ERROR") && !reply[kept..].starts_with(b"ERROR"));
        }
    };
    // The worker runs once it has answered.
    run(b"mn\r\n");
    let worker = thread_named("mcrs-worker-0");
    let mut batch = Vec::new();
    warm_up(|text| {
        batch.extend_from_slice(text);
        // Many requests at a time. None of them arrives in two parts, which is a separate case.
        if batch.len() > 24 * 1024 {
            batch.extend_from_slice(b"mn\r\n");
            run(&batch);
            batch.clear();
        }
    });
    let mut text = Vec::with_capacity(8192);
    for (name, fill) in KINDS {
        let before = of(worker);
        for n in counted(2000) {
            text.clear();
            fill(n, &mut text);
            text.extend_from_slice(b"mn\r\n");
            run(&text);
        }
        assert_eq!(of(worker) - before, 0, "allocations of the worker in 2,000 requests: {name}");
    }
}

/// Returns the id of this process's thread of that name.
fn thread_named(name: &str) -> i32 {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            found.push(path.file_name().unwrap().to_str().unwrap().parse().unwrap());
        }
    }
    assert_eq!(found.len(), 1, "threads named {name}");
    found[0]
}

/// A name, and a call of the cache for each number.
type Call<'a> = (&'static str, Box<dyn FnMut(u64) + 'a>);

#[test]
fn calls_in_process_do_not_allocate() {
    let cache = Cache::new(config()).unwrap();
    for n in 0..300_000_u32 {
        cache.set(n.to_le_bytes(), b"", Ttl::Never).unwrap();
    }
    let key = |n: u64| (n as u32).to_le_bytes();
    let keys: Vec<[u8; 4]> = (0..50).map(|n| key(n * 21)).collect();
    let mut value = Vec::with_capacity(4096);
    let mut under = Vec::with_capacity(4096);
    let space = cache.namespace("namespace:");
    let mut work: Vec<Call<'_>> = vec![
        ("set of the same size", Box::new(|n| cache.set(key(n % 1000), &VALUE[..100], Ttl::Never).unwrap())),
        (
            "set of changing sizes",
            Box::new(|n| cache.set(key(n % 1000), &VALUE[..size(n)], Ttl::Never).unwrap()),
        ),
        ("set with evictions", Box::new(|n| cache.set(key(n), &VALUE[..size(n)], Ttl::Never).unwrap())),
        (
            "get_into",
            Box::new(|n| {
                value.clear();
                cache.get_into(key(n % 1000), &mut value);
            }),
        ),
        ("get_many", Box::new(|_| cache.get_many(&keys, |_, value| assert!(value.len() <= VALUE.len())))),
        (
            "set and get_into of a namespace",
            Box::new(|n| {
                under.clear();
                space.set(key(n % 1000), &VALUE[..100], Ttl::Never).unwrap();
                space.get_into(key(n % 1000), &mut under);
            }),
        ),
        (
            "delete and set",
            Box::new(|n| {
                cache.delete(key(n % 1000));
                cache.set(key(n % 1000), &VALUE[..size(n)], Ttl::Never).unwrap();
            }),
        ),
    ];
    for (_, call) in &mut work {
        (0..40_000).for_each(call);
    }
    for (name, call) in &mut work {
        let before = own();
        counted(20_000).for_each(call);
        assert_eq!(own() - before, 0, "allocations in 20,000 calls: {name}");
    }
}
