//! Memory for items: one reserved stretch of addresses, cut into pages of
//! 1 MiB; each page belongs to a slab class and is cut into chunks of its size.
//!
//! ```text
//!   reserved addresses (nothing is committed before a page is taken)
//!   | page 0: class 5   | page 1: class 12 | page 2: pool | page 3: untouched ...
//!   | c | c | c | c | c |
//!     ^ Ref = (offset / unit) + 1; unit is 8 bytes up to a limit of 16 GiB, then 16 ...
//! ```
//!
//! [`Slabs`] knows classes and pages; it hands out chunks that were never used,
//! and those that shards had too many of. A few free chunks of each class stay
//! with each shard. This module knows nothing of keys or queues.

#![expect(unsafe_code, reason = "the memory of items is ours; each block says what it relies on")]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::item::{HEADER, Header, Ref};
use crate::config::{CacheConfig, PAGE_SIZE};

/// Most slab classes, class 0 (the pool of free pages) included.
pub const CLASSES: usize = 64;

/// In place of a shard's number in a FREE chunk: it is on the list of chunks
/// that were given back.
pub const GIVEN_BACK: u32 = u32::MAX - 1;

/// The same, if it is on no list: its page is being emptied, or someone is
/// about to use it.
pub const LIMBO: u32 = u32::MAX;

/// Class number of the pool of pages that belong to no class.
pub const POOL: u8 = 0;

/// The reserved addresses.
pub struct Memory {
    base: *mut u8,
    reserved: usize,
    /// log2 of the bytes a [`Ref`] counts.
    shift: u32,
}

// SAFETY: `base` points to a mapping that lives as long as the Memory and is
// reached only through methods whose contracts (item.rs) order all access.
unsafe impl Send for Memory {}
// SAFETY: as above; shared access to headers is atomic.
unsafe impl Sync for Memory {}

impl Memory {
    /// Reserves addresses for at least `limit` bytes, more if that is free.
    fn reserve(limit: usize) -> io::Result<Self> {
        let limit = limit.max(PAGE_SIZE).next_multiple_of(PAGE_SIZE);
        let mut shift = 3;
        while limit * 2 > (u32::MAX as usize) << shift {
            shift += 1;
        }
        // Room to raise the limit while running; less if the system is strict.
        let most = ((u32::MAX as usize) << shift) / PAGE_SIZE * PAGE_SIZE;
        let mut wanted = most;
        loop {
            // SAFETY: an anonymous mapping at an address of the kernel's choice
            // touches no existing memory; the result is checked.
            let base = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    wanted,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            if base != libc::MAP_FAILED {
                return Ok(Self { base: base.cast(), reserved: wanted, shift });
            }
            if wanted <= limit {
                return Err(io::Error::last_os_error());
            }
            wanted = limit.max(wanted / 2 / PAGE_SIZE * PAGE_SIZE);
        }
    }

    /// Makes page `page` usable. It reads as zeros.
    fn commit(&self, page: u32) -> bool {
        let at = page as usize * PAGE_SIZE;
        if at + PAGE_SIZE > self.reserved {
            return false;
        }
        // SAFETY: the range is inside the reservation (checked above) and page
        // aligned, and nothing refers to an uncommitted page.
        unsafe {
            libc::mprotect(self.base.add(at).cast(), PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE) == 0
        }
    }

    /// Gives page `page` back to the system.
    fn release(&self, page: u32) {
        let at = page as usize * PAGE_SIZE;
        debug_assert!(at + PAGE_SIZE <= self.reserved);
        // SAFETY: the page is inside the reservation and in the pool, so no
        // chunk of it is referred to.
        unsafe {
            libc::madvise(self.base.add(at).cast(), PAGE_SIZE, libc::MADV_DONTNEED);
            libc::mprotect(self.base.add(at).cast(), PAGE_SIZE, libc::PROT_NONE);
        }
    }

