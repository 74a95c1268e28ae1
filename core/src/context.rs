//! What all connections of a server share: the cache, the switches that
//! commands may flip, counters, and the table behind `stats conns`.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::auth::Users;
use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::config::ServerConfig;
use crate::error::StartError;
use crate::tls::Tls;

/// How a server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stop {
    /// Closes every connection and ends.
    Now = 1,
    /// Finishes the replies that are under way, then ends (`shutdown graceful`).
    Graceful = 2,
}

/// The state of a server that was not asked to stop, beside the values of [`Stop`].
const RUNNING: u8 = 0;

/// Shared by the listener, the workers and their sessions.
pub struct ServerState {
    /// The cache that is served.
    pub cache: Arc<Cache>,
    /// The settings at start.
    pub config: ServerConfig,
    /// Who may give commands; `None`: everybody.
    pub users: Option<Users>,
    /// 0 to 3; `verbosity` changes it.
    pub verbosity: AtomicU8,
    /// Counters of each worker, by worker number.
    pub workers: Vec<WorkerStats>,
    /// Counters of the listener.
    pub listener: ListenerStats,
    /// One entry an open file descriptor of this server.
    pub connections: ConnectionTable,
    /// What `config get cluster` answers.
    pub cluster: Cluster,
    tls: OnceLock<Arc<Tls>>,
    stop: AtomicU8,
    failure: OnceLock<String>,
    stop_hook: OnceLock<Box<dyn Fn(Stop) + Send + Sync>>,
    describe: OnceLock<fn(i32) -> [String; 2]>,
}

opaque_debug!(ServerState);

impl ServerState {
    /// A context for `config.threads` workers.
    ///
    /// # Errors
    /// Passwords that cannot be read.
    pub fn new(cache: Arc<Cache>, config: ServerConfig) -> Result<Self, StartError> {
        let users = config.auth.clone().map(Users::new).transpose()?;
        Ok(Self::with_users(cache, config, users))
    }

    fn with_users(cache: Arc<Cache>, config: ServerConfig, users: Option<Users>) -> Self {
        if config.read_buf_mem_limit > 0 {
            cache.store().beside().set_limit(config.read_buf_mem_limit);
        }
        let workers = (0..config.threads.max(1)).map(|_| WorkerStats::default()).collect();
        Self {
            cache,
            verbosity: AtomicU8::new(config.verbosity),
            cluster: Cluster::new(&config.cluster),
            config,
            users,
            workers,
            listener: ListenerStats::default(),
            connections: ConnectionTable::default(),
            tls: OnceLock::new(),
            stop: AtomicU8::new(RUNNING),
            failure: OnceLock::new(),
            stop_hook: OnceLock::new(),
            describe: OnceLock::new(),
        }
    }

    /// What a cache has to tell that nobody serves.
    pub fn of_cache(cache: Arc<Cache>) -> Self {
        let config = ServerConfig { cache: cache.config().clone(), threads: 0, ..ServerConfig::default() };
        Self::with_users(cache, config, None)
    }

    /// Called once by the server: `describe` names both ends of a descriptor's
    /// connection as `stats conns` shows them, the other end first.
    pub fn on_describe(&self, describe: fn(i32) -> [String; 2]) {
        // A second one would be the same function.
        let _ = self.describe.set(describe);
    }

    /// Both ends of a connection, the other end first.
    pub fn describe(&self, fd: i32) -> [String; 2] {
        self.describe.get().map_or_else(Default::default, |describe| describe(fd))
    }

    /// Called once by the server, before it accepts: what TLS needs.
    pub(crate) fn set_tls(&self, tls: Tls) {
        tls.loaded_at(self.cache.clock().now());
        // A second one would mean two servers on one context, which cannot be made.
        let _ = self.tls.set(Arc::new(tls));
    }

