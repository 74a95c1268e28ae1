//! The in-process cache.
//!
//! Its calls are bare functions (`raw`). Each answers with a number: a length, a yes or no, or the
//! reason why there is no value. A found value was copied into the slab that came with the call, or
//! waits for `takeLarge`. `node/cache.js` makes the public methods of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use memcache_core::internal::cache::{
    Deleted, DeltaOperation, MetaDelete, Mode, Request, StoreOperation, StoreValue as Given, Stored,
};
use memcache_core::internal::config::KEY_MAX;
use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{Cache as Core, ItemInfo};
use memcache_embed::flight::{Made, lease, store_made};
use napi::bindgen_prelude::{Buffer, BufferSlice, Object, ObjectFinalize};
use napi::{Env, JsValue};
use napi_derive::napi;

use crate::binary_like::{self, Key};
use crate::cells::Cells;
use crate::clock::Clock;
use crate::errors::{self, Failure};
use crate::hot_keys::{self, HotKey};
use crate::item::{Found, Slab};
use crate::raw::{Answer, Big, Call, Functions, Receiver, Value};
use crate::settings::Setting;
use crate::shared_cache::{CacheOptions, SharedCache};
use crate::single_flight::{self, Leader, Notifier, Renewal};
use crate::stats;
use crate::ttl;

/// The answer if there is no item.
const MISS: i32 = -1;

/// The answer if the value waits for `takeLarge`.
const LARGE: i32 = -2;

/// Memory that an empty cache takes, about. The addon reports it to V8, so that V8 collects caches
/// that were never closed.
const EMPTY_CACHE_BYTES: i64 = 2 << 20;

/// Largest capacity that a buffer keeps for the next value.
const KEPT_CAPACITY: usize = 1 << 20;

/// The receiver of the functions of one `Cache` object.
pub struct CacheRef {
    /// `None` once it is closed. A cache and its namespaces have it in common.
    shared: Rc<RefCell<Option<Arc<SharedCache>>>>,
    /// The prefix of all keys, which JavaScript does not see. It is empty unless this is a
    /// namespace.
    prefix: Box<[u8]>,
    cells: Cells,
    /// A value that is not in the slab.
    large: RefCell<Vec<u8>>,
    /// The bytes of a string.
    text: RefCell<Vec<u8>>,
    failure: RefCell<Option<Failure>>,
}

impl Receiver for CacheRef {
    fn keep(&self, failure: Failure) {
        *self.failure.borrow_mut() = Some(failure);
    }
}

type Outcome = Result<Answer, Failure>;

impl CacheRef {
    fn new(shared: Rc<RefCell<Option<Arc<SharedCache>>>>, prefix: Box<[u8]>) -> Self {
        Self {
            shared,
            prefix,
            cells: Cells::default(),
            large: RefCell::default(),
            text: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Calls `work` with the cache, after its server has settled. Fails if the cache is closed.
    #[inline]
    fn with<R>(&self, work: impl FnOnce(&SharedCache) -> Result<R, Failure>) -> Result<R, Failure> {
        match &*self.shared.borrow() {
            Some(shared) => {
                shared.core.settle();
                work(shared)
            }
            None => Err(errors::cache_closed()),
        }
    }

    /// Copies a value. `read` looks it up, and passes the item to the function it is given.
    #[inline]
    fn copy<T>(
        &self,
        mut slab: Slab<'_>,
        read: impl FnOnce(&mut dyn FnMut(&mut EntryRef<'_>) -> Result<Found, ReadConflict>) -> Option<(Found, T)>,
    ) -> Option<(i32, T)> {
        let mut large = self.large.borrow_mut();
        let (found, more) = read(&mut |entry| Found::copy(entry, &mut slab, &mut large))?;
        Some((answer(found, &mut large), more))
    }

    fn fetch(&self, key: &Key, mut slab: Slab<'_>, touch: Option<u32>, cache: &Core) -> Answer {
        let mut large = self.large.borrow_mut();
        let found = cache.fetch(key, touch, 0, |entry| Found::copy(entry, &mut slab, &mut large));
        Answer::Number(found.map_or(MISS, |found| answer(found, &mut large)))
    }

    /// Puts metadata into the cells: CAS, flags, ttl (2^32 for none), idle, fetched (1) and stale
    /// (2), length.
    fn show_info(&self, info: ItemInfo) {
        self.cells.set::<0>(info.cas);
        self.cells.set::<1>(u64::from(info.flags));
        self.cells.set::<2>(info.ttl.map_or(1 << 32, u64::from));
        self.cells.set::<3>(u64::from(info.idle));
        self.cells.set::<4>(u64::from(info.fetched) | u64::from(info.stale) << 1);
        self.cells.set::<5>(info.length as u64);
    }

    // The functions, by the names in `functions`. A value is copied into `slab` behind its first
    // `used` bytes.

    /// `get(key, slab, used)`: a length, MISS or LARGE.
    fn get(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            Ok(self.fetch(&key, slab(call), None, &shared.core))
        })
    }

    /// `getAndTouch(key, slab, used, ttl)`: as `get`.
    fn get_and_touch(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let expiry = ttl::expiry(&shared.core, call.argument::<3>(), "ttl")?;
            Ok(self.fetch(&key, slab(call), Some(expiry), &shared.core))
        })
    }

