//! Random classic commands, and their common parts with meta commands: keys, values, lengths, and
//! data behind a line.

use memcache_core::internal::protocol::commands::{COMMANDS, Command, Kind};

use crate::generate::Generator;
use crate::group::{Draft, Ending, Piece};
use crate::line::Line;
use crate::words;

impl Generator {
    pub(crate) fn text(&mut self) -> Draft {
        match self.rng.below(100) {
            0..28 => self.store(),
            28..48 => self.retrieve(),
            48..60 => self.arithmetic(),
            60..67 => self.touch(),
            67..73 => self.delete(),
            73..78 => self.fixed(self.words.admin),
            78..79 => self.flush(),
            79..82 => self.fixed(&self.words.odd_lines.concat()),
            82..83 if !self.agree => self.example(Kind::Classic),
            83..84 => self.large(false),
            _ => {
                let whole = match self.rng.below(5) {
                    0 | 1 => self.store(),
                    2 => self.retrieve(),
                    3 => self.arithmetic(),
                    _ => self.touch(),
                };
                self.mangle(whole)
            }
        }
    }

    /// Returns the example of any command of this kind, for a random key. So each command is sent,
    /// even if this program has nothing else for it.
    pub(crate) fn example(&mut self, kind: Kind) -> Draft {
        let rows: Vec<&Command> = COMMANDS.iter().filter(|row| row.kind == kind).collect();
        let row = self.rng.pick(&rows);
        let key = self.key();
        let mut line = Line::new(row.word);
        for (at, token) in row.example.split(' ').enumerate().skip(1) {
            line.word(if at == row.key { words::KEYS[key] } else { token.as_bytes() });
        }
        if row.value > 0 { self.with_data(line, key, b"x", 1) } else { line.end(self.line_end(), None) }
    }

    pub(crate) fn store(&mut self) -> Draft {
        let verb = self.rng.pick(&["set", "set", "set", "add", "replace", "append", "prepend", "cas", "cas"]);
        let key = self.key();
        let value = self.value();
        let mut line = Line::new(verb);
        line.word(words::KEYS[key]);
        line.word(self.rng.pick(self.words.flags));
        line.word(self.rng.pick(self.words.ttls));
        let length = self.length(value.len());
        line.word(length.to_string().as_bytes());
        if verb == "cas" {
            let number = self.cas(key);
            line.piece(&[], number);
        }
        if self.rng.chance(1, 8) {
            line.word(b"noreply");
        }
        self.with_data(line, key, &value, length)
    }

    pub(crate) fn retrieve(&mut self) -> Draft {
        let verb = self.rng.pick(&["get", "get", "gets", "gets", "gat", "gats"]);
        let mut line = Line::new(verb);
        if verb.starts_with("gat") {
            line.word(self.rng.pick(self.words.ttls));
        }
        let key = self.key();
        line.word(words::KEYS[key]);
        if self.rng.chance(1, 3) {
            let more = if !self.agree && self.rng.chance(1, 12) {
                40 + self.rng.below(60)
            } else {
                1 + self.rng.below(5)
            };
            for _ in 0..more {
                // Short keys only, so that the line stays below the length where splitting matters.
                let other = self.rng.below(self.words.short_keys);
                line.word(words::KEYS[other]);
            }
            return line.end(self.line_end(), None);
        }
        line.end(self.line_end(), Some(key))
    }

    pub(crate) fn arithmetic(&mut self) -> Draft {
        let key = self.key();
        let mut line = Line::new(self.rng.pick(&["incr", "decr"]));
        line.word(words::KEYS[key]);
        line.word(self.rng.pick(self.words.deltas));
        if self.rng.chance(1, 8) {
            line.word(b"noreply");
        }
        line.end(self.line_end(), Some(key))
    }

    pub(crate) fn touch(&mut self) -> Draft {
        let key = self.key();
        let mut line = Line::new("touch");
        line.word(words::KEYS[key]);
        line.word(self.rng.pick(self.words.ttls));
        if self.rng.chance(1, 8) {
            line.word(b"noreply");
        }
        line.end(self.line_end(), Some(key))
    }

    fn delete(&mut self) -> Draft {
        let key = self.key();
        let mut line = Line::new("delete");
        line.word(words::KEYS[key]);
        if !self.agree && self.rng.chance(1, 5) {
            line.word(self.rng.pick(&[&b"0"[..], b"1", b"abc", b"-1", b"0 0"]));
        }
        if self.rng.chance(1, 8) {
            line.word(b"noreply");
        }
        line.end(self.line_end(), Some(key))
    }

    fn flush(&mut self) -> Draft {
        self.fixed(self.words.flushes)
    }

    /// `flush_all` in the future. memcached then forgets an earlier immediate flush. Items that the
    /// earlier one killed come back if no client has touched them since. So every key is deleted
    /// first.
    pub(crate) fn delayed_flush(&mut self) -> Draft {
        // Spoilt commands store under other words too.
        let lists = [
            words::KEYS,
            words::BASE64_KEYS,
            words::ODD_WORDS,
            words::FLAGS,
            words::TTLS,
            words::DELTAS,
            words::VERBS,
        ];
        let all = lists.into_iter().flatten();
        for key in
            all.filter(|key| !self.agree || !(key.is_empty() || key.contains(&0) || **key == b"noreply"))
        {
            self.planned.push_back(Line::of(&[b"delete ", *key]).end(b"\r\n", None));
        }
        // A careless line sends a classic key with `b`, too, which names another item. 1.6.18
        // refuses such keys in other words.
        let careless = if self.agree { &[] } else { words::KEYS };
        for key in self.words.base64_keys.iter().chain(careless) {
            self.planned.push_back(Line::of(&[b"md ", *key, b" b q"]).end(b"\r\n", None));
        }
        self.delayed_flush = !self.delayed_flush;
        let line: &[u8] =
            if self.delayed_flush { b"flush_all 100000" } else { b"flush_all 2000000000 noreply" };
        self.planned.push_back(Line::of(&[line]).end(b"\r\n", None));
        self.fixed(self.words.flushes)
    }