    /// Certificates and counters of TLS, if it is spoken.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.get()
    }

    /// Reads again what the settings name by path (SIGHUP).
    ///
    /// # Errors
    /// A line that says what could not be used; what was there before stays.
    pub fn reload(&self) -> Result<(), String> {
        let users = self.users.as_ref().map_or(Ok(()), Users::reload);
        let certificates = match self.reload_certificates() {
            Some(Err(e)) => Err(format!("Could not reload TLS certificates: {e}")),
            Some(Ok(())) | None => Ok(()),
        };
        match (users, certificates) {
            (Err(one), Err(other)) => Err(format!("{one}; {other}")),
            (one, other) => one.and(other),
        }
    }

    /// Reads the files of TLS again (`refresh_certs`). `None`: there is no TLS.
    pub fn reload_certificates(&self) -> Option<Result<(), String>> {
        self.tls().map(|tls| tls.reload(self.cache.clock().now()))
    }

    /// Called once by the server: `hook` wakes whoever carries out a stop.
    pub fn on_stop(&self, hook: impl Fn(Stop) + Send + Sync + 'static) {
        // A second hook would mean two servers on one context, which cannot be made.
        let _ = self.stop_hook.set(Box::new(hook));
    }

    /// Asks the server to stop; returns at once. The first request wins unless
    /// a later one is more urgent.
    pub fn request_stop(&self, how: Stop) {
        let before = self.stop.load(Relaxed);
        if before != Stop::Now as u8 {
            self.stop.store(how as u8, Relaxed);
        }
        if let Some(hook) = self.stop_hook.get() {
            hook(how);
        }
    }

    /// A part of the server has failed: logs `line` and stops the server, which
    /// would be half a server without it.
    pub(crate) fn fail(&self, line: String) {
        self.config.hooks.log(0, &line);
        // The first failure is the cause.
        let _ = self.failure.set(line);
        self.request_stop(Stop::Now);
    }

    /// What has failed, if the server stopped for that.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Returns how the server was asked to stop, or `None` if it was not.
    pub fn stopping(&self) -> Option<Stop> {
        match self.stop.load(Relaxed) {
            RUNNING => None,
            now if now == Stop::Now as u8 => Some(Stop::Now),
            _ => Some(Stop::Graceful),
        }
    }

    /// Whether lines of this level are logged.
    #[inline]
    pub fn logs(&self, level: u8) -> bool {
        self.verbosity.load(Relaxed) >= level
    }

    /// Writes a line to the log if `verbosity` is at least `level`.
    pub fn log(&self, level: u8, line: impl FnOnce() -> String) {
        if self.logs(level) {
            self.config.hooks.log(level, &line());
        }
    }
}

/// A counter with one writer: adding needs no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owning thread may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Subtracts `n`; only the owning thread may call this.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The value; any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Back to 0 (`stats reset`); an addition at the same moment may be lost.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Counters that one worker writes and `stats` reads. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Bytes read from sockets.
    pub bytes_read: Counter,
    /// Bytes written to sockets.
    pub bytes_written: Counter,
    /// Times a connection had to give way to others.
    pub conn_yields: Counter,
    /// Connections closed because partial requests held too much.
    pub read_buf_oom: Counter,
    /// Connections closed because unread replies held too much.
    pub response_obj_oom: Counter,
    /// Connections closed for idling.
    pub idle_kicks: Counter,
    /// `flush_all` commands.
    pub flush_cmds: Counter,
    /// Attempts to prove who one is.
    pub auth_cmds: Counter,
    /// Those that failed.
    pub auth_errors: Counter,
    /// Connections this worker holds; not reset.
    pub connections: Counter,
    /// Bytes of buffers that hold partial requests or unsent replies; not reset.
    pub buffered: Counter,
}

impl WorkerStats {
    /// `stats reset`.
    pub fn reset(&self) {
        for counter in [
            &self.bytes_read,
            &self.bytes_written,
            &self.conn_yields,
            &self.read_buf_oom,
            &self.response_obj_oom,
            &self.idle_kicks,
            &self.flush_cmds,
            &self.auth_cmds,
            &self.auth_errors,
        ] {
            counter.reset();
        }
    }
}

