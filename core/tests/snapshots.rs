//! Saving a cache and loading it again, also while it is in use.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use memcache_rs::internal::cache::{MetaDelete, Request};
use memcache_rs::internal::config::MIB;
use memcache_rs::{
    Cache, CacheConfig, ItemInfo, LoadOptions, Loaded, SaveOptions, SnapshotCodec, SnapshotDamage,
    SnapshotError, SnapshotTtl, StoreOptions, Ttl,
};

/// A directory that ends with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcrs-snapshots-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("cache.mcrs")
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn with(config: CacheConfig) -> Arc<Cache> {
    Cache::new(CacheConfig { clock_frozen: true, ..config }).unwrap()
}

fn cache() -> Arc<Cache> {
    with(CacheConfig::default())
}

fn saved(cache: &Cache) -> Vec<u8> {
    let mut bytes = Vec::new();
    cache.save_to(&mut bytes, SaveOptions::default()).unwrap();
    bytes
}

fn loaded(bytes: &[u8], options: LoadOptions<'_>) -> (Arc<Cache>, Loaded) {
    let cache = cache();
    let report = cache.load_from(bytes, options).unwrap();
    (cache, report)
}

/// Sets the clock of a cache to the time of another one, although their clocks began in other
/// seconds.
fn set_time(cache: &Cache, other: &Cache) {
    let time = |cache: &Cache| cache.clock().origin() + i64::from(cache.clock().now());
    cache.clock().advance(time(other) - time(cache)).unwrap();
}

fn info(cache: &Cache, key: &str) -> ItemInfo {
    cache.info(key).unwrap()
}

/// Stores with client flags.
fn store(cache: &Cache, key: &str, flags: u32, ttl: Ttl, value: &[u8]) {
    let options = StoreOptions { flags, ttl, ..StoreOptions::default() };
    assert!(cache.set_with(key, value, options).unwrap().is_stored());
}

#[test]
fn items_keep_all_they_have() {
    let cache = cache();
    store(&cache, "flags", 0xdead_beef, Ttl::Never, b"value");
    store(&cache, "ttl", 0, Duration::from_secs(100).into(), b"");
    cache.set("large", vec![b'x'; 900_000], Ttl::Never).unwrap();
    cache.set("middle", vec![b'y'; 5_000], Ttl::Never).unwrap();
    cache.set([0, 255, b'\n', b' '], b"any bytes", Ttl::Never).unwrap();
    cache.set("read", b"1", Ttl::Never).unwrap();
    cache.get("read");
    cache.set("stale", b"1", Ttl::Never).unwrap();
    cache.meta_delete(&Request::new(b"stale", MetaDelete { stale: true, ..MetaDelete::default() }));
    cache.clock().advance(7).unwrap();
    cache.set("new", b"1", Ttl::Never).unwrap();
    for codec in [SnapshotCodec::None, SnapshotCodec::Lz4] {
        for threads in [1, 4] {
            let mut bytes = Vec::new();
            let options = SaveOptions { codec, threads, note: "by a test", ..SaveOptions::default() };
            let done = cache.save_to(&mut bytes, options).unwrap();
            assert_eq!((done.items, done.skipped, done.file_bytes), (8, 0, bytes.len() as u64));
            // Other settings: other shards, no room for what is not needed.
            let other = CacheConfig { memory_limit: 8 * MIB, shards: Some(2), ..CacheConfig::default() };
            let warm = with(other);
            set_time(&warm, &cache);
            let report =
                warm.load_from(bytes.as_slice(), LoadOptions { threads, ..Default::default() }).unwrap();
            assert_eq!((report.items, report.bytes, report.info.note.as_str()), (8, done.bytes, "by a test"));
            assert_eq!((report.damage.len(), report.truncated), (0, false));
            for key in ["flags", "ttl", "large", "middle", "read", "stale", "new"] {
                assert_eq!(info(&warm, key), info(&cache, key), "{key}");
            }
            assert_eq!(info(&warm, "ttl").ttl, Some(93));
            assert_eq!(info(&warm, "ttl").idle, 7);
            assert!(info(&warm, "stale").stale && info(&warm, "read").fetched);
            assert_eq!(info(&warm, "flags").flags, 0xdead_beef);
            assert_eq!(warm.get("large"), Some(vec![b'x'; 900_000]));
            assert_eq!(warm.get("middle"), Some(vec![b'y'; 5_000]));
            assert_eq!(warm.get([0, 255, b'\n', b' ']), Some(b"any bytes".to_vec()));
            // Clients may hold a CAS over a restart, so no other item may receive it.
            let highest = info(&warm, "new").cas;
            warm.set("later", b"1", Ttl::Never).unwrap();
            assert!(info(&warm, "later").cas > highest);
        }
    }
}

