//! Addresses to listen on, and what is spoken there.

use std::net::SocketAddr;
use std::path::PathBuf;

#[cfg(doc)]
use super::TlsConfig;

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The first byte of a connection decides.
    Negotiating,
    /// The classic and meta text protocols.
    Ascii,
    /// The binary protocol.
    Binary,
}

/// Whether a TCP listener uses TLS, and whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS (`notls:`).
    #[default]
    Off,
    /// TLS; [`TlsConfig::verify_mode`] says whether clients need a certificate.
    Default,
    /// TLS, clients need no certificate (`btls:`).
    NoPeer,
    /// TLS, clients need a certificate (`mtls:`).
    Peer,
}

/// An address that a server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes a free port.
    Tcp {
        /// Address and port.
        addr: SocketAddr,
        /// Protocol of connections accepted here.
        protocol: Protocol,
        /// Whether TLS is used.
        tls: TlsMode,
    },
    /// A Unix stream socket.
    Unix {
        /// Path of the socket file. A stale file there is replaced.
        path: PathBuf,
        /// Permission bits of the socket file (`-a`).
        mask: u32,
        /// Protocol of connections accepted here.
        protocol: Protocol,
    },
    /// A UDP address; port 0 takes a free port. Each datagram's first byte
    /// decides its protocol.
    Udp {
        /// Address and port.
        addr: SocketAddr,
    },
}

impl Listen {
    /// Returns a TCP address that accepts every protocol, without TLS.
    pub fn tcp(addr: SocketAddr) -> Self {
        Self::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Off }
    }

    /// Returns the protocol of connections accepted here, or `None` for UDP, where the first byte
    /// of each datagram decides.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Tcp { protocol, .. } | Self::Unix { protocol, .. } => Some(*protocol),
            Self::Udp { .. } => None,
        }
    }
}
