//! A connected byte stream, TCP or Unix. `Blocking` waits. `Stream` is the same socket for use with
//! mio.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// A connected socket, TCP or Unix.
#[derive(Debug)]
pub enum Socket<T, U> {
    Tcp(T),
    Unix(U),
}

/// A connected socket whose calls wait.
pub type Blocking = Socket<std::net::TcpStream, std::os::unix::net::UnixStream>;

/// A connected socket whose calls never wait.
pub type Stream = Socket<mio::net::TcpStream, mio::net::UnixStream>;

impl Blocking {
    /// Makes reads fail after `timeout` of silence.
    pub fn set_patience(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// Converts the socket for use with mio.
    pub fn into_stream(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Stream::Tcp(mio::net::TcpStream::from_std(stream))
            }
            Self::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Stream::Unix(mio::net::UnixStream::from_std(stream))
            }
        })
    }
}

impl<T: Read, U: Read> Read for Socket<T, U> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl<T: Write, U: Write> Write for Socket<T, U> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) => stream.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, interests),
            Self::Unix(stream) => stream.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
        }
    }
}