    /// Advises large pages for all of it (`-L`).
    fn advise_large(&self) {
        // SAFETY: advice on our own mapping; failure is harmless.
        unsafe {
            libc::madvise(self.base.cast(), self.reserved, libc::MADV_HUGEPAGE);
        }
    }

    #[inline]
    fn address(&self, at: Ref) -> *mut u8 {
        debug_assert!(!at.is_none());
        let offset = (at.0.wrapping_sub(1) as usize) << self.shift;
        debug_assert!(offset + HEADER <= self.reserved);
        // SAFETY: a Ref is only ever made by `chunk` below, from an offset
        // inside the reservation.
        unsafe { self.base.add(offset) }
    }

    /// Header of the chunk at `at`.
    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "units are multiples of 8 bytes")]
    pub fn header(&self, at: Ref) -> &Header {
        // SAFETY: chunks start at multiples of the unit (at least 8 bytes) in
        // committed pages and are at least a header long; all bit patterns are
        // valid atomics.
        unsafe { &*self.address(at).cast::<Header>() }
    }

    /// `len` bytes at `offset` of the chunk at `at`; for callers that hold the
    /// item's lock, pin it, or own it (see item.rs).
    #[inline]
    pub(super) fn bytes(&self, at: Ref, offset: usize, len: usize) -> &[u8] {
        debug_assert!(offset + len <= PAGE_SIZE);
        // SAFETY: the caller names bytes of a chunk it may read: nobody writes
        // them until the chunk is free again.
        unsafe { std::slice::from_raw_parts(self.address(at).add(offset), len) }
    }

    /// Writes `from` at `offset` of the DETACHED chunk at `at`, which the
    /// caller owns; the bytes lie inside the chunk.
    #[inline]
    pub(super) fn write(&self, at: Ref, offset: usize, from: &[u8]) {
        debug_assert!(offset + from.len() <= PAGE_SIZE);
        // SAFETY: the chunk belongs to the caller alone until it is published,
        // and `from` cannot overlap it (a live value is never in a chunk that
        // is being written).
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), self.address(at).add(offset), from.len());
        }
    }

    /// Memory of the DETACHED chunk at `at`, to be filled by its one owner.
    ///
    /// The bytes may hold leftovers of a former item, never uninitialised
    /// memory: pages start as zeros.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the owner of a detached chunk is unique; see item.rs")]
    pub(super) fn bytes_mut(&self, at: Ref, offset: usize, len: usize) -> &mut [u8] {
        debug_assert!(offset + len <= PAGE_SIZE);
        // SAFETY: as for `write`: the chunk belongs to the caller alone.
        unsafe { std::slice::from_raw_parts_mut(self.address(at).add(offset), len) }
    }

    /// Copies a whole chunk of `len` bytes; `to` belongs to the caller alone.
    pub(super) fn copy_chunk(&self, from: Ref, to: Ref, len: usize) {
        debug_assert!(from != to);
        // SAFETY: two different chunks of a class of `len` bytes do not overlap;
        // all shards are locked while an item moves.
        unsafe { std::ptr::copy_nonoverlapping(self.address(from), self.address(to), len) };
    }

    /// Asks the processor to fetch the line at `at`; any value of `at` is fine.
    #[inline]
    pub fn prefetch(&self, at: Ref) {
        prefetch(self.base.wrapping_add((at.0.wrapping_sub(1) as usize) << self.shift));
    }

    /// The chunk that starts `offset` bytes into page `page`.
    #[inline]
    fn chunk(&self, page: u32, offset: usize) -> Ref {
        Ref(((page as usize * PAGE_SIZE + offset) >> self.shift) as u32 + 1)
    }

    /// The page that `at` lies in.
    #[inline]
    pub fn page_of(&self, at: Ref) -> u32 {
        (((at.0.wrapping_sub(1) as usize) << self.shift) / PAGE_SIZE) as u32
    }

    /// Bytes that chunk sizes are multiples of.
    fn unit(&self) -> usize {
        1 << self.shift
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives the Memory.
        unsafe {
            libc::munmap(self.base.cast(), self.reserved);
        }
    }
}

