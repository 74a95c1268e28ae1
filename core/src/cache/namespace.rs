//! The keys of a cache with one prefix, such as those of a tenant, under their short names.
//!
//! A [`Namespace`] has no items of its own. It puts its prefix before each key, and calls the
//! cache.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::item::CacheItem;
use super::iter::{Iter, Keys};
use super::options::{StoreOptions, StoreOutcome};
use super::{Cache, ItemInfo, Ttl};
use crate::base::error::{DeltaError, StoreError};
use crate::config::KEY_MAX;

/// The keys of a cache that begin with a prefix. [`Cache::namespace`] makes it.
///
/// Its methods are those of [`Cache`], with keys that lack the prefix. A key and the prefix have 1
/// to 250 bytes together. Joining them allocates no memory.
///
/// A clone refers to the same items. The cache exists until its last namespace is dropped.
///
/// ```
/// use memcache_rs::{Cache, CacheConfig, Ttl};
///
/// let cache = Cache::new(CacheConfig::default())?;
/// let users = cache.namespace("users:");
/// users.set("1", "Ada", Ttl::Never)?;
/// assert_eq!(cache.get("users:1"), users.get("1"));
///
/// let drafts = users.namespace("drafts:");
/// drafts.set("1", "Hello", Ttl::Never)?;
/// cache.set("posts:1", "Hello", Ttl::Never)?;
/// users.clear();
/// assert_eq!((users.get("1"), drafts.get("1")), (None, None));
/// assert!(cache.get("posts:1").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Namespace {
    cache: Arc<Cache>,
    prefix: Arc<[u8]>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.prefix.escape_ascii().to_string();
        f.debug_struct("Namespace").field("prefix", &prefix).finish_non_exhaustive()
    }
}

impl Cache {
    /// Returns a handle of the items whose keys begin with `prefix`. No key is valid in it if the
    /// prefix is longer than 250 bytes.
    pub fn namespace(self: &Arc<Self>, prefix: impl AsRef<[u8]>) -> Namespace {
        Namespace { cache: Arc::clone(self), prefix: prefix.as_ref().into() }
    }
}

