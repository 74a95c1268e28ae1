//! Counters of TLS.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of TLS connections.
#[derive(Debug, Default)]
pub struct TlsStats {
    /// Complete handshakes that resumed no session.
    pub new_sessions: AtomicU64,
    /// Connections that failed or ended before the end of the handshake.
    pub handshake_errors: AtomicU64,
    /// Connections that broke the protocol after the handshake.
    pub proto_errors: AtomicU64,
}

impl TlsStats {
    /// Sets all counters to 0, for `stats reset`.
    pub fn reset(&self) {
        for counter in [&self.new_sessions, &self.handshake_errors, &self.proto_errors] {
            counter.store(0, Relaxed);
        }
    }
}