/// Asks the processor to fetch the line at `address`, which may be anything.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect but on caches.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// A slab class.
#[derive(Clone, Copy, Debug, Default)]
pub struct Class {
    /// Bytes of a chunk.
    pub size: usize,
    /// Chunks of a page.
    pub per_page: usize,
}

/// Classes, pages and the memory limit.
pub struct Slabs {
    /// The item memory.
    pub memory: Memory,
    /// By class number; 0 is not a class. `classes.len() - 1` is the largest.
    pub classes: Box<[Class]>,
    /// Class by size in units of 8 bytes, for sizes up to the largest chunk.
    by_size: Box<[u8]>,
    item_size_max: usize,
    chunk_max: usize,
    pages: Mutex<Pages>,
    /// Page that is being emptied, as number + 1; 0 is none. Chunks of it that
    /// become free must not be used again.
    draining: AtomicUsize,
    /// Whether a class's first page is exempt from the limit. That is
    /// memcached's rule; here only where pages may not move by themselves, for
    /// else a class without pages could never get one.
    pub exempts_first: AtomicBool,
}

/// Pages of a class.
#[derive(Clone, Debug, Default)]
struct ClassPages {
    /// Page numbers, oldest first.
    pages: Vec<u32>,
    /// Pages with chunks that were never handed out, and the index of the next.
    carving: Vec<(u32, usize)>,
    /// Chunks that shards gave back: a list linked through their headers.
    free: Ref,
    free_count: usize,
}

impl ClassPages {
    fn add(&mut self, page: u32) {
        self.pages.push(page);
        self.carving.push((page, 0));
    }
}

struct Pages {
    by_class: Vec<ClassPages>,
    /// Pages that are committed and belong to no class.
    pool: Vec<u32>,
    /// Pages that were given back.
    released: Vec<u32>,
    /// Number of the first page that was never committed.
    untouched: u32,
    /// Bytes committed, as counted against the limit.
    malloced: usize,
    limit: usize,
    /// The limit was lowered and does not hold yet.
    shrinks: bool,
}

/// What the page mover and `stats slabs` need to know of a class.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassUse {
    /// Pages held.
    pub pages: usize,
    /// Chunks of these that belong to no shard.
    pub unused: usize,
}

impl Slabs {
    /// Reserves memory and computes the classes.
    ///
    /// # Errors
    /// If not even the limit can be reserved.
    pub fn new(config: &CacheConfig) -> io::Result<Self> {
        let memory = Memory::reserve(config.memory_limit)?;
        if config.large_pages {
            memory.advise_large();
        }
        let classes = class_sizes(config, memory.unit());
        let largest = classes.last().map_or(PAGE_SIZE, |c| c.size);
        let mut by_size = vec![0; largest / 8 + 2].into_boxed_slice();
        let mut class = 1;
        for (eights, entry) in by_size.iter_mut().enumerate() {
            while class + 1 < classes.len() && classes[class].size < eights * 8 {
                class += 1;
            }
            *entry = class as u8;
        }
        Ok(Self {
            by_size,
            item_size_max: config.item_size_max,
            chunk_max: config.slab_chunk_max,
            pages: Mutex::new(Pages {
                by_class: vec![ClassPages::default(); classes.len()],
                pool: Vec::new(),
                released: Vec::new(),
                untouched: 0,
                malloced: config.initial_malloced,
                limit: config.memory_limit,
                shrinks: false,
            }),
            draining: AtomicUsize::new(0),
            exempts_first: AtomicBool::new(!config.slab_reassign || config.slab_automove == 0),
            memory,
            classes,
        })
    }

    /// Number of the largest class.
    pub fn largest(&self) -> u8 {
        (self.classes.len() - 1) as u8
    }

