//! A locked shard, opened at one key. A command makes all changes to an item through one locked
//! entry, which is one critical section.

use std::sync::Arc;

use super::expiry::TimeSnapshot;
use super::log::AppendFor;
use super::mem::{EntryWriter, HEADER, Header, Item, Queue, Rank, Ref, USES_MAX, bit, item_size};
use super::new_item::{NewItem, write_head, write_header};
use super::policy;
use super::read::{EntryRef, LookupHint, PinnedValue, SeqLockGuard};
use super::reservation::Reservation;
use super::shard::{Lookup, Shard};
use super::stats::{ClassStats, CommandStats};
use super::store::Store;

/// A shard, locked, opened at one key.
///
/// Items do not move while it is open. Compaction that a store makes necessary runs when the entry
/// is dropped.
pub struct LockedEntry<'a> {
    store: &'a Arc<Store>,
    shard: SeqLockGuard<'a, Shard>,
    hash: u64,
    time: TimeSnapshot,
    lookup: Lookup,
    at: Ref,
    /// Bytes stored, to be paid for by compaction.
    stored: usize,
}

opaque_debug!(LockedEntry<'a>);

/// The shard has no memory for the new item. Drop the locked entry, call `Attempts::make_room` and
/// try again.
#[derive(Clone, Copy, Debug)]
pub struct Full;

impl Store {
    /// Locks the shard of `key` and looks the key up.
    #[inline]
    pub fn entry<'a>(self: &'a Arc<Self>, key: &[u8], hash: u64) -> LockedEntry<'a> {
        self.visit_at(key, LookupHint::from(hash))
    }

    /// Like [`Store::entry`], with a hint about the place of the item.
    #[expect(
        clippy::inline_always,
        reason = "a locked entry has many words: moving it takes longer than making it"
    )]
    #[inline(always)]
    pub(crate) fn visit_at<'a>(self: &'a Arc<Self>, key: &[u8], hint: LookupHint) -> LockedEntry<'a> {
        LockedEntry::new(self, self.shard(hint.hash).lock(), key, hint)
    }
}

