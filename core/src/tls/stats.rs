//! Counters of TLS.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of TLS connections.
#[derive(Debug, Default)]
pub struct TlsStats {
    /// Handshakes that came to their end and resumed nothing.
    pub new_sessions: AtomicU64,
    /// Connections that failed, or ended, before the handshake did.
    pub handshake_errors: AtomicU64,
    /// Connections that broke the protocol after the handshake.
    pub proto_errors: AtomicU64,
}

impl TlsStats {
    /// `stats reset`.
    pub fn reset(&self) {
        for counter in [&self.new_sessions, &self.handshake_errors, &self.proto_errors] {
            counter.store(0, Relaxed);
        }
    }
}