/// Counters of the thread that accepts.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Connections accepted.
    pub total: AtomicU64,
    /// Connections refused for `max_connections`.
    pub rejected: AtomicU64,
    /// Times listening was switched off for want of connections.
    pub disabled: AtomicU64,
    /// Microseconds spent with listening switched off.
    pub disabled_us: AtomicU64,
    /// 1 while listening is switched off for want of connections, else 0.
    pub paused: AtomicU8,
}

impl ListenerStats {
    /// `stats reset`.
    pub fn reset(&self) {
        for counter in [&self.total, &self.rejected, &self.disabled, &self.disabled_us] {
            counter.store(0, Relaxed);
        }
    }
}

/// What a connection is doing, with memcached's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnState {
    /// A listening socket.
    Listening = 1,
    /// Waiting for a command.
    Read = 2,
    /// A command is being carried out.
    ParseCmd = 3,
    /// Waiting for the rest of a value.
    Nread = 4,
    /// Throwing a refused value away.
    Swallow = 5,
    /// Waiting for the client to read.
    Mwrite = 6,
    /// A watcher.
    Watch = 7,
}

impl ConnState {
    /// memcached's name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Listening => "conn_listening",
            Self::Read => "conn_read",
            Self::ParseCmd => "conn_parse_cmd",
            Self::Nread => "conn_nread",
            Self::Swallow => "conn_swallow",
            Self::Mwrite => "conn_mwrite",
            Self::Watch => "conn_watch",
        }
    }

    fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            1 => Self::Listening,
            2 => Self::Read,
            3 => Self::ParseCmd,
            4 => Self::Nread,
            5 => Self::Swallow,
            6 => Self::Mwrite,
            7 => Self::Watch,
            _ => return None,
        })
    }
}

const BLOCK: usize = 1024;

/// State and last use of every open descriptor of a server, for `stats conns`.
///
/// One word a descriptor: `state << 32 | second of the last command`; 0 is
/// closed. Written by the owner of the descriptor, read by anyone.
#[derive(Debug)]
pub struct ConnectionTable {
    blocks: Vec<OnceLock<Box<[AtomicU64; BLOCK]>>>,
    highest: AtomicU32,
}

impl Default for ConnectionTable {
    fn default() -> Self {
        Self { blocks: (0..BLOCK).map(|_| OnceLock::new()).collect(), highest: AtomicU32::new(0) }
    }
}

impl ConnectionTable {
    fn slot(&self, fd: i32) -> Option<&AtomicU64> {
        let fd = usize::try_from(fd).ok()?;
        let block = self.blocks.get(fd / BLOCK)?;
        let block = block.get_or_init(|| Box::new([const { AtomicU64::new(0) }; BLOCK]));
        block.get(fd % BLOCK)
    }

    /// Records what `fd` does, and `now` as the time of its last command.
    pub fn set(&self, fd: i32, state: ConnState, now: u32) {
        if let Some(slot) = self.slot(fd) {
            slot.store((state as u64) << 32 | u64::from(now), Relaxed);
            if self.highest.load(Relaxed) < fd as u32 {
                self.highest.fetch_max(fd as u32, Relaxed);
            }
        }
    }

    /// Records that `fd` is closed. Call before closing it.
    pub fn clear(&self, fd: i32) {
        if let Some(slot) = self.slot(fd) {
            slot.store(0, Relaxed);
        }
    }

    /// Open descriptors from `first` on in ascending order, with state and last
    /// command.
    pub fn iter(&self, first: i32) -> impl Iterator<Item = (i32, ConnState, u32)> + '_ {
        let highest = self.highest.load(Relaxed) as i32;
        (first..=highest).filter_map(|fd| {
            let block = self.blocks.get(fd as usize / BLOCK)?.get()?;
            let word = block.get(fd as usize % BLOCK)?.load(Relaxed);
            Some((fd, ConnState::from_bits(word >> 32)?, word as u32))
        })
    }
}
