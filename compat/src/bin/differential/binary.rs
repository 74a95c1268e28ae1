//! Random requests of the binary protocol: valid ones, pipelines of quiet ones, and those with a
//! wrong header. [`Request::fate`] predicts the effect of a wrong header, so that exactly as many
//! bytes are sent as memcached reads.

use std::collections::BTreeSet;

use memcache_compat::packet::{HEADER, opcode};

use crate::binary_words::{
    CHOSEN_CAS, COMPARED_BLINDLY, DELTAS, FLAGS, FLUSHES, KEYS, NO_NUMBER, SHORT_KEYS, SMALL_DELTAS,
    STATISTICS, TIMES, UNKNOWN,
};
use crate::generate::Generator;
use crate::group::{Draft, Ending, Piece};
use crate::request::{Fate, LONGEST_BODY, LONGEST_KEY, Request};

/// Longest filler behind a header that announces more bytes than there are.
const FILLER: usize = 40_000;

impl Generator {
    /// Returns the next command.
    pub(crate) fn binary(&mut self) -> Draft {
        match self.rng.below(200) {
            0..100 => {
                let (key, request) = self.request();
                finished(key, request)
            }
            100..132 => self.pipeline(),
            132..166 => self.spoilt(),
            166..180 => self.statistic(),
            180..189 => self.unknown(),
            189..192 => self.large_value(),
            192..196 => self.truncated(),
            196..198 => self.last(),
            198 if self.rng.chance(1, 6) && !self.background => self.binary_flush_later(),
            _ if self.background => self.statistic(),
            _ => finished(None, Request::new(self.flush_opcode(), b"", b"", b"")),
        }
    }

    /// Returns a request with or without a key.
    fn request(&mut self) -> (Option<usize>, Request) {
        let key = self.binary_key();
        let name = KEYS[key];
        let mut request = match self.rng.below(100) {
            0..30 => {
                let plain = [opcode::SET, opcode::SET, opcode::SET, opcode::ADD, opcode::REPLACE];
                let quiet = [opcode::SETQ, opcode::SETQ, opcode::ADDQ, opcode::REPLACEQ];
                let opcode = self.either(&plain, &quiet);
                let extras = [self.one(FLAGS).to_be_bytes(), self.one(TIMES).to_be_bytes()].concat();
                let value = self.binary_value();
                Request::new(opcode, &extras, name, &value)
            }
            30..38 => {
                let opcode =
                    self.either(&[opcode::APPEND, opcode::PREPEND], &[opcode::APPENDQ, opcode::PREPENDQ]);
                let value = self.binary_value();
                Request::new(opcode, b"", name, &value)
            }
            38..58 => {
                let opcode = self.either(&[opcode::GET, opcode::GETK], &[opcode::GETQ, opcode::GETKQ]);
                Request::new(opcode, b"", name, b"")
            }
            58..68 => {
                let plain = [opcode::TOUCH, opcode::TOUCH, opcode::GAT, opcode::GATK];
                let opcode = self.either(&plain, &[opcode::GATQ, opcode::GATKQ]);
                Request::new(opcode, &self.one(TIMES).to_be_bytes(), name, b"")
            }
            68..76 => {
                let opcode = self.either(&[opcode::DELETE], &[opcode::DELETEQ]);
                Request::new(opcode, b"", name, b"")
            }
            76..96 if !self.background => {
                let plain = [opcode::INCREMENT, opcode::INCREMENT, opcode::DECREMENT];
                let opcode = self.either(&plain, &[opcode::INCREMENTQ, opcode::DECREMENTQ]);
                let time = if self.rng.chance(1, 3) { NO_NUMBER } else { self.one(TIMES) };
                let known = if self.agree { &DELTAS[..SMALL_DELTAS] } else { DELTAS };
                let (delta, initial) = (self.one(known), self.one(known));
                let extras = [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &time.to_be_bytes()].concat();
                Request::new(opcode, &extras, name, b"")
            }
            _ => {
                let all = [opcode::NOOP, opcode::SASL_LIST, opcode::VERSION];
                let opcode = self.one(if self.agree { &all[..2] } else { &all });
                Request::new(opcode, b"", b"", b"")
            }
        };
        self.dress(&mut request, Some(key));
        (Some(key), request)
    }

