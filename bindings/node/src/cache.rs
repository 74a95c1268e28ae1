//! The cache in process.
//!
//! Its calls are bare functions (`raw`), which answer with numbers: a length, a
//! yes or no, or why there is nothing. A value that was found has been put into
//! the slab that came with the call, or is taken out by `taken`.
//! `node/cache.js` makes of that what its users see.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use memcache_core::internal::cache::{
    Deleted, DeltaRequest, MetaDelete, MetaGet, Mode, StoreRequest, StoreValue as Given, Stored,
};
use memcache_core::internal::scan::Scan;
use memcache_core::internal::store::{EntryRef, ReadConflict};
use memcache_core::{Cache as Core, ItemInfo};
use napi::bindgen_prelude::{Buffer, BufferSlice, Object, ObjectFinalize};
use napi::{Env, JsValue};
use napi_derive::napi;

use crate::cells::Cells;
use crate::clock::Clock;
use crate::errors::{self, Failure};
use crate::flight::{Flight, RemoteWaker};
use crate::handle::{Shared, Wanted};
use crate::item::{Found, Slab};
use crate::octets::{self, Key};
use crate::raw::{Answer, Big, Call, Functions, Subject, Value};
use crate::renewal::Renewal;
use crate::stats::{self, Stats};
use crate::ttl;

/// Items that a walk looks at while it holds a lock.
const STEP: usize = 256;

/// The answer where there is nothing.
const MISS: i32 = -1;

/// The answer where the value is to be had from `taken`.
const TAKEN: i32 = -2;

/// What a cache takes before it has items, about. V8 is told of it, so that it
/// soon collects caches that nobody has closed.
const WEIGHT: i64 = 2 << 20;

/// Largest capacity that is kept for the next value.
const KEPT: usize = 1 << 20;

/// What the functions of one object of class Cache work on.
pub struct Hold {
    /// None: closed.
    shared: RefCell<Option<Arc<Shared>>>,
    cells: Cells,
    /// A value that is not in the slab.
    taken: RefCell<Vec<u8>>,
    /// Where strings become bytes.
    scratch: RefCell<Vec<u8>>,
    failure: RefCell<Option<Failure>>,
}

impl Subject for Hold {
    fn keep(&self, failure: Failure) {
        *self.failure.borrow_mut() = Some(failure);
    }
}

type Outcome = Result<Answer, Failure>;

impl Hold {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared: RefCell::new(Some(shared)),
            cells: Cells::default(),
            taken: RefCell::default(),
            scratch: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Works on the cache, if it may be used.
    #[inline]
    fn on<R>(&self, work: impl FnOnce(&Shared) -> Result<R, Failure>) -> Result<R, Failure> {
        match &*self.shared.borrow() {
            Some(shared) => {
                shared.core.settle();
                work(shared)
            }
            None => Err(errors::cache_closed()),
        }
    }

    /// Reads a value: `read` asks the cache for it, and calls what it is given with
    /// what the cache shows.
    #[inline]
    fn show<T>(
        &self,
        mut slab: Slab<'_>,
        read: impl FnOnce(&mut dyn FnMut(&mut EntryRef<'_>) -> Result<Found, ReadConflict>) -> Option<(Found, T)>,
    ) -> Option<(i32, T)> {
        let mut taken = self.taken.borrow_mut();
        let (found, more) = read(&mut |entry| Found::see(entry, &mut slab, &mut taken))?;
        Some((answer(found, &mut taken), more))
    }

    fn fetch(&self, key: &Key, mut slab: Slab<'_>, touch: Option<u32>, cache: &Core) -> Answer {
        let mut taken = self.taken.borrow_mut();
        let found = cache.fetch(key, touch, 0, |entry| Found::see(entry, &mut slab, &mut taken));
        Answer::Number(found.map_or(MISS, |found| answer(found, &mut taken)))
    }

    // The functions of JavaScript, by the names in `functions`. Values are put into
    // `slab` behind what is used of it.

    /// `get(key, slab, used)`: a length, MISS or TAKEN.
    fn get(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            Ok(self.fetch(&key, slab(call), None, &shared.core))
        })
    }

