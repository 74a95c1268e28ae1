//! A connection with a thread that reads, so that a batch can be written in full before its replies
//! are read.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// How waiting for a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The marker arrived; these bytes came before it.
    Reply(Vec<u8>),
    /// The server closed; these bytes came before.
    Closed(Vec<u8>),
    /// The time was over; these bytes came before.
    Silence(Vec<u8>),
}

/// A connection to a server.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    incoming: Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    closed: bool,
}

impl Link {
    /// Takes over a connected stream.
    ///
    /// # Errors
    ///
    /// The stream cannot be set up.
    pub fn new(stream: TcpStream) -> Outcome<Self> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let mut reader = stream.try_clone().map_err(|error| error.to_string())?;
        let (sender, incoming) = channel();
        thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            loop {
                match reader.read(&mut chunk) {
                    // A reset counts as a close. A server that closes with unread input resets the
                    // connection.
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        if sender.send(chunk[..count].to_vec()).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(Self { stream, incoming, buffer: Vec::new(), closed: false })
    }

    /// Sends `bytes` in one write for each part between `cuts` (ascending offsets), with `pause`
    /// between them. Does not report a failed write, because the next read finds the close.
    pub fn send(&mut self, bytes: &[u8], cuts: &[usize], pause: Duration) {
        let mut begin = 0;
        for &end in cuts.iter().chain([&bytes.len()]) {
            if end > begin && self.stream.write_all(&bytes[begin..end]).is_err() {
                return;
            }
            if end > begin && end < bytes.len() && !pause.is_zero() {
                thread::sleep(pause);
            }
            begin = begin.max(end);
        }
    }

    /// Reads until `marker`, for at most `patience`.
    pub fn read_until(&mut self, marker: &[u8], patience: Duration) -> Received {
        let deadline = Instant::now() + patience;
        let mut from = 0;
        loop {
            if let Some(at) = find(&self.buffer, marker, from) {
                let rest = self.buffer.split_off(at + marker.len());
                let mut reply = std::mem::replace(&mut self.buffer, rest);
                reply.truncate(at);
                return Received::Reply(reply);
            }
            from = self.buffer.len().saturating_sub(marker.len());
            if self.closed {
                return Received::Closed(std::mem::take(&mut self.buffer));
            }
            if !self.fill(deadline) && !self.closed {
                return Received::Silence(self.buffer.clone());
            }
        }
    }

    /// Returns the bytes that have arrived. If there are none, waits for at most `patience`.
    pub fn read_some(&mut self, patience: Duration) -> Received {
        if self.buffer.is_empty() && !self.closed {
            self.fill(Instant::now() + patience);
        }
        match (self.buffer.is_empty(), self.closed) {
            (true, true) => Received::Closed(Vec::new()),
            (true, false) => Received::Silence(Vec::new()),
            (false, _) => Received::Reply(std::mem::take(&mut self.buffer)),
        }
    }

    /// Reads until the server closes, for at most `patience`.
    pub fn read_until_closed(&mut self, patience: Duration) -> Received {
        let deadline = Instant::now() + patience;
        while !self.closed {
            if !self.fill(deadline) && !self.closed {
                return Received::Silence(std::mem::take(&mut self.buffer));
            }
        }
        Received::Closed(std::mem::take(&mut self.buffer))
    }

    /// Closes our side of the connection. The server's remaining replies can still be read.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn fill(&mut self, deadline: Instant) -> bool {
        match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => {
                self.buffer.extend(bytes);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                self.closed = true;
                false
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Returns the first position of `needle` at or after `from`.
pub fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    while at + needle.len() <= haystack.len() {
        let step = haystack[at..=haystack.len() - needle.len()].iter().position(|&byte| byte == first)?;
        at += step;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}
