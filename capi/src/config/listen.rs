//! Settings of listeners.

use std::ffi::c_char;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use memcache_core::{Listen, Protocol, TlsMode};

use super::mcrs_config;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// Names the protocol of a listener: one of the MCRS_PROTOCOL_ numbers.
pub type mcrs_protocol = u32;

/// Decides by the first byte of each connection.
pub const MCRS_PROTOCOL_AUTO: mcrs_protocol = 0;

/// Speaks the classic and the meta text protocol.
pub const MCRS_PROTOCOL_TEXT: mcrs_protocol = 1;

/// Speaks the binary protocol.
pub const MCRS_PROTOCOL_BINARY: mcrs_protocol = 2;

/// Names the TLS mode of a listener: one of the MCRS_TLS_ numbers.
pub type mcrs_tls_mode = u32;

/// Speaks no TLS.
pub const MCRS_TLS_OFF: mcrs_tls_mode = 0;

/// Speaks TLS, with client certificates as mcrs_config_set_tls_verify() says.
pub const MCRS_TLS_ON: mcrs_tls_mode = 1;

/// Speaks TLS, and asks for no client certificate.
pub const MCRS_TLS_NO_PEER: mcrs_tls_mode = 2;

/// Speaks TLS, and requires a client certificate.
pub const MCRS_TLS_PEER: mcrs_tls_mode = 3;

fn address(host: Option<&str>, port: u16) -> Result<SocketAddr, Failure> {
    let ip = match host {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(host) => host.parse().map_err(|_| {
            invalid(format!("host must be an IPv4 or IPv6 address, got \"{host}\"; names are not looked up"))
        })?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn protocol(number: mcrs_protocol) -> Result<Protocol, Failure> {
    match number {
        MCRS_PROTOCOL_AUTO => Ok(Protocol::Negotiating),
        MCRS_PROTOCOL_TEXT => Ok(Protocol::Ascii),
        MCRS_PROTOCOL_BINARY => Ok(Protocol::Binary),
        other => Err(invalid(format!("protocol must be one of the MCRS_PROTOCOL_ numbers, got {other}"))),
    }
}

/// Adds a TCP listener.
///
/// ```c
/// mcrs_server *one = NULL;
/// mcrs_address address;
/// assert(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_OFF) == MCRS_OK);
/// assert(mcrs_server_start(config, &one) == MCRS_OK);
/// assert(mcrs_server_address(one, 0, &address) == MCRS_OK);
/// assert(strcmp(address.host, "127.0.0.1") == 0 && address.port != 0);
/// mcrs_server_free(one);
/// ```
///
/// @param config  Settings to change.
/// @param host  IPv4 or IPv6 address; names are not looked up. NULL is 127.0.0.1.
/// @param port  Port; 0 takes a free one, which mcrs_server_address() returns.
/// @param protocol  One of the MCRS_PROTOCOL_ numbers.
/// @param tls  One of the MCRS_TLS_ numbers. TLS needs mcrs_config_set_tls_certificate().
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `host`, `protocol` or `tls` is not allowed; or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_tcp(
    config: *mut mcrs_config,
    host: *const c_char,
    port: u16,
    protocol: mcrs_protocol,
    tls: mcrs_tls_mode,
) -> mcrs_status {
    entry!(mut config, { host: maybe_text(host) }, {
        let tls = match tls {
            MCRS_TLS_OFF => TlsMode::Off,
            MCRS_TLS_ON => TlsMode::Default,
            MCRS_TLS_NO_PEER => TlsMode::NoPeer,
            MCRS_TLS_PEER => TlsMode::Peer,
            other => return Err(invalid(format!("tls must be one of the MCRS_TLS_ numbers, got {other}"))),
        };
        let listen = Listen::Tcp { addr: address(host, port)?, protocol: self::protocol(protocol)?, tls, tag: None };
        config.settings.listen.push(listen);
        Ok(())
    })
}

/// Adds a listener on a Unix socket.
///
/// A stale socket file at `path` is replaced. The server removes its file when it stops.
///
/// @param config  Settings to change.
/// @param path  Path of the socket file, not empty.
/// @param mask  Permission bits of the file, 0 to 0777; memcached's default is 0700.
/// @param protocol  One of the MCRS_PROTOCOL_ numbers.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `path`, `mask` or `protocol` is not allowed; or a
///     common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_unix(
    config: *mut mcrs_config,
    path: *const c_char,
    mask: u32,
    protocol: mcrs_protocol,
) -> mcrs_status {
    entry!(mut config, { path: path(path) }, {
        if mask & !0o777 != 0 {
            return Err(invalid(format!("mask must be 0 to 0777, got 0{mask:o}")));
        }
        let listen = Listen::Unix { path: path.to_owned(), mask, protocol: self::protocol(protocol)? };
        config.settings.listen.push(listen);
        Ok(())
    })
}

/// Adds a UDP socket.
///
/// The first byte of a datagram decides its protocol.
///
/// @param config  Settings to change.
/// @param host  IPv4 or IPv6 address; names are not looked up. NULL is 127.0.0.1.
/// @param port  Port; 0 takes a free one, which mcrs_server_address() returns.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if `host` is not an address; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_udp(
    config: *mut mcrs_config,
    host: *const c_char,
    port: u16,
) -> mcrs_status {
    entry!(mut config, { host: maybe_text(host) }, {
        config.settings.listen.push(Listen::Udp { addr: address(host, port)? });
        Ok(())
    })
}