#[test]
fn expired_and_flushed_items_are_not_saved() {
    let cache = cache();
    cache.set("flushed", b"1", Ttl::Never).unwrap();
    cache.flush(None);
    cache.set("short", b"1", Duration::from_secs(5)).unwrap();
    cache.set("long", b"1", Duration::from_secs(50)).unwrap();
    cache.clock().advance(5).unwrap();
    let (warm, report) = loaded(&saved(&cache), LoadOptions::default());
    assert_eq!((report.items, report.expired), (1, 0));
    assert!(warm.get("long").is_some());
}

#[test]
fn lives_go_on_while_the_cache_is_down() {
    let cache = cache();
    cache.set("short", b"1", Duration::from_mins(1)).unwrap();
    cache.set("long", b"1", Duration::from_mins(10)).unwrap();
    cache.set("ever", b"1", Ttl::Never).unwrap();
    let bytes = saved(&cache);
    for (moved, ttl, expired, left) in [
        (100, SnapshotTtl::WallTime, 1, Some(500)),
        (100, SnapshotTtl::Paused, 0, Some(600)),
        // A clock that was set back loses nothing, and lets nothing live longer.
        (-1000, SnapshotTtl::WallTime, 0, Some(600)),
        (-1000, SnapshotTtl::Paused, 0, Some(600)),
    ] {
        let warm = self::cache();
        set_time(&warm, &cache);
        warm.clock().advance(moved).unwrap();
        let report = warm.load_from(bytes.as_slice(), LoadOptions { ttl, ..Default::default() }).unwrap();
        assert_eq!((report.expired, report.items), (expired, 3 - expired), "{moved} {ttl:?}");
        assert_eq!(info(&warm, "long").ttl, left, "{moved} {ttl:?}");
        assert_eq!(info(&warm, "ever").ttl, None);
        assert_eq!(info(&warm, "long").idle, moved.max(0) as u32);
    }
}

#[test]
fn newer_items_stay_unless_they_are_replaced() {
    let cache = cache();
    for key in ["key", "chunked"] {
        cache.set(key, vec![b'o'; if key == "key" { 3 } else { 700_000 }], Ttl::Never).unwrap();
    }
    let bytes = saved(&cache);
    for (replace, kept) in [(false, 2), (true, 0)] {
        let warm = self::cache();
        warm.set("key", b"new", Ttl::Never).unwrap();
        warm.set("chunked", b"new", Ttl::Never).unwrap();
        let report = warm.load_from(bytes.as_slice(), LoadOptions { replace, ..Default::default() }).unwrap();
        assert_eq!((report.existing, report.items), (kept, 2 - kept));
        assert_eq!(warm.get("key").as_deref(), Some(if replace { &b"ooo"[..] } else { b"new" }));
    }
}

#[test]
fn a_smaller_cache_keeps_the_items_that_are_used() {
    let cache = with(CacheConfig { memory_limit: 64 * MIB, shards: Some(1), ..CacheConfig::default() });
    for n in 0..20_000_u32 {
        cache.set(n.to_be_bytes(), [7; 1000], Ttl::Never).unwrap();
    }
    let used = (0..20_000_u32).step_by(10);
    for n in used.clone() {
        (0..5).for_each(|_| assert!(cache.get(n.to_be_bytes()).is_some()));
    }
    let bytes = saved(&cache);
    // A third of the items has room.
    let warm = with(CacheConfig { memory_limit: 8 * MIB, shards: Some(1), ..CacheConfig::default() });
    let report = warm.load_from(bytes.as_slice(), LoadOptions::default()).unwrap();
    assert_eq!(report.items + report.no_memory, 20_000);
    assert!(report.no_memory > 10_000 && report.items > 5_000, "{report:?}");
    let found = used.clone().filter(|n| warm.info(n.to_be_bytes()).is_some()).count();
    assert!(found >= 1_990, "{found} of 2000 used items");
    // Without eviction the load goes on, and counts what has no room.
    let full = with(CacheConfig { memory_limit: 8 * MIB, evictions: false, ..CacheConfig::default() });
    let report = full.load_from(bytes.as_slice(), LoadOptions::default()).unwrap();
    assert_eq!(report.items + report.no_memory, 20_000);
    assert!(report.no_memory > 10_000 && report.items > 5_000);
}

