//! Sizes that settings and the parts of a cache refer to.

/// Bytes in a mebibyte, the unit of `-m`.
pub const MIB: usize = 1024 * 1024;

/// Size of memcached's slab pages in bytes (`slab_page_size`), which settings
/// and `stats` refer to.
pub const PAGE_SIZE: usize = MIB;

/// Longest key in bytes, in every protocol.
pub const KEY_MAX: usize = 250;

/// Most threads of one save or load.
pub const THREADS_MOST: usize = 256;
