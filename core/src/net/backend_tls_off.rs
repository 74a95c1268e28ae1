//! Stands for `net::backend_tls` without the feature `tls`: a socket without values.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use mio::net::TcpStream;

use crate::tls::ClientRules;

/// Stands for a socket that uses TLS; has no values.
pub(super) struct TlsSocket {
    never: Infallible,
    pub(super) socket: TcpStream,
}

impl TlsSocket {
    pub(super) fn new(_: TcpStream, rules: &Arc<ClientRules>, _: &str) -> io::Result<Self> {
        match **rules {}
    }

    pub(super) fn shake_hands(&mut self) -> io::Result<bool> {
        match self.never {}
    }

    pub(super) fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.never {}
    }

    pub(super) fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.never {}
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.never {}
    }
}