    /// `getInto(key, buffer)`: the value's length, or MISS.
    fn get_into(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let buffer = call.argument::<1>();
            let mut to = buffer.target().ok_or_else(|| {
                let got = buffer.type_name();
                errors::bad_type(format!("buffer must be a Buffer or another Uint8Array, got {got}"))
            })?;
            let cache = &shared.core;
            let length = cache.fetch(&key, None, 0, |entry| {
                let fitting = entry.len().min(to.len());
                to.part(0, fitting).map_or(Ok(()), |part| entry.fill(part))?;
                Ok(entry.len())
            });
            Ok(Answer::Number(length.map_or(MISS, |length| length as i32)))
        })
    }

    /// `getString(key)`: a string, or MISS.
    fn get_string(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let cache = &shared.core;
            let mut large = self.large.borrow_mut();
            let found = cache.fetch(&key, None, 0, |entry| Found::copy_large(entry, &mut large));
            let Some(found) = found else { return Ok(Answer::Number(MISS)) };
            found.finish(&mut large);
            let text = call.string(&large);
            shrink(&mut large);
            text
        })
    }

    /// `gets(key, slab, used)`: as `get`, with the CAS in cell 0.
    fn gets(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let (key, cache) = (binary_like::key(&self.prefix, call.argument::<0>())?, &shared.core);
            let copied = self.copy(slab(call), |copy| {
                cache.fetch(&key, None, 0, |entry| {
                    let cas = entry.header().cas();
                    Ok((copy(entry)?, cas))
                })
            });
            let Some((answer, cas)) = copied else { return Ok(Answer::Number(MISS)) };
            self.cells.set::<0>(cas);
            Ok(Answer::Number(answer))
        })
    }

    /// `getItem(key, slab, used)`: as `get`, with the metadata in the cells.
    fn get_item(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let (key, cache) = (binary_like::key(&self.prefix, call.argument::<0>())?, &shared.core);
            let copied = self.copy(slab(call), |copy| {
                cache.fetch_as_was(&key, |entry| {
                    let info = ItemInfo::of(entry);
                    Ok((copy(entry)?, info))
                })
            });
            let Some((answer, info)) = copied else { return Ok(Answer::Number(MISS)) };
            self.show_info(info);
            Ok(Answer::Number(answer))
        })
    }

    /// `info(key)`: 1, with the metadata in the cells, or 0.
    fn info(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let info = shared.core.info(&*key);
            if let Some(info) = info {
                self.show_info(info);
            }
            Ok(yes(info.is_some()))
        })
    }

    /// `lease(key, slab, used, staleFor, ttl)`: as `get`, and in cell 0 whether the caller is to
    /// store the item anew.
    ///
    /// Only one caller gets this, and only if the item was invalidated or expires within `staleFor`
    /// seconds. A `ttl` with which the caller could not store it is refused here.
    fn lease(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let (key, cache) = (binary_like::key(&self.prefix, call.argument::<0>())?, &shared.core);
            let recache = ttl::optional_expiry(cache, call.argument::<3>(), "staleFor")?;
            let name = if recache.is_some() { "ttl plus staleFor" } else { "ttl" };
            ttl::expiry(cache, call.argument::<4>(), name)?;
            let copied = self.copy(slab(call), |copy| lease(cache, &key, recache, copy));
            let Some((answer, is_chosen)) = copied else { return Ok(Answer::Number(MISS)) };
            self.cells.set::<0>(u64::from(is_chosen));
            Ok(Answer::Number(answer))
        })
    }

    /// `takeLarge()`: the value that is not in the slab, as a Buffer.
    fn take_large(&self, call: &Call) -> Outcome {
        let mut large = self.large.borrow_mut();
        let buffer = call.buffer(&large);
        shrink(&mut large);
        buffer
    }

    /// `has(key)`: 1 or 0.
    fn has(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            Ok(yes(shared.core.inspect(&key, 0, |_| Ok(())).is_some()))
        })
    }

    /// `set(key, value, ttl, flags)`: 1.
    fn set(&self, call: &Call) -> Outcome {
        self.put(Mode::Set, call, 0)
    }

    /// `store(key, value, ttl, flags, mode, cas)`: 1 stored, 0 not stored, MISS: no item to compare
    /// the CAS with.
    fn store(&self, call: &Call) -> Outcome {
        let mode = mode(call.argument::<4>());
        let mut compare = 0;
        if mode == Mode::Cas {
            const RULE: &str = "cas must be a bigint from 1 to 2**64 - 1, such as gets() returns";
            let cas = call.argument::<5>();
            compare = match cas.bigint() {
                Some(Big::U64(cas)) if cas > 0 => cas,
                Some(_) => return Err(errors::out_of_range(RULE)),
                None => return Err(errors::bad_type(format!("{RULE}, got {}", cas.type_name()))),
            };
        }
        self.put(mode, call, compare)
    }

    #[inline]
    fn put(&self, mode: Mode, call: &Call, compare: u64) -> Outcome {
        self.with(|shared| {
            let cache = &shared.core;
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let mut text = self.text.borrow_mut();
            let expiry = ttl::expiry(cache, call.argument::<2>(), "ttl")?;
            let flags = flags(call.argument::<3>())?;
            let value = binary_like::value(call.argument::<1>(), &mut text)?;
            let request = Request::new(
                &key,
                StoreOperation { mode, expiry, flags, compare, ..StoreOperation::of(mode) },
            );
            let stored = cache.store_value(&request, Given::Bytes(value));
            let length = value.len();
            shrink(&mut text);
            match stored {
                Ok(reply) => Ok(Answer::Number(match reply.stored {
                    Stored::Stored => 1,
                    Stored::Exists | Stored::NotStored => 0,
                    Stored::NotFound => MISS,
                })),
                Err(error) => Err(errors::not_stored(error, length, cache.config().item_size_max)),
            }
        })
    }

    /// `storeMade(key, value, ttl, mode, cas, seen)`: 1, or MISS if the key was deleted since the
    /// caller began to make the value. The last three are `conditions` of a leader or a renewal.
    fn store_made(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let cache = &shared.core;
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let mut text = self.text.borrow_mut();
            let expiry = ttl::expiry(cache, call.argument::<2>(), "ttl")?;
            let value = binary_like::value(call.argument::<1>(), &mut text)?;
            let mode = mode(call.argument::<3>());
            let number = |value: Value<'_>| match value.bigint() {
                Some(Big::U64(number)) => number,
                _ => 0,
            };
            let (compare, seen) = (number(call.argument::<4>()), number(call.argument::<5>()));
            let operation = StoreOperation { expiry, ..StoreOperation::default() };
            let stored = store_made(cache, &key, Made { seen, mode, compare }, operation, value);
            let length = value.len();
            shrink(&mut text);
            match stored {
                Ok(is_current) => Ok(Answer::Number(if is_current { 1 } else { MISS })),
                Err(error) => Err(errors::not_stored(error, length, cache.config().item_size_max)),
            }
        })
    }

    /// `incr(key, delta, initial, ttl, bigint)`: the count as a number or as a bigint, or MISS.
    fn incr(&self, call: &Call) -> Outcome {
        self.count(call, true)
    }

    /// `decr(key, delta, initial, ttl, bigint)`: as `incr`.
    fn decr(&self, call: &Call) -> Outcome {
        self.count(call, false)
    }

    fn count(&self, call: &Call, increment: bool) -> Outcome {
        self.with(|shared| {
            let cache = &shared.core;
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let delta = call.argument::<1>();
            let delta = if delta.is_nothing() { 1 } else { integer(delta, "delta")? };
            let initial = call.argument::<2>();
            let vivify = if initial.is_nothing() {
                None
            } else {
                Some((integer(initial, "initial")?, ttl::expiry(cache, call.argument::<3>(), "ttl")?))
            };
            match cache.add_delta(&Request::new(
                &key,
                DeltaOperation { vivify, ..DeltaOperation::new(increment, delta) },
            )) {
                Ok(count) if call.argument::<4>().is_true() => Ok(call.bigint(count.value)),
                Ok(count) => call.number(count.value).ok_or_else(|| errors::inexact(count.value)),
                Err(error) => errors::not_counted(error).map_or(Ok(Answer::Number(MISS)), Err),
            }
        })
    }

    /// `touch(key, ttl)`: 1 or 0.
    fn touch(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let expiry = ttl::expiry(&shared.core, call.argument::<1>(), "ttl")?;
            Ok(yes(shared.core.touch_for(&key, expiry, 0)))
        })
    }

    /// `delete(key)`: 1 or 0.
    fn delete(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            Ok(yes(shared.core.delete_for(&key, 0, 0) == Deleted::Deleted))
        })
    }

    /// `flushPrefix(prefix)`: 1.
    fn flush_prefix(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            shared.core.flush_prefix(&*binary_like::key(&self.prefix, call.argument::<0>())?);
            Ok(yes(true))
        })
    }

    /// `invalidate(key, ttl)`: 1 or 0.
    fn invalidate(&self, call: &Call) -> Outcome {
        self.with(|shared| {
            let key = binary_like::key(&self.prefix, call.argument::<0>())?;
            let expiry = ttl::optional_expiry(&shared.core, call.argument::<1>(), "ttl")?;
            let request = MetaDelete { stale: true, expiry, ..MetaDelete::default() };
            Ok(yes(shared.core.meta_delete(&Request::new(&key, request)) == Deleted::Deleted))
        })
    }

    /// `getMany(keys)`: a Buffer of the lengths, 32 bits each, -1 for a missing item, and then the
    /// values.
    fn get_many(&self, call: &Call) -> Outcome {
        let list = call.argument::<0>();
        let count = list.elements().ok_or_else(|| errors::internal("getMany takes an array"))?;
        // Reading an element may run a getter, which may close the cache. So the cache comes after.
        let mut keys = Vec::new();
        for index in 0..count {
            let Some(element) = list.element(index) else { break };
            keys.push(ManyKey(binary_like::key(&self.prefix, element)?));
        }
        self.with(|shared| {
            let mut lengths = vec![-1; keys.len()];
            let (mut values, mut large) = (vec![0; keys.len() * 4], Vec::new());
            shared.core.fetch_many(&keys, |index, entry| {
                // Values in pieces are copied later, without the lock.
                if entry.is_in_pieces() {
                    large.push((values.len(), entry.pin()?));
                } else {
                    entry.copy_to(&mut values)?;
                }
                if let Some(length) = lengths.get_mut(index) {
                    *length = entry.len() as i32;
                }
                Ok(())
            });
            if !large.is_empty() {
                values = insert(&values, &large);
            }
            for (to, length) in values.chunks_exact_mut(4).zip(&lengths) {
                to.copy_from_slice(&i32::to_ne_bytes(*length));
            }
            call.buffer(&values)
        })
    }

    /// Takes the error of the last call.
    fn failure(&self) -> Failure {
        self.failure.take().unwrap_or_else(|| errors::internal("no call has failed"))
    }
}

