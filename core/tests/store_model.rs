//! Compares the cache with a simple model: random requests, with every reply and every item.
//! Nothing is evicted here; `store_stress.rs` tests eviction.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::collections::HashMap;
use std::sync::Arc;

use memcache_rs::internal::base::error::AllocError;
use memcache_rs::internal::cache::{
    Deleted, DeltaOperation, MetaDelete, MetaGet, Mode, Request, StoreOperation, StoreReply, StoreValue,
    Stored,
};
use memcache_rs::internal::config::MIB;
use memcache_rs::internal::store::{EntryRef, HEADER, ReadConflict, bit};
use memcache_rs::{Cache, CacheConfig, DeltaError, EvictionPolicy};
use proptest::prelude::*;

const CHUNK_MAX: usize = 16 * 1024;
const ITEM_MAX: usize = 128 * 1024;
const KEYS: u8 = 6;

/// An item of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    flags: u32,
    expiry: u32,
    cas: u64,
    stale: bool,
    win: bool,
    fetched: bool,
}

fn entry(hit: &EntryRef<'_>) -> Result<Entry, ReadConflict> {
    let header = hit.header();
    let mut value = Vec::new();
    hit.copy_to(&mut value)?;
    assert_eq!(value.len(), hit.len());
    Ok(Entry {
        value,
        flags: hit.flags(),
        expiry: header.expiry(),
        cas: header.cas(),
        stale: header.has(bit::STALE),
        win: header.has(bit::WIN),
        fetched: header.has(bit::FETCHED),
    })
}

/// The TTL of a request.
#[derive(Clone, Copy, Debug)]
enum Ttl {
    Never,
    In(u32),
    Past,
}

/// The CAS of a request.
#[derive(Clone, Copy, Debug)]
enum Token {
    Any,
    Right,
    Older,
    Newer,
}

#[derive(Clone, Debug)]
enum Op {
    Store {
        key: u8,
        mode: Mode,
        vivify: bool,
        flags: u32,
        ttl: Ttl,
        token: Token,
        cas: Option<u64>,
        allow_stale: bool,
        draft: bool,
        value: Vec<u8>,
    },
    Get {
        key: u8,
        touch: Option<Ttl>,
    },
    Touch {
        key: u8,
        ttl: Ttl,
    },
    Delete {
        key: u8,
    },
    Delta {
        key: u8,
        increment: bool,
        delta: u64,
        token: Token,
        ttl: Option<Ttl>,
        vivify: Option<(u64, Ttl)>,
    },
    MetaGet {
        key: u8,
        update: bool,
        late: bool,
        ttl: Option<Ttl>,
        recache: Option<u32>,
        recache_late: bool,
        vivify: Option<Ttl>,
        refused: bool,
    },
    MetaDelete {
        key: u8,
        token: Token,
        cas: Option<u64>,
        stale: bool,
        drop_value: Option<u32>,
        ttl: Option<Ttl>,
    },
    Flush,
    FlushIn(u32),
    FlushNever,
    Advance(u32),
}

struct Model {
    cache: Arc<Cache>,
    items: HashMap<u8, (Entry, u32)>,
    /// Second of the pending flush.
    due: Option<u32>,
    /// Second of the last flush. Items that were last used at or before it are gone.
    came: u32,
}

fn name(key: u8) -> Vec<u8> {
    // Short and long keys, so that chunk boundaries differ.
    let mut name = format!("key-{key}-").into_bytes();
    name.resize(name.len() + usize::from(key) * 40, b'k');
    name
}

fn bytes_of(seed: u64, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (seed.wrapping_mul(31).wrapping_add(at as u64 * 7 + at as u64 / 251)) as u8)
        .collect()
}

