//! Events of a server, as they happen.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use memcache_core::Cache;
use memcache_core::internal::base::sync::Mutex;
use memcache_core::internal::base::watch::{Watcher, kind};

use crate::handle::Handle;

/// Bytes of events that wait for a reader. Later events are dropped and counted.
const BUFFER: usize = 4 * 1024 * 1024;

/// An event of memcached's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// memcached's name for it: `item_get`, `eviction` and so on. `skipped` reports lost events.
    pub name: String,
    /// The Unix time; 0 for lost events.
    pub time: f64,
    /// The key, or `None` if the event has none.
    pub key: Option<Vec<u8>>,
    /// All fields of the log line, in order.
    pub fields: Vec<(String, String)>,
}

/// A line whose time is not a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTime(pub String);

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ts must be a number, got {:?}", self.0)
    }
}

impl Error for BadTime {}

impl Event {
    /// Parses a line of the log.
    ///
    /// # Errors
    /// The time is not a number.
    pub fn parse(line: &str) -> Result<Self, BadTime> {
        let fields = fields(line);
        // The hub writes the first field of a name. A later one of `proxy_req` has another meaning.
        let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        if fields.first().is_some_and(|(name, _)| name == "skipped") {
            return Ok(Self { name: "skipped".to_owned(), time: 0.0, key: None, fields });
        }
        let time = match field("ts") {
            None => 0.0,
            Some(text) => text.parse().map_err(|_| BadTime(text.clone()))?,
        };
        let key = field("key").map(|text| decode(text));
        Ok(Self { name: field("type").cloned().unwrap_or_default(), time, key, fields })
    }
}

/// Returns the fields of a line. `msg` and `req` hold its rest: a text of a program, and the line
/// of a client.
fn fields(line: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let part = rest.split_whitespace().next().unwrap_or(rest);
        let (name, mut value) = part.split_once('=').unwrap_or((part, ""));
        if matches!(name, "msg" | "req") {
            value = rest.get(name.len() + 1..).unwrap_or_default();
            rest = "";
        } else {
            rest = rest.get(part.len()..).unwrap_or_default().trim_start();
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    fields
}

/// Decodes a key, which the log percent-encodes.
fn decode(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut key = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        // `from_str_radix` accepts a sign.
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                key.push(byte);
                key.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            }
            None => {
                key.push(b'%');
                key.extend_from_slice(part.as_bytes());
            }
        }
    }
    key
}

/// A watch that cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchError {
    /// A kind of events does not exist. The text names the known ones.
    Kind(String),
    /// The server has as many watches as it takes.
    TooMany,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(text) => f.write_str(text),
            Self::TooMany => f.write_str("a server takes at most 20 watchers; close one"),
        }
    }
}

impl Error for WatchError {}

/// A receiver of events. Its owner waits for `wake` in its own way.
pub struct Watch {
    /// `None` once it is closed.
    of: Handle<Mutex<Option<Arc<Cache>>>>,
    watcher: Arc<Watcher>,
    pending: Mutex<Pending>,
}

/// Received lines, of which the first `done` bytes were returned.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    done: usize,
}

impl Watch {
    /// Begins to receive events of some kinds, or of all kinds if none is named. Any thread calls
    /// `wake` when the first event arrives, and when one arrives after [`Watch::next`] took all.
    ///
    /// # Errors
    /// A kind does not exist, or there are too many watches.
    pub fn open(
        cache: Arc<Cache>,
        kinds: &[String],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        let mut wanted = if kinds.is_empty() { kind::all() } else { 0 };
        for name in kinds {
            wanted |= kind::named(name).map_err(WatchError::Kind)?;
        }
        let watcher = cache.watch_hub().add(wanted, BUFFER, wake).ok_or(WatchError::TooMany)?;
        Ok(Self { of: Handle::new(Arc::new(Mutex::new(Some(cache)))), watcher, pending: Mutex::default() })
    }

