//! Stands for `net::tls` without the feature `tls`: a stream without values.

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::sync::Arc;

use mio::net::TcpStream;

use crate::tls::{Rules, Tls};

/// Stands for a TLS connection; has no values.
pub(crate) struct TlsStream {
    never: Infallible,
    pub(super) socket: TcpStream,
}

#[expect(clippy::needless_pass_by_value, reason = "the arguments of the stream with TLS")]
impl TlsStream {
    pub(super) fn new(_: TcpStream, rules: Arc<Rules>, _: Arc<Tls>) -> io::Result<Self> {
        match *rules {}
    }

    pub(super) fn fd(&self) -> RawFd {
        match self.never {}
    }

    pub(super) fn holds_more(&self) -> bool {
        match self.never {}
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match self.never {}
    }

    pub(super) fn names(&self) -> Vec<String> {
        match self.never {}
    }

    pub(super) fn common_name(&self) -> Option<Arc<[u8]>> {
        match self.never {}
    }

    pub(super) fn unsent(&self) -> usize {
        match self.never {}
    }

    pub(super) fn held(&self) -> usize {
        match self.never {}
    }

    pub(super) fn read_two(&mut self, _: &mut [u8], _: &mut [u8]) -> io::Result<usize> {
        match self.never {}
    }

    pub(super) fn discard(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.never {}
    }

    pub(super) fn shake_hands(&mut self) {
        match self.never {}
    }

    pub(super) fn give_up(&mut self) {
        match self.never {}
    }

    pub(super) fn close(&mut self) {
        match self.never {}
    }
}

impl Write for TlsStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.never {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.never {}
    }
}