/// Returns the slab of a call, whose arguments are a key, the slab and its used bytes.
#[inline]
fn slab(call: &Call) -> Slab<'_> {
    Slab::new(call.argument::<1>(), call.argument::<2>())
}

#[inline]
fn answer(found: Found, large: &mut Vec<u8>) -> i32 {
    found.finish(large).map_or(LARGE, |length| length as i32)
}

/// Frees a buffer that a large value has grown.
#[inline]
fn shrink(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_CAPACITY {
        *buffer = Vec::new();
    }
}

/// A key of `getMany`.
struct ManyKey(Key);

impl AsRef<[u8]> for ManyKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Copies the pinned values to their places among the others.
fn insert(values: &[u8], large: &[(usize, memcache_core::PinnedValue)]) -> Vec<u8> {
    let more: usize = large.iter().map(|(_, value)| value.len()).sum();
    let mut all = Vec::with_capacity(values.len() + more);
    let mut done = 0;
    for (at, value) in large {
        all.extend_from_slice(values.get(done..*at).unwrap_or_default());
        value.slices().for_each(|slice| all.extend_from_slice(slice));
        done = *at;
    }
    all.extend_from_slice(values.get(done..).unwrap_or_default());
    all
}

#[inline]
fn yes(answer: bool) -> Answer {
    Answer::Number(i32::from(answer))
}

