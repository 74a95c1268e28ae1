//! The log that `watch` streams: a hub that receives events, and watchers that each buffer the
//! lines they asked for.
//!
//! Without a watcher an event costs one relaxed load. The buffer of a watcher is bounded: if it is
//! full, lines are dropped and counted in a line `skipped=N`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Kinds of events, as bits.
pub mod kind {
    /// `rawcmds`: accepted, never sent (as in memcached).
    pub const RAWCMDS: u32 = 1 << 0;
    /// `evictions`.
    pub const EVICTIONS: u32 = 1 << 1;
    /// `fetchers`.
    pub const FETCHERS: u32 = 1 << 2;
    /// `mutations`.
    pub const MUTATIONS: u32 = 1 << 3;
    /// `sysevents`.
    pub const SYSEVENTS: u32 = 1 << 4;
    /// `connevents`.
    pub const CONNEVENTS: u32 = 1 << 5;
    /// `deletions`.
    pub const DELETIONS: u32 = 1 << 6;
    /// `proxyreqs`.
    pub const PROXYREQS: u32 = 1 << 7;
    /// `proxyevents`.
    pub const PROXYEVENTS: u32 = 1 << 8;
    /// `proxyuser`: lines of a Lua program.
    pub const PROXYUSER: u32 = 1 << 9;

    /// The kinds that [`named`] returns, by name.
    const NAMED: [(&str, u32); 8] = [
        ("fetchers", FETCHERS),
        ("mutations", MUTATIONS),
        ("deletions", DELETIONS),
        ("evictions", EVICTIONS),
        ("connevents", CONNEVENTS),
        ("proxyreqs", PROXYREQS),
        ("proxyevents", PROXYEVENTS),
        ("proxyuser", PROXYUSER),
    ];

    /// Returns all kinds that [`named`] returns.
    pub fn all() -> u32 {
        NAMED.iter().fold(0, |all, (_, kind)| all | kind)
    }

    /// Returns the kind of this name, for programs that watch in process.
    ///
    /// # Errors
    /// The kind is unknown. The text names the known ones.
    pub fn named(name: &str) -> Result<u32, String> {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|&(_, kind)| kind).ok_or_else(|| {
            let known = NAMED.map(|(known, _)| known).join(", ");
            format!("there are no events {name:?}; the kinds are {known}")
        })
    }
}

/// Most watchers at once.
pub const WATCHER_LIMIT: usize = 20;

/// Where events go in and watchers are kept.
#[derive(Debug, Default)]
pub struct WatchHub {
    /// Union of what the watchers want.
    wanted: AtomicU32,
    serial: AtomicU64,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// Lines that reached a watcher's buffer.
    pub sent: AtomicU64,
    /// Lines that did not fit a watcher's buffer.
    pub skipped: AtomicU64,
    /// Events written.
    pub written: AtomicU64,
}

/// One receiver of events.
pub struct Watcher {
    wanted: u32,
    limit: usize,
    state: Mutex<Buffer>,
    wake: Box<dyn Fn() + Send + Sync>,
}

opaque_debug!(Watcher);

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    skipped: u64,
}

impl WatchHub {
    /// Returns whether a watcher wants events of `kind`.
    #[inline]
    pub fn wants(&self, kind: u32) -> bool {
        self.wanted.load(Relaxed) & kind != 0
    }

    /// Number of watchers.
    pub fn count(&self) -> usize {
        self.watchers.lock().len()
    }

    /// Adds a watcher of the kinds in `wanted` that buffers at most `limit` bytes. `wake` is called
    /// from any thread when its buffer stops being empty. Returns `None` if there are
    /// [`WATCHER_LIMIT`] watchers already.
    pub fn add(
        &self,
        wanted: u32,
        limit: usize,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Arc<Watcher>> {
        let mut watchers = self.watchers.lock();
        if watchers.len() >= WATCHER_LIMIT {
            return None;
        }
        let watcher = Arc::new(Watcher { wanted, limit, state: Mutex::default(), wake: Box::new(wake) });
        watchers.push(Arc::clone(&watcher));
        self.refresh(&watchers);
        Some(watcher)
    }

    /// Removes a watcher.
    pub fn remove(&self, watcher: &Arc<Watcher>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|w| !Arc::ptr_eq(w, watcher));
        self.refresh(&watchers);
    }

