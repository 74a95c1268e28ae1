//! Counters of a server's threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::base::counter::Counter;
use crate::proxy::counters::WorkerCounters;

/// Defines the counters of a worker. `stats reset` sets those of the first list to 0.
/// `field => "memcache_rs_field"` makes `stats` print a counter that memcached does not have.
macro_rules! worker_stats {
    (
        reset { $($(#[$doc:meta])* $field:ident $(=> $shown:literal)?,)* }
        kept { $($(#[$kept_doc:meta])* $kept:ident,)* }
    ) => {
        /// Counters that one worker writes and `stats` reads, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct WorkerStats {
            $($(#[$doc])* pub $field: Counter,)*
            $($(#[$kept_doc])* pub $kept: Counter,)*
            /// Counters of the proxy.
            pub proxy: Arc<WorkerCounters>,
        }

        impl WorkerStats {
            /// `stats reset`.
            pub fn reset(&self) {
                $(self.$field.reset();)*
                self.proxy.reset();
            }

            /// Returns the counters that memcached does not have, with their names.
            pub fn own(&self) -> Vec<(&'static str, u64)> {
                vec![$($(($shown, self.$field.get()),)?)*]
            }
        }
    };
}

worker_stats! {
    reset {
        /// Bytes read from sockets.
        bytes_read,
        /// Bytes written to sockets.
        bytes_written,
        /// Times that a connection reached its limit of requests.
        conn_yields,
        /// Connections closed because partial requests held too much.
        read_buf_oom,
        /// Connections closed because unread replies held too much.
        response_obj_oom,
        /// Connections closed because they were idle.
        idle_kicks,
        /// `flush_all` commands.
        flush_cmds,
        /// Attempts to log in.
        auth_cmds,
        /// Attempts to log in that failed.
        auth_errors,
        /// Commands that the rights of their user do not allow.
        not_permitted => "memcache_rs_not_permitted",
    }
    kept {
        /// Connections this worker holds; not reset.
        connections,
        /// Bytes of buffers that hold partial requests or unsent replies; not reset.
        buffered,
    }
}

/// Counters of the thread that accepts.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Connections accepted.
    pub total: AtomicU64,
    /// Connections refused for `max_connections`.
    pub rejected: AtomicU64,
    /// Connections refused for `conns_per_ip`.
    pub rejected_per_ip: AtomicU64,
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
        for counter in [&self.total, &self.rejected, &self.rejected_per_ip, &self.disabled, &self.disabled_us]
        {
            counter.store(0, Relaxed);
        }
    }
}
