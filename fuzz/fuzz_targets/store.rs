//! The store against a map: a found value is the last one stored, and every byte is accounted for.
//! Items may be evicted, so a miss is always right.

#![no_main]

use std::collections::HashMap;
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use memcache_core::internal::cache::{Mode, Request, StoreOperation, StoreValue, Stored};
use memcache_core::internal::config::MIB;
use memcache_core::internal::store::Reservation;
use memcache_core::{Cache, CacheConfig, EvictionPolicy, PinnedValue};

#[derive(Arbitrary, Debug)]
struct Settings {
    shards: u8,
    evictions: bool,
    policy: u8,
    temporary: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Set {
        key: u8,
        length: Length,
        ttl: u8,
        flags: bool,
    },
    /// Many sets of one length, until memory runs short.
    Fill {
        from: u8,
        count: u8,
        length: Length,
    },
    Append {
        key: u8,
        length: Length,
        prepend: bool,
    },
    Get {
        key: u8,
    },
    Touch {
        key: u8,
        ttl: u8,
    },
    Delete {
        key: u8,
    },
    DeleteMany {
        from: u8,
        count: u8,
        step: u8,
    },
    Pin {
        key: u8,
    },
    Unpin {
        which: u8,
    },
    Reservation {
        key: u8,
        length: Length,
    },
    Write {
        which: u8,
        part: u8,
    },
    Finish {
        which: u8,
    },
    Drop {
        which: u8,
    },
    Flush,
    FlushIn(u8),
    Advance(u8),
    Limit(u8),
    Tidy(u8),
    Crawl(u8),
}

/// Up to 256 KiB.
type Length = memcache_fuzz::Length<19, { 1 << 18 }>;

fn name(key: u16) -> Vec<u8> {
    let mut name = format!("{key}.").into_bytes();
    name.resize(name.len() + usize::from(key) * 31 % 200, b'k');
    name
}

fn fill(seed: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| (seed.wrapping_mul(0x9e37_79b9).wrapping_add(at as u64 * 7) >> 3) as u8).collect()
}

struct World {
    cache: Arc<Cache>,
    items: HashMap<u16, Vec<u8>>,
    pins: Vec<(Vec<u8>, PinnedValue)>,
    drafts: Vec<(u16, Vec<u8>, Reservation)>,
    serial: u64,
}

impl World {
    fn new(settings: &Settings) -> Self {
        let config = CacheConfig {
            memory_limit: MIB,
            item_size_max: MIB / 2,
            slab_chunk_max: MIB / 4,
            shards: Some(1 << (settings.shards % 3)),
            evictions: settings.evictions,
            eviction_policy: EvictionPolicy::ALL[usize::from(settings.policy) % EvictionPolicy::ALL.len()],
            temporary_ttl: settings.temporary.then_some(20),
            lru_crawler: false,
            ..CacheConfig::default()
        };
        let cache = Cache::new(config).expect("a cache");
        cache.clock().freeze();
        Self { cache, items: HashMap::new(), pins: Vec::new(), drafts: Vec::new(), serial: 0 }
    }

    fn set(&mut self, key: u16, length: usize, ttl: u8, flags: bool) {
        self.serial += 1;
        let value = fill(self.serial, length);
        let expiry = if ttl == 0 { 0 } else { self.cache.clock().now() + u32::from(ttl) };
        let long = name(key);
        let request =
            Request::new(&long, StoreOperation { flags: flags.into(), expiry, ..StoreOperation::default() });
        match self.cache.store_value(&request, StoreValue::Bytes(&value)) {
            Ok(reply) => {
                assert_eq!(reply.stored, Stored::Stored);
                self.items.insert(key, value);
            }
            Err(_) => {
                self.items.remove(&key);
                self.get(key);
            }
        }
    }

    fn get(&mut self, key: u16) {
        let long = name(key);
        let mut value = Vec::new();
        let found = self.cache.fetch(&long, None, 0, |hit| hit.copy_to(&mut value));
        if found.is_some() {
            assert!(self.items.get(&key) == Some(&value), "another value than was stored");
        } else {
            self.items.remove(&key);
        }
    }

    fn append(&mut self, key: u16, length: usize, prepend: bool) {
        self.serial += 1;
        let more = fill(self.serial, length);
        let long = name(key);
        let mode = if prepend { Mode::Prepend } else { Mode::Append };
        let request = Request::new(
            &long,
            StoreOperation { mode, purge_on_failure: false, ..StoreOperation::default() },
        );
        let stored = self.cache.store_value(&request, StoreValue::Bytes(&more));
        if stored.is_ok_and(|reply| reply.stored == Stored::Stored) {
            let old = self.items.remove(&key).expect("appended to nothing");
            let new = if prepend { [more, old] } else { [old, more] }.concat();
            self.items.insert(key, new);
        }
        self.get(key);
    }

