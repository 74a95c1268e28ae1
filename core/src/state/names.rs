//! The names of a connection's two ends in `stats conns`.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use socket2::{SockAddr, SockRef, Type};

/// Names both ends of the socket `fd`, the peer first.
pub(crate) fn describe(fd: i32) -> [String; 2] {
    // SAFETY: the descriptor is only asked for its addresses. If it was closed just before, the
    // system returns an error or names the socket that took its number. That is a wrong line in a
    // report, as in memcached.
    #[expect(unsafe_code, reason = "the table of connections holds numbers, not sockets")]
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let socket = SockRef::from(&borrowed);
    let transport = if socket.r#type().is_ok_and(|kind| kind == Type::DGRAM) { "udp" } else { "tcp" };
    [socket.peer_addr(), socket.local_addr()]
        .map(|address| address.map_or_else(|_| "<closed>".into(), |a| name(&a, transport)))
}

fn name(address: &SockAddr, transport: &str) -> String {
    if let Some(internet) = address.as_socket() {
        return match internet.ip() {
            IpAddr::V4(ip) => format!("{transport}:{ip}:{}", internet.port()),
            IpAddr::V6(ip) => format!("{transport}6:[{ip}]:{}", internet.port()),
        };
    }
    match address.as_pathname() {
        Some(path) => format!("unix:{}", path.display()),
        None => format!("unix:<AF {}>", address.family()),
    }
}
