//! The tokens of an event queue.
//!
//! ```text
//!   0 ▶ connections │ ½ ▶ backends │ ¾ ▶ probes        UDP sockets ◀ │ the waker
//! ```

use mio::Token;

/// The token of the waker.
pub(super) const WAKE: Token = Token(usize::MAX);

/// The first token of a backend.
const BACKENDS: usize = usize::MAX / 2;

/// The first token of a probe.
const PROBES: usize = usize::MAX / 4 * 3;

/// Returns the token of a UDP socket.
pub(super) fn udp_token(index: usize) -> Token {
    Token(WAKE.0 - 1 - index)
}

/// Returns the index of the UDP socket that reports to `token`, if there is one.
pub(super) fn udp_index(token: Token) -> Option<usize> {
    (WAKE.0 - 1).checked_sub(token.0)
}

/// Returns the token of the connection to a backend.
pub(super) fn backend_token(index: usize) -> Token {
    Token(BACKENDS + index)
}

/// Returns the index of the connection to a backend that reports to `token`, if there may be one.
pub(super) fn backend_index(token: Token) -> Option<usize> {
    token.0.checked_sub(BACKENDS)
}

/// Returns the token of a probe.
pub(super) fn probe_token(index: usize) -> Token {
    Token(PROBES + index)
}

/// Returns the index of the probe that reports to `token`, if there may be one.
pub(super) fn probe_index(token: Token) -> Option<usize> {
    token.0.checked_sub(PROBES)
}