#[test]
fn items_that_are_too_large_are_counted() {
    let cache = cache();
    cache.set("small", b"1", Ttl::Never).unwrap();
    cache.set("large", vec![0; 600_000], Ttl::Never).unwrap();
    let small = with(CacheConfig { item_size_max: MIB / 2, ..CacheConfig::default() });
    let report = small.load_from(saved(&cache).as_slice(), LoadOptions::default()).unwrap();
    assert_eq!((report.items, report.too_large), (1, 1));
}

#[test]
fn a_file_is_replaced_only_when_it_is_complete() {
    let directory = Directory::new("replace");
    let cache = cache();
    cache.set("key", b"first", Ttl::Never).unwrap();
    cache.save(directory.file(), SaveOptions::default()).unwrap();
    let before = fs::read(directory.file()).unwrap();
    cache.set("key", b"second", Ttl::Never).unwrap();

    // Cancelled.
    let mut cancel = |_: &_| ControlFlow::Break(());
    let options = SaveOptions { progress: Some(&mut cancel), ..SaveOptions::default() };
    assert!(matches!(cache.save(directory.file(), options), Err(SnapshotError::Cancelled)));
    // Flushed, each time that it is tried.
    let mut flush = |_: &_| {
        cache.set("key", b"third", Ttl::Never).unwrap();
        cache.flush(None);
        cache.set("key", b"fourth", Ttl::Never).unwrap();
        ControlFlow::Continue(())
    };
    let options = SaveOptions { progress: Some(&mut flush), ..SaveOptions::default() };
    assert!(matches!(cache.save(directory.file(), options), Err(SnapshotError::Flushed)));
    // Another process saves.
    let other = File::create(directory.0.join("cache.mcrs.tmp")).unwrap();
    other.lock().unwrap();
    let error = cache.save(directory.file(), SaveOptions::default()).unwrap_err();
    assert!(matches!(error, SnapshotError::Busy(_)), "{error}");
    assert_eq!(fs::read(directory.file()).unwrap(), before);
    // That process was killed. Its file is used again.
    drop(other);
    cache.save(directory.file(), SaveOptions::default()).unwrap();
    assert_eq!(directory.names(), ["cache.mcrs"]);
    let warm = self::cache();
    warm.load(directory.file(), LoadOptions::default()).unwrap();
    assert_eq!(warm.get("key").as_deref(), Some(&b"fourth"[..]));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(directory.file()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_save_that_one_flush_interrupts_begins_again() {
    let directory = Directory::new("flush");
    let cache = cache();
    cache.set("old", b"1", Ttl::Never).unwrap();
    let flushed = Cell::new(false);
    let mut flush = |_: &_| {
        if !flushed.replace(true) {
            cache.flush(None);
            cache.set("new", b"1", Ttl::Never).unwrap();
        }
        ControlFlow::Continue(())
    };
    let options = SaveOptions { progress: Some(&mut flush), ..SaveOptions::default() };
    assert_eq!(cache.save(directory.file(), options).unwrap().items, 1);
    let warm = self::cache();
    assert_eq!(warm.load(directory.file(), LoadOptions::default()).unwrap().damage, []);
    assert!(warm.get("new").is_some() && warm.get("old").is_none());
}

#[test]
fn bad_paths_are_named() {
    let cache = cache();
    cache.set("key", b"1", Ttl::Never).unwrap();
    let directory = Directory::new("paths");
    let text =
        |result: Result<_, SnapshotError>| result.map(|_: memcache_rs::Saved| ()).unwrap_err().to_string();
    let missing = directory.0.join("missing/file");
    let said = text(cache.save(&missing, SaveOptions::default()));
    assert!(said.starts_with("failed to create ") && said.contains("missing/file"), "{said}");
    let said = text(cache.save(&directory.0, SaveOptions::default()));
    assert!(said.starts_with("failed to save ") && said.ends_with("Is a directory"), "{said}");
    let said = text(cache.save("/", SaveOptions::default()));
    assert!(said.contains("Is a directory"), "{said}");
    // As a device, which root could replace.
    let socket = directory.0.join("socket");
    drop(UnixListener::bind(&socket).unwrap());
    let said = text(cache.save(&socket, SaveOptions::default()));
    assert!(said.ends_with("socket: not a regular file"), "{said}");
    fs::remove_file(&socket).unwrap();
    let load = |path: &Path| cache.load(path, LoadOptions::default()).unwrap_err().to_string();
    assert!(load(&missing).starts_with("failed to open "), "{}", load(&missing));
    assert!(load(&directory.0).starts_with("failed to read "), "{}", load(&directory.0));
    assert_eq!(load(Path::new("/dev/null")), "the file is not a snapshot of memcache-rs");
    // The disk is full.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let said = text(cache.save_to(full, SaveOptions::default()));
    assert!(said.starts_with("failed to transfer the snapshot: No space left"), "{said}");
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn damage_is_counted_or_refused() {
    let cache = cache();
    for n in 0..3_u8 {
        // Each value becomes a block.
        cache.set([n], vec![n; 1_000_000], Ttl::Never).unwrap();
    }
    let mut bytes = Vec::new();
    let options = SaveOptions { codec: SnapshotCodec::None, threads: 1, ..SaveOptions::default() };
    cache.save_to(&mut bytes, options).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    for threads in [1, 3] {
        let (warm, report) = loaded(&bytes, LoadOptions { threads, ..LoadOptions::default() });
        assert_eq!((report.items, report.damaged, report.truncated), (2, 1, false));
        assert!(matches!(report.damage[..], [(1..=2_000_000, SnapshotDamage::Data { items: 1 })]));
        assert_eq!(
            (0..3_u8).filter(|&n| warm.get([n]).is_some_and(|value| value == vec![n; 1_000_000])).count(),
            2
        );
        let strict = LoadOptions { strict: true, threads, ..LoadOptions::default() };
        let error = self::cache().load_from(bytes.as_slice(), strict).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Damaged { offset } if offset == report.damage[0].0),
            "{error}"
        );
    }
    bytes[middle] ^= 1;
    bytes.truncate(middle);
    let (_, report) = loaded(&bytes, LoadOptions::default());
    assert_eq!((report.items, report.truncated), (1, true));
}

#[test]
fn progress_counts_up_and_can_end_a_load() {
    let cache = cache();
    for n in 0..5_000_u32 {
        cache.set(n.to_be_bytes(), [1; 1000], Ttl::Never).unwrap();
    }
    let mut seen = Vec::new();
    let mut note = |progress: &memcache_rs::SnapshotProgress| {
        seen.push((progress.items, progress.all_items));
        ControlFlow::Continue(())
    };
    let mut bytes = Vec::new();
    let options = SaveOptions { progress: Some(&mut note), ..SaveOptions::default() };
    cache.save_to(&mut bytes, options).unwrap();
    assert!(seen.len() >= 4 && seen.is_sorted() && seen.last() == Some(&(5_000, 5_000)), "{seen:?}");
    let warm = self::cache();
    let mut stop = |_: &_| ControlFlow::Break(());
    let options = LoadOptions { progress: Some(&mut stop), ..LoadOptions::default() };
    assert!(matches!(warm.load_from(bytes.as_slice(), options), Err(SnapshotError::Cancelled)));
}

#[test]
fn too_many_threads_are_refused_and_change_nothing() {
    let directory = Directory::new("threads");
    let cache = cache();
    store(&cache, "key", 0, Ttl::Never, b"value");
    let save = |threads| cache.save(directory.file(), SaveOptions { threads, ..SaveOptions::default() });
    assert!(matches!(save(257), Err(SnapshotError::Threads(257))));
    assert!(directory.names().is_empty());
    assert_eq!(save(256).unwrap().items, 1);
    let warm = self::cache();
    let load = |threads| warm.load(directory.file(), LoadOptions { threads, ..LoadOptions::default() });
    let error = load(257).unwrap_err();
    assert_eq!(error.to_string(), "threads must be at most 256, got 257");
    assert!(warm.info("key").is_none());
    assert_eq!(load(256).unwrap().items, 1);
}

#[test]
fn a_slow_save_can_be_ended_while_it_waits() {
    let cache = cache();
    cache.set("key", vec![1; 1000], Ttl::Never).unwrap();
    let mut calls = 0;
    let mut progress = |_: &_| {
        calls += 1;
        if calls < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    // The only block takes a quarter of an hour.
    let options = SaveOptions {
        codec: SnapshotCodec::None,
        rate: 1,
        progress: Some(&mut progress),
        ..SaveOptions::default()
    };
    let ended = cache.save_to(std::io::sink(), options);
    assert!(matches!(ended, Err(SnapshotError::Cancelled)));
    assert_eq!(calls, 3);
}

#[test]
fn the_errors_of_a_writer_end_all_threads() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| std::io::Error::other("full"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let cache = with(CacheConfig { memory_limit: 128 * MIB, ..CacheConfig::default() });
    for n in 0..40_000_u32 {
        cache.set(n.to_be_bytes(), [1; 1000], Ttl::Never).unwrap();
    }
    for threads in [1, 4] {
        let options = SaveOptions { threads, codec: SnapshotCodec::None, ..SaveOptions::default() };
        let error = cache.save_to(Full(3_000_000), options).unwrap_err();
        assert_eq!(error.to_string(), "failed to transfer the snapshot: full");
    }
}

/// Returns a value that names its key and carries a checksum.
fn value_of(key: u32, version: u32, length: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(length + 12);
    value.extend(key.to_be_bytes());
    value.extend(version.to_be_bytes());
    value.resize(8 + length, version as u8);
    let crc = crc32fast::hash(&value);
    value.extend(crc.to_be_bytes());
    value
}

fn check_value(key: u32, value: &[u8]) -> u32 {
    let (body, crc) = value.split_last_chunk().unwrap();
    assert_eq!(crc32fast::hash(body), u32::from_be_bytes(*crc), "a torn value of {key}");
    assert_eq!(body[..4], key.to_be_bytes(), "a foreign value of {key}");
    u32::from_be_bytes(body[4..8].try_into().unwrap())
}

#[test]
fn a_save_under_load_has_no_torn_value() {
    const KEYS: u32 = 500;
    let cache = with(CacheConfig { memory_limit: 32 * MIB, ..CacheConfig::default() });
    let ends = AtomicBool::new(false);
    let lengths = [10, 100, 3_000, 6_000, 40_000, 600_000];
    thread::scope(|scope| {
        for writer in 0..2_u32 {
            let (cache, ends) = (&cache, &ends);
            scope.spawn(move || {
                let mut version = 0;
                while !ends.load(Relaxed) {
                    version += 1;
                    for key in (writer..KEYS).step_by(2) {
                        // The length changes, so that items move, grow and shrink.
                        let length = lengths[(key / 100 + version % 2) as usize];
                        let value = value_of(key, version, length);
                        // A large value may find no room.
                        let _ = cache.set(key.to_be_bytes(), &value, Ttl::Never);
                        if key % 7 == 0 {
                            cache.delete(key.to_be_bytes());
                        }
                    }
                }
            });
        }
        let mut latest = HashMap::new();
        for round in 0..12 {
            let mut bytes = Vec::new();
            let options = SaveOptions { threads: 1 + round % 3, ..SaveOptions::default() };
            cache.save_to(&mut bytes, options).unwrap();
            let warm = with(CacheConfig { memory_limit: 256 * MIB, ..CacheConfig::default() });
            let report = warm.load_from(bytes.as_slice(), LoadOptions::default()).unwrap();
            assert_eq!((report.damaged, report.no_memory), (0, 0));
            for key in 0..KEYS {
                if let Some(value) = warm.get(key.to_be_bytes()) {
                    let version = check_value(key, &value);
                    // A later save has this version or a later one.
                    assert!(*latest.entry(key).or_insert(version) <= version);
                    latest.insert(key, version);
                }
            }
        }
        ends.store(true, Relaxed);
        assert!(latest.len() > 300, "{} keys", latest.len());
    });
}
