//! A request of the binary protocol under construction, and the effect of its header on memcached.

use memcache_compat::packet::{CAS_AT, HEADER, Header, REQUEST, opcode};

use crate::group::Piece;

/// The longest body that memcached reads at all, even if only to discard it.
pub const LONGEST_BODY: u32 = 1 << 30;

/// The longest key.
pub const LONGEST_KEY: usize = 250;

/// Bytes of a request that memcached reads before it knows the whole key.
const READ_BUFFER: usize = 16384;

/// A packet. The lengths of the header may differ from those of the body.
#[derive(Clone, Debug)]
pub struct Request {
    pub header: Header,
    /// The CAS number, in place of the header's.
    pub cas: Option<Piece>,
    pub body: Vec<u8>,
}

/// The effect of a request on memcached, as far as its header decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reads this many bytes and continues with the next ones, whether it answers or not.
    Takes(usize),
    /// It closes the connection once it has this many bytes, whether it answers or not.
    Closes(usize),
}

impl Request {
    /// Creates a packet with a correct header.
    pub fn new(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Self {
        let body = [extras, key, value].concat();
        let header = Header {
            key: u16::try_from(key.len()).unwrap_or(u16::MAX),
            extras: u8::try_from(extras.len()).unwrap_or(u8::MAX),
            body: u32::try_from(body.len()).unwrap_or(u32::MAX),
            ..Header::request(opcode)
        };
        Self { header, cas: None, body }
    }

    /// Returns the key according to the header, as far as it is there.
    pub fn key(&self) -> &[u8] {
        let begin = usize::from(self.header.extras).min(self.body.len());
        &self.body[begin..(begin + usize::from(self.header.key)).min(self.body.len())]
    }

    /// Returns the bytes behind that key.
    pub fn value(&self) -> &[u8] {
        let begin = usize::from(self.header.extras) + usize::from(self.header.key);
        self.body.get(begin..).unwrap_or_default()
    }

    /// Cuts the body, or extends it with filler, so that the packet has `length` bytes.
    pub fn fit(&mut self, length: usize) {
        self.body.resize(length.saturating_sub(HEADER), b'x');
    }

    /// Returns the bytes to send.
    pub fn pieces(self) -> Vec<Piece> {
        let header = self.header.bytes();
        match self.cas {
            Some(number @ (Piece::Cas { .. } | Piece::PackedCas { .. })) => {
                vec![Piece::Bytes(header[..CAS_AT].to_vec()), number, Piece::Bytes(self.body)]
            }
            Some(Piece::Bytes(number)) => {
                vec![Piece::Bytes([&header[..CAS_AT], &number, &self.body].concat())]
            }
            None => vec![Piece::Bytes([&header[..], &self.body].concat())],
        }
    }

    /// Returns the effect on memcached 1.6.45 with SASL off.
    pub fn fate(&self) -> Fate {
        let Header { magic, opcode, key, extras, body, .. } = self.header;
        let (key, extras, length) = (usize::from(key), usize::from(extras), body as usize);
        let head = HEADER + extras + key;
        if magic != REQUEST {
            return Fate::Closes(HEADER);
        }
        // It reads extras and key before it checks them. If they exceed its buffer, it closes.
        if head > READ_BUFFER {
            return Fate::Closes(READ_BUFFER + 1);
        }
        if key + extras > length || body > LONGEST_BODY || key > LONGEST_KEY {
            return Fate::Closes(head);
        }
        let plain = extras == 0 && key > 0;
        let good = match opcode {
            opcode::VERSION | opcode::NOOP | opcode::SASL_LIST => length == 0,
            opcode::FLUSH | opcode::FLUSHQ => key == 0 && length == extras && (extras == 0 || extras == 4),
            opcode::SET | opcode::ADD | opcode::REPLACE | opcode::SETQ | opcode::ADDQ | opcode::REPLACEQ => {
                extras == 8 && key > 0
            }
            opcode::GET | opcode::GETQ | opcode::GETK | opcode::GETKQ | opcode::DELETE | opcode::DELETEQ => {
                plain && length == key
            }
            opcode::INCREMENT | opcode::DECREMENT | opcode::INCREMENTQ | opcode::DECREMENTQ => {
                extras == 20 && key > 0 && length == key + extras
            }
            opcode::APPEND
            | opcode::PREPEND
            | opcode::APPENDQ
            | opcode::PREPENDQ
            | opcode::SASL_AUTH
            | opcode::SASL_STEP => plain,
            // The bytes behind the key do not belong to it: they are read as the next packet.
            opcode::STAT if extras == 0 => return Fate::Takes(head),
            opcode::TOUCH | opcode::GAT | opcode::GATQ | opcode::GATK | opcode::GATKQ
                if extras == 4 && key > 0 =>
            {
                return Fate::Takes(head);
            }
            opcode::QUIT
            | opcode::QUITQ
            | opcode::STAT
            | opcode::TOUCH
            | opcode::GAT
            | opcode::GATQ
            | opcode::GATK
            | opcode::GATKQ => false,
            // It discards as many bytes as the body has, although it has read extras and key
            // already.
            _ => return Fate::Takes(head + length),
        };
        if good { Fate::Takes(HEADER + length) } else { Fate::Closes(head) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_decides() {
        let fate =
            |opcode, extras: &[u8], key: &[u8], value: &[u8]| Request::new(opcode, extras, key, value).fate();
        assert_eq!(fate(opcode::GET, b"", b"k", b""), Fate::Takes(25));
        assert_eq!(fate(opcode::GET, b"", b"k", b"v"), Fate::Closes(25));
        assert_eq!(fate(opcode::SET, &[0; 8], b"k", b"v"), Fate::Takes(34));
        assert_eq!(fate(opcode::SET, &[0; 4], b"k", b"v"), Fate::Closes(29));
        assert_eq!(fate(opcode::TOUCH, &[0; 4], b"k", b"v"), Fate::Takes(29));
        assert_eq!(fate(opcode::VERBOSITY, &[0; 4], b"", b""), Fate::Takes(32));
        assert_eq!(fate(opcode::GET, b"", &[b'k'; 251], b""), Fate::Closes(275));
        assert_eq!(fate(opcode::GET, b"", &vec![b'k'; 20_000], b""), Fate::Closes(16385));
    }

    #[test]
    fn a_cas_number_takes_the_place_in_the_header() {
        let number = Piece::Bytes(9u64.to_be_bytes().to_vec());
        let request = Request { cas: Some(number), ..Request::new(opcode::GET, b"", b"k", b"") };
        let Some(Piece::Bytes(bytes)) = request.pieces().into_iter().next() else { panic!("one piece") };
        assert_eq!(Header::read(&bytes).map(|header| header.cas), Some(9));
    }
}
