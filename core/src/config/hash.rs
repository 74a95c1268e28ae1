//! The names of memcached's hash functions.

use super::policy::named;

named! {
    /// memcached's hash function of keys. The index uses its own, which is keyed at random.
    #[derive(Default)]
    HashAlgorithm {
        /// Bob Jenkins' function.
        Jenkins jenkins,
        /// `MurmurHash3` (the default).
        #[default]
        Murmur3 murmur3,
        /// XXH3.
        Xxh3 xxh3,
    }
}