impl<'a> LockedEntry<'a> {
    /// Opens the locked `shard` at a key.
    #[expect(
        clippy::inline_always,
        reason = "a locked entry has many words: moving it takes longer than making it"
    )]
    #[inline(always)]
    pub(super) fn new(
        store: &'a Arc<Store>,
        mut shard: SeqLockGuard<'a, Shard>,
        key: &[u8],
        hint: LookupHint,
    ) -> Self {
        // Take the time under the lock. With a stamp from before a flush that another thread saw,
        // an item that this thread stored after the flush would die.
        let time = store.common.time();
        let hash = hint.hash;
        let at_hint = if shard.is_next_after(hint.version) { hint.at } else { Ref::NONE };
        let (lookup, at) = shard.find(&store.common, &time, key, hash, at_hint);
        Self { store, shard, hash, time, lookup, at: at.unwrap_or(Ref::NONE), stored: 0 }
    }

    /// Returns the result of the lookup of the key.
    #[inline]
    pub fn lookup(&self) -> Lookup {
        self.lookup
    }

    /// Returns the item, if there is one.
    #[inline]
    pub fn item(&self) -> Option<Item<'_>> {
        Some(self.shard.item(&self.store.common, self.at.some()?))
    }

    /// Returns the time at which the entry was opened.
    #[inline]
    pub fn time(&self) -> &TimeSnapshot {
        &self.time
    }

    /// Returns the counters of commands.
    #[inline]
    pub fn commands(&mut self) -> &mut CommandStats {
        &mut self.shard.commands
    }

    /// Returns the counters of a class.
    #[inline]
    pub fn stats(&mut self, class: u8) -> &mut ClassStats {
        self.shard.stats(class)
    }

    /// Records a fetch of the item, for the policy and for `h` and `l` of meta.
    #[inline]
    pub fn hit(&mut self) {
        if let Some(item) = self.item() {
            policy::record_access(self.shard.tuning.policy, item.header(), &self.time);
        }
    }

    /// Gives the item, if there is one, a new expiry; 0 means never.
    #[inline]
    pub(crate) fn set_expiry(&self, expiry: u32) {
        if let Some(item) = self.item() {
            item.header().set_expiry(expiry);
            self.store.common.note_expiry(expiry);
        }
    }

    /// Counts a hit of `get` on the item, by class and queue.
    #[inline]
    pub fn count_hit(&mut self) {
        let Some(item) = self.item() else { return };
        let (queue, class) = (item.header().queue(), item.header().class());
        *self.shard.stats(class).hits_to(queue) += 1;
    }

    /// Returns the item as the callback of a read sees it.
    #[inline]
    pub fn show(&mut self) -> Option<EntryRef<'_>> {
        let at = self.at.some()?;
        Some(EntryRef::locked(at, &self.time, self.store, &mut self.shard, self.hash))
    }

    /// Records that `add` found the item, which counts as a use.
    pub fn renew(&mut self) {
        if let Some(item) = self.item() {
            item.header().set_stamp(self.time.stamp);
        }
    }

    /// Keeps the item's value readable after the lock is released.
    pub fn pin(&mut self) -> Option<PinnedValue> {
        self.show()?.pin().ok()
    }

    /// Like [`LockedEntry::pin`], for a caller that waits for no other thread while it has the
    /// value. The value is never a copy, so the item is not overwritten while it is pinned.
    pub(crate) fn pin_briefly(&mut self) -> Option<PinnedValue> {
        let at = self.at.some()?;
        Some(PinnedValue::new(self.store, &mut self.shard, at, self.hash, true))
    }

    /// Returns whether the item still has this CAS, these flags and the value of `value`. It may
    /// have moved since it was pinned. Without CAS (`-C`), an equal value that another client
    /// stored is the same.
    pub(crate) fn still_shows(&self, cas: u64, flags: u32, value: &PinnedValue) -> bool {
        self.item().is_some_and(|item| {
            item.header().cas() == cas && item.flags() == flags && value.is_value_of(item)
        })
    }

    /// Removes the item.
    pub fn remove(&mut self) {
        if let Some(at) = self.at.some() {
            self.shard.unlink(&self.store.common, at, self.hash);
            self.at = Ref::NONE;
        }
    }

    /// Stores a new item under the key, and replaces the old one. Its value is small enough for one
    /// entry ([`Store::is_chunked`]).
    ///
    /// # Errors
    /// [`Full`] if there is no memory. Then nothing was changed.
    pub(crate) fn publish(&mut self, new: &NewItem<'_>, value: &[u8], cas: u64) -> Result<(), Full> {
        let length = value.len();
        let (queue, uses) = self.place(new);
        let common = &self.store.common;
        let memory = common.memory();
        let extent = item_size(new.key.len(), new.flags, length);
        let size = common.segments.round(extent);
        let state = Header::linked(queue, uses);
        let stamp = self.time.stamp;
        if let Some(mut writer) = self.overwrite(size, queue, HEADER + new.key.len()) {
            // The sizes are equal, so the item is overwritten. Index and log do not change.
            let header = memory.header(writer.at());
            let counted = header.total() == extent && header.class() == new.class;
            let before = (!counted).then(|| header.copied());
            write_header(&mut writer, memory, new, length, state | bit::USED | bit::RECENT);
            writer.push(memory, value);
            header.set_cas(common.given_cas(cas));
            header.set_stamp(stamp);
            if let Some(before) = before {
                self.shard.discount(common, &before, self.at);
                self.shard.count(common, self.at);
            } else {
                common.note_expiry(new.expiry);
                self.shard.commands.total_items += 1;
            }
            return Ok(());
        }
        let mut writer = self.append(common.rank_of(queue, uses, extent), size)?;
        write_head(&mut writer, memory, new, length, state);
        writer.push(memory, value);
        self.adopt(writer.at(), cas);
        Ok(())
    }

    /// Gives the item the history that it had in a snapshot: its uses, and the seconds since the
    /// last one. A flush since `began` kills it.
    pub(crate) fn set_history(&self, uses: u16, idle: u32, began: &TimeSnapshot) {
        if let Some(item) = self.item() {
            let header = item.header();
            // An item in pieces was placed without its uses.
            header.set_uses(uses);
            if uses > 0 {
                // A small cache has too few logs to tell items apart by their weight.
                header.mark(bit::USED | bit::RECENT);
            }
            // An item with an earlier stamp would be a flushed one.
            header.set_stamp(began.stamp.saturating_sub(idle).max(began.suspect + 1));
        }
    }

    /// Like [`LockedEntry::publish`], with the value of the existing item before (`append`) or
    /// after `parts`. There must be an item.
    ///
    /// # Errors
    /// [`Full`] if there is no memory. Then nothing was changed.
    pub(crate) fn publish_joined(
        &mut self,
        new: &NewItem<'_>,
        append: bool,
        parts: &[&[u8]],
        cas: u64,
    ) -> Result<(), Full> {
        let common = &self.store.common;
        let memory = common.memory();
        let length =
            memory.header(self.at).length() as usize + parts.iter().map(|part| part.len()).sum::<usize>();
        let (queue, uses) = self.place(new);
        let extent = item_size(new.key.len(), new.flags, length);
        let mut writer = self.append(common.rank_of(queue, uses, extent), common.segments.round(extent))?;
        write_head(&mut writer, memory, new, length, Header::linked(queue, uses));
        let old = self.shard.item(common, self.at);
        let before = append.then(|| old.slices()).into_iter().flatten();
        let behind = (!append).then(|| old.slices()).into_iter().flatten();
        before.chain(parts.iter().copied()).chain(behind).for_each(|part| writer.push(memory, part));
        self.adopt(writer.at(), cas);
        Ok(())
    }

    /// Stores a complete reservation under the key. It must not be a buffer.
    pub(crate) fn publish_reservation(&mut self, mut draft: Reservation, bits: u16, cas: u64) {
        let Some(at) = draft.finish() else { return };
        let header = self.store.common.memory().header(at);
        header.mark(bits);
        let uses = self.item().map_or(0, |old| old.header().uses() + 1);
        if uses > 0 {
            // The entry is in the log of an unused item.
            header.mark(bit::USED | bit::RECENT);
        }
        header.set_uses(uses);
        self.adopt(at, cas);
        draft.release(&mut self.shard);
    }

    /// Replaces the item's value by `value`, with spaces up to the old length, as `incr` does.
    /// Keeps all else. `value` is at most as long as the old one, which is not chunked.
    ///
    /// # Errors
    /// [`Full`] if there is no memory. Then nothing was changed.
    pub(crate) fn rewrite(&mut self, value: &[u8], cas: u64) -> Result<(), Full> {
        const SPACES: [u8; 64] = [b' '; 64];
        let common = &self.store.common;
        let memory = common.memory();
        let Some(old) = self.at.some() else { return Ok(()) };
        let (header, size) = (memory.header(old), common.segments.taken_by(old));
        let (queue, head, stamp) = (header.queue(), header.value_offset(), self.time.stamp);
        let mut writer = match self.overwrite(size, queue, head) {
            Some(writer) => writer,
            None => {
                let mut writer = self.append(common.rank(queue, header), size)?;
                writer.copy(memory, &self.shard.logs.token, old, head);
                self.shard.index.replace(self.hash, old, writer.at());
                self.shard.mark_dead(common, old);
                self.at = writer.at();
                writer
            }
        };
        let header = memory.header(writer.at());
        header.set_cas(common.given_cas(cas));
        header.set_stamp(stamp);
        writer.push(memory, value);
        let mut left = (header.length() as usize).saturating_sub(value.len());
        while left > 0 {
            let part = left.min(SPACES.len());
            writer.push(memory, &SPACES[..part]);
            left -= part;
        }
        Ok(())
    }

    /// Returns the queue and uses of an item to be stored. It inherits those of the item it
    /// replaces, with the store as a further use, or gets those of a new item.
    #[inline]
    fn place(&self, new: &NewItem<'_>) -> (Queue, u16) {
        let old = self.item().map(|item| (item.header().queue(), item.header().uses()));
        let queue = policy::admit(self.shard.tuning, &self.time, new.expiry, old.map(|(queue, _)| queue));
        // A restored item has uses, and replaces no item.
        (queue, old.map_or(new.uses(), |(_, uses)| (uses + 1).min(USES_MAX)))
    }

    /// Returns a writer of the current item, from byte `from` on, if a new one of `size` bytes in
    /// `queue` can overwrite it: same size, same queue, not held.
    #[inline]
    fn overwrite(&mut self, size: usize, queue: Queue, from: usize) -> Option<EntryWriter<'_>> {
        let at = self.at.some()?;
        let segments = &self.store.common.segments;
        let header = segments.memory.header(at);
        if header.has(bit::CHUNKED) || header.queue() != queue {
            return None;
        }
        segments.overwrite(&mut self.shard.logs.token, at, size, from)
    }

    #[inline]
    fn append(&mut self, rank: Rank, size: usize) -> Result<EntryWriter<'static>, Full> {
        let segments = &self.store.common.segments;
        let writer = self.shard.logs.append(segments, rank, size, AppendFor::Client).ok_or(Full)?;
        self.stored += size;
        Ok(writer)
    }

    /// Counts that the item at `at` replaces a dead one.
    #[cold]
    fn count_reclaimed(&mut self, at: Ref) {
        if matches!(self.lookup, Lookup::Flushed | Lookup::Expired) {
            let class = self.store.common.memory().header(at).class();
            self.shard.stats(class).reclaimed += 1;
        }
    }

    /// Makes a complete entry the item of the key.
    fn adopt(&mut self, at: Ref, cas: u64) {
        let common = &self.store.common;
        common.memory().header(at).set_cas(common.given_cas(cas));
        match self.at.some() {
            Some(old) => self.shard.relink(common, self.time, old, at, self.hash),
            None => {
                self.shard.link(common, self.time, at, self.hash);
                // Without its maintainer, memcached stores into the memory of a dead item.
                if self.lookup != Lookup::Missing && self.shard.tuning.policy.counts_reclaimed() {
                    self.count_reclaimed(at);
                }
            }
        }
        self.at = at;
    }
}

impl Drop for LockedEntry<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.stored > 0 {
            self.shard.pay_compaction_debt(&self.store.common, self.time, self.stored);
        }
    }
}

const _: () = assert!(HEADER == 24);