    /// The class that an item of `size` bytes belongs to; `None`: too large.
    #[inline]
    pub fn class_for(&self, size: usize) -> Option<u8> {
        if size == 0 || size > self.item_size_max {
            return None;
        }
        Some(self.by_size.get(size.div_ceil(8)).copied().unwrap_or(self.largest()))
    }

    /// Whether an item of `size` bytes is stored in several chunks.
    #[inline]
    pub fn is_chunked(&self, size: usize) -> bool {
        size > self.chunk_max
    }

    /// Largest chunk of a chunked value, header included.
    pub fn chunk_max(&self) -> usize {
        self.chunk_max
    }

    /// The class with this number.
    #[inline]
    pub fn class(&self, class: u8) -> Class {
        self.classes.get(usize::from(class)).copied().unwrap_or_default()
    }

    /// Takes up to `most` chunks of `class` that belong to no shard, from a new
    /// page if `grow` and the limit allow one, and gives them to `take`. Returns
    /// how many.
    pub fn carve(&self, class: u8, most: usize, grow: bool, mut take: impl FnMut(Ref)) -> usize {
        let mut pages = self.pages.lock();
        let Class { size, per_page } = self.class(class);
        let mut given = 0;
        if let Some(own) = pages.by_class.get_mut(usize::from(class)) {
            while given < most
                && let Some(at) = own.free.some()
            {
                self.unlink_given_back(own, at);
                if !self.is_draining(at) {
                    take(at);
                    given += 1;
                }
            }
        }
        if given > 0 {
            return given;
        }
        let usable = |own: &ClassPages| {
            own.carving.iter().rposition(|&(page, _)| page as usize + 1 != self.draining.load(Relaxed))
        };
        let mut at = pages.by_class.get(usize::from(class)).and_then(usable);
        if at.is_none() && grow && self.new_page(&mut pages, class) {
            at = pages.by_class.get(usize::from(class)).and_then(usable);
        }
        let Some(own) = pages.by_class.get_mut(usize::from(class)) else { return 0 };
        let Some((at, &(page, next))) = at.and_then(|at| own.carving.get(at).map(|entry| (at, entry))) else {
            return 0;
        };
        let count = most.min(per_page - next);
        for index in next..next + count {
            take(self.memory.chunk(page, index * size));
        }
        if next + count == per_page {
            own.carving.remove(at);
        } else {
            own.carving[at].1 = next + count;
        }
        count
    }

    /// Takes back a chunk that a shard has no use for.
    pub fn give_back(&self, at: Ref, class: u8) {
        let mut pages = self.pages.lock();
        let Some(own) = pages.by_class.get_mut(usize::from(class)) else { return };
        let header = self.memory.header(at);
        header.set_expiry(GIVEN_BACK);
        header.set_prev(Ref::NONE);
        header.set_next(own.free);
        if let Some(next) = own.free.some() {
            self.memory.header(next).set_prev(at);
        }
        own.free = at;
        own.free_count += 1;
    }

    /// Takes the chunk at `at`, which was given back, off the list.
    pub fn withdraw(&self, at: Ref, class: u8) {
        let mut pages = self.pages.lock();
        if let Some(own) = pages.by_class.get_mut(usize::from(class)) {
            self.unlink_given_back(own, at);
        }
    }

    fn unlink_given_back(&self, own: &mut ClassPages, at: Ref) {
        let header = self.memory.header(at);
        match header.prev().some() {
            Some(prev) => self.memory.header(prev).set_next(header.next()),
            None => own.free = header.next(),
        }
        if let Some(next) = header.next().some() {
            self.memory.header(next).set_prev(header.prev());
        }
        own.free_count -= 1;
        header.set_expiry(LIMBO);
    }

