//! The keys of a running server, by `lru_crawler metadump`.
//!
//! It does not use `mgdump`, which older versions do not have, such as 1.6.18. A key with a space,
//! which the binary protocol allows, makes a line of `mgdump` ambiguous. `metadump` encodes keys as
//! in a URL.
//!
//! While memcached waits for a client that reads its dump, its crawler and its LRU maintainer wait,
//! and its hash table cannot grow. So a thread reads as fast as it can, and up to [`AHEAD`] bytes
//! ahead of the caller.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use memcache_core::internal::base::stderr::write_line;

use crate::client::{Connection, Server};
use crate::failure::{BUSY, Failure, REFUSED, SERVER};
use crate::reply::Stats;

/// Bytes of keys that are read ahead.
const AHEAD: usize = 1 << 30;

/// Bytes of keys that are passed on together.
const CHUNK: usize = 64 * 1024;

/// Time between two attempts, if the crawler is busy.
const RETRY: Duration = Duration::from_millis(250);

/// Keys, in the order of the server.
#[derive(Default)]
pub struct Chunk {
    /// Each key, behind its length of one byte.
    bytes: Vec<u8>,
}

impl Chunk {
    /// Returns the keys.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (key, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            Some(key)
        })
    }

    /// Adds a key of at most 255 bytes.
    fn push(&mut self, key: &[u8]) {
        self.bytes.push(key.len() as u8);
        self.bytes.extend_from_slice(key);
    }
}

/// The keys that a thread reads. After the last chunk, or after an error, the channel is closed.
pub type Keys = Receiver<Result<Chunk, Failure>>;

/// Begins to list the keys. If the crawler of the server is busy, waits for it up to `patience`.
///
/// # Errors
/// The server does not allow a dump, or is busy.
pub fn list(server: &Server, patience: Duration) -> Result<Keys, Failure> {
    let connection = begin(server, patience)?;
    let (send, receive) = mpsc::sync_channel(AHEAD / CHUNK);
    if let Some(connection) = connection {
        let body = move || {
            if let Err(failure) = read(connection, &send) {
                // The receiver is gone if the caller has failed itself.
                let _ = send.send(Err(failure));
            }
        };
        thread::Builder::new()
            .name("mcrs-keys".into())
            .spawn(body)
            .map_err(|e| Failure::new(SERVER, format!("failed to start a thread: {e}")))?;
    }
    Ok(receive)
}

/// Returns the general statistics of a server whose items are to be listed.
///
/// # Errors
/// The connection is broken, or the server is a proxy without items of its own.
pub fn statistics(connection: &mut Connection, name: &str) -> Result<Stats, Failure> {
    let stats = connection.need_stats("")?;
    if stats.is_proxy() {
        if stats.number("curr_items") == Some(0) {
            let line = format!("{name} is a proxy: its backends have the items, so name these");
            return Err(Failure::new(SERVER, line));
        }
        write_line(&format!("warning: {name} is a proxy: these are the items of its own cache alone"));
    }
    Ok(stats)
}

/// An item of the list. A number that the server does not tell is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The key, decoded.
    pub key: Vec<u8>,
    /// When it expires, in seconds since 1970, or `None` if never.
    pub expires_at: Option<i64>,
    /// Its last access, in seconds since 1970.
    pub accessed_at: i64,
    /// The CAS.
    pub cas: u64,
    /// Whether it was read.
    pub fetched: bool,
    /// Its slab class.
    pub class: u32,
    /// Its bytes in memory, or those of the value in a list of other programs.
    pub size: u64,
    /// Client flags; memcached tells them since 1.6.33.
    pub flags: Option<u32>,
}

impl Item {
    /// Reads a line of the list. Returns `None` if it is malformed.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split_ascii_whitespace();
        let key = words.next()?.strip_prefix("key=").and_then(|key| decode(key.as_bytes()))?;
        let mut item = Self { key, ..Self::default() };
        if item.key.len() > 250 {
            return None;
        }
        for word in words {
            let (name, value) = word.split_once('=')?;
            match name {
                "exp" => item.expires_at = value.parse().ok().filter(|at| *at != -1),
                "la" => item.accessed_at = value.parse().ok()?,
                "cas" => item.cas = value.parse().ok()?,
                "fetch" => item.fetched = value == "yes",
                "cls" => item.class = value.parse().ok()?,
                "size" => item.size = value.parse().ok()?,
                "flags" => item.flags = value.parse().ok(),
                _ => {}
            }
        }
        Some(item)
    }
}

