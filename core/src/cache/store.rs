//! set, add, replace, append, prepend and cas, of complete values and of values that arrive in
//! parts.

use super::{Access, Cache, Mode, Request, StoreOperation, StoreReply, StoreValue, Stored, item_cas};
use crate::base::error::AllocError;
use crate::cache::events;
use crate::config::KEY_MAX;
use crate::store::{LockedEntry, NewItem, Reservation, bit};

impl Cache {
    /// Reserves memory for an item whose value of `length` bytes arrives in parts.
    ///
    /// # Errors
    /// The item is too large, or there is no memory. With `purge_on_failure`, the old item
    /// is removed.
    #[doc(hidden)]
    pub fn reserve(
        &self,
        request: &Request<'_, StoreOperation>,
        length: usize,
    ) -> Result<Reservation, AllocError> {
        let hash = self.store.hash(request.key);
        let made = self
            .new_item(request, length)
            .and_then(|new| Reservation::new(&self.store, hash, &new, length, false));
        made.inspect_err(|&error| self.refuse(request, hash, error))
    }

    fn new_item<'k>(
        &self,
        request: &Request<'k, StoreOperation>,
        length: usize,
    ) -> Result<NewItem<'k>, AllocError> {
        debug_assert!(request.key.len() <= KEY_MAX);
        let class = self.store.admit(request.key, request.operation.flags, length)?;
        let bits = if request.operation.key_binary { bit::KEY_BINARY } else { 0 };
        Ok(NewItem {
            key: request.key,
            flags: request.operation.flags,
            expiry: request.operation.expiry,
            class,
            bits,
        })
    }

    /// Counts a store whose reservation failed midway. With `purge_on_failure`, removes the old
    /// item.
    #[doc(hidden)]
    pub fn refuse_reservation(&self, request: &Request<'_, StoreOperation>, error: AllocError) {
        self.refuse(request, self.store.hash(request.key), error);
    }

    fn refuse(&self, request: &Request<'_, StoreOperation>, hash: u64, error: AllocError) {
        let mut entry = self.store.entry(request.key, hash);
        match error {
            AllocError::TooLarge => entry.commands().store_too_large += 1,
            AllocError::NoMemory => entry.commands().store_no_memory += 1,
        }
        if request.operation.purge_on_failure {
            entry.remove();
        }
        drop(entry);
        events::refused(&self.watch, request, error);
    }

    /// Stores a value.
    ///
    /// # Errors
    /// If there is no room for it; then what the key held is gone, if the
    /// request says so.
    #[doc(hidden)]
    pub fn store_value(
        &self,
        request: &Request<'_, StoreOperation>,
        value: StoreValue<'_>,
    ) -> Result<StoreReply, AllocError> {
        self.sample(request.key, Access::Write, request.client);
        let hash = self.store.hash(request.key);
        let stored = match value {
            StoreValue::Reservation(draft) => match draft.into_buffer() {
                Ok(bytes) => self.store_bytes(request, hash, &bytes),
                Err(draft) => Ok(self.store_draft(request, hash, draft)),
            },
            StoreValue::Bytes(bytes) => self.store_bytes(request, hash, bytes),
        };
        match stored {
            Ok(_) => self.store.keep_quota(request.key),
            Err(error) => self.refuse(request, hash, error),
        }
        stored
    }

    /// Stores a complete value.
    fn store_bytes(
        &self,
        request: &Request<'_, StoreOperation>,
        hash: u64,
        bytes: &[u8],
    ) -> Result<StoreReply, AllocError> {
        let mut new = self.new_item(request, bytes.len())?;
        if self.store.is_chunked(request.key.len(), request.operation.flags, bytes.len()) {
            let mut draft = Reservation::new(&self.store, hash, &new, bytes.len(), true)?;
            draft.write(bytes)?;
            return Ok(self.store_draft(request, hash, draft));
        }
        let mut attempts = self.store.attempts(hash);
        let mut again = false;
        loop {
            let mut entry = self.reopen(request.key, hash.into(), request.client, again);
            let verdict = judge(&mut entry, &request.operation, again);
            if let Verdict::Join = verdict {
                entry.stats(new.class).set_cmds += 1;
                drop(entry);
                return Ok(self.join(request, hash, &[bytes]));
            }
            let Verdict::Store { bits, expiry } = verdict else {
                entry.stats(new.class).set_cmds += 1;
                return Ok(self.done(request, &verdict.reply(bytes.len()), new.class));
            };
            new.bits |= bits;
            new.expiry = expiry.unwrap_or(new.expiry);
            let cas = request.operation.cas.unwrap_or_else(|| self.store.next_cas());
            if entry.publish(&new, bytes, cas).is_err() {
                drop(entry);
                attempts.make_room(new.class)?;
                again = true;
                continue;
            }
            entry.stats(new.class).set_cmds += 1;
            let reply = StoreReply { stored: Stored::Stored, cas: item_cas(&entry), length: bytes.len() };
            drop(entry);
            return Ok(self.done(request, &reply, new.class));
        }
    }

    fn store_draft(
        &self,
        request: &Request<'_, StoreOperation>,
        hash: u64,
        mut draft: Reservation,
    ) -> StoreReply {
        let mut entry = self.open(request.key, hash.into(), request.client);
        let (length, class) = (draft.len(), draft.class());
        entry.stats(class).set_cmds += 1;
        let reply = match judge(&mut entry, &request.operation, false) {
            Verdict::Join => {
                drop(entry);
                let parts: Vec<&[u8]> = draft.slices().collect();
                return self.join(request, hash, &parts);
            }
            Verdict::Store { bits, expiry } => {
                if let Some(expiry) = expiry {
                    draft.set_expiry(expiry);
                }
                let cas = request.operation.cas.unwrap_or_else(|| self.store.next_cas());
                entry.publish_reservation(draft, bits, cas);
                StoreReply { stored: Stored::Stored, cas: item_cas(&entry), length }
            }
            // The reservation is freed under this shard's lock, so the entry is closed first.
            verdict @ Verdict::Refuse(_) => verdict.reply(length),
        };
        drop(entry);
        self.done(request, &reply, class)
    }

    /// Appends or prepends `parts` to an item.
    fn join(&self, request: &Request<'_, StoreOperation>, hash: u64, parts: &[&[u8]]) -> StoreReply {
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let mut attempts = self.store.attempts(hash);
        let mut class = 0;
        let reply = loop {
            let mut entry = self.store.entry(request.key, hash);
            let not_stored = StoreReply { stored: Stored::NotStored, cas: 0, length: added };
            let Some(item) = entry.item() else { break not_stored };
            if request.operation.compare != 0 && item.header().cas() != request.operation.compare {
                break StoreReply { stored: Stored::Exists, ..not_stored };
            }
            let (flags, length) = (item.flags(), item.len() + added);
            let Ok(own) = self.store.admit(request.key, flags, length) else { break not_stored };
            class = own;
            // As in memcached, the joined item loses the mark of a base64 key.
            let new = NewItem { key: request.key, flags, expiry: item.header().expiry(), class, bits: 0 };
            let begin_again = if self.store.is_chunked(request.key.len(), flags, length) {
                match self.join_large(request, entry, &new, parts, length) {
                    Ok(Some(cas)) => break StoreReply { stored: Stored::Stored, cas, length },
                    Ok(None) => attempts.again(),
                    Err(error) => Err(error),
                }
            } else {
                let cas = request.operation.cas.unwrap_or_else(|| self.store.next_cas());
                if entry.publish_joined(&new, request.operation.mode == Mode::Append, parts, cas).is_ok() {
                    break StoreReply { stored: Stored::Stored, cas: item_cas(&entry), length };
                }
                drop(entry);
                attempts.make_room(class)
            };
            // As in memcached, a join without memory is `NOT_STORED`.
            if begin_again.is_err() {
                break not_stored;
            }
        };
        self.done(request, &reply, class)
    }

    /// Joins `parts` to the item of `entry`, into a chunked item of `length` bytes. Returns its
    /// CAS.
    ///
    /// The new item is written without the lock, because that may take long and wait for memory.
    /// Returns `None` if another client changed the item in this time.
    fn join_large(
        &self,
        request: &Request<'_, StoreOperation>,
        mut entry: LockedEntry<'_>,
        new: &NewItem<'_>,
        parts: &[&[u8]],
        length: usize,
    ) -> Result<Option<u64>, AllocError> {
        let hash = self.store.hash(request.key);
        let compare = item_cas(&entry);
        let Some(old) = entry.pin_briefly() else { return Ok(None) };
        drop(entry);
        let mut draft = Reservation::new(&self.store, hash, new, length, true)?;
        let mut write = |slice| draft.write(slice);
        if request.operation.mode == Mode::Append {
            old.slices().try_for_each(&mut write)?;
        }
        parts.iter().copied().try_for_each(&mut write)?;
        if request.operation.mode == Mode::Prepend {
            old.slices().try_for_each(&mut write)?;
        }
        #[cfg(test)]
        tests::in_between(self);
        let mut entry = self.store.entry(request.key, hash);
        if !entry.still_shows(compare, new.flags, &old) {
            return Ok(None);
        }
        if let Some(item) = entry.item() {
            // It may have been touched since.
            draft.set_expiry(item.header().expiry());
        }
        let cas = request.operation.cas.unwrap_or_else(|| self.store.next_cas());
        entry.publish_reservation(draft, 0, cas);
        Ok(Some(item_cas(&entry)))
    }

    fn done(&self, request: &Request<'_, StoreOperation>, reply: &StoreReply, class: u8) -> StoreReply {
        events::stored(&self.watch, request, reply, class, &self.clock);
        *reply
    }
}