    /// `getAndTouch(key, slab, used, ttl)`: as `get`.
    fn get_and_touch(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            let expiry = ttl::expiry(&shared.core, call.argument::<3>())?;
            Ok(self.fetch(&key, slab(call), Some(expiry), &shared.core))
        })
    }

    /// `getInto(key, buffer)`: the value's length, or MISS.
    fn get_into(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            let mut to = call
                .argument::<1>()
                .target()
                .ok_or_else(|| errors::bad_type("getInto writes to a Buffer or another Uint8Array"))?;
            let cache = &shared.core;
            let length = cache.fetch(&key, None, 0, |entry| {
                // What does not fit is left out.
                let length = entry.len().min(to.len());
                to.part(0, length).map_or(Ok(()), |part| entry.fill(part))?;
                Ok(entry.len())
            });
            Ok(Answer::Number(length.map_or(MISS, |length| length as i32)))
        })
    }

    /// `getString(key)`: a string, or MISS.
    fn get_string(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            let cache = &shared.core;
            let mut taken = self.taken.borrow_mut();
            let found = cache.fetch(&key, None, 0, |entry| Found::take(entry, &mut taken));
            let Some(found) = found else { return Ok(Answer::Number(MISS)) };
            found.join(&mut taken);
            let text = call.string(&taken);
            if taken.capacity() > KEPT {
                *taken = Vec::new();
            }
            text
        })
    }

    /// `gets(key, slab, used)`: as `get`, with the CAS in cell 0.
    fn gets(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let (key, cache) = (octets::key(call.argument::<0>())?, &shared.core);
            let shown = self.show(slab(call), |see| {
                cache.fetch(&key, None, 0, |entry| {
                    let cas = entry.header().cas();
                    Ok((see(entry)?, cas))
                })
            });
            let Some((answer, cas)) = shown else { return Ok(Answer::Number(MISS)) };
            self.cells.set::<0>(cas);
            Ok(Answer::Number(answer))
        })
    }

    /// `getItem(key, slab, used)`: as `get`, with all else in the cells: CAS, flags, ttl (2^32:
    /// none), idle, and whether it was fetched (1) and is stale (2).
    fn get_item(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let (key, cache) = (octets::key(call.argument::<0>())?, &shared.core);
            let shown = self.show(slab(call), |see| {
                cache.fetch_as_was(&key, |entry| {
                    let info = ItemInfo::of(entry);
                    Ok((see(entry)?, info))
                })
            });
            let Some((answer, info)) = shown else { return Ok(Answer::Number(MISS)) };
            self.cells.set::<0>(info.cas);
            self.cells.set::<1>(u64::from(info.flags));
            self.cells.set::<2>(info.ttl.map_or(1 << 32, u64::from));
            self.cells.set::<3>(u64::from(info.idle));
            self.cells.set::<4>(u64::from(info.fetched) | u64::from(info.stale) << 1);
            Ok(Answer::Number(answer))
        })
    }

    /// `lease(key, slab, used, recache, ttl)`: as `get`, and in cell 0 whether the
    /// caller is to store it anew, which one caller is told when the item has been
    /// invalidated or will expire within `recache` seconds. A `ttl` with which it
    /// could not be stored is refused here.
    fn lease(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let (key, cache) = (octets::key(call.argument::<0>())?, &shared.core);
            let recache = ttl::given(cache, call.argument::<3>())?;
            ttl::expiry(cache, call.argument::<4>())?;
            let request = MetaGet { update: true, recache, ..MetaGet::default() };
            let shown = self.show(slab(call), |see| {
                cache.meta_get(&key, &request, |entry, tokens| Ok((see(entry)?, u64::from(tokens.win))))
            });
            let Some((answer, win)) = shown else { return Ok(Answer::Number(MISS)) };
            self.cells.set::<0>(win);
            Ok(Answer::Number(answer))
        })
    }

    /// `taken()`: the value that is not in the slab, as a Buffer.
    fn taken(&self, call: &Call) -> Outcome {
        let mut taken = self.taken.borrow_mut();
        let buffer = call.buffer(&taken);
        if taken.capacity() > KEPT {
            *taken = Vec::new();
        }
        buffer
    }

    /// `has(key)`: 1 or 0.
    fn has(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            Ok(yes(shared.core.inspect(&key, 0, |_| Ok(())).is_some()))
        })
    }

    /// `set(key, value, ttl, flags)`: 1.
    fn set(&self, call: &Call) -> Outcome {
        self.put(Mode::Set, call, 0)
    }

    /// `put(key, value, ttl, flags, mode, cas)`: 1 stored, 0 not, MISS: a CAS of
    /// nothing.
    fn store(&self, call: &Call) -> Outcome {
        let mode = match call.argument::<4>().number() {
            Some(1.0) => Mode::Add,
            Some(2.0) => Mode::Replace,
            Some(3.0) => Mode::Append,
            Some(4.0) => Mode::Prepend,
            Some(5.0) => Mode::Cas,
            _ => Mode::Set,
        };
        let mut compare = 0;
        if mode == Mode::Cas {
            const WHAT: &str = "a CAS is a bigint from 1 to 2**64 - 1; take the one that gets() returns";
            compare = match call.argument::<5>().bigint() {
                Some(Big::Whole(cas)) if cas > 0 => cas,
                Some(_) => return Err(errors::out_of_range(WHAT)),
                None => return Err(errors::bad_type(WHAT)),
            };
        }
        self.put(mode, call, compare)
    }

    #[inline]
    fn put(&self, mode: Mode, call: &Call, compare: u64) -> Outcome {
        self.on(|shared| {
            let cache = &shared.core;
            let key = octets::key(call.argument::<0>())?;
            let mut scratch = self.scratch.borrow_mut();
            let expiry = ttl::expiry(cache, call.argument::<2>())?;
            let flags = flags(call.argument::<3>())?;
            let value = octets::value(call.argument::<1>(), &mut scratch)?;
            let request = StoreRequest { mode, expiry, flags, compare, ..StoreRequest::new(&key) };
            let stored = cache.store_value(&request, Given::Bytes(value));
            let length = value.len();
            if scratch.capacity() > KEPT {
                *scratch = Vec::new();
            }
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

    /// `count(key, increment, delta, initial, ttl)`: the number, or MISS.
    fn count(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let cache = &shared.core;
            let key = octets::key(call.argument::<0>())?;
            let increment = call.argument::<1>().number() == Some(1.0);
            let delta = call.argument::<2>();
            let delta = if delta.is_nothing() { 1 } else { whole(delta, "a delta")? };
            let initial = call.argument::<3>();
            let vivify = if initial.is_nothing() {
                None
            } else {
                Some((whole(initial, "the initial number")?, ttl::expiry(cache, call.argument::<4>())?))
            };
            match cache.add_delta(&DeltaRequest { vivify, ..DeltaRequest::new(&key, increment, delta) }) {
                Ok(number) => Ok(call.unsigned(number.value)),
                Err(error) => errors::not_counted(error).map_or(Ok(Answer::Number(MISS)), Err),
            }
        })
    }

    /// `touch(key, ttl)`: 1 or 0.
    fn touch(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            let expiry = ttl::expiry(&shared.core, call.argument::<1>())?;
            Ok(yes(shared.core.touch_for(&key, expiry, 0)))
        })
    }

    /// `delete(key)`: 1 or 0.
    fn delete(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            Ok(yes(shared.core.delete_for(&key, 0, 0) == Deleted::Deleted))
        })
    }

    /// `invalidate(key, ttl)`: 1 or 0.
    fn invalidate(&self, call: &Call) -> Outcome {
        self.on(|shared| {
            let key = octets::key(call.argument::<0>())?;
            let expiry = ttl::given(&shared.core, call.argument::<1>())?;
            let request = MetaDelete { stale: true, expiry, ..MetaDelete::default() };
            Ok(yes(shared.core.meta_delete(&key, &request) == Deleted::Deleted))
        })
    }

    /// `getMany(keys)`: a Buffer of the values' lengths, 32 bits each, -1 where
    /// there is none, and then the values.
    fn get_many(&self, call: &Call) -> Outcome {
        let list = call.argument::<0>();
        let count = list.elements().ok_or_else(|| errors::bad_type("getMany takes an array of keys"))?;
        // An element may be a getter, which may do anything: the cache comes after.
        let mut keys = Vec::new();
        for index in 0..count {
            let Some(element) = list.element(index) else { break };
            keys.push(Name(octets::key(element)?));
        }
        self.on(|shared| {
            let mut lengths = vec![-1; keys.len()];
            let (mut values, mut large) = (vec![0; keys.len() * 4], Vec::new());
            shared.core.fetch_many(&keys, |index, entry| {
                // Those in pieces are copied later.
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

    /// `failure()`: why the last call failed, thrown.
    fn failure(&self) -> Failure {
        self.failure.take().unwrap_or_else(|| errors::internal("nothing has failed"))
    }
}

/// The slab that a call brings, behind its key.
#[inline]
fn slab(call: &Call) -> Slab<'_> {
    Slab::new(call.argument::<1>(), call.argument::<2>())
}

#[inline]
fn answer(found: Found, taken: &mut Vec<u8>) -> i32 {
    found.join(taken).map_or(TAKEN, |length| length as i32)
}

/// A key among many.
struct Name(Key);

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Puts what was pinned where it belongs.
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

/// Client flags; nothing is 0.
#[inline]
fn flags(value: Value<'_>) -> Result<u32, Failure> {
    match value.number() {
        Some(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
            Ok(number as u32)
        }
        None if value.is_nothing() => Ok(0),
        Some(_) => Err(errors::out_of_range("flags are a whole number from 0 to 2**32 - 1")),
        None => Err(errors::bad_type("flags are a whole number from 0 to 2**32 - 1")),
    }
}

/// A whole number of 64 bits: a number where that is exact, or a bigint.
fn whole(value: Value<'_>, role: &str) -> Result<u64, Failure> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let refused = || {
        errors::out_of_range(format!("{role} is a whole number from 0 to 2**64 - 1; beyond 2**53 a bigint"))
    };
    match value.number() {
        Some(number) if number.fract() == 0.0 && (0.0..EXACT).contains(&number) => Ok(number as u64),
        Some(_) => Err(refused()),
        None => match value.bigint() {
            Some(Big::Whole(number)) => Ok(number),
            Some(Big::Other) => Err(refused()),
            None => Err(errors::bad_type(format!("{role} is a number or a bigint, not {}", value.word()))),
        },
    }
}

/// Settings of a cache.
#[napi(object)]
pub struct CacheSettings {
    pub name: Option<String>,
    pub memory_limit: Option<f64>,
    pub item_size_max: Option<f64>,
    pub evictions: Option<bool>,
}

/// Bytes, as a whole number that is not negative.
fn size(number: Option<f64>, name: &str) -> Result<Option<usize>, Failure> {
    match number {
        None => Ok(None),
        Some(number) if number.fract() == 0.0 && (0.0..=9e15).contains(&number) => Ok(Some(number as usize)),
        Some(number) => Err(errors::bad_argument(format!("{name} is a whole number of bytes, not {number}"))),
    }
}

/// A cache in this process, for one environment. `Cache` of `node/cache.js` has
/// one.
#[napi(custom_finalize)]
pub struct Cache {
    hold: Rc<Hold>,
}

impl ObjectFinalize for Cache {
    fn finalize(self, env: Env) -> napi::Result<()> {
        self.end(env);
        Ok(())
    }
}

impl Cache {
    /// Gives the cache up, if that was not done before.
    fn end(&self, env: Env) -> Option<Arc<Shared>> {
        let shared = self.hold.shared.take()?;
        // V8 guesses with it, no more.
        let _ = env.adjust_external_memory(-WEIGHT);
        Some(shared)
    }

    /// The cache, if it may be used.
    pub fn shared(&self) -> Result<Arc<Shared>, Failure> {
        let shared = self.hold.shared.borrow().clone();
        shared.ok_or_else(errors::cache_closed)
    }
}

#[napi]
impl Cache {
    /// A new cache, or the one of a name.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, settings: CacheSettings) -> Result<Self, Failure> {
        let wanted = Wanted {
            memory_limit: size(settings.memory_limit, "memoryLimit")?,
            item_size_max: size(settings.item_size_max, "itemSizeMax")?,
            evictions: settings.evictions,
        };
        let shared = Shared::open(settings.name, &wanted)?;
        // V8 guesses with it, no more.
        let _ = env.adjust_external_memory(WEIGHT);
        Ok(Self { hold: Rc::new(Hold::new(shared)) })
    }

    /// Its bare functions, and `cells`.
    #[napi(catch_unwind)]
    pub fn functions<'e>(&self, env: &'e Env) -> Result<Object<'e>, Failure> {
        let object = Object::new(env).map_err(|_| errors::internal("Node could not make an object"))?;
        let into = Functions { env: env.raw(), object: object.raw(), of: &self.hold };
        into.add("get", Hold::get)?;
        into.add("getAndTouch", Hold::get_and_touch)?;
        into.add("getInto", Hold::get_into)?;
        into.add("getString", Hold::get_string)?;
        into.add("gets", Hold::gets)?;
        into.add("getItem", Hold::get_item)?;
        into.add("lease", Hold::lease)?;
        into.add("taken", Hold::taken)?;
        into.add("has", Hold::has)?;
        into.add("set", Hold::set)?;
        into.add("store", Hold::store)?;
        into.add("count", Hold::count)?;
        into.add("touch", Hold::touch)?;
        into.add("delete", Hold::delete)?;
        into.add("invalidate", Hold::invalidate)?;
        into.add("getMany", Hold::get_many)?;
        into.put("cells", self.hold.cells.show(env.raw())?);
        Ok(object)
    }

    /// Why the last bare function failed.
    #[napi(catch_unwind)]
    pub fn failure(&self) -> Result<(), Failure> {
        Err(self.hold.failure())
    }

    /// All keys, each behind its length, those first that a walk comes to first.
    #[napi(catch_unwind)]
    pub fn keys(&self) -> Result<Buffer, Failure> {
        let shared = self.shared()?;
        // A key that moves during the walk may be met twice.
        let (mut scan, mut seen, mut keys) = (Scan::default(), HashSet::new(), Vec::new());
        while scan.advance(&shared.core, STEP, |item, _| {
            if seen.insert(item.key().to_vec()) {
                keys.push(item.key().len() as u8);
                keys.extend_from_slice(item.key());
            }
        }) {}
        Ok(keys.into())
    }

    /// How many items there are.
    #[napi(catch_unwind)]
    pub fn size(&self) -> Result<f64, Failure> {
        self.hold.on(|shared| Ok(shared.core.store().totals().curr_items as f64))
    }

    /// Removes everything.
    #[napi(catch_unwind)]
    pub fn flush(&self) -> Result<(), Failure> {
        self.hold.on(|shared| {
            shared.core.clear();
            Ok(())
        })
    }

    /// Statistics, by memcached's names.
    #[napi(catch_unwind)]
    pub fn stats(&self, group: String) -> Result<Stats, Failure> {
        self.hold.on(|shared| stats::list(shared.context(), &group))
    }

    /// The cache's clock.
    #[napi(catch_unwind)]
    pub fn clock(&self) -> Result<Clock, Failure> {
        Ok(Clock::new(&self.shared()?))
    }

    /// The making of a value, if nobody makes it; else `bell` rings with `token`.
    #[napi(catch_unwind)]
    pub fn board(&self, key: BufferSlice, bell: &RemoteWaker, token: u32) -> Result<Option<Flight>, Failure> {
        self.hold.on(|shared| Ok(shared.flights.board(&key, bell, token)))
    }

    /// The making anew of a value, which `lease` has told the caller to do.
    #[napi(catch_unwind)]
    pub fn renew(&self, key: BufferSlice) -> Result<Renewal, Failure> {
        Ok(Renewal::new(&self.shared()?, &key))
    }

    /// Ends the use of this handle: of a cache without a name nothing is left.
    #[napi(catch_unwind)]
    pub fn close(&self, env: Env) {
        if let Some(shared) = self.end(env)
            && !shared.is_named()
        {
            shared.core.clear();
        }
    }

    /// Whether this handle was closed.
    #[napi(catch_unwind)]
    pub fn closed(&self) -> bool {
        self.hold.shared.borrow().is_none()
    }
}
