//! Addresses to listen on, and what is spoken there.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

#[cfg(doc)]
use super::TlsConfig;

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The first byte of a connection decides. Of a proxy, the text protocols are spoken, and its
    /// routes answer.
    Negotiating,
    /// The classic and meta text protocols. Of a proxy, its own cache answers.
    Ascii,
    /// The binary protocol.
    Binary,
}

/// The name of a listener, which the routes of a proxy may know: 1 to 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag(NonZeroU64);

impl Tag {
    /// Returns the tag of this text, or `None` if it is empty, has more than 8 bytes, or has a NUL.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        NonZeroU64::new(u64::from_ne_bytes(bytes)).filter(|_| !text.contains('\0')).map(Self)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.get().to_ne_bytes();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        f.write_str(&String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
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
        /// Its name for the routes of a proxy.
        tag: Option<Tag>,
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
        Self::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Off, tag: None }
    }

    /// Returns its name for the routes of a proxy.
    #[doc(hidden)]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Tcp { tag, .. } => *tag,
            Self::Unix { .. } | Self::Udp { .. } => None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short() {
        for text in ["b", "services", "größe"] {
            assert_eq!(Tag::new(text).map(|tag| tag.to_string()).as_deref(), Some(text));
        }
        for text in ["", "123456789", "a\0", "\0"] {
            assert_eq!(Tag::new(text), None, "{text:?}");
        }
        assert_ne!(Tag::new("a"), Tag::new("b"));
    }
}