/// Applies a mode's condition to an existing item.
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

/// memcached's rules of storing (its `do_store_item`). With `again`, this request was decided and
/// counted before.
#[inline]
fn judge(entry: &mut LockedEntry<'_>, operation: &StoreOperation, again: bool) -> Verdict {
    match operation.mode {
        Mode::Set => Verdict::Store { bits: 0, expiry: None },
        _ => judge_by_item(entry, operation, again),
    }
}

/// [`judge`], for the modes that depend on the item.
fn judge_by_item(entry: &mut LockedEntry<'_>, operation: &StoreOperation, again: bool) -> Verdict {
    let store = Verdict::Store { bits: 0, expiry: None };
    let Some(item) = entry.item() else {
        return match operation.mode {
            Mode::Set | Mode::Add => store,
            Mode::Append | Mode::Prepend if operation.vivify => store,
            Mode::Cas => {
                entry.commands().cas_misses += 1;
                Verdict::Refuse(Stored::NotFound)
            }
            Mode::Replace | Mode::Append | Mode::Prepend => Verdict::Refuse(Stored::NotStored),
        };
    };
    let header = item.header();
    let (cas, class) = (header.cas(), header.class());
    let matches = operation.compare == cas && operation.compare != 0;
    match operation.mode {
        Mode::Set | Mode::Replace => store,
        Mode::Add => {
            entry.renew();
            Verdict::Refuse(Stored::NotStored)
        }
        Mode::Append | Mode::Prepend if operation.compare != 0 && !matches => Verdict::Refuse(Stored::Exists),
        Mode::Append | Mode::Prepend => Verdict::Join,
        Mode::Cas if matches => {
            entry.stats(class).cas_hits += u64::from(!again);
            store
        }
        Mode::Cas if operation.allow_stale && operation.compare != 0 && operation.compare < cas => {
            let bits = bit::STALE | header.state() & bit::WIN;
            let expiry = Some(header.expiry());
            entry.stats(class).cas_hits += u64::from(!again);
            Verdict::Store { bits, expiry }
        }
        Mode::Cas => {
            entry.stats(class).cas_badval += 1;
            Verdict::Refuse(Stored::Exists)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::*;
    use crate::config::CacheConfig;
    use crate::store::Attempts;

    type Meddler = Box<dyn Fn(&Cache)>;

    thread_local! {
        /// The action of another client while this thread writes a joined value.
        static MEDDLER: RefCell<Option<Meddler>> = const { RefCell::new(None) };
    }

    pub(super) fn in_between(cache: &Cache) {
        // Not borrowed while it runs: it may join values itself.
        if let Some(meddler) = MEDDLER.take() {
            meddler(cache);
            MEDDLER.set(Some(meddler));
        }
    }

    fn cache(use_cas: bool) -> Arc<Cache> {
        Cache::new(CacheConfig { use_cas, ..CacheConfig::default() }).unwrap()
    }

    fn store(cache: &Cache, mode: Mode, value: &[u8]) -> Stored {
        let request = Request::new(b"key", StoreOperation { mode, ..StoreOperation::default() });
        cache.store_value(&request, StoreValue::Bytes(value)).unwrap().stored
    }

    fn value(cache: &Cache) -> Vec<u8> {
        cache.get(b"key").unwrap()
    }

    /// A value that lies in pieces.
    fn large() -> Vec<u8> {
        vec![b'v'; 20_000]
    }

    #[test]
    fn a_join_that_always_finds_another_value_ends() {
        for use_cas in [true, false] {
            let cache = cache(use_cas);
            store(&cache, Mode::Set, &large());
            let count = std::rc::Rc::new(std::cell::Cell::new(0u32));
            let counter = std::rc::Rc::clone(&count);
            MEDDLER.set(Some(Box::new(move |cache| {
                counter.set(counter.get() + 1);
                let mut other = large();
                other[..4].copy_from_slice(&counter.get().to_ne_bytes());
                store(cache, Mode::Set, &other);
            })));
            assert_eq!(store(&cache, Mode::Append, b"end"), Stored::NotStored);
            MEDDLER.set(None);
            assert_eq!(count.get(), Attempts::LIMIT + 1);
            assert_eq!(value(&cache).len(), large().len());
            assert_eq!(store(&cache, Mode::Append, b"end"), Stored::Stored);
        }
    }

    #[test]
    fn a_join_sees_another_value_of_the_same_cas() {
        let cache = cache(true);
        let request = Request::new(b"key", StoreOperation { cas: Some(7), ..StoreOperation::default() });
        cache.store_value(&request, StoreValue::Bytes(&large())).unwrap();
        MEDDLER.set(Some(Box::new(move |cache| {
            let request = Request::new(b"key", StoreOperation { cas: Some(7), ..StoreOperation::default() });
            cache.store_value(&request, StoreValue::Bytes(&vec![b'w'; 20_000])).unwrap();
        })));
        assert_eq!(store(&cache, Mode::Prepend, b"start"), Stored::Stored);
        MEDDLER.set(None);
        assert_eq!(value(&cache), [b"start", &vec![b'w'; 20_000][..]].concat());
    }
}