    /// Gives `class` a page from the pool or from the system.
    fn new_page(&self, pages: &mut Pages, class: u8) -> bool {
        let page = if let Some(page) = pages.pool.pop() {
            page
        } else {
            let bare = pages.by_class.get(usize::from(class)).is_some_and(|own| own.pages.is_empty());
            let exempt = bare && self.exempts_first.load(Relaxed);
            if pages.limit != 0 && pages.malloced + PAGE_SIZE > pages.limit && !exempt {
                return false;
            }
            let page = pages.released.pop().unwrap_or(pages.untouched);
            if !self.memory.commit(page) {
                if page != pages.untouched {
                    pages.released.push(page);
                }
                return false;
            }
            if page == pages.untouched {
                pages.untouched += 1;
            }
            pages.malloced += PAGE_SIZE;
            page
        };
        let Some(own) = pages.by_class.get_mut(usize::from(class)) else { return false };
        own.add(page);
        true
    }

    /// Whether `at` lies in the page that is being emptied.
    #[inline]
    pub fn is_draining(&self, at: Ref) -> bool {
        let page = self.draining.load(Relaxed);
        page != 0 && self.memory.page_of(at) as usize + 1 == page
    }

    /// Chooses the oldest page of `class` to be emptied and marks it: no chunk
    /// of it is handed out from now on.
    pub fn start_draining(&self, class: u8) -> Option<u32> {
        let pages = self.pages.lock();
        let page = *pages.by_class.get(usize::from(class))?.pages.first()?;
        self.draining.store(page as usize + 1, Relaxed);
        Some(page)
    }

    /// Gives up emptying a page.
    pub fn stop_draining(&self) {
        self.draining.store(0, Relaxed);
    }

    /// The chunks of `page` that were handed out, of class `class`.
    pub fn chunks_of(&self, page: u32, class: u8) -> Vec<Ref> {
        let pages = self.pages.lock();
        let Class { size, per_page } = self.class(class);
        let count = pages
            .by_class
            .get(usize::from(class))
            .and_then(|own| own.carving.iter().find(|&&(p, _)| p == page))
            .map_or(per_page, |&(_, next)| next);
        (0..count).map(|index| self.memory.chunk(page, index * size)).collect()
    }

    /// Takes the emptied `page` from class `from` and gives it to class `to`
    /// or to the pool; above the limit it goes back to the system. All its
    /// chunks must be off all lists.
    pub fn finish_draining(&self, page: u32, from: u8, to: u8) {
        let mut pages = self.pages.lock();
        self.stop_draining();
        if let Some(own) = pages.by_class.get_mut(usize::from(from)) {
            own.pages.retain(|&p| p != page);
            own.carving.retain(|&(p, _)| p != page);
        }
        // Chunks that were never handed out read as FREE.
        self.memory.bytes_mut(self.memory.chunk(page, 0), 0, PAGE_SIZE).fill(0);
        match pages.by_class.get_mut(usize::from(to)) {
            Some(own) if to != POOL => own.add(page),
            _ => {
                pages.pool.push(page);
                self.trim(&mut pages);
            }
        }
    }

    /// Gives pool pages above the limit back to the system.
    fn trim(&self, pages: &mut Pages) {
        while pages.limit != 0 && pages.malloced > pages.limit {
            let Some(page) = pages.pool.pop() else { return };
            self.memory.release(page);
            pages.released.push(page);
            pages.malloced -= PAGE_SIZE;
        }
    }

    /// Changes the memory limit. `false`: more than addresses are reserved for.
    pub fn set_limit(&self, limit: usize) -> bool {
        let mut pages = self.pages.lock();
        if limit > self.memory.reserved {
            return false;
        }
        pages.limit = limit;
        self.trim(&mut pages);
        pages.shrinks = limit != 0 && pages.malloced > limit;
        true
    }

    /// The memory limit in bytes.
    pub fn limit(&self) -> usize {
        self.pages.lock().limit
    }

    /// Bytes of committed pages.
    pub fn malloced(&self) -> usize {
        self.pages.lock().malloced
    }

    /// Whether no further page can be had.
    pub fn is_full(&self) -> bool {
        let pages = self.pages.lock();
        pages.pool.is_empty() && pages.limit != 0 && pages.malloced + PAGE_SIZE > pages.limit
    }

