//! The memory of requests and replies under way.

use super::request::ClientRequest;

/// The reply if there is too much of it.
pub const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";

/// memcached's line for a backend that does not answer.
pub const BACKEND_FAILURE: &[u8] = b"SERVER_ERROR backend failure\r\n";

/// Bytes that a request under way takes beside its own, about.
const OVERHEAD: usize = 768;

/// Returns the bytes that a request under way holds.
pub fn cost(request: &ClientRequest) -> usize {
    request.held() + OVERHEAD
}

/// Bytes that are held, and most of these.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    limit: usize,
}

impl Held {
    /// Returns a count of nothing.
    pub fn new(limit: usize) -> Self {
        Self { bytes: 0, limit }
    }

    /// Counts bytes. Returns `false`, and does not count them, if that exceeds the limit.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes.saturating_add(bytes) <= self.limit;
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Counts bytes, also beyond the limit.
    pub fn force(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Counts bytes that are held no longer.
    pub fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Returns the bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
