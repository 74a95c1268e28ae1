//! Clients of a server under test.
//!
//! Each owns some of the keys, so it knows what each of its requests must answer. It records the
//! state that each change leaves, and whether it was answered.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use std::{io, str};

use super::model::Class;
use super::value::{Stamp, name, size};
use crate::Outcome;
use crate::rng::Rng;

/// Keys of a client.
const KEYS: u64 = 1500;

/// Most requests that a client sends before it reads their replies.
const PIPELINE: usize = 32;

/// Seconds that an item lives after a touch: longer than any check.
const TTL: u32 = 1_000_000;

/// Longest silence of a server that is alive.
const SILENCE: Duration = Duration::from_secs(30);

/// The state of a key: a version, or nothing.
pub type State = Option<u64>;

/// The states of a key since the start of the server.
#[derive(Debug, Default)]
pub struct History {
    first: State,
    /// The state after each change, and when the change was answered.
    changes: Vec<(State, Option<Instant>)>,
}

impl History {
    /// Returns the history of a key whose state is known.
    pub fn new(first: State) -> Self {
        Self { first, changes: Vec::new() }
    }

    /// Returns the state after all changes.
    fn last(&self) -> State {
        self.state(self.changes.len())
    }

    /// Returns the state after the first `kept` changes.
    fn state(&self, kept: usize) -> State {
        kept.checked_sub(1).and_then(|last| self.changes.get(last)).map_or(self.first, |&(state, _)| state)
    }

    /// Returns how many changes were kept, if the key has the state `found` now. With `is_stopped`,
    /// all that were answered must be.
    ///
    /// # Errors
    /// The key may not have this state.
    pub fn place(&self, found: State, is_stopped: bool) -> Outcome<usize> {
        let answered = self.changes.iter().rposition(|(_, answered)| answered.is_some());
        let least = if is_stopped { answered.map_or(0, |last| last + 1) } else { 0 };
        let mut places = (least..=self.changes.len()).rev();
        places.find(|&kept| self.state(kept) == found).ok_or_else(|| {
            let allowed: Vec<_> = (least..=self.changes.len()).map(|kept| self.state(kept)).collect();
            format!("found {found:?} after a start, but only {allowed:?} are allowed")
        })
    }

    /// Returns when each change after the first `kept` ones was answered.
    pub fn answered_after(&self, kept: usize) -> impl Iterator<Item = Instant> + Clone {
        self.changes.iter().skip(kept).filter_map(|&(_, answered)| answered)
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    first_key: u64,
    rng: Rng,
    /// The last version that was stored.
    version: u64,
    histories: Vec<History>,
}

/// The reply that a request must get.
#[derive(Debug)]
enum Due {
    /// A line, for this change of the key at this place.
    Change(usize, usize, String),
    /// A line, for a request that changes no state.
    Line(&'static str),
    /// This version of the key.
    Value(u64, State),
}

impl Client {
    /// Returns client number `number`.
    pub fn new(number: u64, seed: u64) -> Self {
        let histories = (0..KEYS).map(|_| History::default()).collect();
        Self { first_key: number * KEYS, rng: Rng::new(seed + number), version: 0, histories }
    }

    /// Returns the history of each key of this client.
    pub fn histories(&mut self) -> impl Iterator<Item = (u64, &mut History)> {
        (self.first_key..).zip(&mut self.histories)
    }

    /// Sends requests and checks their replies until the server closes. Returns how many were
    /// answered.
    ///
    /// # Errors
    /// A reply is wrong, or the server is silent.
    pub fn use_until_closed(&mut self, address: &str) -> Outcome<u64> {
        // The server may be killed before.
        let Ok(mut connection) = Connection::open(address) else { return Ok(0) };
        let mut answered = 0;
        loop {
            let mut bytes = Vec::new();
            let due: Vec<Due> = (0..=self.rng.below(PIPELINE)).map(|_| self.request(&mut bytes)).collect();
            // If the server has closed, the replies tell.
            let _ = connection.0.get_mut().write_all(&bytes);
            for due in due {
                if !self.check(&mut connection, &due)? {
                    return Ok(answered);
                }
                answered += 1;
            }
        }
    }

