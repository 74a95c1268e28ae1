//! The sizes of all operations.

/// Number of keys. All items fit into the processor's caches.
pub const KEYS: usize = 1000;

/// Length of a value, in bytes.
pub const VALUE: usize = 100;

/// Number of commands in a pipeline, and of keys in one `get_many`.
pub const GROUP: usize = 16;