    fn refresh(&self, watchers: &[Arc<Watcher>]) {
        self.wanted.store(watchers.iter().fold(0, |all, w| all | w.wanted), Relaxed);
    }

    /// Writes an event to the watchers that want it. `fill` writes the part of the line after
    /// `gid=N `. Call only if [`WatchHub::wants`] returned `true`.
    #[cold]
    #[inline(never)]
    pub fn event(&self, kind: u32, fill: impl FnOnce(&mut String)) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let gid = self.serial.fetch_add(1, Relaxed) + 1;
        let mut line = String::with_capacity(160);
        // Writing to a String cannot fail.
        let _ = write!(line, "ts={}.{} gid={gid} ", now.as_secs(), now.subsec_micros());
        fill(&mut line);
        line.push('\n');
        self.written.fetch_add(1, Relaxed);
        for watcher in self.watchers.lock().iter().filter(|w| w.wanted & kind != 0) {
            if watcher.offer(line.as_bytes()) {
                self.sent.fetch_add(1, Relaxed);
            } else {
                self.skipped.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Watcher {
    fn offer(&self, line: &[u8]) -> bool {
        let mut state = self.state.lock();
        let was_empty = state.lines.is_empty();
        if state.lines.len() + line.len() > self.limit || state.lines.try_reserve(line.len()).is_err() {
            state.skipped += 1;
            return false;
        }
        state.lines.extend_from_slice(line);
        drop(state);
        if was_empty {
            (self.wake)();
        }
        true
    }

    /// Moves the buffered lines to the end of `to`, with the number of lines that were dropped
    /// since the last call.
    pub fn drain(&self, to: &mut Vec<u8>) {
        let mut state = self.state.lock();
        if to.try_reserve(state.lines.len()).is_err() {
            // The lines stay in the buffer until there is memory.
            return;
        }
        to.extend_from_slice(&state.lines);
        state.lines.clear();
        if state.skipped > 0 {
            // Reported at once: no further event may come.
            to.extend_from_slice(format!("skipped={}\n", state.skipped).as_bytes());
            state.skipped = 0;
        }
    }
}

/// Appends `key` percent-encoded, except letters, digits, `-`, `.`, `_` and `~`, as in memcached's
/// log.
pub fn push_uri_encoded(to: &mut String, key: &[u8]) {
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    /// A reader that drains when it is woken, and only then, gets every line.
    #[test]
    fn no_line_stays_without_a_wake() {
        loom::model(|| {
            let watcher_rung = Arc::new(Mutex::new(false));
            let rung = Arc::clone(&watcher_rung);
            let watcher = Arc::new(Watcher {
                wanted: kind::FETCHERS,
                limit: 100,
                state: Mutex::default(),
                wake: Box::new(move || *watcher_rung.lock() = true),
            });
            let writers = [(); 2].map(|()| {
                let watcher = Arc::clone(&watcher);
                loom::thread::spawn(move || assert!(watcher.offer(b"line\n")))
            });
            let mut lines = Vec::new();
            if std::mem::take(&mut *rung.lock()) {
                watcher.drain(&mut lines);
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            if std::mem::take(&mut *rung.lock()) {
                watcher.drain(&mut lines);
            }
            assert_eq!(lines, b"line\nline\n");
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_did_not_read_is_told_how_much_it_missed() {
        let hub = WatchHub::default();
        assert!(!hub.wants(kind::FETCHERS));
        let watcher =
            hub.add(kind::FETCHERS, 200, || ()).unwrap_or_else(|| unreachable!("the first watcher"));
        assert!(hub.wants(kind::FETCHERS) && !hub.wants(kind::MUTATIONS));
        for _ in 0..100 {
            hub.event(kind::FETCHERS, |line| line.push_str("type=item_get"));
        }
        let mut lines = Vec::new();
        watcher.drain(&mut lines);
        let lines = String::from_utf8_lossy(&lines);
        let kept = lines.matches("type=item_get").count();
        assert!((1..100).contains(&kept) && lines.ends_with(&format!("skipped={}\n", 100 - kept)), "{lines}");
        hub.remove(&watcher);
        assert!(!hub.wants(kind::FETCHERS));
    }
}