    fn finish(&mut self, which: usize) {
        let (key, value, mut draft) = self.drafts.swap_remove(which);
        let written = value.len() - draft.missing();
        let long = name(key);
        if draft.write(&value[written..]).is_err() {
            return;
        }
        let request = Request::new(&long, StoreOperation::default());
        match self.cache.store_value(&request, StoreValue::Reservation(draft)) {
            Ok(_) => {
                self.items.insert(key, value);
            }
            Err(_) => {
                self.items.remove(&key);
            }
        }
    }

    fn run(&mut self, op: &Op) {
        let store = &Arc::clone(self.cache.store());
        match *op {
            Op::Set { key, length, ttl, flags } => self.set(key.into(), length.get(), ttl, flags),
            Op::Fill { from, count, length } => {
                for n in 0..u16::from(count) {
                    self.set(u16::from(from) * 8 + n, length.get(), 0, false);
                }
            }
            Op::Append { key, length, prepend } => self.append(key.into(), length.get(), prepend),
            Op::Get { key } => self.get(key.into()),
            Op::Touch { key, ttl } => {
                let expiry = self.cache.clock().now() + u32::from(ttl);
                self.cache.touch_for(&name(key.into()), expiry, 0);
            }
            Op::Delete { key } => {
                self.cache.delete_for(&name(key.into()), 0, 0);
                self.items.remove(&key.into());
            }
            Op::DeleteMany { from, count, step } => {
                for n in (0..u16::from(count)).step_by(1 + usize::from(step)) {
                    let key = u16::from(from) * 8 + n;
                    self.cache.delete_for(&name(key), 0, 0);
                    self.items.remove(&key);
                }
            }
            Op::Pin { key } => {
                let long = name(key.into());
                let mut visit = store.entry(&long, store.hash(&long));
                if let Some(pinned) = visit.pin() {
                    drop(visit);
                    let value = self.items.get(&key.into()).expect("stored").clone();
                    self.pins.push((value, pinned));
                }
            }
            Op::Unpin { which } if !self.pins.is_empty() => {
                let (value, pinned) = self.pins.swap_remove(usize::from(which) % self.pins.len());
                assert!(pinned.slices().collect::<Vec<_>>().concat() == value, "a held value changed");
            }
            Op::Reservation { key, length } if self.drafts.len() < 8 => {
                let long = name(key.into());
                self.serial += 1;
                let value = fill(self.serial, length.get());
                match self.cache.reserve(&Request::new(&long, StoreOperation::default()), value.len()) {
                    Ok(draft) => self.drafts.push((key.into(), value, draft)),
                    Err(_) => {
                        self.items.remove(&key.into());
                    }
                }
            }
            Op::Write { which, part } if !self.drafts.is_empty() => {
                let which = usize::from(which) % self.drafts.len();
                let (_, value, draft) = &mut self.drafts[which];
                let written = value.len() - draft.missing();
                let end = written + draft.missing() * usize::from(part) / 256;
                let _ = draft.write(&value[written..end]);
            }
            Op::Finish { which } if !self.drafts.is_empty() => {
                self.finish(usize::from(which) % self.drafts.len());
            }
            Op::Drop { which } if !self.drafts.is_empty() => {
                self.drafts.swap_remove(usize::from(which) % self.drafts.len());
            }
            Op::Flush => {
                self.cache.flush(None);
                self.items.clear();
            }
            Op::FlushIn(seconds) => self.cache.flush(Some(self.cache.clock().now() + u32::from(seconds))),
            Op::Advance(seconds) => {
                // At most as far as the clock can go.
                let _ = self.cache.clock().advance(i64::from(seconds));
            }
            Op::Limit(sixteenths) => {
                store.set_limit((8 + usize::from(sixteenths % 32)) * MIB / 16);
            }
            Op::Tidy(shard) => store.shrink_to_limit(usize::from(shard) % store.shard_count()),
            Op::Crawl(shard) => {
                store.crawl(usize::from(shard) % store.shard_count(), 0, 1000, u64::MAX, |_| ());
            }
            Op::Unpin { .. }
            | Op::Reservation { .. }
            | Op::Write { .. }
            | Op::Finish { .. }
            | Op::Drop { .. } => {}
        }
    }
}

fuzz_target!(|input: (Settings, Vec<Op>)| {
    let (settings, ops) = input;
    let mut world = World::new(&settings);
    for op in &ops {
        world.run(op);
    }
    world.cache.store().verify();
    for key in world.items.keys().copied().collect::<Vec<_>>() {
        world.get(key);
    }
    for (value, pinned) in world.pins.drain(..) {
        assert!(pinned.slices().collect::<Vec<_>>().concat() == value, "a held value changed");
    }
    world.drafts.clear();
    let found = world.cache.store().verify();
    assert_eq!((found.drafts, found.held), (0, 0));
    let totals = world.cache.store().totals();
    assert!(settings.evictions || totals.class_sum().evicted == 0);
    // Nothing is held any more, so there is memory for an item, unless items may not be evicted.
    if settings.evictions && !settings.temporary {
        for key in 3000..3100 {
            let long = name(key);
            let stored = world
                .cache
                .store_value(&Request::new(&long, StoreOperation::default()), StoreValue::Bytes(&[1; 500]));
            assert!(stored.is_ok(), "refused");
        }
    }
    world.cache.store().verify();
});
