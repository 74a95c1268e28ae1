//! The cache: typed operations with memcached's semantics, for any caller in
//! the process. It knows no wire, socket or thread; `dispatch.rs` is one of its
//! callers, the language bindings are others.
//!
//! Every method may be called from any thread at any time.

use std::sync::Arc;

pub use crate::ask::{
    Deleted, DeltaRequest, MetaDelete, MetaGet, Mode, Number, StoreReply, StoreRequest, Stored, Tokens, Value,
};
use crate::clock::Clock;
use crate::config::{CacheConfig, KEY_MAX};
use crate::error::{AllocError, DeltaError, StartError};
use crate::events;
use crate::faults::Faults;
use crate::maintainer::Maintainer;
use crate::prefix::Prefixes;
use crate::store::{Draft, Lookup, NewItem, Store, Visit, bit};
use crate::watch::WatchHub;

/// A cache.
pub struct Cache {
    store: Arc<Store>,
    clock: Arc<Clock>,
    watch: Arc<WatchHub>,
    faults: Faults,
    prefixes: Prefixes,
    maintainer: Maintainer,
    config: CacheConfig,
}

impl Cache {
    /// An empty cache, with a thread that keeps its clock and frees what expired.
    ///
    /// # Errors
    /// If a setting cannot work, or memory or a thread cannot be had.
    pub fn new(config: CacheConfig) -> Result<Arc<Self>, StartError> {
        config.validate()?;
        let clock = Arc::new(Clock::new());
        if config.clock_frozen {
            clock.freeze();
        }
        let watch = Arc::new(WatchHub::default());
        let store =
            Store::new(&config, Arc::clone(&clock), Arc::clone(&watch)).map_err(StartError::Memory)?;
        let store = Arc::new(store);
        let maintainer =
            Maintainer::start(Arc::clone(&store), Arc::clone(&clock), &config).map_err(StartError::System)?;
        let prefixes = Prefixes::new(config.prefix_delimiter, config.detail_enabled);
        Ok(Arc::new(Self { store, clock, watch, faults: Faults::default(), prefixes, maintainer, config }))
    }

    /// The items.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Where events are watched.
    pub fn watch_hub(&self) -> &Arc<WatchHub> {
        &self.watch
    }

    /// Injected faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Counts by key prefix.
    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// The background thread.
    pub fn maintainer(&self) -> &Maintainer {
        &self.maintainer
    }