/// Returns the mode of a store by its number.
fn mode(value: Value<'_>) -> Mode {
    match value.number() {
        Some(1.0) => Mode::Add,
        Some(2.0) => Mode::Replace,
        Some(3.0) => Mode::Append,
        Some(4.0) => Mode::Prepend,
        Some(5.0) => Mode::Cas,
        _ => Mode::Set,
    }
}

/// Reads client flags. `undefined` and `null` are 0.
#[inline]
fn flags(value: Value<'_>) -> Result<u32, Failure> {
    const RULE: &str = "flags must be an integer from 0 to 2**32 - 1";
    match value.number() {
        Some(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
            Ok(number as u32)
        }
        None if value.is_nothing() => Ok(0),
        Some(number) => Err(errors::out_of_range(format!("{RULE}, got {number}"))),
        None => Err(errors::bad_type(format!("{RULE}, got {}", value.type_name()))),
    }
}

/// Reads an integer of 64 bits: a number that is exact, or a bigint.
fn integer(value: Value<'_>, name: &str) -> Result<u64, Failure> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let refused = |got: &str| {
        errors::out_of_range(format!(
            "{name} must be an integer from 0 to 2**64 - 1, as a bigint from 2**53 on, got {got}"
        ))
    };
    match value.number() {
        Some(number) if number.fract() == 0.0 && (0.0..EXACT).contains(&number) => Ok(number as u64),
        Some(number) => Err(refused(&number.to_string())),
        None => match value.bigint() {
            Some(Big::U64(number)) => Ok(number),
            Some(Big::Other) => Err(refused("a bigint out of that range")),
            None => {
                let got = value.type_name();
                Err(errors::bad_type(format!("{name} must be a number or a bigint, got {got}")))
            }
        },
    }
}