/// Parses the number at the start of a value, like C's `strtoull`.
fn strtoull(value: &[u8]) -> Option<u64> {
    let text: String = value.iter().map(|&byte| char::from(byte)).collect();
    let space = |c: char| matches!(c, ' ' | '\t'..='\r');
    let text = text.trim_start_matches(space);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !rest.is_empty() && !rest.starts_with(|c| space(c) || c == '\0') {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let number = if negative { number.wrapping_neg() } else { number };
    (!negative || i64::try_from(number).is_ok()).then_some(number)
}

impl Model {
    fn new(config: CacheConfig) -> Self {
        let cache = Cache::new(config).expect("a cache");
        cache.clock().freeze();
        Self { cache, items: HashMap::new(), due: None, came: 0 }
    }

    fn now(&self) -> u32 {
        self.cache.clock().now()
    }

    fn second(&self, ttl: Ttl) -> u32 {
        match ttl {
            Ttl::Never => self.cache.clock().expiry(0),
            Ttl::In(seconds) => self.cache.clock().expiry(i64::from(seconds)),
            Ttl::Past => self.cache.clock().expiry(-1),
        }
    }

    /// Removes items that must not be found any more.
    fn settle(&mut self) {
        let now = self.now();
        if let Some(due) = self.due
            && now >= due
        {
            self.came = self.came.max(due);
            self.due = None;
        }
        let came = self.came;
        self.items.retain(|_, (entry, used)| *used > came && (entry.expiry == 0 || entry.expiry > now));
    }

    fn token(&self, key: u8, token: Token) -> u64 {
        let cas = self.items.get(&key).map_or(7, |(entry, _)| entry.cas);
        match token {
            Token::Any => 0,
            Token::Right => cas,
            Token::Older => cas.saturating_sub(1).max(1),
            Token::Newer => cas + 1,
        }
    }

    fn use_now(&mut self, key: u8, fetched: bool) {
        let now = self.now();
        if let Some((entry, used)) = self.items.get_mut(&key) {
            *used = now;
            entry.fetched |= fetched;
        }
    }

    fn put(&mut self, key: u8, entry: Entry) {
        self.items.insert(key, (entry, self.now()));
    }

    fn real(&self, key: u8) -> Option<Entry> {
        self.cache.inspect(&name(key), 0, |hit| entry(hit))
    }

    /// Checks a CAS of the store. The model cannot predict automatic ones.
    fn check_cas(given: Option<u64>, got: u64, before: u64) {
        match given {
            Some(cas) => assert_eq!(got, cas),
            None => assert!(got > 0 && got != before, "cas {got} after {before}"),
        }
    }

    fn run(&mut self, op: &Op) {
        self.settle();
        let now = self.now();
        match *op {
            Op::Store { .. } => self.store(op),
            Op::Get { key, touch } => {
                let expiry = touch.map(|ttl| self.second(ttl));
                let got = self.cache.fetch(&name(key), expiry, 0, |hit| entry(hit));
                self.use_now(key, true);
                if let (Some((entry, _)), Some(expiry)) = (self.items.get_mut(&key), expiry) {
                    entry.expiry = expiry;
                }
                assert_eq!(got.as_ref(), self.items.get(&key).map(|(entry, _)| entry));
            }
            Op::Touch { key, ttl } => {
                let expiry = self.second(ttl);
                let got = self.cache.touch_for(&name(key), expiry, 0);
                assert_eq!(got, self.items.contains_key(&key));
                self.use_now(key, true);
                if let Some((entry, _)) = self.items.get_mut(&key) {
                    entry.expiry = expiry;
                }
            }
            Op::Delete { key } => {
                let there = self.items.remove(&key).is_some();
                assert_eq!(self.cache.delete_for(&name(key), 0, 0) == Deleted::Deleted, there);
            }
            Op::Delta { .. } => self.delta(op),
            Op::MetaGet { .. } => self.meta_get(op),
            Op::MetaDelete { .. } => self.meta_delete(op),
            Op::Flush => {
                self.cache.flush(None);
                self.items.clear();
                (self.due, self.came) = (None, 0);
            }
            Op::FlushIn(seconds) => {
                self.cache.flush(Some(now + seconds));
                self.due = Some(now + seconds);
            }
            Op::FlushNever => {
                self.cache.flush(Some(0));
                self.due = None;
            }
            Op::Advance(seconds) => self.cache.clock().advance(i64::from(seconds)).unwrap(),
        }
        self.settle();
        for key in 0..KEYS {
            assert_eq!(self.real(key).as_ref(), self.items.get(&key).map(|(entry, _)| entry), "key {key}");
        }
    }

    fn store(&mut self, op: &Op) {
        let Op::Store { key, mode, vivify, flags, ttl, token, cas, allow_stale, draft, ref value } = *op
        else {
            unreachable!()
        };
        let compare = self.token(key, token);
        let long = name(key);
        let operation = StoreOperation {
            mode,
            vivify,
            flags,
            expiry: self.second(ttl),
            compare,
            cas,
            allow_stale,
            key_binary: false,
            purge_on_failure: true,
        };
        let request = Request::new(&long, operation);
        let answer = if draft {
            self.cache.reserve(&request, value.len()).and_then(|mut draft| {
                for part in value.chunks(5000) {
                    draft.write(part)?;
                }
                assert_eq!((draft.missing(), draft.len()), (0, value.len()));
                self.cache.store_value(&request, StoreValue::Reservation(draft))
            })
        } else {
            self.cache.store_value(&request, StoreValue::Bytes(value))
        };
        if size_of(&long, flags, value.len()) > ITEM_MAX {
            assert_eq!(answer, Err(AllocError::TooLarge));
            self.items.remove(&key);
            return;
        }
        let StoreReply { stored, cas: got, length } = answer.expect("there is memory");
        let (expected, new) = self.outcome(key, &operation, value, got);
        assert_eq!(stored, expected);
        if stored == Stored::Stored {
            let before = self.items.get(&key).map_or(0, |(old, _)| old.cas);
            Self::check_cas(cas, got, before);
            assert_eq!(length, new.value.len());
            self.put(key, new);
        } else {
            assert_eq!(got, 0);
            if mode == Mode::Add {
                self.use_now(key, false);
            }
        }
    }

    /// Returns the outcome of a store, and the item that it leaves if it succeeds. `cas` is the CAS
    /// of that item.
    fn outcome(&self, key: u8, operation: &StoreOperation, value: &[u8], cas: u64) -> (Stored, Entry) {
        let StoreOperation { mode, vivify, flags, expiry, compare, allow_stale, .. } = *operation;
        let mut new =
            Entry { value: value.to_vec(), flags, expiry, cas, stale: false, win: false, fetched: false };
        let stored = match (self.items.get(&key), mode) {
            (None, Mode::Cas) => Stored::NotFound,
            (None, Mode::Append | Mode::Prepend) if !vivify => Stored::NotStored,
            (None, Mode::Replace) | (Some(_), Mode::Add) => Stored::NotStored,
            (None, _) | (Some(_), Mode::Set | Mode::Replace) => Stored::Stored,
            (Some((old, _)), Mode::Append | Mode::Prepend) => {
                if compare != 0 && compare != old.cas {
                    Stored::Exists
                } else if size_of(&name(key), old.flags, old.value.len() + value.len()) > ITEM_MAX {
                    Stored::NotStored
                } else {
                    let parts: [&[u8]; 2] =
                        if mode == Mode::Append { [&old.value, value] } else { [value, &old.value] };
                    new = Entry { value: parts.concat(), flags: old.flags, expiry: old.expiry, ..new };
                    Stored::Stored
                }
            }
            (Some((old, _)), Mode::Cas) => {
                if compare != 0 && compare == old.cas {
                    Stored::Stored
                } else if allow_stale && compare != 0 && compare < old.cas {
                    new = Entry { expiry: old.expiry, stale: true, win: old.win, ..new };
                    Stored::Stored
                } else {
                    Stored::Exists
                }
            }
        };
        (stored, new)
    }

    fn delta(&mut self, op: &Op) {
        let Op::Delta { key, increment, delta, token, ttl, vivify } = *op else { unreachable!() };
        let long = name(key);
        let expiry = ttl.map(|ttl| self.second(ttl));
        let compare = self.token(key, token);
        let operation = DeltaOperation {
            increment,
            delta,
            compare,
            cas: None,
            expiry,
            vivify: vivify.map(|(value, ttl)| (value, self.second(ttl))),
        };
        let answer = self.cache.add_delta(&Request::new(&long, operation));
        let Some((old, _)) = self.items.get(&key).cloned() else {
            let Some((value, expiry)) = operation.vivify else {
                assert_eq!(answer, Err(DeltaError::NotFound));
                return;
            };
            let number = answer.expect("made");
            assert_eq!((number.value, number.created, number.expiry), (value, true, expiry));
            let value = value.to_string().into_bytes();
            let made =
                Entry { value, flags: 0, expiry, cas: number.cas, stale: false, win: false, fetched: false };
            self.put(key, made);
            return;
        };
        let chunked = size_of(&long, old.flags, old.value.len()) > CHUNK_MAX;
        let number = strtoull(&old.value).filter(|_| !chunked);
        if compare != 0 && compare != old.cas && !chunked && !old.value.is_empty() {
            assert_eq!(answer, Err(DeltaError::CasMismatch));
            return;
        }
        let Some(number) = number else {
            assert_eq!(answer, Err(DeltaError::NonNumeric), "{:?}", old.value.len());
            return;
        };
        let wanted = if increment { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
        let got = answer.expect("a number");
        assert_eq!((got.value, got.created, got.old_expiry), (wanted, false, old.expiry));
        Self::check_cas(None, got.cas, old.cas);
        let mut value = wanted.to_string().into_bytes();
        let new = if value.len() <= old.value.len() {
            value.resize(old.value.len(), b' ');
            Entry { value, cas: got.cas, expiry: expiry.unwrap_or(old.expiry), ..old }
        } else {
            Entry { value, cas: got.cas, stale: false, win: false, fetched: false, ..old }
        };
        self.put(key, new);
    }

    fn meta_get(&mut self, op: &Op) {
        let Op::MetaGet { key, update, late, ttl, recache, recache_late, vivify, refused } = *op else {
            unreachable!()
        };
        let now = self.now();
        let request = MetaGet {
            update,
            update_late: late,
            expiry: ttl.map(|ttl| self.second(ttl)),
            recache: recache.map(|seconds| now + seconds),
            recache_late,
            vivify: vivify.map(|ttl| self.second(ttl)),
            cas: None,
            refused,
        };
        let long = name(key);
        let asked = Request::new(&long, request);
        let answer = self.cache.meta_get(&asked, |hit, tokens| Ok((entry(hit)?, tokens)));
        let mut created = false;
        if !self.items.contains_key(&key)
            && let Some(expiry) = request.vivify
        {
            let cas = answer.as_ref().map_or(0, |(entry, _)| entry.cas);
            let made =
                Entry { value: vec![], flags: 0, expiry, cas, stale: false, win: false, fetched: false };
            self.put(key, made);
            created = true;
        }
        let Some((old, _)) = self.items.get(&key).cloned() else {
            assert!(answer.is_none());
            return;
        };
        let (shown, tokens) = answer.expect("a hit");
        let mut new = old.clone();
        if let Some(expiry) = request.expiry
            && !created
        {
            new.expiry = expiry;
        }
        let looked_at = match (recache_late, created) {
            (true, _) => new.expiry,
            (false, true) => 0,
            (false, false) => old.expiry,
        };
        let soon = request.recache.is_some_and(|limit| looked_at != 0 && looked_at < limit);
        let win = !refused && (created || (!old.win && (old.stale || soon)));
        assert_eq!((tokens.win, tokens.sent, tokens.stale), (win, old.win, old.stale));
        assert_eq!((tokens.created, tokens.old_expiry), (created, if created { 0 } else { old.expiry }));
        new.win |= win;
        if update && !late {
            new.fetched = true;
        }
        assert_eq!(shown, new);
        let used = update && !(late && refused);
        if let Some((entry, _)) = self.items.get_mut(&key) {
            *entry = new;
        }
        if used {
            self.use_now(key, true);
        }
    }

    fn meta_delete(&mut self, op: &Op) {
        let Op::MetaDelete { key, token, cas, stale, drop_value, ttl } = *op else { unreachable!() };
        let compare = match self.token(key, token) {
            0 => None,
            cas => Some(cas),
        };
        let expiry = ttl.map(|ttl| self.second(ttl));
        let request = MetaDelete { compare, cas, stale, drop_value, expiry };
        let answer = self.cache.meta_delete(&Request::new(&name(key), request));
        let Some((old, _)) = self.items.get(&key).cloned() else {
            assert_eq!(answer, Deleted::NotFound);
            return;
        };
        if compare.is_some_and(|cas| cas != old.cas) {
            assert_eq!(answer, Deleted::Exists);
            return;
        }
        assert_eq!(answer, Deleted::Deleted);
        if drop_value.is_none() && !stale {
            self.items.remove(&key);
            return;
        }
        let found = self.real(key);
        if let Some(flags) = drop_value {
            let cas = cas.unwrap_or(old.cas);
            let expiry = expiry.unwrap_or(0);
            let left = Entry { value: vec![], flags, expiry, cas, stale: false, win: false, fetched: false };
            self.put(key, left);
        }
        let Some((entry, _)) = self.items.get_mut(&key) else { return };
        if stale {
            entry.expiry = expiry.unwrap_or(entry.expiry);
            (entry.stale, entry.win) = (true, false);
            // The store chooses an automatic CAS. An item that expired at once does not show it.
            entry.cas = cas.or(found.map(|found| found.cas)).unwrap_or(0);
            assert!(cas.is_some() || entry.cas != old.cas);
        }
    }

    fn finish(mut self) {
        self.settle();
        let store = self.cache.store();
        let mut seen = 0;
        for shard in 0..store.shard_count() {
            let mut bucket = Some(memcache_rs::internal::store::Bucket::default());
            while let Some(at) = bucket {
                bucket = store.scan(shard, at, 16, |_, _| seen += 1);
            }
        }
        assert_eq!(seen, self.items.len());
        let totals = store.totals();
        assert_eq!(totals.class_sum().evicted, 0);
        assert!(totals.usage.malloced <= totals.usage.limit);
    }
}

fn ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![4 => Just(Ttl::Never), 4 => (1..12u32).prop_map(Ttl::In), 1 => Just(Ttl::Past)]
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        3 => Just(Token::Any),
        4 => Just(Token::Right),
        1 => Just(Token::Older),
        1 => Just(Token::Newer),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        5 => Just(Mode::Set),
        2 => Just(Mode::Add),
        2 => Just(Mode::Replace),
        3 => Just(Mode::Append),
        3 => Just(Mode::Prepend),
        3 => Just(Mode::Cas),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let edge = prop_oneof![
        Just(0usize),
        1..200usize,
        // Around the largest value that lies in one piece.
        3_800..4_150usize,
        CHUNK_MAX - 300..CHUNK_MAX + 50,
        CHUNK_MAX..6 * CHUNK_MAX,
        ITEM_MAX - 400..ITEM_MAX + 20,
    ];
    prop_oneof![
        2 => (edge, any::<u64>()).prop_map(|(length, seed)| bytes_of(seed | 0x80, length)),
        2 => any::<u64>().prop_map(|n| (n >> (n % 64)).to_string().into_bytes()),
        1 => (0..2000u32).prop_map(|n| n.to_string().into_bytes()),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    let flags = || prop_oneof![Just(0u32), any::<u32>()];
    let cas = || prop_oneof![4 => Just(None), 1 => (1u64 << 40..1 << 41).prop_map(Some)];
    let maybe = || proptest::option::of(ttl());
    let store = (
        (key(), mode(), any::<bool>(), flags(), ttl()),
        (token(), cas(), any::<bool>(), any::<bool>(), value()),
    )
        .prop_map(|((key, mode, vivify, flags, ttl), (token, cas, allow_stale, draft, value))| {
            Op::Store { key, mode, vivify, flags, ttl, token, cas, allow_stale, draft, value }
        });
    let delta = (
        key(),
        any::<bool>(),
        prop_oneof![0..20u64, any::<u64>()],
        token(),
        maybe(),
        proptest::option::of((any::<u64>(), ttl())),
    )
        .prop_map(|(key, increment, delta, token, ttl, vivify)| Op::Delta {
            key,
            increment,
            delta,
            token,
            ttl,
            vivify,
        });
    let meta_get =
        (
            (key(), any::<bool>(), any::<bool>(), maybe()),
            (proptest::option::of(0..15u32), any::<bool>(), maybe(), proptest::bool::weighted(0.1)),
        )
            .prop_map(|((key, update, late, ttl), (recache, recache_late, vivify, refused))| {
                Op::MetaGet { key, update, late, ttl, recache, recache_late, vivify, refused }
            });
    let meta_delete = (key(), token(), cas(), any::<bool>(), proptest::option::of(flags()), maybe())
        .prop_map(|(key, token, cas, stale, drop_value, ttl)| Op::MetaDelete {
            key,
            token,
            cas,
            stale,
            drop_value,
            ttl,
        });
    prop_oneof![
        12 => store,
        4 => (key(), maybe()).prop_map(|(key, touch)| Op::Get { key, touch }),
        2 => (key(), ttl()).prop_map(|(key, ttl)| Op::Touch { key, ttl }),
        2 => key().prop_map(|key| Op::Delete { key }),
        5 => delta,
        5 => meta_get,
        3 => meta_delete,
        1 => Just(Op::Flush),
        1 => (0..6u32).prop_map(Op::FlushIn),
        1 => Just(Op::FlushNever),
        3 => (1..5u32).prop_map(Op::Advance),
    ]
}

fn config() -> CacheConfig {
    CacheConfig { slab_chunk_max: CHUNK_MAX, item_size_max: ITEM_MAX, ..CacheConfig::default() }
}

fn play(config: CacheConfig, ops: &[Op]) {
    let mut model = Model::new(config);
    for op in ops {
        model.run(op);
    }
    model.finish();
}

fn cases() -> ProptestConfig {
    let cases = if cfg!(debug_assertions) { 120 } else { 2000 };
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn answers_as_the_model(ops in proptest::collection::vec(op(), 1..120)) {
        play(config(), &ops);
    }

    #[test]
    fn answers_as_the_model_in_one_shard(ops in proptest::collection::vec(op(), 1..60)) {
        play(CacheConfig { shards: Some(1), growth_factor: 1.05, chunk_size: 1, ..config() }, &ops);
    }

    #[test]
    fn answers_as_the_model_in_64_shards(ops in proptest::collection::vec(op(), 1..60)) {
        play(CacheConfig { shards: Some(64), temporary_ttl: Some(5), ..config() }, &ops);
    }
}

// Single settings and sizes.

fn set(cache: &Cache, key: &[u8], value: &[u8]) -> Result<StoreReply, AllocError> {
    cache.store_value(&Request::new(key, StoreOperation::default()), StoreValue::Bytes(value))
}

fn get(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    cache.fetch(key, None, 0, |hit| Ok(entry(hit)?.value))
}

fn frozen(config: CacheConfig) -> Arc<Cache> {
    let cache = Cache::new(config).expect("a cache");
    cache.clock().freeze();
    cache
}

/// Returns the bytes of an item in memcached, which decide whether it is too large.
fn size_of(key: &[u8], flags: u32, length: usize) -> usize {
    59 + key.len() + if flags == 0 { 0 } else { 4 } + length
}

/// Stores values of sizes around `edges` (whole items) and reads them again.
fn around(cache: &Cache, edges: &[usize], largest: usize) {
    for &edge in edges {
        for size in edge.saturating_sub(2)..=edge + 2 {
            // The header of memcached's item, and of ours.
            for (flags, head) in [(0, 59), (9, 63), (0, HEADER), (9, HEADER + 4)] {
                let Some(length) = size.checked_sub(head + 3) else { continue };
                let value = bytes_of(size as u64, length);
                let request = Request::new(b"key", StoreOperation { flags, ..StoreOperation::default() });
                let answer = cache.store_value(&request, StoreValue::Bytes(&value));
                if size_of(b"key", flags, length) > largest {
                    assert_eq!(answer, Err(AllocError::TooLarge), "{size}");
                    assert_eq!(get(cache, b"key"), None);
                } else {
                    assert!(answer.is_ok(), "{size}");
                    assert!(get(cache, b"key").is_some_and(|got| got == value), "{size}");
                }
            }
        }
    }
}

#[test]
fn sizes_at_class_boundaries() {
    let configs = [
        CacheConfig::default(),
        config(),
        CacheConfig { chunk_size: 1, ..CacheConfig::default() },
        CacheConfig { slab_chunk_max: 1024, ..CacheConfig::default() },
        CacheConfig { slab_chunk_max: MIB, ..CacheConfig::default() },
        CacheConfig { slab_sizes: Some(vec![100, 200, 300]), ..CacheConfig::default() },
        CacheConfig { growth_factor: 1.01, ..CacheConfig::default() },
        CacheConfig { growth_factor: 1000.0, ..CacheConfig::default() },
    ];
    let policies = EvictionPolicy::ALL.iter();
    let by_policy =
        policies.map(|&eviction_policy| CacheConfig { eviction_policy, ..CacheConfig::default() });
    for config in configs.into_iter().chain(by_policy) {
        let largest = config.item_size_max;
        let cache = frozen(config);
        let mut edges: Vec<usize> = cache.store().class_sizes().iter().map(|&(size, _)| size).collect();
        edges.extend([largest, 1024, 4096, 8192, 65_536, 65_536 * 3]);
        around(&cache, &edges, largest);
        assert!(cache.store().totals().usage.malloced <= 64 * MIB);
    }
}

#[test]
fn items_of_many_megabytes() {
    let config =
        CacheConfig { memory_limit: 2048 * MIB, item_size_max: 1024 * MIB, ..CacheConfig::default() };
    let cache = frozen(config);
    let value = bytes_of(1, 9 * MIB + 17);
    assert!(set(&cache, b"large", &value).is_ok());
    assert!(get(&cache, b"large").is_some_and(|got| got == value));
    assert_eq!(cache.store().class_for(5, 0, 1024 * MIB), Err(AllocError::TooLarge));
    assert!(cache.store().class_for(5, 0, 1024 * MIB - 64).is_ok());
    assert_eq!(cache.delete_for(b"large", 0, 0), Deleted::Deleted);
}

#[test]
fn no_length_is_too_large_to_refuse() {
    let cache = frozen(CacheConfig::default());
    for length in [usize::MAX, usize::MAX - 36, usize::MAX / 2, 1 << 32, MIB] {
        let refused = cache.reserve(&Request::new(b"key", StoreOperation::default()), length).err();
        assert_eq!(refused, Some(AllocError::TooLarge), "{length}");
    }
    let long = [b'k'; 300];
    assert_eq!(cache.store().class_for(long.len(), 0, 1), Err(AllocError::TooLarge));
}

#[test]
fn more_memory_than_references_of_eight_bytes_reach() {
    for gigabytes in [16, 40, 200] {
        let cache = frozen(CacheConfig { memory_limit: gigabytes * 1024 * MIB, ..CacheConfig::default() });
        let classes = cache.store().class_sizes();
        assert!(classes.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let edges: Vec<usize> = classes.iter().map(|&(size, _)| size).collect();
        around(&cache, &edges, MIB);
        for n in 0..20_000u32 {
            assert!(set(&cache, &n.to_le_bytes(), &bytes_of(u64::from(n), n as usize % 300)).is_ok());
        }
        for n in 0..20_000u32 {
            assert!(
                get(&cache, &n.to_le_bytes()).is_some_and(|v| v == bytes_of(u64::from(n), n as usize % 300))
            );
        }
    }
}

#[test]
fn a_clock_moved_back_after_a_flush_loses_nothing_new() {
    let cache = frozen(CacheConfig::default());
    cache.clock().advance(1000).unwrap();
    assert!(set(&cache, b"future", b"x").is_ok());
    cache.clock().advance(-500).unwrap();
    cache.flush(None);
    assert_eq!(get(&cache, b"future"), None);
    assert!(set(&cache, b"new", b"y").is_ok());
    assert_eq!(get(&cache, b"new").as_deref(), Some(&b"y"[..]));
    cache.clock().advance(-100).unwrap();
    assert_eq!(get(&cache, b"new").as_deref(), Some(&b"y"[..]));
    assert!(set(&cache, b"newer", b"z").is_ok());
    assert_eq!(get(&cache, b"newer").as_deref(), Some(&b"z"[..]));
    cache.flush(None);
    assert_eq!((get(&cache, b"new"), get(&cache, b"newer")), (None, None));
}

#[test]
fn the_last_second_of_time_is_a_second() {
    let cache = frozen(CacheConfig::default());
    let range = cache.clock().advance(i64::MAX).unwrap_err();
    cache.clock().advance(range.ahead).unwrap();
    assert!(set(&cache, b"key", b"x").is_ok());
    assert_eq!(get(&cache, b"key").as_deref(), Some(&b"x"[..]));
    let expiry = cache.clock().expiry(100);
    assert!(cache.touch_for(b"key", expiry, 0));
    assert_eq!(get(&cache, b"key").as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_limit_of_nothing_is_no_limit() {
    let cache = frozen(CacheConfig { memory_limit: 16 * MIB, ..CacheConfig::default() });
    for n in 0..5000u32 {
        assert!(set(&cache, &n.to_le_bytes(), &bytes_of(u64::from(n), 1000)).is_ok());
    }
    assert!(cache.store().set_limit(0));
    assert!(!cache.store().shrinks());
    for n in 0..5000u32 {
        assert!(get(&cache, &n.to_le_bytes()).is_some());
    }
}