    /// The settings at start.
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Opens a key and tells watchers who fetch.
    #[inline]
    fn open(&self, key: &[u8], hash: u64, client: i32) -> Visit<'_> {
        let visit = self.store.visit(key, hash);
        events::fetched(&self.watch, key, &visit, client);
        visit
    }

    /// Like [`Cache::open`], but tells watchers only the first time.
    #[inline]
    fn reopen(&self, key: &[u8], hash: u64, client: i32, again: bool) -> Visit<'_> {
        if again { self.store.visit(key, hash) } else { self.open(key, hash, client) }
    }

    /// Reads an item: `show` runs with it under the shard's lock. `touch` gives
    /// it a new expiry. `None`: there is none.
    #[inline]
    pub fn fetch<R>(
        &self,
        key: &[u8],
        hash: u64,
        touch: Option<u32>,
        client: i32,
        show: impl FnOnce(&mut Visit<'_>) -> R,
    ) -> Option<R> {
        let mut visit = self.open(key, hash, client);
        let found = visit.lookup() == Lookup::Found;
        if self.prefixes.enabled() {
            self.prefixes.record_get(key, found);
        }
        match touch {
            None => visit.commands().get_cmds += 1,
            Some(_) => visit.commands().touch_cmds += 1,
        }
        if !found {
            match touch {
                None => visit.commands().get_misses += 1,
                Some(_) => visit.commands().touch_misses += 1,
            }
            return None;
        }
        visit.hit();
        if let Some(expiry) = touch {
            Self::retouch(&mut visit, expiry);
        } else {
            visit.count_hit();
        }
        Some(show(&mut visit))
    }

    /// Counts a set whose value turned out to be bad.
    pub fn count_set(&self, key: &[u8], class: u8) {
        self.store.visit(key, self.store.hash(key)).stats(class).set_cmds += 1;
    }

    /// Counts a fetch that a fault turned into a miss.
    pub fn count_miss(&self, hash: u64, key: &[u8]) {
        let mut visit = self.store.visit(key, hash);
        visit.commands().get_cmds += 1;
        visit.commands().get_misses += 1;
    }

    fn retouch(visit: &mut Visit<'_>, expiry: u32) {
        if let Some(item) = visit.item() {
            let header = item.header();
            header.set_expiry(expiry);
            let class = header.class();
            visit.stats(class).touch_hits += 1;
        }
    }

    /// Gives an item a new expiry, for a client. `false`: there is none.
    pub fn touch_for(&self, key: &[u8], expiry: u32, client: i32) -> bool {
        let hash = self.store.hash(key);
        let mut visit = self.open(key, hash, client);
        visit.commands().touch_cmds += 1;
        if visit.lookup() != Lookup::Found {
            visit.commands().touch_misses += 1;
            return false;
        }
        visit.hit();
        Self::retouch(&mut visit, expiry);
        true
    }

    /// Starts an item that will be stored by `request` once its value of
    /// `length` bytes is there.
    ///
    /// # Errors
    /// If there is no room for it; then what the key held is gone, if the
    /// request says so.
    pub fn draft(&self, request: &StoreRequest<'_>, length: usize) -> Result<Draft, AllocError> {
        let hash = self.store.hash(request.key);
        let made =
            self.new_item(request, length).and_then(|new| Draft::new(&self.store, hash, &new, length, false));
        made.inspect_err(|&error| self.refuse(request, hash, error))
    }

    fn new_item<'k>(&self, request: &StoreRequest<'k>, length: usize) -> Result<NewItem<'k>, AllocError> {
        debug_assert!(request.key.len() <= KEY_MAX);
        let class = self.store.class_for(request.key.len(), request.flags, length)?;
        let bits = if request.key_binary { bit::KEY_BINARY } else { 0 };
        Ok(NewItem { key: request.key, flags: request.flags, expiry: request.expiry, class, bits })
    }

    fn refuse(&self, request: &StoreRequest<'_>, hash: u64, error: AllocError) {
        let mut visit = self.store.visit(request.key, hash);
        match error {
            AllocError::TooLarge => visit.commands().store_too_large += 1,
            AllocError::NoMemory => visit.commands().store_no_memory += 1,
        }
        if request.purge_on_failure {
            visit.remove();
        }
        drop(visit);
        events::refused(&self.watch, request, error);
    }

    /// Stores a value.
    ///
    /// # Errors
    /// If there is no room for it; then what the key held is gone, if the
    /// request says so.
    pub fn store_value(
        &self,
        request: &StoreRequest<'_>,
        value: Value<'_>,
    ) -> Result<StoreReply, AllocError> {
        let hash = self.store.hash(request.key);
        let stored = match value {
            Value::Draft(draft) => match draft.into_buffer() {
                Ok(bytes) => self.store_bytes(request, hash, &bytes),
                Err(draft) => Ok(self.store_draft(request, hash, draft)),
            },
            Value::Bytes(bytes) => self.store_bytes(request, hash, bytes),
        };
        stored.inspect_err(|&error| self.refuse(request, hash, error))
    }

    /// Stores a value that is all there.
    fn store_bytes(
        &self,
        request: &StoreRequest<'_>,
        hash: u64,
        bytes: &[u8],
    ) -> Result<StoreReply, AllocError> {
        let mut new = self.new_item(request, bytes.len())?;
        if self.store.is_chunked(request.key.len(), request.flags, bytes.len()) {
            let mut draft = Draft::new(&self.store, hash, &new, bytes.len(), true)?;
            draft.write(bytes)?;
            return Ok(self.store_draft(request, hash, draft));
        }
        let mut again = false;
        loop {
            let mut visit = self.reopen(request.key, hash, request.client, again);
            let verdict = judge(&mut visit, request, again);
            if let Verdict::Join = verdict {
                visit.stats(new.class).set_cmds += 1;
                drop(visit);
                return Ok(self.join(request, hash, &[bytes]));
            }
            let Verdict::Store { bits, expiry } = verdict else {
                visit.stats(new.class).set_cmds += 1;
                return Ok(self.done(request, &verdict.reply(bytes.len()), new.class));
            };
            new.bits |= bits;
            new.expiry = expiry.unwrap_or(new.expiry);
            let cas = request.cas.unwrap_or_else(|| self.store.next_cas());
            if visit.publish(&new, &[bytes], cas).is_err() {
                drop(visit);
                self.store.make_room(hash, new.class)?;
                again = true;
                continue;
            }
            visit.stats(new.class).set_cmds += 1;
            let reply = StoreReply { stored: Stored::Stored, cas: item_cas(&visit), length: bytes.len() };
            drop(visit);
            return Ok(self.done(request, &reply, new.class));
        }
    }

    fn store_draft(&self, request: &StoreRequest<'_>, hash: u64, mut draft: Draft) -> StoreReply {
        let mut visit = self.open(request.key, hash, request.client);
        let (length, class) = (draft.len(), draft.class());
        visit.stats(class).set_cmds += 1;
        let reply = match judge(&mut visit, request, false) {
            Verdict::Join => {
                drop(visit);
                let parts: Vec<&[u8]> = draft.slices().collect();
                return self.join(request, hash, &parts);
            }
            Verdict::Store { bits, expiry } => {
                if let Some(expiry) = expiry {
                    draft.set_expiry(expiry);
                }
                let cas = request.cas.unwrap_or_else(|| self.store.next_cas());
                visit.publish_draft(draft, bits, cas);
                StoreReply { stored: Stored::Stored, cas: item_cas(&visit), length }
            }
            // The draft is freed under this shard's lock: end the visit first.
            verdict @ Verdict::Refuse(_) => verdict.reply(length),
        };
        drop(visit);
        self.done(request, &reply, class)
    }

    /// Appends or prepends `parts` to the item that is there.
    fn join(&self, request: &StoreRequest<'_>, hash: u64, parts: &[&[u8]]) -> StoreReply {
        let append = request.mode == Mode::Append;
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let mut class = 0;
        let reply = loop {
            let mut visit = self.store.visit(request.key, hash);
            let not_stored = StoreReply { stored: Stored::NotStored, cas: 0, length: added };
            let Some(item) = visit.item() else { break not_stored };
            if request.compare != 0 && item.header().cas() != request.compare {
                break StoreReply { stored: Stored::Exists, ..not_stored };
            }
            let length = item.len() + added;
            let flags = item.flags();
            let Ok(own) = self.store.class_for(request.key.len(), flags, length) else { break not_stored };
            class = own;
            // As in memcached, the joined item forgets that its key came in
            // base64.
            let new = NewItem { key: request.key, flags, expiry: item.header().expiry(), class, bits: 0 };
            if self.store.is_chunked(request.key.len(), flags, length) {
                let (at, cas) = (item.at(), item.header().cas());
                let Some(old) = visit.pin_briefly() else { break not_stored };
                drop(visit);
                let joined = Draft::new(&self.store, hash, &new, length, true).and_then(|mut draft| {
                    if append {
                        old.slices().try_for_each(|slice| draft.write(slice))?;
                    }
                    parts.iter().try_for_each(|part| draft.write(part))?;
                    if !append {
                        old.slices().try_for_each(|slice| draft.write(slice))?;
                    }
                    Ok(draft)
                });
                let Ok(mut draft) = joined else { break not_stored };
                let mut visit = self.store.visit(request.key, hash);
                let same = visit.item().is_some_and(|item| {
                    // It may have been touched meanwhile.
                    draft.set_expiry(item.header().expiry());
                    item.at() == at && item.header().cas() == cas
                });
                if !same {
                    // Someone else was faster: begin again with what is there
                    // now. The pin and the draft go after the lock.
                    drop(visit);
                    continue;
                }
                let cas = request.cas.unwrap_or_else(|| self.store.next_cas());
                visit.publish_draft(draft, 0, cas);
                let reply = StoreReply { stored: Stored::Stored, cas: item_cas(&visit), length };
                drop(visit);
                break reply;
            }
            let cas = request.cas.unwrap_or_else(|| self.store.next_cas());
            if visit.publish_joined(&new, append, parts, cas).is_err() {
                drop(visit);
                if self.store.make_room(hash, class).is_err() {
                    break not_stored;
                }
                continue;
            }
            break StoreReply { stored: Stored::Stored, cas: item_cas(&visit), length };
        };
        self.done(request, &reply, class)
    }

    fn done(&self, request: &StoreRequest<'_>, reply: &StoreReply, class: u8) -> StoreReply {
        events::stored(&self.watch, request, reply, class, self.clock.now());
        *reply
    }

    /// Removes an item, for a client, if its CAS is `compare`; 0 is any.
    pub fn delete_for(&self, key: &[u8], compare: u64, client: i32) -> Deleted {
        if self.prefixes.enabled() {
            self.prefixes.record_delete(key);
        }
        let hash = self.store.hash(key);
        let mut visit = self.open(key, hash, client);
        let Some(item) = visit.item() else {
            visit.commands().delete_misses += 1;
            return Deleted::NotFound;
        };
        if compare != 0 && compare != item.header().cas() {
            return Deleted::Exists;
        }
        events::deleted(&self.watch, item, "delete");
        let class = item.header().class();
        visit.stats(class).delete_hits += 1;
        visit.remove();
        Deleted::Deleted
    }

    /// Adds to or subtracts from the number that an item holds.
    ///
    /// # Errors
    /// See [`DeltaError`].
    pub fn add_delta(&self, request: &DeltaRequest<'_>) -> Result<Number, DeltaError> {
        let hash = self.store.hash(request.key);
        let mut again = false;
        loop {
            let mut visit = self.reopen(request.key, hash, request.client, again);
            let Some(item) = visit.item() else {
                let Some((value, expiry)) = request.vivify else {
                    let commands = visit.commands();
                    if request.increment {
                        commands.incr_misses += 1;
                    } else {
                        commands.decr_misses += 1;
                    }
                    return Err(DeltaError::NotFound);
                };
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(value).as_bytes();
                let class = self
                    .store
                    .class_for(request.key.len(), 0, digits.len())
                    .map_err(|_| DeltaError::NoMemory)?;
                let new = NewItem { key: request.key, flags: 0, expiry, class, bits: 0 };
                let cas = request.cas.unwrap_or_else(|| self.store.next_cas());
                if visit.publish(&new, &[digits], cas).is_err() {
                    drop(visit);
                    self.store.make_room(hash, class).map_err(|_| DeltaError::NoMemory)?;
                    again = true;
                    continue;
                }
                return Ok(Number { value, cas: item_cas(&visit), expiry, old_expiry: 0, created: true });
            };
            let header = item.header();
            if item.is_empty()
                || self.store.is_chunked_in_memcached(request.key.len(), item.flags(), item.len())
            {
                return Err(DeltaError::NonNumeric);
            }
            if request.compare != 0 && header.cas() != request.compare {
                return Err(DeltaError::CasMismatch);
            }
            let old = item.slices().next().and_then(parse_number).ok_or(DeltaError::NonNumeric)?;
            let value = if request.increment {
                old.wrapping_add(request.delta)
            } else {
                old.saturating_sub(request.delta)
            };
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(value).as_bytes();
            let old_expiry = header.expiry();
            let expiry = request.expiry.unwrap_or(old_expiry);
            let (length, flags, class) = (item.len(), item.flags(), header.class());
            let fits = digits.len() <= length;
            let new_class = if fits {
                class
            } else {
                self.store
                    .class_for(request.key.len(), flags, digits.len())
                    .map_err(|_| DeltaError::NoMemory)?
            };
            if header.has(bit::CHUNKED) {
                // A number with very many blanks behind it.
                let mut padded = digits.to_vec();
                padded.resize(length, b' ');
                let (at, compare, state) = (item.at(), header.cas(), header.state());
                // Without CAS the place alone says that it is the same item.
                let _held = visit.pin_briefly();
                drop(visit);
                let new = NewItem { key: request.key, flags, expiry, class, bits: 0 };
                let mut draft =
                    Draft::new(&self.store, hash, &new, length, true).map_err(|_| DeltaError::NoMemory)?;
                draft.write(&padded).map_err(|_| DeltaError::NoMemory)?;
                let mut visit = self.store.visit(request.key, hash);
                again = true;
                if visit.item().is_none_or(|item| item.at() != at || item.header().cas() != compare) {
                    // The draft and the pin go after the lock.
                    drop(visit);
                    continue;
                }
                let kept = bit::FETCHED | bit::ACTIVE | bit::WIN | bit::STALE | bit::KEY_BINARY;
                visit.publish_draft(
                    draft,
                    state & kept,
                    request.cas.unwrap_or_else(|| self.store.next_cas()),
                );
                count_delta(&mut visit, class, request.increment);
                return Ok(Number { value, cas: item_cas(&visit), expiry, old_expiry, created: false });
            }
            // A shorter number keeps its length, with spaces behind it. One that
            // grows is a new item. As in memcached it gets the next CAS and keeps
            // its expiry, whatever was asked for; the answer tells what was asked
            // for.
            let written = if fits {
                visit.rewrite(digits, request.cas.unwrap_or_else(|| self.store.next_cas()))
            } else {
                let new = NewItem { key: request.key, flags, expiry: old_expiry, class: new_class, bits: 0 };
                visit.publish(&new, &[digits], self.store.next_cas())
            };
            if written.is_err() {
                drop(visit);
                self.store.make_room(hash, new_class).map_err(|_| DeltaError::NoMemory)?;
                again = true;
                continue;
            }
            count_delta(&mut visit, class, request.increment);
            if fits {
                if let Some(item) = visit.item() {
                    item.header().set_expiry(expiry);
                }
                return Ok(Number { value, cas: item_cas(&visit), expiry, old_expiry, created: false });
            }
            let cas =
                request.cas.map_or_else(|| item_cas(&visit), |cas| if self.config.use_cas { cas } else { 0 });
            return Ok(Number { value, cas, expiry, old_expiry, created: false });
        }
    }

    /// Reads an item as `mg` does: `show` runs with the item (as it was before
    /// this fetch, if `update_late`) under the shard's lock. `None`: a miss.
    pub fn meta_get<R>(
        &self,
        key: &[u8],
        request: &MetaGet,
        show: impl FnOnce(&mut Visit<'_>, Tokens) -> R,
    ) -> Option<R> {
        let hash = self.store.hash(key);
        let mut again = false;
        let (mut visit, created) = loop {
            let mut visit = self.reopen(key, hash, request.client, again);
            let (None, Some(expiry)) = (visit.item(), request.vivify) else { break (visit, false) };
            let Ok(class) = self.store.class_for(key.len(), 0, 0) else { break (visit, false) };
            // As in memcached, an item made here forgets that its key came in
            // base64.
            let new = NewItem { key, flags: 0, expiry, class, bits: 0 };
            let cas = request.cas.unwrap_or_else(|| self.store.next_cas());
            if visit.publish(&new, &[], cas).is_err() {
                drop(visit);
                if self.store.make_room(hash, class).is_err() {
                    break (self.store.visit(key, hash), false);
                }
                again = true;
                continue;
            }
            break (visit, true);
        };
        if visit.item().is_none() {
            let commands = visit.commands();
            commands.get_cmds += 1;
            commands.get_misses += 1;
            return None;
        }
        if request.update && !request.update_late {
            visit.hit();
        }
        let header = visit.item()?.header();
        let state = header.state();
        let old_expiry = if created { 0 } else { header.expiry() };
        if let Some(expiry) = request.expiry.filter(|_| !created) {
            header.set_expiry(expiry);
        }
        let looked_at = if request.recache_late { header.expiry() } else { old_expiry };
        let expires_soon = request.recache.is_some_and(|limit| looked_at != 0 && looked_at < limit);
        let (told, is_stale) = (state & bit::WIN != 0, state & bit::STALE != 0);
        let win = !request.refused && (created || (!told && (is_stale || expires_soon)));
        if win {
            header.mark(bit::WIN);
        }
        let class = header.class();
        if request.refused {
            // memcached counts nothing either.
        } else if request.expiry.is_some() {
            visit.commands().touch_cmds += 1;
            visit.stats(class).touch_hits += 1;
        } else {
            visit.commands().get_cmds += 1;
            visit.count_hit();
        }
        let shown = show(&mut visit, Tokens { win, sent: told, stale: is_stale, created, old_expiry });
        if request.update && request.update_late && !request.refused {
            visit.hit();
        }
        Some(shown)
    }

    /// Deletes or invalidates an item as `md` does.
    pub fn meta_delete(&self, key: &[u8], request: &MetaDelete) -> Deleted {
        let hash = self.store.hash(key);
        let mut again = false;
        loop {
            let mut visit = self.reopen(key, hash, request.client, again);
            let Some(item) = visit.item() else {
                visit.commands().delete_misses += 1;
                return Deleted::NotFound;
            };
            let header = item.header();
            let (old_cas, class) = (header.cas(), header.class());
            if request.compare.is_some_and(|cas| cas != old_cas) {
                visit.commands().delete_misses += 1;
                return Deleted::Exists;
            }
            if let Some(flags) = request.drop_value {
                let Ok(class) = self.store.class_for(key.len(), flags, 0) else { return Deleted::NoMemory };
                // As in memcached, what is left forgets that its key came in base64.
                let new = NewItem { key, flags, expiry: request.expiry.unwrap_or(0), class, bits: 0 };
                if visit.publish(&new, &[], request.cas.unwrap_or(old_cas)).is_err() {
                    drop(visit);
                    if self.store.make_room(hash, class).is_err() {
                        return Deleted::NoMemory;
                    }
                    again = true;
                    continue;
                }
            }
            let Some(item) = visit.item() else { return Deleted::NotFound };
            let header = item.header();
            if request.stale {
                if let Some(expiry) = request.expiry {
                    header.set_expiry(expiry);
                }
                header.mark(bit::STALE);
                header.unmark(bit::WIN);
                if self.config.use_cas {
                    header.set_cas(request.cas.unwrap_or_else(|| self.store.next_cas()));
                }
                return Deleted::Deleted;
            }
            events::deleted(&self.watch, item, "md");
            visit.stats(class).delete_hits += 1;
            if request.drop_value.is_none() {
                visit.remove();
            }
            return Deleted::Deleted;
        }
    }

    /// Runs `show` with the item as it is, without counting a use (`me`).
    pub fn inspect<R>(&self, key: &[u8], client: i32, show: impl FnOnce(&mut Visit<'_>) -> R) -> Option<R> {
        let hash = self.store.hash(key);
        let mut visit = self.open(key, hash, client);
        visit.commands().meta_cmds += 1;
        visit.item()?;
        Some(show(&mut visit))
    }

    /// Removes everything: at once, or at the second `at` of the clock.
    pub fn flush(&self, at: Option<u32>) {
        /// Items freed before the call returns; more are left to the crawler.
        const AT_ONCE: usize = 100_000;
        match at {
            Some(at) => self.store.flush_later(at),
            None => {
                self.store.flush();
                self.store.sweep_recent(AT_ONCE);
                self.maintainer.crawl_soon();
            }
        }
    }

    /// Sets the counters of the store to 0.
    pub fn reset_stats(&self) {
        self.store.reset_stats();
        self.prefixes.clear();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.maintainer.stop();
    }
}

fn item_cas(visit: &Visit<'_>) -> u64 {
    visit.item().map_or(0, |item| item.header().cas())
}

fn count_delta(visit: &mut Visit<'_>, class: u8, increment: bool) {
    let stats = visit.stats(class);
    if increment {
        stats.incr_hits += 1;
    } else {
        stats.decr_hits += 1;
    }
}

/// What a mode says about an existing item.
enum Verdict {
    Store { bits: u16, expiry: Option<u32> },
    Join,
    Refuse(Stored),
}

impl Verdict {
    fn reply(&self, length: usize) -> StoreReply {
        let stored = match self {
            Self::Refuse(stored) => *stored,
            _ => Stored::Stored,
        };
        StoreReply { stored, cas: 0, length }
    }
}

/// memcached's rules of storing (its `do_store_item`). `again`: this request was
/// judged and counted before.
fn judge(visit: &mut Visit<'_>, request: &StoreRequest<'_>, again: bool) -> Verdict {
    let store = Verdict::Store { bits: 0, expiry: None };
    let Some(item) = visit.item() else {
        return match request.mode {
            Mode::Set | Mode::Add => store,
            Mode::Append | Mode::Prepend if request.vivify => store,
            Mode::Cas => {
                visit.commands().cas_misses += 1;
                Verdict::Refuse(Stored::NotFound)
            }
            Mode::Replace | Mode::Append | Mode::Prepend => Verdict::Refuse(Stored::NotStored),
        };
    };
    let header = item.header();
    let (cas, class) = (header.cas(), header.class());
    let matches = request.compare == cas && request.compare != 0;
    match request.mode {
        Mode::Set | Mode::Replace => store,
        Mode::Add => {
            visit.renew();
            Verdict::Refuse(Stored::NotStored)
        }
        Mode::Append | Mode::Prepend if request.compare != 0 && !matches => Verdict::Refuse(Stored::Exists),
        Mode::Append | Mode::Prepend => Verdict::Join,
        Mode::Cas if matches => {
            visit.stats(class).cas_hits += u64::from(!again);
            store
        }
        Mode::Cas if request.allow_stale && request.compare != 0 && request.compare < cas => {
            let bits = bit::STALE | header.state() & bit::WIN;
            let expiry = Some(header.expiry());
            visit.stats(class).cas_hits += u64::from(!again);
            Verdict::Store { bits, expiry }
        }
        Mode::Cas => {
            visit.stats(class).cas_badval += 1;
            Verdict::Refuse(Stored::Exists)
        }
    }
}

/// The number at the start of a value, by the rules of `strtoull` as memcached
/// applies it: leading white space, a sign, digits, then the end or white space.
fn parse_number(value: &[u8]) -> Option<u64> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = value.iter().position(|byte| !is_space(byte))?;
    let rest = value.get(start..)?;
    let (negative, digits) = match rest.first()? {
        b'-' => (true, rest.get(1..)?),
        b'+' => (false, rest.get(1..)?),
        _ => (false, rest),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || digits.get(count).is_some_and(|byte| !is_space(byte) && *byte != 0) {
        return None;
    }
    let mut number = 0u64;
    for digit in digits.get(..count)? {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative {
        number = number.wrapping_neg();
        if (number as i64) < 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn numbers_as_strtoull_reads_them() {
        assert_eq!(parse_number(b"12"), Some(12));
        assert_eq!(parse_number(b" 12 "), Some(12));
        assert_eq!(parse_number(b"+7\r"), Some(7));
        assert_eq!(parse_number(b"12a"), None);
        assert_eq!(parse_number(b""), None);
        assert_eq!(parse_number(b"  "), None);
        assert_eq!(parse_number(b"-5"), None);
        assert_eq!(parse_number(b"-0"), Some(0));
        assert_eq!(parse_number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_number(b"18446744073709551616"), None);
    }
}
