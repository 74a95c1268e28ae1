//! State that all connections of a server share: the cache, switches that commands change,
//! counters, and the table behind `stats conns`.

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

/// The state that the listener, the workers and their sessions share.
pub struct ServerState {
    /// The cache that is served.
    pub cache: Arc<Cache>,
    /// The settings at start.
    pub config: ServerConfig,
    /// Users that may log in; `None` allows every client.
    pub users: Option<Users>,
    /// Level of the log, 0 to 3. The command `verbosity` changes it.
    pub verbosity: AtomicU8,
    /// Counters of each worker, by worker number.
    pub workers: Vec<WorkerStats>,
    /// Counters of the listener.
    pub listener: ListenerStats,
    /// An entry for each open file descriptor of this server.
    pub connections: ConnectionTable,
    /// The list that `config get cluster` reports.
    pub cluster: Cluster,
    tls: OnceLock<Arc<Tls>>,
    stop: AtomicU8,
    failure: OnceLock<String>,
    stop_hook: OnceLock<Box<dyn Fn(Stop) + Send + Sync>>,
    describe: OnceLock<fn(i32) -> [String; 2]>,
}

opaque_debug!(ServerState);

impl ServerState {
    /// Returns the state of a server with `config.threads` workers.
    ///
    /// # Errors
    /// The file of passwords cannot be read.
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

    /// Returns the state for the statistics of a cache without a server.
    pub fn of_cache(cache: Arc<Cache>) -> Self {
        let config = ServerConfig { cache: cache.config().clone(), threads: 0, ..ServerConfig::default() };
        Self::with_users(cache, config, None)
    }

    /// Sets the function that names both ends of a descriptor's connection for `stats conns`, the
    /// other end first. The server calls this once.
    pub fn on_describe(&self, describe: fn(i32) -> [String; 2]) {
        // A second call would set the same function.
        let _ = self.describe.set(describe);
    }

    /// Returns both ends of a connection, the other end first.
    pub fn describe(&self, fd: i32) -> [String; 2] {
        self.describe.get().map_or_else(Default::default, |describe| describe(fd))
    }

    /// Sets certificates and keys. The server calls this once, before it accepts.
    pub(crate) fn set_tls(&self, tls: Tls) {
        tls.loaded_at(self.cache.clock().now());
        // There is one server for a state, so this is the first call.
        let _ = self.tls.set(Arc::new(tls));
    }

    /// Returns certificates and counters of TLS, if it is used.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.get()
    }

    /// Reads the files that the settings name again (SIGHUP).
    ///
    /// # Errors
    /// A line that names the file and the reason. The contents from before stay in use.
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

    /// Reads the files of TLS again (`refresh_certs`). Returns `None` without TLS.
    pub fn reload_certificates(&self) -> Option<Result<(), String>> {
        self.tls().map(|tls| tls.reload(self.cache.clock().now()))
    }

    /// Sets the function that wakes the server's threads for a stop. The server calls this once.
    pub fn on_stop(&self, hook: impl Fn(Stop) + Send + Sync + 'static) {
        // There is one server for a state, so this is the first call.
        let _ = self.stop_hook.set(Box::new(hook));
    }

    /// Asks the server to stop and returns at once. A later request replaces an earlier one only if
    /// it is more urgent.
    pub fn request_stop(&self, how: Stop) {
        let before = self.stop.load(Relaxed);
        if before != Stop::Now as u8 {
            self.stop.store(how as u8, Relaxed);
        }
        if let Some(hook) = self.stop_hook.get() {
            hook(how);
        }
    }

    /// Logs `line` and stops the server, because a part of it has failed.
    pub(crate) fn fail(&self, line: String) {
        self.config.hooks.log(0, &line);
        // The first failure is the cause.
        let _ = self.failure.set(line);
        self.request_stop(Stop::Now);
    }

    /// Returns the failure that stopped the server, if there was one.
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

    /// Returns whether lines of this level are logged.
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

    /// Returns the value. Any thread may call this.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets the counter to 0 (`stats reset`). A concurrent addition may be lost.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Counters that one worker writes and `stats` reads, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Bytes read from sockets.
    pub bytes_read: Counter,
    /// Bytes written to sockets.
    pub bytes_written: Counter,
    /// Times that a connection reached its limit of requests.
    pub conn_yields: Counter,
    /// Connections closed because partial requests held too much.
    pub read_buf_oom: Counter,
    /// Connections closed because unread replies held too much.
    pub response_obj_oom: Counter,
    /// Connections closed because they were idle.
    pub idle_kicks: Counter,
    /// `flush_all` commands.
    pub flush_cmds: Counter,
    /// Attempts to log in.
    pub auth_cmds: Counter,
    /// Attempts to log in that failed.
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
    /// Times that accepting was paused because `max_connections` was reached.
    pub disabled: AtomicU64,
    /// Microseconds during which accepting was paused.
    pub disabled_us: AtomicU64,
    /// 1 while accepting is paused, else 0.
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

/// The state of a connection, with memcached's names.
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
    /// Discarding a refused value.
    Swallow = 5,
    /// Waiting for the client to read.
    Mwrite = 6,
    /// A watcher.
    Watch = 7,
    /// A command is done. This one and those below are logged at `-vvv` and never shown.
    NewCmd = 8,
    /// About to wait for a command.
    Waiting = 9,
    /// About to be closed.
    Closing = 10,
    /// Closed.
    Closed = 11,
}

impl ConnState {
    /// Returns memcached's name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Listening => "conn_listening",
            Self::Read => "conn_read",
            Self::ParseCmd => "conn_parse_cmd",
            Self::Nread => "conn_nread",
            Self::Swallow => "conn_swallow",
            Self::Mwrite => "conn_mwrite",
            Self::Watch => "conn_watch",
            Self::NewCmd => "conn_new_cmd",
            Self::Waiting => "conn_waiting",
            Self::Closing => "conn_closing",
            Self::Closed => "conn_closed",
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
/// A word for each descriptor: `state << 32 | second of the last command`; 0 is closed. The owner
/// of the descriptor writes it, and any thread reads it.
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

    /// Records the state of `fd`, and `now` as the time of its last command.
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

    /// Iterates over open descriptors from `first` on, in ascending order, with state and time of
    /// the last command.
    pub fn iter(&self, first: i32) -> impl Iterator<Item = (i32, ConnState, u32)> + '_ {
        let highest = self.highest.load(Relaxed) as i32;
        (first..=highest).filter_map(|fd| {
            let block = self.blocks.get(fd as usize / BLOCK)?.get()?;
            let word = block.get(fd as usize % BLOCK)?.load(Relaxed);
            Some((fd, ConnState::from_bits(word >> 32)?, word as u32))
        })
    }
}