    pub(crate) fn fixed(&mut self, lines: &[&[u8]]) -> Draft {
        let line = self.rng.pick(lines);
        Line::of(&[line]).end(b"\r\n", None)
    }

    /// A value that memcached keeps in several chunks, or refuses.
    pub(crate) fn large(&mut self, meta: bool) -> Draft {
        let key = self.rng.below(4);
        let size = match self.rng.below(40) {
            0 => 1_200_000,
            1 => 700_000 + self.rng.below(200_000),
            2..6 => 100_000 + self.rng.below(50_000),
            _ => 2_000 + self.rng.below(20_000),
        };
        let seed = [b'a' + (self.rng.below(26) as u8), b'-'];
        let mut value = seed.repeat(size / 2);
        value.extend(b"tail");
        let verb = if meta { "ms" } else { self.rng.pick(&["set", "set", "add", "append"]) };
        let mut line = Line::new(verb);
        line.word(words::KEYS[key]);
        let length = value.len();
        if !meta {
            line.word(b"0 0");
        }
        line.word(length.to_string().as_bytes());
        if meta && !self.agree && self.rng.chance(1, 3) {
            line.word(self.rng.pick(&[&b"MA"[..], b"MP", b"MA N0", b"q", b"s"]));
        }
        let mut delete = Line::new(if meta { "md" } else { "delete" });
        delete.word(words::KEYS[key]);
        if size > 60_000 {
            self.planned.push_back(
                Line::of(&[if meta { b"mg " } else { b"get " }, words::KEYS[key]]).end(b"\r\n", None),
            );
            self.planned.push_back(delete.end(b"\r\n", None));
        }
        self.with_data(line, key, &value, length)
    }

    /// A command after which the server closes.
    pub(crate) fn closing(&mut self) -> Draft {
        let mut line = Line::of(&[self.rng.pick(self.words.closing)]);
        if line.pieces_len() > 2000 {
            return Draft { key: None, pieces: line.pieces, ending: Ending::Close };
        }
        line.raw(b"\r\n");
        Draft { key: None, pieces: line.pieces, ending: Ending::Close }
    }

    pub(crate) fn key(&mut self) -> usize {
        match self.rng.below(10) {
            0..6 => self.rng.below(5),
            6..9 => self.rng.below(self.words.short_keys),
            _ => self.rng.below(self.words.keys),
        }
    }

    pub(crate) fn value(&mut self) -> Vec<u8> {
        match self.rng.below(10) {
            0..5 => self.rng.pick(self.words.numbers).to_vec(),
            5..7 => self.rng.pick(self.words.values).to_vec(),
            _ => {
                let length = if self.rng.chance(1, 10) { self.rng.below(600) } else { self.rng.below(40) };
                (0..length)
                    .map(|at| match self.rng.below(30) {
                        0 if at > 0 => self.rng.below(256) as u8,
                        _ => b'a' + self.rng.below(26) as u8,
                    })
                    .collect()
            }
        }
    }

    /// Returns the announced length: nearly always the right one.
    pub(crate) fn length(&mut self, true_length: usize) -> usize {
        match self.rng.below(60) {
            _ if self.agree => true_length,
            0 => true_length + 1 + self.rng.below(30),
            1 => true_length.saturating_sub(1 + self.rng.below(4)),
            _ => true_length,
        }
    }

    pub(crate) fn cas(&mut self, key: usize) -> Piece {
        match self.seen_cas(key) {
            Some((group, nth)) => Piece::Cas { group, nth },
            None => Piece::Bytes(self.rng.pick(self.words.explicit_cas).to_vec()),
        }
    }

    /// Returns a CAS number that a reply gave for `key`: the last one, an older one, or now and
    /// then none.
    pub(crate) fn seen_cas(&mut self, key: usize) -> Option<(u64, usize)> {
        let seen = &self.seen[key];
        if seen.is_empty() || self.rng.chance(1, 8) {
            return None;
        }
        let back = if self.rng.chance(2, 3) { 0 } else { self.rng.below(seen.len()) };
        Some(seen[back])
    }

    pub(crate) fn line_end(&mut self) -> &'static [u8] {
        if self.rng.chance(1, 40) { b"\n" } else { b"\r\n" }
    }

    pub(crate) fn with_data(&mut self, line: Line, key: usize, value: &[u8], announced: usize) -> Draft {
        let mut line = line;
        line.raw(self.line_end());
        line.raw(value);
        if !self.agree && self.rng.chance(1, 60) {
            let end = self.rng.pick(&[&b"\n"[..], b"\r", b"", b"xx", b"\n\r", b"  \r\n"]);
            line.raw(end);
            line.raw(b"\r\n");
        } else {
            line.raw(b"\r\n");
        }
        line.fill(announced.saturating_sub(value.len()));
        Draft { key: Some(key), pieces: line.pieces, ending: Ending::Marker }
    }
}