    /// Whether the limit was lowered and does not hold yet.
    pub fn shrinks(&self) -> bool {
        let mut pages = self.pages.lock();
        pages.shrinks = pages.shrinks && pages.malloced > pages.limit;
        pages.shrinks
    }

    /// Pages in the pool.
    pub fn pool_size(&self) -> usize {
        self.pages.lock().pool.len()
    }

    /// Pages and untouched chunks of each class, by class number.
    pub fn usage(&self) -> Vec<ClassUse> {
        let pages = self.pages.lock();
        pages
            .by_class
            .iter()
            .zip(self.classes.iter())
            .map(|(own, class)| ClassUse {
                pages: own.pages.len(),
                unused: own.free_count
                    + own.carving.iter().map(|&(_, next)| class.per_page - next).sum::<usize>(),
            })
            .collect()
    }
}

/// Chunk sizes of the classes: memcached's rule, so that class numbers agree.
/// The first class is for an item of `-n` bytes with memcached's header of 48,
/// which is what operators have sized for; our header leaves 16 more of them.
fn class_sizes(config: &CacheConfig, unit: usize) -> Box<[Class]> {
    const MEMCACHED_HEADER: usize = 48;
    let mut classes = vec![Class::default()];
    let mut push = |size: usize| {
        classes.push(Class { size, per_page: PAGE_SIZE / size });
    };
    let align = unit.max(8);
    if let Some(sizes) = &config.slab_sizes {
        for &size in sizes.iter().take(CLASSES - 2) {
            push(size.next_multiple_of(align));
        }
    } else {
        let mut size = MEMCACHED_HEADER + config.chunk_size;
        let mut count = 1;
        while count < CLASSES - 1 && (size as f64) < config.slab_chunk_max as f64 / config.growth_factor {
            size = size.next_multiple_of(align);
            push(size);
            size = (size as f64 * config.growth_factor) as usize;
            count += 1;
        }
    }
    push(config.slab_chunk_max);
    classes.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MIB;

    fn slabs(limit: usize) -> Slabs {
        let config = CacheConfig { memory_limit: limit, ..CacheConfig::default() };
        Slabs::new(&config).unwrap_or_else(|e| unreachable!("{e}"))
    }

    #[test]
    fn classes_are_memcacheds() {
        let slabs = slabs(64 * MIB);
        assert_eq!(slabs.largest(), 39);
        assert_eq!(slabs.class(1).size, 96);
        assert_eq!(slabs.class(2).size, 120);
        assert_eq!(slabs.class(39).size, 512 * 1024);
        assert_eq!(slabs.class_for(66_597), Some(31));
        assert_eq!(slabs.class_for(96), Some(1));
        assert_eq!(slabs.class_for(97), Some(2));
        assert_eq!(slabs.class_for(600_000), Some(39));
        assert_eq!(slabs.class_for(MIB + 1), None);
    }

    #[test]
    fn the_limit_is_exact() {
        let slabs = slabs(3 * MIB);
        let mut taken = 0;
        while slabs.carve(1, 1000, true, |_| taken += 1) > 0 {}
        assert_eq!(taken, 3 * (MIB / 96));
        assert_eq!(slabs.malloced(), 3 * MIB);
        assert!(slabs.is_full());
        assert!(slabs.set_limit(4 * MIB));
        assert!(slabs.carve(2, 1, true, |_| ()) == 1);
    }

    #[test]
    fn an_emptied_page_changes_class() {
        let slabs = slabs(2 * MIB);
        slabs.carve(1, 1, true, |_| ());
        let page = slabs.start_draining(1).unwrap_or(u32::MAX);
        assert_eq!(slabs.chunks_of(page, 1).len(), 1);
        slabs.finish_draining(page, 1, 7);
        let usage = slabs.usage();
        assert_eq!((usage[1].pages, usage[7].pages), (0, 1));
        assert_eq!(slabs.carve(1, 5, true, |_| ()), 5);
        assert_eq!(slabs.malloced(), 2 * MIB);
    }
}
