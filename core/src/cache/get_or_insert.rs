//! Loading of missing values, each by one caller at a time.
//!
//! It needs no async runtime. A waiter is a future that the leader wakes, from any thread. The
//! synchronous call polls the same future, and parks its thread in between.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::{Cache, Ttl, is_key};
use crate::base::flight::{Role, Waiter};
use crate::base::sync::Mutex;

impl Cache {
    /// Returns a copy of the value of `key`. If there is none, calls `load`, stores its value for
    /// `ttl` and returns it.
    ///
    /// One caller at a time loads a key, in all threads and tasks. The others wait and get its
    /// value. If `load` fails or panics, its caller gets the error or the panic, and a waiter calls
    /// its own `load`. A value that cannot be stored is returned all the same, to waiters too.
    ///
    /// An item that a client or another call stores while `load` runs stays, and all callers get
    /// its value. So `load` may store the item itself, for example with a TTL that it has learned.
    ///
    /// A delete or a flush of the key while `load` runs is not lost: the value is returned to its
    /// caller, but not stored, and a waiter calls its own `load`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use memcache_rs::{Cache, CacheConfig};
    ///
    /// let cache = Cache::new(CacheConfig::default())?;
    /// let load = || std::fs::read("/proc/version");
    /// let version = cache.get_or_insert_with("version", Duration::from_secs(60), load)?;
    /// assert_eq!(cache.get("version"), Some(version));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The error of `load`.
    ///
    /// # Deadlocks
    /// `load` must not load its own key: it would wait for itself. A task must not call this while
    /// another task of the same thread loads the key: it would stop that one, too.
    pub fn get_or_insert_with<V: Into<Vec<u8>>, E>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<Vec<u8>, E> {
        match self.get(&key) {
            Some(value) => Ok(value),
            None => block_on(self.load_once(key.as_ref(), ttl.into(), async { load() })),
        }
    }

    /// Like [`Cache::get_or_insert_with`], but awaits `load`. Works with every async runtime.
    ///
    /// `load` is polled only if this caller loads the value. If a caller is dropped while it loads,
    /// a waiter loads the value in its place. A caller that is neither polled nor dropped keeps its
    /// waiters waiting.
    ///
    /// ```
    /// use std::time::Duration;
    /// use memcache_rs::{Cache, CacheConfig};
    ///
    /// async fn year() -> Result<String, std::io::Error> {
    ///     Ok("1815".to_owned())
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let cache = Cache::new(CacheConfig::default())?;
    /// let value = cache.get_or_insert_async("year", Duration::from_secs(60), year()).await?;
    /// assert_eq!(value, b"1815");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The error of `load`.
    pub async fn get_or_insert_async<V: Into<Vec<u8>>, E>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<Vec<u8>, E> {
        match self.get(&key) {
            Some(value) => Ok(value),
            None => self.load_once(key.as_ref(), ttl.into(), load).await,
        }
    }

    /// Loads a value that a get has not found, or waits for the caller that loads it.
    async fn load_once<V: Into<Vec<u8>>, E>(
        &self,
        key: &[u8],
        ttl: Ttl,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<Vec<u8>, E> {
        let mut leader = loop {
            let (waiting, waiter) = Waiting::new();
            match self.flights.join(key, (), waiter) {
                Role::Leader(leader) => break leader,
                Role::Waiting(()) => {
                    if let Some(value) = waiting.await {
                        return Ok(value);
                    }
                }
            }
        };
        let loading = self.begin_load(key);
        // Another leader may have finished between the get and the join.
        let value = match self.peek(key) {
            Some(value) => value,
            None => {
                let value = load.await?.into();
                match self.finish_load(key, loading.seen(), || self.add(key, &value, ttl)) {
                    // Waiters may have come after the delete.
                    None => return Ok(value),
                    Some(Ok(false)) => self.peek(key).unwrap_or(value),
                    // Stored, or it cannot be: a bad key, a value too large, no memory.
                    Some(Ok(true) | Err(_)) => value,
                }
            }
        };
        leader.finish(Some(&value));
        Ok(value)
    }

    /// Returns a copy of the value of `key`, and counts nothing: the get before counted the miss.
    fn peek(&self, key: &[u8]) -> Option<Vec<u8>> {
        if !is_key(key) {
            return None;
        }
        let mut value = Vec::new();
        let mut entry = self.store.visit_at(key, self.store.lookup_hint(key));
        entry.show()?.copy_to(&mut value).ok()?;
        Some(value)
    }
}

/// The future of a waiter: the value of the leader, or `None` if it has failed. If it is dropped,
/// the leader no longer wakes its task.
struct Waiting(Arc<Mutex<Answer>>);

enum Answer {
    /// The leader loads the value. The task to wake is known after the first poll.
    Awaited(Option<Waker>),
    Given(Option<Vec<u8>>),
}

impl Waiting {
    /// Returns a future, and the function that completes it.
    fn new() -> (Self, Waiter<[u8]>) {
        let answer = Arc::new(Mutex::new(Answer::Awaited(None)));
        let to = Arc::downgrade(&answer);
        let waiter = move |value: Option<&[u8]>| {
            let Some(to) = to.upgrade() else { return };
            let given = Answer::Given(value.map(<[u8]>::to_vec));
            let before = std::mem::replace(&mut *to.lock(), given);
            // The lock is released before the task is woken.
            if let Answer::Awaited(Some(task)) = before {
                task.wake();
            }
        };
        (Self(answer), Box::new(waiter))
    }
}

impl Future for Waiting {
    type Output = Option<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self.0.lock() {
            Answer::Given(value) => Poll::Ready(value.take()),
            Answer::Awaited(task) => {
                match task {
                    Some(task) => task.clone_from(context.waker()),
                    None => *task = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future on this thread until it is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}
