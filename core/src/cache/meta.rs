//! The operations of the meta protocol, with win and stale tokens.

use super::hot_keys::Access;
use super::{Cache, Deleted, MetaDelete, MetaGet, MetaState, Request};
use crate::cache::events;
use crate::store::{EntryRef, LookupHint, NewItem, ReadConflict, bit};

impl Cache {
    /// Reads an item as `mg` does. `show` runs as in [`Cache::fetch`], with `update_late` on the
    /// item as it was before this access. Returns `None` for a miss.
    #[doc(hidden)]
    pub fn meta_get<R>(
        &self,
        request: &Request<'_, MetaGet>,
        mut show: impl FnMut(&mut EntryRef<'_>, MetaState) -> Result<R, ReadConflict>,
    ) -> Option<R> {
        let &Request { key, ref operation, client } = request;
        self.sample(key, Access::Read, client);
        let hash = self.store.hash(key);
        let mut hint = LookupHint::from(hash);
        if operation.only_reads() {
            let peeked = self.try_get_unlocked(key, hint, None, |entry| {
                let old_expiry = entry.header().expiry();
                show(entry, MetaState { old_expiry, ..MetaState::default() })
            });
            match peeked {
                Ok(shown) => return shown,
                Err(found) => hint = found,
            }
        }
        let mut attempts = self.store.attempts(hash);
        let mut again = false;
        let (mut entry, created) = loop {
            let mut entry = self.reopen(key, hint, client, again);
            let (None, Some(expiry)) = (entry.item(), operation.vivify) else { break (entry, false) };
            let Ok(class) = self.store.admit(key, 0, 0) else { break (entry, false) };
            // As in memcached, an item created here is not marked as one with a base64 key.
            let new = NewItem { key, flags: 0, expiry, class, bits: 0 };
            let cas = operation.cas.unwrap_or_else(|| self.store.next_cas());
            if entry.publish(&new, &[], cas).is_err() {
                drop(entry);
                if attempts.make_room(class).is_err() {
                    break (self.store.entry(key, hash), false);
                }
                again = true;
                continue;
            }
            break (entry, true);
        };
        if entry.item().is_none() {
            let commands = entry.commands();
            commands.get_cmds += 1;
            commands.get_misses += 1;
            return None;
        }
        if operation.update && !operation.update_late {
            entry.hit();
        }
        let header = entry.item()?.header();
        let state = header.state();
        let old_expiry = if created { 0 } else { header.expiry() };
        if let Some(expiry) = operation.expiry.filter(|_| !created) {
            entry.set_expiry(expiry);
        }
        let looked_at = if operation.recache_late { header.expiry() } else { old_expiry };
        let expires_soon = operation.recache.is_some_and(|limit| looked_at != 0 && looked_at < limit);
        let (told, is_stale) = (state & bit::WIN != 0, state & bit::STALE != 0);
        let win = !operation.refused && (created || (!told && (is_stale || expires_soon)));
        if win {
            header.mark(bit::WIN);
        }
        let class = header.class();
        if operation.refused {
            // memcached does not count this either.
        } else if operation.expiry.is_some() {
            entry.commands().touch_cmds += 1;
            entry.stats(class).touch_hits += 1;
        } else {
            entry.commands().get_cmds += 1;
            entry.count_hit();
        }
        let tokens = MetaState { win, sent: told, stale: is_stale, created, old_expiry };
        let shown = show(&mut entry.show()?, tokens).ok();
        if operation.update && operation.update_late && !operation.refused {
            entry.hit();
        }
        if created {
            drop(entry);
            self.store.keep_quota(key);
        }
        shown
    }

    /// Deletes or invalidates an item as `md` does.
    #[doc(hidden)]
    pub fn meta_delete(&self, request: &Request<'_, MetaDelete>) -> Deleted {
        let &Request { key, ref operation, client } = request;
        self.sample(key, Access::Write, client);
        self.loads.mark(key);
        let hash = self.store.hash(key);
        let mut attempts = self.store.attempts(hash);
        let mut again = false;
        loop {
            let mut entry = self.reopen(key, hash.into(), client, again);
            let Some(item) = entry.item() else {
                entry.commands().delete_misses += 1;
                return Deleted::NotFound;
            };
            let header = item.header();
            let (old_cas, class) = (header.cas(), header.class());
            if operation.compare.is_some_and(|cas| cas != old_cas) {
                entry.commands().delete_misses += 1;
                return Deleted::Exists;
            }
            if let Some(flags) = operation.drop_value {
                let Ok(class) = self.store.admit(key, flags, 0) else { return Deleted::NoMemory };
                // As in memcached, the item that is kept loses the mark of a base64 key.
                let new = NewItem { key, flags, expiry: operation.expiry.unwrap_or(0), class, bits: 0 };
                if entry.publish(&new, &[], operation.cas.unwrap_or(old_cas)).is_err() {
                    drop(entry);
                    if attempts.make_room(class).is_err() {
                        return Deleted::NoMemory;
                    }
                    again = true;
                    continue;
                }
            }
            let Some(item) = entry.item() else { return Deleted::NotFound };
            let header = item.header();
            if operation.stale {
                if let Some(expiry) = operation.expiry {
                    entry.set_expiry(expiry);
                }
                header.mark(bit::STALE);
                header.unmark(bit::WIN);
                if self.config.use_cas {
                    header.set_cas(operation.cas.unwrap_or_else(|| self.store.next_cas()));
                }
                if operation.drop_value.is_some() {
                    drop(entry);
                    self.store.keep_quota(key);
                }
                return Deleted::Deleted;
            }
            events::deleted(&self.watch, item, "md");
            entry.stats(class).delete_hits += 1;
            if operation.drop_value.is_none() {
                entry.remove();
            } else {
                drop(entry);
                self.store.keep_quota(key);
            }
            return Deleted::Deleted;
        }
    }
}