/// Options of a cache.
#[napi(object)]
pub struct CacheSettings {
    pub name: Option<String>,
    pub settings: Vec<Setting>,
}

/// The native part of a `Cache` object of `node/cache.js`.
#[napi(custom_finalize)]
pub struct Cache {
    inner: Rc<CacheRef>,
    /// Whether JavaScript made this by `namespace`. The object that it came from outlives it.
    is_namespace: bool,
}

impl ObjectFinalize for Cache {
    fn finalize(self, env: Env) -> napi::Result<()> {
        if !self.is_namespace {
            self.end(env);
        }
        Ok(())
    }
}

impl Cache {
    /// Lets go of the cache. Returns `None` if that was done before.
    fn end(&self, env: Env) -> Option<Arc<SharedCache>> {
        let shared = self.inner.shared.take()?;
        // The number only helps V8 to guess.
        let _ = env.adjust_external_memory(-EMPTY_CACHE_BYTES);
        Some(shared)
    }

    /// Returns a key with the prefix.
    fn whole(&self, key: &[u8]) -> Vec<u8> {
        [&self.inner.prefix, key].concat()
    }

    /// Returns the cache. Fails if it is closed.
    pub fn shared(&self) -> Result<Arc<SharedCache>, Failure> {
        let shared = self.inner.shared.borrow().clone();
        shared.ok_or_else(errors::cache_closed)
    }

