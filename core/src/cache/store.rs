//! Storing: set, add, replace, append, prepend and cas, of values that are all
//! there and of those that arrive in parts.

use super::{Cache, Mode, StoreReply, StoreRequest, Stored, Value, item_cas};
use crate::config::KEY_MAX;
use crate::error::AllocError;
use crate::events;
use crate::store::{Draft, NewItem, Visit, bit};

impl Cache {
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
            let mut visit = self.reopen(request.key, hash.into(), request.client, again);
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
        let mut visit = self.open(request.key, hash.into(), request.client);
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
#[inline]
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