    /// Gives a request an opaque number, a CAS, and now and then values in unused fields.
    fn dress(&mut self, request: &mut Request, key: Option<usize>) {
        // The upper byte of a marker's opaque number is another.
        request.header.opaque = self.rng.bits() as u32 & 0x00ff_ffff;
        if self.rng.chance(1, 20) {
            request.header.opaque |= 0xff00_0000;
        }
        if self.rng.chance(1, 20) {
            request.header.datatype = self.rng.bits() as u8;
        }
        if self.rng.chance(1, 20) {
            request.header.status = self.rng.bits() as u16;
        }
        let often = match request.header.opcode {
            opcode::GET | opcode::GETQ | opcode::GETK | opcode::GETKQ => 20,
            _ => 4,
        };
        if let Some(key) = key.filter(|_| self.rng.chance(1, often)) {
            request.cas = Some(match self.seen_cas(key) {
                Some((group, nth)) => Piece::PackedCas { group, nth },
                None => Piece::Bytes(self.one(CHOSEN_CAS).to_be_bytes().to_vec()),
            });
        }
    }

    /// Several requests without a marker between them. A reply that still waits pins its item. Then
    /// incr creates a new item in place of changing the old one, depending on which requests have
    /// arrived.
    fn pipeline(&mut self) -> Draft {
        let (mut pieces, mut held) = (Vec::new(), BTreeSet::new());
        for _ in 0..2 + self.rng.below(9) {
            let (key, request) = self.request();
            match request.header.opcode {
                opcode::INCREMENT | opcode::INCREMENTQ | opcode::DECREMENT | opcode::DECREMENTQ
                    if held.contains(&key) =>
                {
                    continue;
                }
                opcode::GET
                | opcode::GETQ
                | opcode::GETK
                | opcode::GETKQ
                | opcode::TOUCH
                | opcode::GAT
                | opcode::GATQ
                | opcode::GATK
                | opcode::GATKQ => held.insert(key),
                _ => false,
            };
            pieces.extend(request.pieces());
        }
        Draft { key: None, pieces, ending: Ending::Noop }
    }

    fn statistic(&mut self) -> Draft {
        let mut request = Request::new(opcode::STAT, b"", self.statistic_name(), b"");
        self.dress(&mut request, None);
        finished(None, request)
    }

