//! The tokens of a worker's event queue.

use mio::Token;

/// The waker's token. The tokens of connections count up from 0. Those of UDP sockets count down
/// from below it.
pub(super) const WAKE: Token = Token(usize::MAX);

/// Returns the token of a UDP socket.
pub(super) fn udp_token(index: usize) -> Token {
    Token(WAKE.0 - 1 - index)
}

/// Returns the index of the UDP socket that reports to `token`, if there is one.
pub(super) fn udp_index(token: Token) -> Option<usize> {
    (WAKE.0 - 1).checked_sub(token.0)
}
