//! Traces of requests: the keys that were requested, in order.
//!
//! There are two formats, chosen by the file name. Either may be compressed (`.zst`):
//! - `.lis`, the traces of N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead
//!   Replacement Cache", FAST 2003: lines of four numbers, `first block, count, ignored, request
//!   number`. Each block of a line is one request. The traces have no sizes. A size follows from
//!   the block's number.
//! - Any other name: lines of `key`, `size` and optionally `ttl`, separated by spaces, tabs or
//!   commas. Only the identity and the length of a key are kept. The first size and time to live
//!   seen for a key apply to all its requests. A time to live is in seconds. Items with 0, or
//!   without one, never expire.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{Doing, Error, Result};
use crate::items::{Items, KEY_LENGTH, LONGEST_KEY};
use crate::lengths::{Lengths, LogNormal};

/// Longest time to live: 30 days, in seconds. memcached takes a larger number for a date.
pub const LONGEST_TTL: u32 = 30 * 24 * 3600;

/// A sequence of requests.
#[derive(Debug, Default)]
pub struct Trace {
    requests: Vec<u64>,
    /// Highest number in `requests`, plus one.
    bound: u64,
    /// Lengths of keys and values by number, if the trace has them.
    lengths: Option<(Vec<u32>, Vec<u32>)>,
    /// Times to live by number. Empty if no item expires.
    ttls: Vec<u32>,
}

impl Trace {
    /// Reads at most the first `limit` requests of a file.
    pub fn read(path: &Path, limit: Option<u64>) -> Result<Self> {
        let name = path.to_string_lossy();
        let doing = || format!("reading {name}");
        let file = File::open(path).doing(doing)?;
        let input: Box<dyn Read> = if name.ends_with(".zst") {
            Box::new(zstd::Decoder::new(file).doing(doing)?)
        } else {
            Box::new(file)
        };
        let limit = limit.map_or(usize::MAX, |limit| limit as usize);
        let plain = name.strip_suffix(".zst").unwrap_or(&name);
        let parsed = if Path::new(plain).extension().is_some_and(|kind| kind == "lis") {
            Self::parse_blocks(BufReader::new(input), limit)
        } else {
            Self::parse_keys(BufReader::new(input), limit)
        };
        parsed.map_err(|error| match error {
            Error::Malformed(what) => Error::Malformed(format!("{name}: {what}")),
            other => other,
        })
    }

    /// Returns the numbers of the requested items, in order.
    pub fn requests(&self) -> &[u64] {
        &self.requests
    }

    /// Returns the times to live in seconds, by number. Empty if no item expires.
    pub fn ttls(&self) -> &[u32] {
        &self.ttls
    }

    /// Returns the items. `sizes` gives the lengths of values if the trace has none.
    pub fn items(&self, sizes: &Lengths) -> Items {
        match &self.lengths {
            Some((keys, values)) => {
                Items::new(self.bound, Lengths::Table(keys.clone()), Lengths::Table(values.clone()))
            }
            None => Items::new(self.bound, Lengths::Fixed(KEY_LENGTH), sizes.clone()),
        }
    }

    fn parse_blocks(input: impl BufRead, limit: usize) -> Result<Self> {
        let mut trace = Self::default();
        for (number, line) in (1..).zip(input.lines()) {
            let line = line.doing(|| "reading a trace".to_owned())?;
            let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
            let (first, count) = match (fields.next(), fields.next()) {
                (Some(Ok(first)), Some(Ok(count))) if first < 1 << 48 && count < 1 << 24 => (first, count),
                (None, _) => continue,
                _ => {
                    return Err(Error::Malformed(format!(
                        "line {number} must begin with a block number and a count"
                    )));
                }
            };
            let room = limit - trace.requests.len();
            trace.requests.extend((first..first + count).take(room));
            trace.bound = trace.bound.max(first + count);
            if trace.requests.len() == limit {
                break;
            }
        }
        Ok(trace)
    }

