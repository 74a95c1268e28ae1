//! Rules that hold for sockets of every kind.

use std::io;

use socket2::SockRef;

use crate::state::ServerState;

#[cfg(not(target_vendor = "apple"))]
pub(super) const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
/// Apple's systems have no such flag. [`super::stream::Stream::new_tcp`] sets an option instead.
#[cfg(target_vendor = "apple")]
pub(super) const SEND_FLAGS: libc::c_int = 0;

/// Sets the configured mark on a socket and on the sockets it accepts.
///
/// Without the privilege for it, the server runs without the mark, as memcached does.
pub(crate) fn mark(socket: &SockRef<'_>, context: &ServerState) {
    let mark = context.config.socket_mark;
    #[cfg(target_os = "linux")]
    if mark != 0
        && let Err(e) = socket.set_mark(mark)
    {
        context.log(0, || format!("setsockopt: {e}"));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, mark);
}

/// Returns whether `error` means that the socket has no input or no room now.
pub(crate) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Makes one call, repeated if it was interrupted.
pub(super) fn send(socket: &SockRef<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.send_with_flags(bytes, SEND_FLAGS) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
