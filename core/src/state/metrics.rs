//! Counters of a server's threads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

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
