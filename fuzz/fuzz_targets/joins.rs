//! Appends, prepends, replaces and numbers at a daemon's sizes, against an exact model. With a
//! daemon's memory nothing is evicted, so each outcome is known.

#![no_main]

use std::collections::HashMap;
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use memcache_core::internal::base::error::AllocError;
use memcache_core::internal::cache::{
    DeltaOperation, Request, StoreOperation, StoreReply, StoreValue, Stored,
};
use memcache_core::internal::config::MIB;
use memcache_core::internal::store::Reservation;
use memcache_core::{Cache, CacheConfig, DeltaError, PinnedValue};
use memcache_fuzz::{How, Steps};

#[derive(Arbitrary, Debug)]
struct Settings {
    use_cas: bool,
    shards: u8,
    /// Little memory: items may be evicted, and stores refused.
    is_tight: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Store {
        key: u8,
        mode: How,
        length: Length,
    },
    /// Stores a number and blanks.
    Number {
        key: u8,
        number: u16,
        length: Length,
    },
    Delta {
        key: u8,
        delta: u32,
        down: bool,
    },
    Delete {
        key: u8,
    },
    Reservation {
        key: u8,
        mode: How,
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
    Pin {
        key: u8,
    },
    Unpin {
        which: u8,
    },
}

/// Up to 500 KB.
type Length = memcache_fuzz::Length<20, 500_000>;

const KEYS: [&[u8]; 3] = [b"a", b"key-b", b"a-longer-key-c"];

fn name(key: u8) -> &'static [u8] {
    KEYS[usize::from(key) % KEYS.len()]
}

/// Returns letters, so that no value is a number by chance.
fn fill(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| b'a' + ((seed.wrapping_mul(0x9e37_79b9) + at * 7) >> 3) as u8 % 26).collect()
}

/// Parses the number at the start of a value: digits, then its end or a blank.
fn number(value: &[u8]) -> Option<u64> {
    let end = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).ok()?.parse().ok()
}

struct World {
    cache: Arc<Cache>,
    is_tight: bool,
    items: HashMap<&'static [u8], Vec<u8>>,
    drafts: Vec<(&'static [u8], How, Vec<u8>, Reservation)>,
    pins: Vec<(Vec<u8>, PinnedValue)>,
    serial: u64,
}

impl World {
    fn new(settings: &Settings) -> Self {
        let config = CacheConfig {
            memory_limit: if settings.is_tight { 6 * MIB } else { CacheConfig::default().memory_limit },
            use_cas: settings.use_cas,
            shards: Some(1 << (settings.shards % 4)),
            lru_crawler: false,
            ..CacheConfig::default()
        };
        let cache = Cache::new(config).expect("a cache");
        cache.clock().freeze();
        let is_tight = settings.is_tight;
        Self { cache, is_tight, items: HashMap::new(), drafts: Vec::new(), pins: Vec::new(), serial: 0 }
    }

    fn next(&mut self, length: usize) -> Vec<u8> {
        self.serial += 1;
        fill(self.serial, length)
    }