    /// Appends a request, and returns what it must answer.
    fn request(&mut self, to: &mut Vec<u8>) -> Due {
        let place = self.rng.below(self.histories.len());
        let (key, state) = (self.first_key + place as u64, self.histories[place].last());
        let text = String::from_utf8_lossy(&name(key)).into_owned();
        match (self.rng.below(8), state) {
            (0, None) => {
                to.extend(format!("delete {text}\r\n").bytes());
                Due::Line("NOT_FOUND")
            }
            (0, Some(_)) => {
                to.extend(format!("delete {text}\r\n").bytes());
                self.change(place, None, "DELETED".to_owned())
            }
            (1, _) => {
                to.extend(format!("touch {text} {TTL}\r\n").bytes());
                Due::Line(if state.is_some() { "TOUCHED" } else { "NOT_FOUND" })
            }
            (2, _) => {
                to.extend(format!("get {text}\r\n").bytes());
                Due::Value(key, state)
            }
            (_, Some(version)) if Class::of(key) == Class::Counter => {
                to.extend(format!("incr {text} 1\r\n").bytes());
                let next = Stamp { key, version: version + 2, expires: 0 };
                self.version = self.version.max(next.version);
                self.change(place, Some(next.version), next.counter().to_string())
            }
            _ => {
                self.version += 2;
                let stamp = Stamp { key, version: self.version, expires: 0 };
                let value = match Class::of(key) {
                    Class::Counter => stamp.counter().to_string().into_bytes(),
                    _ => stamp.value(size(&mut self.rng)),
                };
                let ttl = if Class::of(key) == Class::Expiring { TTL } else { 0 };
                to.extend(format!("set {text} 0 {ttl} {}\r\n", value.len()).bytes());
                to.extend(value);
                to.extend(b"\r\n");
                self.change(place, Some(self.version), "STORED".to_owned())
            }
        }
    }

    /// Records a change that is sent, and returns what it must answer.
    fn change(&mut self, place: usize, state: State, line: String) -> Due {
        let changes = &mut self.histories[place].changes;
        changes.push((state, None));
        Due::Change(place, changes.len() - 1, line)
    }

    /// Checks a reply. Returns `false` if the server has closed.
    fn check(&mut self, connection: &mut Connection, due: &Due) -> Outcome<bool> {
        let line = match due {
            &Due::Value(key, state) => {
                return match connection.read_value(key)? {
                    Some(found) if found == state => Ok(true),
                    Some(found) => Err(format!("key {key}: a get found {found:?}, not {state:?}")),
                    None => Ok(false),
                };
            }
            Due::Line(line) => line,
            Due::Change(_, _, line) => line.as_str(),
        };
        match connection.line()? {
            None => return Ok(false),
            Some(said) if said == line => {}
            Some(said) => return Err(format!("the server said {said:?}, not {line:?}")),
        }
        if let &Due::Change(place, change, _) = due {
            self.histories[place].changes[change].1 = Some(Instant::now());
        }
        Ok(true)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// It is refused.
    pub fn open(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE))?;
            Ok(stream)
        });
        stream.map(|stream| Self(BufReader::new(stream))).map_err(|error| format!("{address}: {error}"))
    }

    /// Returns the state of a key.
    ///
    /// # Errors
    /// The value is wrong, or the server closes.
    pub fn get(&mut self, key: u64) -> Outcome<State> {
        let request = [b"get ", &*name(key), b"\r\n"].concat();
        self.0.get_mut().write_all(&request).map_err(|error| error.to_string())?;
        self.read_value(key)?.ok_or_else(|| "the server closed a connection".to_owned())
    }

    /// Reads the reply to a get. Returns `None` if the server has closed.
    fn read_value(&mut self, key: u64) -> Outcome<Option<State>> {
        let Some(line) = self.line()? else { return Ok(None) };
        if line == "END" {
            return Ok(Some(None));
        }
        let words: Vec<&str> = line.split(' ').collect();
        let length: usize = match words.as_slice() {
            ["VALUE", own, "0", length] if own.as_bytes() == name(key) => length.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| format!("key {key}: a get said {line:?}"))?;
        let mut value = vec![0; length + b"\r\nEND\r\n".len()];
        match self.0.read_exact(&mut value) {
            Err(error) if is_closed(&error) => return Ok(None),
            read => read.map_err(|error| error.to_string())?,
        }
        let value = value.strip_suffix(b"\r\nEND\r\n").ok_or("a value without its end")?;
        Class::read(key, value).map(|stamp| Some(Some(stamp.version)))
    }

    /// Reads a line. Returns `None` if the server has closed.
    fn line(&mut self) -> Outcome<Option<String>> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Err(error) if is_closed(&error) => return Ok(None),
            read => read.map_err(|error| error.to_string())?,
        };
        Ok(line.strip_suffix(b"\r\n").map(|line| String::from_utf8_lossy(line).into_owned()))
    }
}

/// Returns whether a read failed because the server has closed the connection.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::History;

    #[test]
    fn the_state_after_a_stop_is_not_older_than_an_answer() {
        let answered = Some(Instant::now());
        let changes = vec![(Some(2), answered), (None, answered), (Some(4), None)];
        let history = History { first: Some(0), changes };
        // A kill leaves any state, and nothing that was never there.
        let kept = |found| history.place(found, false).ok();
        assert_eq!(
            (kept(Some(0)), kept(Some(2)), kept(None), kept(Some(4))),
            (Some(0), Some(1), Some(2), Some(3))
        );
        assert_eq!(kept(Some(6)), None);
        assert_eq!([0, 1, 2, 3].map(|kept| history.answered_after(kept).count()), [2, 1, 0, 0]);
        // A stop leaves the last answered one, or a later one.
        let kept = |found| history.place(found, true).ok();
        assert_eq!((kept(Some(0)), kept(Some(2)), kept(None), kept(Some(4))), (None, None, Some(2), Some(3)));
    }
}