/// Defines methods that pass one key and other arguments to the method of this name of [`Cache`].
macro_rules! forward {
    ($($name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => { $(
        #[doc = concat!("Calls [`Cache::", stringify!($name), "`] with the prefix before the key.")]
        #[allow(clippy::missing_errors_doc, reason = "the method of the cache has the errors")]
        pub fn $name(&self, key: impl AsRef<[u8]>, $($parameter: $type),*) -> $result {
            self.cache.$name(self.join(key.as_ref()), $($parameter),*)
        }
    )* };
}

impl Namespace {
    forward! {
        get() -> Option<Vec<u8>>;
        get_into(to: &mut Vec<u8>) -> bool;
        get_item() -> Option<CacheItem>;
        info() -> Option<ItemInfo>;
        set(value: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<(), StoreError>;
        set_with(value: impl AsRef<[u8]>, options: StoreOptions) -> Result<StoreOutcome, StoreError>;
        cas(value: impl AsRef<[u8]>, cas: u64, ttl: impl Into<Ttl>) -> Result<StoreOutcome, StoreError>;
        add(value: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, StoreError>;
        replace(value: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, StoreError>;
        append(value: impl AsRef<[u8]>) -> Result<bool, StoreError>;
        prepend(value: impl AsRef<[u8]>) -> Result<bool, StoreError>;
        incr(delta: u64) -> Result<u64, DeltaError>;
        decr(delta: u64) -> Result<u64, DeltaError>;
        touch(ttl: impl Into<Ttl>) -> bool;
        delete() -> bool;
    }

    /// Calls [`Cache::get_many`] with the prefix before each key. One allocation holds all keys.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K], found: impl FnMut(usize, &[u8])) {
        let keys: Vec<JoinedKey> = keys.iter().map(|key| self.join(key.as_ref())).collect();
        self.cache.get_many(&keys, found);
    }

    /// Calls [`Cache::get_or_insert_with`] with the prefix before the key.
    ///
    /// # Errors
    /// The error of `load`.
    pub fn get_or_insert_with<V: Into<Vec<u8>>, E>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<Vec<u8>, E> {
        self.cache.get_or_insert_with(self.join(key.as_ref()), ttl, load)
    }

    /// Calls [`Cache::get_or_insert_async`] with the prefix before the key.
    ///
    /// # Errors
    /// The error of `load`.
    pub async fn get_or_insert_async<V: Into<Vec<u8>>, E>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<Vec<u8>, E> {
        self.cache.get_or_insert_async(self.join(key.as_ref()), ttl, load).await
    }

    /// Returns an iterator over the keys, without the prefix. It examines all keys of the cache.
    /// See [`Cache::keys`].
    pub fn keys(&self) -> Keys<'_> {
        self.cache.keys_under(&self.prefix)
    }

    /// Returns an iterator over the keys, without the prefix, and copies of their items. It
    /// examines all keys of the cache. See [`Cache::iter`].
    pub fn iter(&self) -> Iter<'_> {
        Iter::of(self.keys())
    }

    /// Removes all items of the namespace, in constant time. See [`Cache::flush_prefix`].
    pub fn clear(&self) {
        self.cache.flush_prefix(&self.prefix);
    }

    /// Returns the namespace of `prefix` inside this one.
    pub fn namespace(&self, prefix: impl AsRef<[u8]>) -> Self {
        let prefix = [&self.prefix, prefix.as_ref()].concat();
        Self { cache: Arc::clone(&self.cache), prefix: prefix.into() }
    }

    /// Returns the prefix.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Returns the cache.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    #[inline]
    fn join(&self, key: &[u8]) -> JoinedKey {
        JoinedKey::new(&self.prefix, key)
    }
}

impl<'n> IntoIterator for &'n Namespace {
    type Item = (Vec<u8>, CacheItem);
    type IntoIter = Iter<'n>;

    fn into_iter(self) -> Iter<'n> {
        self.iter()
    }
}

/// A prefix and a key.
struct JoinedKey {
    bytes: [u8; KEY_MAX],
    /// At most `KEY_MAX`.
    length: usize,
    /// All bytes of a key that is too long. The cache refuses it, and loads it as itself.
    long: Vec<u8>,
}

impl JoinedKey {
    #[inline]
    fn new(prefix: &[u8], key: &[u8]) -> Self {
        let mut joined = Self { bytes: [0; KEY_MAX], length: 0, long: Vec::new() };
        let length = prefix.len() + key.len();
        match joined.bytes.get_mut(..length).and_then(|bytes| bytes.split_at_mut_checked(prefix.len())) {
            Some((head, tail)) => {
                head.copy_from_slice(prefix);
                tail.copy_from_slice(key);
                joined.length = length;
            }
            None => joined.long = [prefix, key].concat(),
        }
        joined
    }
}

impl AsRef<[u8]> for JoinedKey {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        if self.long.is_empty() { self.bytes.get(..self.length).unwrap_or_default() } else { &self.long }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::config::CacheConfig;

    #[test]
    fn the_whole_key_has_up_to_250_bytes() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let space = cache.namespace([b'p'; 200]);
        assert_eq!(space.set([b'k'; 50], "1", Ttl::Never), Ok(()));
        assert_eq!(cache.get([&[b'p'; 200][..], &[b'k'; 50]].concat()).as_deref(), Some(&b"1"[..]));
        assert_eq!(space.set([b'k'; 51], "1", Ttl::Never), Err(StoreError::BadKey));
        assert_eq!((space.get([b'k'; 51]), space.delete([b'k'; 51])), (None, false));
        // The prefix alone is a key, too, unless it is empty.
        assert_eq!(space.set("", "2", Ttl::Never), Ok(()));
        assert_eq!(cache.namespace("").set("", "2", Ttl::Never), Err(StoreError::BadKey));
        let long = cache.namespace([b'p'; 251]);
        assert_eq!(long.set("", "1", Ttl::Never), Err(StoreError::BadKey));
        long.clear();
        assert_eq!((long.keys().count(), space.keys().count(), cache.keys().count()), (0, 2, 2));
    }

    #[test]
    fn keys_that_are_too_long_do_not_share_a_load() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let space = cache.namespace("p:");
        let outer = space.get_or_insert_with([b'a'; 250], Ttl::Never, || {
            space.get_or_insert_with([b'b'; 250], Ttl::Never, || Ok::<_, ()>("inner"))
        });
        assert_eq!(outer.as_deref(), Ok(&b"inner"[..]));
    }

    #[test]
    fn a_handle_outlives_the_cache_it_came_from() {
        let space = Cache::new(CacheConfig::default()).unwrap().namespace("n:");
        let inner = space.namespace(b"m:");
        assert_eq!(inner.set("1", "1", Ttl::Never), Ok(()));
        assert_eq!(inner.prefix(), b"n:m:");
        assert_eq!(format!("{:?}", space.namespace([0])), r#"Namespace { prefix: "n:\\x00", .. }"#);
        for (key, item) in &space {
            assert_eq!((&key[..], &item.value[..]), (&b"m:1"[..], &b"1"[..]));
        }
        assert_eq!(space.cache().keys().collect::<Vec<_>>(), [b"n:m:1"]);
    }
}