    fn create(settings: CacheSettings) -> Result<Self, Failure> {
        let options = CacheOptions(settings.settings);
        let shared = SharedCache::open(settings.name, &options)?;
        let shared = Rc::new(RefCell::new(Some(shared)));
        Ok(Self { inner: Rc::new(CacheRef::new(shared, Box::default())), is_namespace: false })
    }
}

#[napi]
impl Cache {
    /// Creates a cache, or opens the one of a name.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, settings: CacheSettings) -> napi::Result<Self> {
        let cache = Self::create(settings).map_err(|failure| errors::thrown(env, failure))?;
        // The number only helps V8 to guess.
        let _ = env.adjust_external_memory(EMPTY_CACHE_BYTES);
        Ok(cache)
    }

    /// Returns the part of another `Cache` object, for the keys with a prefix. The caller keeps
    /// this object as long as that one.
    #[napi(catch_unwind)]
    pub fn namespace(&self, prefix: BufferSlice) -> Result<Self, Failure> {
        self.shared()?;
        let prefix = [&self.inner.prefix, &*prefix].concat();
        if prefix.is_empty() || prefix.len() > KEY_MAX {
            return Err(errors::bad_prefix(prefix.len()));
        }
        let inner = CacheRef::new(Rc::clone(&self.inner.shared), prefix.into());
        Ok(Self { inner: Rc::new(inner), is_namespace: true })
    }

    /// Limits the bytes of the items of a namespace.
    #[napi(catch_unwind)]
    pub fn set_quota(&self, limit: Option<f64>) -> Result<(), Failure> {
        // JavaScript checks that it is a whole number.
        let limit = limit.map(|bytes| bytes as u64);
        self.inner.with(|shared| {
            let set = shared.core.set_quota(&self.inner.prefix, limit);
            set.map_err(|error| errors::bad_setting(&error))
        })
    }

    /// Returns the prefix.
    #[napi(catch_unwind)]
    pub fn prefix(&self) -> Buffer {
        self.inner.prefix.to_vec().into()
    }

    /// Returns the bare functions and `cells`.
    #[napi(catch_unwind)]
    pub fn functions<'e>(&self, env: &'e Env) -> Result<Object<'e>, Failure> {
        let object = Object::new(env).map_err(|_| errors::no_object())?;
        let into = Functions { env: env.raw(), object: object.raw(), of: &self.inner };
        into.add("get", CacheRef::get)?;
        into.add("getAndTouch", CacheRef::get_and_touch)?;
        into.add("getInto", CacheRef::get_into)?;
        into.add("getString", CacheRef::get_string)?;
        into.add("gets", CacheRef::gets)?;
        into.add("getItem", CacheRef::get_item)?;
        into.add("info", CacheRef::info)?;
        into.add("lease", CacheRef::lease)?;
        into.add("takeLarge", CacheRef::take_large)?;
        into.add("has", CacheRef::has)?;
        into.add("set", CacheRef::set)?;
        into.add("store", CacheRef::store)?;
        into.add("storeMade", CacheRef::store_made)?;
        into.add("incr", CacheRef::incr)?;
        into.add("decr", CacheRef::decr)?;
        into.add("touch", CacheRef::touch)?;
        into.add("delete", CacheRef::delete)?;
        into.add("flushPrefix", CacheRef::flush_prefix)?;
        into.add("invalidate", CacheRef::invalidate)?;
        into.add("getMany", CacheRef::get_many)?;
        into.put("cells", self.inner.cells.array_buffer(env.raw())?);
        Ok(object)
    }

    /// Throws the error of the last bare function that failed.
    #[napi(catch_unwind)]
    pub fn failure(&self) -> Result<(), Failure> {
        Err(self.inner.failure())
    }

    /// Returns all keys, each after its length, in the order of a scan.
    #[napi(catch_unwind)]
    pub fn keys(&self) -> Result<Buffer, Failure> {
        self.inner.with(|shared| {
            let mut keys = Vec::new();
            for key in shared.core.keys_under(&self.inner.prefix) {
                keys.push(key.len() as u8);
                keys.extend_from_slice(&key);
            }
            Ok(keys.into())
        })
    }

    /// Returns the number of items.
    #[napi(catch_unwind)]
    pub fn size(&self) -> Result<f64, Failure> {
        self.inner.with(|shared| {
            Ok(match &*self.inner.prefix {
                [] => shared.core.store().totals().curr_items as f64,
                prefix => shared.core.keys_under(prefix).count() as f64,
            })
        })
    }

    /// Removes all items.
    #[napi(catch_unwind)]
    pub fn flush(&self) -> Result<(), Failure> {
        self.inner.with(|shared| {
            shared.core.flush_prefix(&self.inner.prefix);
            Ok(())
        })
    }

    /// Returns a group of statistics.
    #[napi(catch_unwind)]
    pub fn stats<'e>(&self, env: &'e Env, group: String) -> Result<Object<'e>, Failure> {
        stats::object(env, self.inner.with(|shared| Ok(shared.stats.list(&shared.core, &group)))?)
    }

    /// Returns metrics as text.
    #[napi(catch_unwind)]
    pub fn metrics(&self, format: String) -> Result<String, Failure> {
        self.inner.with(|shared| stats::metrics_text(shared.stats.state(&shared.core), &format))
    }

    /// Returns metrics as a list of families.
    #[napi(catch_unwind)]
    pub fn metric_families<'e>(&self, env: &'e Env) -> Result<Vec<Object<'e>>, Failure> {
        self.inner.with(|shared| stats::metric_families(env, shared.stats.state(&shared.core)))
    }

    /// Returns the keys that had the most requests in the last seconds.
    #[napi(catch_unwind)]
    pub fn hot_keys(&self, most: u32) -> Result<Vec<HotKey>, Failure> {
        self.inner.with(|shared| Ok(hot_keys::list(shared.core.hot_keys(most as usize))))
    }

    /// Returns the clock.
    #[napi(catch_unwind)]
    pub fn clock(&self) -> Result<Clock, Failure> {
        Ok(Clock::new(&self.shared()?))
    }

    /// Makes the caller the leader for `key`. Returns `None` if there is one, and calls `notifier`
    /// with `token` once that leader has finished.
    #[napi(catch_unwind)]
    pub fn join(&self, key: BufferSlice, notifier: &Notifier, token: u32) -> Result<Option<Leader>, Failure> {
        self.inner.with(|shared| {
            let key = self.whole(&key);
            Ok(single_flight::join(&shared.core, &shared.single_flight, &key, notifier, token))
        })
    }

    /// Begins the renewal of a stale value, which `lease` has asked the caller for.
    #[napi(catch_unwind)]
    pub fn renew(&self, key: BufferSlice) -> Result<Renewal, Failure> {
        Ok(Renewal::new(&self.shared()?.core, &self.whole(&key)))
    }

    /// Closes this object. A cache without a name is then empty.
    #[napi(catch_unwind)]
    pub fn close(&self, env: Env) {
        if let Some(shared) = self.end(env)
            && !shared.is_named()
        {
            shared.core.clear();
        }
    }

    /// Returns whether this object is closed.
    #[napi(catch_unwind)]
    pub fn closed(&self) -> bool {
        self.inner.shared.borrow().is_none()
    }
}
