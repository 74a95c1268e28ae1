//! memcached's slab classes, as names of sizes. `stats items`, `stats slabs`, crawls and dumps
//! refer to items by class. Memory is not divided by class here.

use crate::config::{CacheConfig, PAGE_SIZE};

/// Most slab classes, including class 0, which has no items.
pub const CLASSES: usize = 64;

/// memcached's header of an item, without CAS.
const MEMCACHED_HEADER: usize = 48;

/// A slab class.
#[derive(Clone, Copy, Debug, Default)]
pub struct Class {
    /// Bytes of a chunk.
    pub size: usize,
    /// Chunks of a page.
    pub per_page: usize,
}

/// The classes of a cache.
pub struct Classes {
    /// By class number. 0 is not a class.
    list: Box<[Class]>,
    /// Class by size in units of 8 bytes, for sizes up to the largest chunk.
    by_size: Box<[u8]>,
    item_size_max: usize,
    chunk_max: usize,
    /// Bytes of every item in memcached besides key, flags and value: header, CAS, the key's NUL,
    /// the value's line end.
    fixed: usize,
}

impl Classes {
    /// Computes the classes of a configuration.
    pub fn new(config: &CacheConfig) -> Self {
        let chunk_max = config.chunk_max();
        let list = sizes(config);
        let largest = list.last().map_or(PAGE_SIZE, |c| c.size);
        let mut by_size = vec![0; largest / 8 + 2].into_boxed_slice();
        let mut class = 1;
        for (eights, entry) in by_size.iter_mut().enumerate() {
            while class + 1 < list.len() && list[class].size < eights * 8 {
                class += 1;
            }
            *entry = class as u8;
        }
        let cas = if config.use_cas { size_of::<u64>() } else { 0 };
        Self {
            list,
            by_size,
            item_size_max: config.item_size_max,
            chunk_max,
            fixed: MEMCACHED_HEADER + cas + 3,
        }
    }

    /// Returns the number of the largest class.
    pub fn largest(&self) -> u8 {
        (self.list.len() - 1) as u8
    }

    /// Returns the classes by number. 0 is not a class.
    pub fn list(&self) -> &[Class] {
        &self.list
    }

    /// Returns the bytes of such an item in memcached.
    #[inline]
    fn size(&self, key_len: usize, flags: u32, length: usize) -> usize {
        let flags = if flags == 0 { 0 } else { 4 };
        (self.fixed + key_len + flags).saturating_add(length)
    }

    /// Returns whether memcached stores such an item in several chunks.
    pub fn is_chunked(&self, key_len: usize, flags: u32, length: usize) -> bool {
        self.size(key_len, flags, length) > self.chunk_max
    }

    /// Returns the class of such an item in memcached, or `None` if it is too large.
    #[inline]
    pub fn class_for(&self, key_len: usize, flags: u32, length: usize) -> Option<u8> {
        let size = self.size(key_len, flags, length);
        if size > self.item_size_max {
            return None;
        }
        Some(self.by_size.get(size.div_ceil(8)).copied().unwrap_or(self.largest()))
    }
}

/// Computes the chunk sizes by memcached's rule, so that class numbers agree.
fn sizes(config: &CacheConfig) -> Box<[Class]> {
    let chunk_max = config.chunk_max();
    let mut classes = vec![Class::default()];
    let mut push = |size: usize| {
        classes.push(Class { size, per_page: PAGE_SIZE / size });
    };
    if let Some(sizes) = &config.slab_sizes {
        for &size in sizes.iter().take(CLASSES - 2) {
            push(size.next_multiple_of(8));
        }
    } else {
        let mut size = MEMCACHED_HEADER + config.chunk_size;
        let mut count = 1;
        while count < CLASSES - 1 && (size as f64) < chunk_max as f64 / config.growth_factor {
            size = size.next_multiple_of(8);
            push(size);
            size = (size as f64 * config.growth_factor) as usize;
            count += 1;
        }
    }
    push(chunk_max);
    classes.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MIB;

    #[test]
    fn classes_are_memcacheds() {
        let classes = Classes::new(&CacheConfig::default());
        assert_eq!(classes.largest(), 39);
        assert_eq!(classes.list()[1].size, 96);
        assert_eq!(classes.list()[2].size, 120);
        assert_eq!(classes.list()[39].size, 512 * 1024);
        // 59 bytes and key and value: what `stats items` of 1.6.45 shows.
        assert_eq!(classes.class_for(7, 0, 30), Some(1));
        assert_eq!(classes.class_for(7, 0, 31), Some(2));
        assert_eq!(classes.class_for(7, 5, 30), Some(2));
        assert_eq!(classes.class_for(3, 0, 600_000), Some(39));
        assert_eq!(classes.class_for(3, 0, MIB - 62), Some(39));
        assert_eq!(classes.class_for(3, 0, MIB - 61), None);
    }
}
