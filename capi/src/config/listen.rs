//! Where a server listens.

use std::ffi::c_char;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use memcache_core::{Listen, Protocol, TlsMode};

use super::mcrs_config;
use crate::guard::{Failure, invalid};
use crate::status::mcrs_status;

/// What a listener speaks: one of the MCRS_PROTOCOL_ numbers.
pub type mcrs_protocol = u32;

/// Decided by the first byte of each connection.
pub const MCRS_PROTOCOL_AUTO: mcrs_protocol = 0;

/// Classic and meta text.
pub const MCRS_PROTOCOL_TEXT: mcrs_protocol = 1;

/// The binary protocol.
pub const MCRS_PROTOCOL_BINARY: mcrs_protocol = 2;

/// Whether a listener speaks TLS, and what it wants of clients: one of the
/// MCRS_TLS_ numbers.
pub type mcrs_tls_mode = u32;

/// No TLS.
pub const MCRS_TLS_OFF: mcrs_tls_mode = 0;

/// TLS, clients as mcrs_config_set_tls_verify() says.
pub const MCRS_TLS_ON: mcrs_tls_mode = 1;

/// TLS, clients need no certificate.
pub const MCRS_TLS_NO_PEER: mcrs_tls_mode = 2;

/// TLS, clients need a certificate.
pub const MCRS_TLS_PEER: mcrs_tls_mode = 3;

fn address(host: Option<&str>, port: u16) -> Result<SocketAddr, Failure> {
    let ip = match host {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(host) => host
            .parse()
            .map_err(|_| invalid(format!("\"{host}\" is not an address (names are not looked up)")))?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn protocol(number: mcrs_protocol) -> Result<Protocol, Failure> {
    match number {
        MCRS_PROTOCOL_AUTO => Ok(Protocol::Negotiating),
        MCRS_PROTOCOL_TEXT => Ok(Protocol::Ascii),
        MCRS_PROTOCOL_BINARY => Ok(Protocol::Binary),
        other => Err(invalid(format!("there is no protocol {other}"))),
    }
}

/// Listens at a TCP address too. `host` is an IPv4 or IPv6 address, not a name;
/// NULL is 127.0.0.1. Port 0 takes a free port, which mcrs_server_address() tells.
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
            other => return Err(invalid(format!("there is no TLS mode {other}"))),
        };
        let listen = Listen::Tcp { addr: address(host, port)?, protocol: self::protocol(protocol)?, tls };
        config.settings.listen.push(listen);
        Ok(())
    })
}

/// Listens at a Unix socket too. A stale socket file at `path` is replaced; the
/// server removes its own when it stops. `mask` is the permission bits of the
/// file, 0700 in memcached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_config_listen_unix(
    config: *mut mcrs_config,
    path: *const c_char,
    mask: u32,
    protocol: mcrs_protocol,
) -> mcrs_status {
    entry!(mut config, { path: path(path) }, {
        if mask & !0o777 != 0 {
            return Err(invalid(format!("0{mask:o} is more than permission bits")));
        }
        let listen = Listen::Unix { path: path.to_owned(), mask, protocol: self::protocol(protocol)? };
        config.settings.listen.push(listen);
        Ok(())
    })
}

/// Listens at a UDP address too; `host` and `port` as with TCP. The first byte of
/// a datagram decides its protocol.
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