    fn parse_keys(input: impl BufRead, limit: usize) -> Result<Self> {
        let mut trace = Self::default();
        let mut numbers: HashMap<String, u64> = HashMap::new();
        let (mut keys, mut values, mut ttls) = (Vec::new(), Vec::new(), Vec::new());
        for (number, line) in (1..).zip(input.lines()) {
            let line = line.doing(|| "reading a trace".to_owned())?;
            let mut fields = line.split([' ', '\t', ',']).map(str::trim).filter(|field| !field.is_empty());
            let Some(key) = fields.next() else { continue };
            let size = fields.next().and_then(|size| size.parse::<u32>().ok());
            let Some(size) = size.filter(|&size| size <= LogNormal::LONGEST && key.len() <= LONGEST_KEY)
            else {
                return Err(Error::Malformed(format!("line {number} must be a key and a size")));
            };
            let ttl = fields.next().map_or(Some(0), |ttl| ttl.parse().ok());
            let Some(ttl) = ttl.filter(|&ttl| ttl <= LONGEST_TTL) else {
                return Err(Error::Malformed(format!(
                    "line {number}: the time to live must be at most 30 days"
                )));
            };
            let id = if let Some(&id) = numbers.get(key) {
                id
            } else {
                let id = numbers.len() as u64;
                numbers.insert(key.to_owned(), id);
                keys.push(key.len() as u32);
                values.push(size);
                ttls.push(ttl);
                id
            };
            trace.requests.push(id);
            if trace.requests.len() == limit {
                break;
            }
        }
        trace.bound = numbers.len() as u64;
        trace.lengths = Some((keys, values));
        if ttls.iter().any(|&ttl| ttl > 0) {
            trace.ttls = ttls;
        }
        Ok(trace)
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;
    use crate::lengths::Lengths;

    #[test]
    fn each_block_of_a_line_is_a_request() {
        let text = "10 3 0 0\n\n7 1 0 1\n10 2 0 2\n";
        let Ok(trace) = Trace::parse_blocks(text.as_bytes(), usize::MAX) else { panic!("not parsed") };
        assert_eq!(trace.requests(), [10, 11, 12, 7, 10, 11]);
        assert_eq!(trace.bound, 13);
        let cut = Trace::parse_blocks(text.as_bytes(), 2).unwrap_or_default();
        assert_eq!(cut.requests(), [10, 11]);
    }

    #[test]
    fn keys_keep_their_length_and_first_size() {
        let text = "alpha,10\nb 20\nalpha 30\n";
        let Ok(trace) = Trace::parse_keys(text.as_bytes(), usize::MAX) else { panic!("not parsed") };
        assert_eq!(trace.requests(), [0, 1, 0]);
        let items = trace.items(&Lengths::Fixed(1));
        assert_eq!((items.key_length(0), items.value_length(0), items.value_length(1)), (5, 10, 20));
    }

    #[test]
    fn keys_keep_their_first_time_to_live() {
        let Ok(trace) = Trace::parse_keys("a 1 60\nb,2,0\nc 3\na 1 30\n".as_bytes(), usize::MAX) else {
            panic!("not parsed")
        };
        assert_eq!(trace.ttls(), [60, 0, 0]);
        let forever = Trace::parse_keys("a 1 0\nb 2\n".as_bytes(), usize::MAX).unwrap_or_default();
        assert!(forever.ttls().is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["x 1 0 0", "1", "1 x", "99999999999999999999 1 0 0", "1 99999999999 0 0"] {
            assert!(Trace::parse_blocks(text.as_bytes(), usize::MAX).is_err(), "{text}");
        }
        for text in ["key", "key size", "key -1", "key 9999999", "key 1 x", "key 1 -1", "key 1 2592001"] {
            assert!(Trace::parse_keys(text.as_bytes(), usize::MAX).is_err(), "{text}");
        }
    }
}
