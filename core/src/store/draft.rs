//! An item under construction: its memory is there, its value arrives bit by
//! bit, and nobody can find it yet. Large sets are read from the socket
//! straight into a draft.

use std::sync::Arc;
use std::sync::atomic::{Ordering::Release, fence};

use super::item::{HEADER, Kind, Ref, bit};
use super::{NewItem, Store, write_head};
use crate::error::AllocError;

/// An item that is being written. Dropping it frees its memory.
pub struct Draft {
    store: Arc<Store>,
    hash: u64,
    at: Ref,
    /// Bytes of the whole value.
    length: usize,
    /// Bytes written so far; at most `length`.
    filled: usize,
    /// Chunk being written and what fits it still, if the value is chunked.
    chunk: Ref,
    room: usize,
}

impl Draft {
    /// Starts an item whose value will have `length` bytes.
    ///
    /// # Errors
    /// If there is no memory for it, or for a large value's beginning.
    pub fn new(store: &Arc<Store>, hash: u64, new: &NewItem<'_>, length: usize) -> Result<Self, AllocError> {
        let chunked = store.is_chunked(new.key.len(), new.flags, length);
        let class =
            if chunked { store.class_for(new.key.len(), new.flags, size_of::<Ref>())? } else { new.class };
        let at = store.room(class, hash)?.take();
        let bits = if chunked { bit::CHUNKED } else { 0 };
        write_head(&store.common, at, new, length, bits);
        let draft = Self { store: Arc::clone(store), hash, at, length, filled: 0, chunk: Ref::NONE, room: 0 };
        if chunked {
            let offset = store.common.slabs.memory.header(at).value_offset();
            store.common.slabs.memory.write(at, offset, &Ref::NONE.0.to_ne_bytes());
        }
        Ok(draft)
    }

    /// Bytes that are still missing.
    pub fn missing(&self) -> usize {
        self.length - self.filled
    }

    /// Bytes of the whole value.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Slab class that the item counts in.
    pub fn class(&self) -> u8 {
        self.store.common.slabs.memory.header(self.at).class()
    }

    /// Changes when the item will expire.
    pub fn set_expiry(&mut self, expiry: u32) {
        self.store.common.slabs.memory.header(self.at).set_expiry(expiry);
    }

    /// Memory for the next bytes; empty once nothing is missing.
    ///
    /// # Errors
    /// If a large value needs another chunk and there is none.
    pub fn target(&mut self) -> Result<&mut [u8], AllocError> {
        let chunked = self.store.common.slabs.memory.header(self.at).has(bit::CHUNKED);
        if chunked && self.room == 0 && self.missing() > 0 {
            self.add_chunk()?;
        }
        let memory = &self.store.common.slabs.memory;
        if !chunked {
            let offset = memory.header(self.at).value_offset() + self.filled;
            return Ok(memory.bytes_mut(self.at, offset, self.missing()));
        }
        let Some(chunk) = self.chunk.some() else { return Ok(&mut []) };
        let used = memory.header(chunk).length() as usize;
        Ok(memory.bytes_mut(chunk, HEADER + used, self.room.min(self.missing())))
    }

    fn add_chunk(&mut self) -> Result<(), AllocError> {
        let slabs = &self.store.common.slabs;
        let memory = &slabs.memory;
        let wanted = (self.missing() + HEADER).min(slabs.chunk_max());
        let largest = slabs.largest();
        let class = slabs.class_for(wanted).unwrap_or(largest);
        let room = self.store.room(class, self.hash);
        let (at, class) = match room {
            Ok(room) => (room.take(), class),
            Err(_) if class != largest => (self.store.room(largest, self.hash)?.take(), largest),
            Err(error) => return Err(error),
        };
        let header = memory.header(at);
        header.start_item(class, 0, 0, 0, 0);
        header.set_cas(u64::from(self.at.0));
        header.set_prev(self.chunk);
        // No lock is held: the page mover must not see a CHUNK without owner.
        fence(Release);
        header.set_kind(Kind::Chunk);
        match self.chunk.some() {
            Some(last) => memory.header(last).set_next(at),
            None => {
                let offset = memory.header(self.at).value_offset();
                memory.write(self.at, offset, &at.0.to_ne_bytes());
            }
        }
        self.chunk = at;
        self.room = slabs.class(class).size - HEADER;
        Ok(())
    }

    /// Notes that `n` bytes of [`Draft::target`] were written.
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.missing());
        let most = if self.chunk.is_none() { self.missing() } else { self.room.min(self.missing()) };
        let n = n.min(most);
        self.filled += n;
        if let Some(chunk) = self.chunk.some() {
            let header = self.store.common.slabs.memory.header(chunk);
            header.set_length(header.length() + n as u32);
            self.room -= n;
        }
    }

    /// Appends bytes to the value, at most [`Draft::missing`].
    ///
    /// # Errors
    /// If a large value needs another chunk and there is none.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), AllocError> {
        while !bytes.is_empty() && self.missing() > 0 {
            let target = self.target()?;
            let n = target.len().min(bytes.len());
            target[..n].copy_from_slice(&bytes[..n]);
            self.advance(n);
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// What was written so far, piece by piece.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        debug_assert_eq!(self.missing(), 0);
        super::Item::new(&self.store.common.slabs.memory, self.at).slices()
    }

    /// Hands the item over to be linked.
    pub(super) fn finish(mut self) -> Ref {
        debug_assert_eq!(self.missing(), 0);
        std::mem::replace(&mut self.at, Ref::NONE)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(at) = self.at.some() {
            self.store.shard(self.hash).lock().free_item(&self.store.common, at);
        }
    }
}