    /// Returns the next event that has arrived.
    pub fn next(&self) -> Option<Event> {
        let mut pending = self.pending.lock();
        loop {
            if pending.done == pending.lines.len() {
                *pending = Pending::default();
                self.watcher.drain(&mut pending.lines);
            }
            let rest = pending.lines.get(pending.done..).filter(|rest| !rest.is_empty())?;
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            pending.done = (pending.done + end + 1).min(pending.lines.len());
            // The hub writes a number as the time.
            if let Ok(event) = Event::parse(&line) {
                return Some(event);
            }
        }
    }

    /// Stops receiving events, and lets go of the cache. Received events can still be read.
    pub fn close(&self) {
        let cache = self.of.get().and_then(|of| of.lock().take());
        if let Some(cache) = cache {
            cache.watch_hub().remove(&self.watcher);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use memcache_core::{CacheConfig, Ttl};

    use super::*;

    #[test]
    fn lines_become_events() {
        let event = Event::parse("ts=1700000000.5 gid=1 type=eviction key=user%3A1%zz% word").unwrap();
        assert_eq!((event.name.as_str(), event.time), ("eviction", 1_700_000_000.5));
        assert_eq!(event.key.as_deref(), Some(&b"user:1%zz%"[..]));
        assert_eq!(event.fields[4], ("word".to_owned(), String::new()));
        let lost = Event::parse("skipped=5").unwrap();
        assert_eq!((lost.name.as_str(), lost.time, lost.key), ("skipped", 0.0, None));
        let event =
            Event::parse("ts=1.5 gid=1 type=proxy_req elapsed=9 type=105 detail=p req=get  key=b ts=x")
                .unwrap();
        assert_eq!((event.name.as_str(), event.time, event.key), ("proxy_req", 1.5, None));
        assert_eq!(event.fields[6], ("req".to_owned(), "get  key=b ts=x".to_owned()));
        let event = Event::parse("ts=1.5 gid=1 type=proxy_user msg=skipped=5 type=eviction").unwrap();
        assert_eq!(event.name, "proxy_user");
        assert_eq!(event.fields[3], ("msg".to_owned(), "skipped=5 type=eviction".to_owned()));
        assert_eq!(Event::parse("msg=").unwrap().fields, [("msg".to_owned(), String::new())]);
        assert_eq!(Event::parse("msg").unwrap().fields, [("msg".to_owned(), String::new())]);
        assert_eq!(Event::parse("ts=now type=x"), Err(BadTime("now".into())));
        assert_eq!(decode("%+1%ff%é"), b"%+1\xff%\xc3\xa9");
    }

    #[test]
    fn events_are_read_after_the_close_too() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = move || {
            count.fetch_add(1, Relaxed);
        };
        let watch = Watch::open(Arc::clone(&cache), &["mutations".to_owned()], wake).unwrap();
        assert_eq!(watch.next(), None);
        for key in ["a", "b"] {
            cache.set(key, "value", Ttl::Never).unwrap();
        }
        watch.close();
        cache.set("c", "value", Ttl::Never).unwrap();
        assert_eq!(woken.load(Relaxed), 1);
        let keys: Vec<_> = std::iter::from_fn(|| watch.next()).map(|event| event.key.unwrap()).collect();
        assert_eq!(keys, [b"a", b"b"]);
    }

    #[test]
    fn watches_that_cannot_be_are_refused() {
        let cache = Cache::new(CacheConfig::default()).unwrap();
        let open = |kind: &str| Watch::open(Arc::clone(&cache), &[kind.to_owned()], || {});
        assert!(matches!(open("nothing"), Err(WatchError::Kind(text)) if text.contains("evictions")));
        let mut open_ones: Vec<Watch> = (0..20).map(|_| open("evictions").unwrap()).collect();
        assert_eq!(open("evictions").unwrap_err(), WatchError::TooMany);
        open_ones.pop();
        assert!(open("evictions").is_ok());
    }
}