    fn statistic_name(&mut self) -> &'static [u8] {
        loop {
            let name = self.rng.pick(STATISTICS);
            if !self.agree || !has_other_names(name) {
                return name;
            }
        }
    }

    /// A command that memcached does not know, or SASL while it is off.
    fn unknown(&mut self) -> Draft {
        let key = self.binary_key();
        let mut request = match self.rng.below(6) {
            0 => {
                let opcode = self.one(&[opcode::SASL_AUTH, opcode::SASL_STEP]);
                Request::new(opcode, b"", b"PLAIN", b"\0user\0password")
            }
            1 => Request::new(opcode::VERBOSITY, &[0, 0, 0, 1], b"", b""),
            2 => Request::new(self.one(UNKNOWN), b"", b"", b""),
            _ => {
                let opcode = self.one(UNKNOWN);
                let length = self.rng.below(24);
                let value = self.binary_value();
                Request::new(opcode, &[0; 24][..length], KEYS[key], &value)
            }
        };
        self.dress(&mut request, None);
        self.by_fate(None, request)
    }

    /// A value that memcached keeps in several chunks, or refuses.
    fn large_value(&mut self) -> Draft {
        let key = self.rng.below(4);
        let name = KEYS[key];
        let size = match self.rng.below(40) {
            0 => 1_200_000,
            1 => 700_000 + self.rng.below(200_000),
            // Around the size from which memcached refuses.
            2 | 3 => 1_048_300 + self.rng.below(276),
            4..6 => 100_000 + self.rng.below(50_000),
            _ => 2_000 + self.rng.below(20_000),
        };
        let mut value = [b'a' + (self.rng.below(26) as u8), b'-'].repeat(size / 2);
        value.extend(b"tail");
        let opcode = self.either(
            &[opcode::SET, opcode::SET, opcode::ADD, opcode::APPEND, opcode::PREPEND],
            &[opcode::SETQ, opcode::APPENDQ],
        );
        let concatenates = matches!(opcode, opcode::APPEND | opcode::PREPEND | opcode::APPENDQ);
        let mut request = Request::new(opcode, if concatenates { b"" } else { &[0; 8] }, name, &value);
        self.dress(&mut request, Some(key));
        if size > 60_000 {
            self.planned.push_back(finished(Some(key), Request::new(opcode::GETK, b"", name, b"")));
            self.planned.push_back(finished(Some(key), Request::new(opcode::DELETE, b"", name, b"")));
        }
        finished(Some(key), request)
    }

    /// A complete request with a wrong header.
    fn spoilt(&mut self) -> Draft {
        let (key, whole) = match self.rng.below(8) {
            0 => (None, Request::new(opcode::STAT, b"", self.statistic_name(), b"")),
            1 if !self.background => (None, Request::new(self.flush_opcode(), b"", b"", b"")),
            _ => self.request(),
        };
        let mut request = whole.clone();
        for _ in 0..=self.rng.below(2) {
            let header = &mut request.header;
            match self.rng.below(7) {
                0 => header.opcode = self.rng.bits() as u8,
                1 => header.opcode = self.rng.below(0x25) as u8,
                2 => {
                    let length = header.key;
                    let odd =
                        [0, 1, length.wrapping_add(1), length.saturating_sub(1), 250, 251, 20_000, u16::MAX];
                    header.key = self.one(&odd);
                }
                3 => {
                    let length = header.extras;
                    let odd = [0, 1, 4, 8, 20, 21, 24, 255, length.wrapping_add(1), length.saturating_sub(1)];
                    header.extras = self.one(&odd);
                }
                4 | 5 => {
                    let length = header.body;
                    let near = [
                        0,
                        length.wrapping_add(1),
                        length.saturating_sub(1),
                        length.wrapping_add(24),
                        length.wrapping_add(300),
                    ];
                    let far = [100_000_000, LONGEST_BODY, LONGEST_BODY + 1, 0x7fff_ffff, u32::MAX];
                    header.body = if self.rng.chance(2, 3) { self.one(&near) } else { self.one(&far) };
                }
                _ => header.body = u32::from(header.key) + u32::from(header.extras),
            }
        }
        if self.is_undetermined(&request) { finished(key, whole) } else { self.by_fate(None, request) }
    }

    /// Returns whether the effect of a spoilt request depends on more than the request.
    fn is_undetermined(&self, request: &Request) -> bool {
        let (opcode, name) = (request.header.opcode, request.key());
        let value = request.value();
        match opcode {
            // memcached 1.6.18 accepts any length.
            _ if self.agree && request.header.body > LONGEST_BODY => true,
            opcode::VERSION => self.agree,
            opcode::STAT if self.agree && has_other_names(name) => true,
            opcode::STAT => COMPARED_BLINDLY
                .iter()
                .any(|group| group.starts_with(name) && *group != name && !name.is_empty()),
            opcode::FLUSH | opcode::FLUSHQ => request.header.extras == 4 || self.background,
            opcode::INCREMENT | opcode::DECREMENT | opcode::INCREMENTQ | opcode::DECREMENTQ => {
                self.background
            }
            // incr would read beyond the end of such a value.
            _ => !value.is_empty() && value.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0x0b),
        }
    }

    /// Sends as much of a request as memcached reads.
    fn by_fate(&mut self, key: Option<usize>, request: Request) -> Draft {
        let mut request = request;
        let whole = HEADER + request.body.len();
        match request.fate() {
            Fate::Takes(length) if length > whole + FILLER => {
                // Too long to be sent: the rest never arrives.
                Draft { key, pieces: request.pieces(), ending: Ending::Finish }
            }
            Fate::Takes(length) => {
                request.fit(length);
                if !request.key().is_empty() {
                    self.names.insert(request.key().to_vec());
                }
                finished(key, request)
            }
            Fate::Closes(length) => {
                // The bytes behind it are not read any more.
                request.fit(if self.rng.chance(1, 4) { length.max(whole) } else { length });
                Draft { key, pieces: request.pieces(), ending: Ending::Close }
            }
        }
    }

    /// A request that is cut short by the end of input.
    fn truncated(&mut self) -> Draft {
        let (_, request) = self.request();
        let length = HEADER + request.body.len();
        let mut bytes = request.header.bytes().to_vec();
        bytes.extend(&request.body);
        // Half of the time within the header or just behind it.
        let most = if self.rng.chance(1, 2) { HEADER + 2 } else { length + 1 };
        bytes.truncate(self.rng.below(most.min(length + 1)));
        Draft { key: None, pieces: vec![Piece::Bytes(bytes)], ending: Ending::Finish }
    }

    /// A request after which memcached closes the connection although its lengths are right.
    fn last(&mut self) -> Draft {
        let mut request = match self.rng.below(4) {
            0 => Request::new(self.one(&[opcode::QUIT, opcode::QUITQ]), b"", b"", b""),
            1 => Request::new(self.one(&[opcode::QUIT, opcode::QUITQ]), b"", b"k", b"v"),
            2 => {
                let length = self.one(&[LONGEST_KEY + 1, 300, 4000, 16_360, 16_361, 20_000, 65_535]);
                let key = vec![b'l'; length];
                Request::new(self.rng.below(0x25) as u8, b"", &key, b"")
            }
            _ => {
                // A connection with another first byte uses the text protocol, so a valid request
                // comes before.
                let mut wrong = self.request().1;
                wrong.header.magic = self.one(&[0, 1, 0x7f, 0x81, 0xff, b'g']);
                let mut pieces = Request::new(opcode::NOOP, b"", b"", b"").pieces();
                pieces.extend(wrong.pieces());
                return Draft { key: None, pieces, ending: Ending::Close };
            }
        };
        self.dress(&mut request, None);
        self.by_fate(None, request)
    }

    /// A flush in the future. As in the text protocol, every key is deleted first. Otherwise items
    /// would come back that an earlier flush killed, if no client has asked for them.
    fn binary_flush_later(&mut self) -> Draft {
        let names: Vec<Vec<u8>> = self.names.iter().cloned().collect();
        for few in names.chunks(40) {
            let deletes = few.iter().flat_map(|name| Request::new(opcode::DELETE, b"", name, b"").pieces());
            self.planned.push_back(Draft { key: None, pieces: deletes.collect(), ending: Ending::Noop });
        }
        let extras = self.one(FLUSHES).to_be_bytes();
        let later = Request::new(self.flush_opcode(), &extras, b"", b"");
        self.planned.push_back(finished(None, later));
        finished(None, Request::new(self.flush_opcode(), &[0; 4], b"", b""))
    }

    fn flush_opcode(&mut self) -> u8 {
        self.one(&[opcode::FLUSH, opcode::FLUSHQ])
    }

    fn binary_value(&mut self) -> Vec<u8> {
        if self.rng.chance(1, 12) { Vec::new() } else { self.value() }
    }

    fn binary_key(&mut self) -> usize {
        match self.rng.below(10) {
            0..6 => self.rng.below(5),
            6..9 => self.rng.below(SHORT_KEYS),
            _ => self.rng.below(KEYS.len()),
        }
    }

    /// Returns one of two opcodes, the second a third of the time.
    fn either(&mut self, plain: &[u8], quiet: &[u8]) -> u8 {
        let choices = if self.rng.chance(1, 3) { quiet } else { plain };
        self.one(choices)
    }

    fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.below(choices.len())]
    }
}

/// A request that is answered with a reply or with silence.
fn finished(key: Option<usize>, request: Request) -> Draft {
    Draft { key, pieces: request.pieces(), ending: Ending::Noop }
}

/// Returns whether memcached 1.6.18 has other statistics by this name.
fn has_other_names(name: &[u8]) -> bool {
    name.is_empty() || name.starts_with(b"settings") || name == b"slabs" || name == b"items"
}