    fn request(key: &'static [u8], how: How) -> Request<'static, StoreOperation> {
        Request::new(
            key,
            StoreOperation {
                mode: how.mode(),
                purge_on_failure: how == How::Set,
                ..StoreOperation::default()
            },
        )
    }

    /// Checks the item of `key`. Returns its CAS.
    fn get(&mut self, key: &'static [u8]) -> Option<u64> {
        let mut value = Vec::new();
        let found = self.cache.fetch(key, None, 0, |entry| {
            let cas = entry.header().cas();
            entry.copy_to(&mut value).map(|()| cas)
        });
        if found.is_some() {
            assert!(self.items.get(key) == Some(&value), "another value than was stored");
        } else {
            let was = self.items.remove(key);
            assert!(self.is_tight || was.is_none(), "a value is gone");
        }
        found
    }

    fn store(&mut self, key: &'static [u8], how: How, value: Vec<u8>) {
        let outcome = self.cache.store_value(&Self::request(key, how), StoreValue::Bytes(&value));
        self.stored(key, how, value, outcome);
    }

    /// Compares the outcome of a store with that of the model.
    fn stored(
        &mut self,
        key: &'static [u8],
        how: How,
        value: Vec<u8>,
        outcome: Result<StoreReply, AllocError>,
    ) {
        let old = self.items.get(key);
        let new = match (how, old) {
            (How::Set, _) | (How::Add, None) | (How::Replace, Some(_)) => Some(value.clone()),
            (How::Append, Some(old)) => Some([old, &value[..]].concat()),
            (How::Prepend, Some(old)) => Some([&value[..], old].concat()),
            _ => None,
        };
        let new = new.filter(|new| self.cache.store().class_for(key.len(), 0, new.len()).is_ok());
        match (outcome, new) {
            (Ok(reply), Some(new)) if reply.stored == Stored::Stored => {
                assert_eq!(reply.length, new.len());
                self.items.insert(key, new);
                let cas = self.get(key);
                assert!(cas == Some(reply.cas) || self.is_tight && cas.is_none(), "another CAS");
                return;
            }
            (Ok(reply), None) if reply.stored == Stored::NotStored => {}
            // The item was evicted.
            (Ok(reply), None) if self.is_tight && how == How::Add && reply.stored == Stored::Stored => {
                self.items.insert(key, value);
            }
            // The item was evicted, or there is no memory for the joined one.
            (Ok(reply), Some(_)) if self.is_tight && how != How::Set && reply.stored == Stored::NotStored => {
            }
            (Err(AllocError::NoMemory), _) if self.is_tight => {
                if how == How::Set {
                    self.items.remove(key);
                }
            }
            (outcome, new) => panic!("{how:?}: {outcome:?} for {:?} bytes", new.map(|new| new.len())),
        }
        self.get(key);
    }

    fn delta(&mut self, key: &'static [u8], delta: u64, down: bool) {
        let outcome = self
            .cache
            .add_delta(&Request::new(key, DeltaOperation::new(!down, delta)))
            .map(|number| number.value);
        let chunked = |old: &Vec<u8>| self.cache.store().is_chunked_in_memcached(key.len(), 0, old.len());
        let new = match self.items.get(key) {
            None => Err(DeltaError::NotFound),
            Some(old) if chunked(old) => Err(DeltaError::NonNumeric),
            Some(old) => number(old).ok_or(DeltaError::NonNumeric),
        };
        let new = new.map(|old| if down { old.saturating_sub(delta) } else { old.wrapping_add(delta) });
        if let (true, Err(DeltaError::NotFound | DeltaError::NoMemory)) = (self.is_tight, &outcome) {
            self.get(key);
            return;
        }
        assert_eq!(outcome, new);
        if let (Ok(new), Some(old)) = (new, self.items.get_mut(key)) {
            let length = old.len();
            *old = new.to_string().into_bytes();
            old.resize(old.len().max(length), b' ');
        }
        self.get(key);
    }

    fn run(&mut self, op: &Op) {
        let store = &Arc::clone(self.cache.store());
        match *op {
            Op::Store { key, mode, length } => {
                let value = self.next(length.get());
                self.store(name(key), mode, value);
            }
            Op::Number { key, number, length } => {
                let mut value = number.to_string().into_bytes();
                value.resize(value.len().max(length.get()), b' ');
                self.store(name(key), How::Set, value);
            }
            Op::Delta { key, delta, down } => self.delta(name(key), delta.into(), down),
            Op::Delete { key } => {
                self.cache.delete_for(name(key), 0, 0);
                self.items.remove(name(key));
                self.get(name(key));
            }
            Op::Reservation { key, mode, length } if self.drafts.len() < 6 => {
                let (key, value) = (name(key), self.next(length.get()));
                match self.cache.reserve(&Self::request(key, mode), value.len()) {
                    Ok(draft) => self.drafts.push((key, mode, value, draft)),
                    Err(error) => self.stored(key, mode, value, Err(error)),
                }
            }
            Op::Write { which, part } if !self.drafts.is_empty() => {
                let which = usize::from(which) % self.drafts.len();
                let (.., value, draft) = &mut self.drafts[which];
                let written = value.len() - draft.missing();
                let end = written + draft.missing() * usize::from(part) / 256;
                assert!(draft.write(&value[written..end]).is_ok() || self.is_tight, "refused midway");
            }
            Op::Finish { which } if !self.drafts.is_empty() => {
                let (key, how, value, mut draft) =
                    self.drafts.swap_remove(usize::from(which) % self.drafts.len());
                let written = value.len() - draft.missing();
                if draft.write(&value[written..]).is_err() {
                    assert!(self.is_tight, "refused midway");
                    return;
                }
                let outcome =
                    self.cache.store_value(&Self::request(key, how), StoreValue::Reservation(draft));
                self.stored(key, how, value, outcome);
            }
            Op::Drop { which } if !self.drafts.is_empty() => {
                self.drafts.swap_remove(usize::from(which) % self.drafts.len());
            }
            Op::Pin { key } if self.pins.len() < 6 => {
                let mut visit = store.entry(name(key), store.hash(name(key)));
                if let Some(pinned) = visit.pin() {
                    drop(visit);
                    self.pins.push((self.items[name(key)].clone(), pinned));
                }
            }
            Op::Unpin { which } if !self.pins.is_empty() => {
                let (value, pinned) = self.pins.swap_remove(usize::from(which) % self.pins.len());
                assert!(pinned.slices().collect::<Vec<_>>().concat() == value, "a held value changed");
            }
            _ => {}
        }
    }
}

fuzz_target!(|input: (Settings, Steps<Op>)| {
    let (settings, Steps(ops)) = input;
    let mut world = World::new(&settings);
    for op in &ops {
        world.run(op);
    }
    for (value, pinned) in world.pins.drain(..) {
        assert!(pinned.slices().collect::<Vec<_>>().concat() == value, "a held value changed");
    }
    world.drafts.clear();
    let found = world.cache.store().verify();
    assert_eq!((found.drafts, found.held), (0, 0), "something is never released");
    for key in KEYS {
        world.get(key);
    }
});