/// Begins to list the items. Returns a connection whose last line is the first one, or `None` if
/// there is none. If the crawler of the server is busy, waits for it up to `patience`.
///
/// # Errors
/// The server does not allow a dump, or is busy.
pub fn begin(server: &Server, patience: Duration) -> Result<Option<Connection>, Failure> {
    let until = Instant::now() + patience;
    let mut classes = "hash";
    loop {
        let mut connection = server.connect()?;
        let mut line = connection.ask(format!("lru_crawler metadump {classes}\r\n").as_bytes())?;
        // Later versions say this first; 1.6.18 does not.
        if line == b"OK" {
            line = connection.line()?;
        }
        let name = server.name();
        match line {
            line if line.starts_with(b"key=") => return Ok(Some(connection)),
            b"END" => return Ok(None),
            line if line.starts_with(b"NOTSTARTED") => return Ok(None),
            // Old versions dump by class alone. A key that moves during the dump may be missed.
            line if line.starts_with(b"BADCLASS") && classes == "hash" => classes = "all",
            line if line.starts_with(b"BUSY") || line.starts_with(b"ERROR locked") => {
                if Instant::now() >= until {
                    let line = format!("{name}: another dump or crawl is under way, try again later");
                    return Err(Failure::new(BUSY, line));
                }
                thread::sleep(RETRY);
            }
            b"ERROR metadump not allowed" => {
                return Err(Failure::new(REFUSED, format!("{name} does not allow dumps: it runs with -X")));
            }
            b"CLIENT_ERROR lru crawler disabled" => {
                let line = format!("{name} has no crawler: send it \"lru_crawler enable\" first");
                return Err(Failure::new(REFUSED, line));
            }
            _ => return Err(connection.unexpected()),
        }
    }
}

/// Passes on the keys, of which the first is the last line of the connection.
fn read(mut connection: Connection, send: &SyncSender<Result<Chunk, Failure>>) -> Result<(), Failure> {
    let mut chunk = Chunk::default();
    while connection.last_line() != b"END" {
        let Some(key) = connection.last_line().strip_prefix(b"key=") else {
            return Err(connection.unexpected());
        };
        let key = key.split(|&byte| byte == b' ').next().unwrap_or_default();
        match decode(key) {
            Some(key) if key.len() <= 250 => chunk.push(&key),
            _ => return Err(connection.unexpected()),
        }
        if chunk.bytes.len() >= CHUNK && send.send(Ok(std::mem::take(&mut chunk))).is_err() {
            return Ok(());
        }
        connection.line()?;
    }
    let _ = send.send(Ok(chunk));
    Ok(())
}

/// Decodes `%41` as `A`. Returns `None` if a `%` has no two digits behind it.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        key.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_in_a_url() {
        assert_eq!(decode(b"a-b_c.~"), Some(b"a-b_c.~".to_vec()));
        assert_eq!(decode(b"%00%fF%25"), Some(vec![0, 255, b'%']));
        assert_eq!(decode(b"%4"), None);
        assert_eq!(decode(b"%4g"), None);
    }

    #[test]
    fn a_line_is_an_item() {
        let item = Item {
            key: b"a b".to_vec(),
            expires_at: Some(9),
            accessed_at: 7,
            cas: 2,
            fetched: true,
            class: 1,
            size: 61,
            flags: None,
        };
        let line = b"key=a%20b exp=9 la=7 cas=2 fetch=yes cls=1 size=61";
        assert_eq!(Item::read(line), Some(item.clone()));
        let more = [&line[..], b" flags=3 more=x "].concat();
        assert_eq!(Item::read(&more), Some(Item { flags: Some(3), ..item }));
        assert_eq!(Item::read(b"key=a exp=-1 la=1").and_then(|item| item.expires_at), None);
        let long = format!("key={} exp=-1", "x".repeat(251));
        for line in [&b""[..], b"a", b"key=%4 exp=1", b"key=a la=x", b"key=a word", b"\xff", long.as_bytes()]
        {
            assert_eq!(Item::read(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_chunk_returns_its_keys() {
        let mut chunk = Chunk::default();
        [&b"a"[..], &[b'x'; 250], b"b"].iter().for_each(|key| chunk.push(key));
        assert_eq!(chunk.keys().map(<[u8]>::len).collect::<Vec<_>>(), [1, 250, 1]);
    }
}
