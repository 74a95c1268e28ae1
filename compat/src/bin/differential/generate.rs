//! Random commands. What makes them useful: few keys, so that most commands hit; values that are numbers half the
//! time; and mistakes of every kind. What makes them comparable: nothing depends on the second in which it runs, no
//! line is so long that its fate depends on how it was split, and data that is shorter than announced is followed by
//! filler, so that the marker is never swallowed.

use std::collections::VecDeque;

use memcache_compat::rng::Rng;

use crate::group::{Ending, Group, Piece};
use crate::words::{self, Vocabulary};

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Classic text commands.
    Text,
    /// Meta commands.
    Meta,
    /// Either, command by command.
    Both,
}

/// How many CAS numbers a key remembers.
const REMEMBERED: usize = 6;

/// A stream of groups.
#[derive(Debug)]
pub struct Generator {
    /// The source of all choices.
    pub rng: Rng,
    /// A group that was taken but not yet sent.
    pub held: Option<Group>,
    mode: Mode,
    agree: bool,
    words: &'static Vocabulary,
    background: bool,
    next_id: u64,
    seen: Vec<VecDeque<(u64, usize)>>,
    planned: VecDeque<Draft>,
    delayed_flush: bool,
}

/// A group without its number.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) key: Option<usize>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) ending: Ending,
}

impl Generator {
    /// A stream that depends on the seed and on the replies' CAS numbers alone.
    pub fn new(seed: u64, mode: Mode, agree: bool, background: bool) -> Self {
        Self {
            rng: Rng::new(seed),
            held: None,
            mode,
            agree,
            words: if agree { &words::AGREE } else { &words::FULL },
            background,
            next_id: 1,
            seen: vec![VecDeque::new(); words::KEYS.len()],
            planned: VecDeque::new(),
            delayed_flush: false,
        }
    }

    /// Notes that the reply to `group` held a CAS number of `key`.
    pub fn saw(&mut self, key: usize, group: u64, nth: usize) {
        let seen = &mut self.seen[key];
        seen.push_front((group, nth));
        seen.truncate(REMEMBERED);
    }

    /// The next command.
    pub fn next(&mut self) -> Group {
        let draft = match self.planned.pop_front() {
            Some(draft) => draft,
            None => self.draft(),
        };
        if draft.may_leave_its_cas() {
            self.planned.push_front(Line::of(&[b"ms differential-cas 1 T-1\r\nx"]).end(b"\r\n", None));
        }
        let id = self.next_id;
        self.next_id += 1;
        Group { id, key: draft.key, pieces: draft.pieces, ending: draft.ending }
    }

    fn draft(&mut self) -> Draft {
        if self.rng.chance(1, 700) {
            return self.closing();
        }
        if !self.background && self.rng.chance(1, 1500) {
            return self.delayed_flush();
        }
        let meta = match self.mode {
            Mode::Text => false,
            Mode::Meta => true,
            Mode::Both => self.rng.chance(1, 2),
        };
        loop {
            let draft = if meta { self.meta() } else { self.text() };
            if !self.background || draft.is_steady() {
                return draft;
            }
        }
    }

    // ---- classic text

    fn text(&mut self) -> Draft {
        match self.rng.below(100) {
            0..28 => self.store(),
            28..48 => self.retrieve(),
            48..60 => self.arithmetic(),
            60..67 => self.touch(),
            67..73 => self.delete(),
            73..78 => self.fixed(self.words.admin),
            78..79 => self.flush(),
            79..83 => self.fixed(self.words.odd_lines),
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

    fn store(&mut self) -> Draft {
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

    fn retrieve(&mut self) -> Draft {
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

    fn arithmetic(&mut self) -> Draft {
        let key = self.key();
        let mut line = Line::new(self.rng.pick(&["incr", "decr"]));
        line.word(words::KEYS[key]);
        line.word(self.rng.pick(self.words.deltas));
        if self.rng.chance(1, 8) {
            line.word(b"noreply");
        }
        line.end(self.line_end(), Some(key))
    }

    fn touch(&mut self) -> Draft {
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

    /// `flush_all` in the future. memcached forgets an earlier immediate flush then, and items that the earlier one
    /// killed but that nobody has touched since come back; so every key is deleted first.
    fn delayed_flush(&mut self) -> Draft {
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
        for key in self.words.base64_keys {
            self.planned.push_back(Line::of(&[b"md ", *key, b" b q"]).end(b"\r\n", None));
        }
        self.delayed_flush = !self.delayed_flush;
        let line: &[u8] =
            if self.delayed_flush { b"flush_all 100000" } else { b"flush_all 2000000000 noreply" };
        self.planned.push_back(Line::of(&[line]).end(b"\r\n", None));
        self.fixed(self.words.flushes)
    }

    // ---- meta

    fn meta(&mut self) -> Draft {
        match self.rng.below(100) {
            0..30 => self.meta_get(false),
            30..52 => self.meta_set(false),
            52..62 => self.meta_delete(false),
            62..75 => self.meta_arithmetic(false),
            75..77 if !self.agree => self.debug(),
            77..80 => self.stale(),
            80..82 => self.fixed(self.words.odd_meta),
            82..83 => self.large(true),
            75..91 => {
                let whole = match self.rng.below(4) {
                    0 => self.meta_get(false),
                    1 => self.meta_set(false),
                    2 => self.meta_delete(false),
                    _ => self.meta_arithmetic(false),
                };
                self.mangle(whole)
            }
            _ => match self.rng.below(4) {
                0 => self.meta_get(true),
                1 => self.meta_set(true),
                2 => self.meta_delete(true),
                _ => self.meta_arithmetic(true),
            },
        }
    }

    fn meta_get(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("mg");
        self.flags(&mut line, key, self.words.get_flags, careless);
        line.end(self.line_end(), key.classic())
    }

    fn meta_set(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("ms");
        let value = self.value();
        let length = self.length(value.len());
        line.word(length.to_string().as_bytes());
        self.flags(&mut line, key, self.words.set_flags, careless);
        let mut draft = self.with_data(line, 0, &value, length);
        draft.key = key.classic();
        draft
    }

    fn meta_delete(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("md");
        self.flags(&mut line, key, self.words.delete_flags, careless);
        line.end(self.line_end(), key.classic())
    }

    fn meta_arithmetic(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("ma");
        self.flags(&mut line, key, self.words.arithmetic_flags, careless);
        line.end(self.line_end(), key.classic())
    }

    fn debug(&mut self) -> Draft {
        let (key, mut line) = self.meta_line("me");
        if let MetaKey::Base64 = key {
            line.word(b"b");
            line.word(b"x");
        }
        line.end(self.line_end(), key.classic())
    }

    /// An item that is invalidated and then fetched, refreshed and set with older and newer CAS numbers.
    fn stale(&mut self) -> Draft {
        let key = self.rng.below(4);
        let name = words::KEYS[key];
        let step = |parts: &[&[u8]]| Line::of(parts).end(b"\r\n", Some(key));
        let ttl = self.rng.pick(self.words.ttls);
        self.planned.push_back(step(&[b"mg ", name, b" c v t"]));
        for _ in 0..2 + self.rng.below(6) {
            let draft = match self.rng.below(8) {
                0 => step(&[b"md ", name, b" I T", ttl, b" k"]),
                1 => step(&[b"md ", name, b" I"]),
                2 => step(&[b"mg ", name, b" s c v R5000 t"]),
                3 => step(&[b"mg ", name, b" c v N1000 k h"]),
                4 | 5 => {
                    let number = self.cas(key);
                    let mut line = Line::of(&[b"ms ", name, b" 5 c T", ttl]);
                    if self.rng.chance(1, 2) {
                        line.word(b"I");
                    }
                    line.piece(b"C", number);
                    self.with_data(line, key, b"fresh", 5)
                }
                6 => {
                    let number = self.cas(key);
                    let mut line = Line::of(&[b"md ", name, b" I q"]);
                    line.piece(b"C", number);
                    line.end(b"\r\n", Some(key))
                }
                _ => step(&[b"mg ", name, b" s v"]),
            };
            self.planned.push_back(draft);
        }
        step(&[b"ms ", name, b" 3 c T1000\r\nold"])
    }

    fn meta_line(&mut self, verb: &str) -> (MetaKey, Line) {
        let mut line = Line::new(verb);
        if self.rng.chance(1, 10) {
            let key = self.rng.pick(self.words.base64_keys);
            line.word(key);
            return (MetaKey::Base64, line);
        }
        let key = self.key();
        line.word(words::KEYS[key]);
        (MetaKey::Classic(key), line)
    }

    /// Appends flags in a random order. Careless ones are repeated, unknown, without their argument or too many.
    fn flags(&mut self, line: &mut Line, key: MetaKey, known: &[(u8, usize)], careless: bool) {
        let mut chosen: Vec<u8> = Vec::new();
        for &(flag, weight) in known {
            if self.rng.chance(weight, 100) {
                chosen.push(flag);
            }
        }
        if matches!(key, MetaKey::Base64) != (!self.agree && self.rng.chance(1, 25)) {
            chosen.push(b'b');
        }
        for at in (1..chosen.len()).rev() {
            let other = self.rng.below(at + 1);
            chosen.swap(at, other);
        }
        if careless && !self.agree {
            match self.rng.below(4) {
                0 if !chosen.is_empty() => {
                    let again = chosen[self.rng.below(chosen.len())];
                    chosen.push(again);
                }
                1 => {
                    let mut many = chosen.clone();
                    many.extend(b"bcfhklstvqOxuIANRTCEDJFM".iter().filter(|flag| !chosen.contains(flag)));
                    many.truncate(14 + self.rng.below(12));
                    chosen = many;
                }
                _ => {}
            }
        }
        let careless = careless && !self.agree;
        for flag in chosen {
            if careless && self.rng.chance(1, 6) {
                line.word(self.rng.pick(words::ODD_FLAGS));
                continue;
            }
            let without = careless && self.rng.chance(1, 8);
            if without {
                line.word(&[flag]);
                continue;
            }
            match flag {
                b'O' => line.word(&joined(b'O', self.rng.pick(self.words.opaques))),
                b'N' | b'T' => line.word(&joined(flag, self.rng.pick(self.words.ttls))),
                b'R' => line.word(&joined(b'R', self.rng.pick(self.words.recaches))),
                b'F' => line.word(&joined(b'F', self.rng.pick(self.words.flags))),
                b'E' => line.word(&joined(b'E', self.rng.pick(self.words.explicit_cas))),
                b'D' | b'J' => line.word(&joined(flag, self.rng.pick(self.words.deltas))),
                b'M' => line.word(&joined(b'M', self.rng.pick(self.words.modes))),
                b'C' => {
                    let number = match key {
                        MetaKey::Classic(key) => self.cas(key),
                        MetaKey::Base64 => Piece::Bytes(b"1000000000000".to_vec()),
                    };
                    line.piece(b"C", number);
                }
                plain => line.word(&[plain]),
            }
        }
    }

    // ---- what both share

    fn fixed(&mut self, lines: &[&[u8]]) -> Draft {
        let line = self.rng.pick(lines);
        Line::of(&[line]).end(b"\r\n", None)
    }

    /// A value of a size that memcached keeps in several chunks, or refuses.
    fn large(&mut self, meta: bool) -> Draft {
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
    fn closing(&mut self) -> Draft {
        let mut line = Line::of(&[self.rng.pick(self.words.closing)]);
        if line.pieces_len() > 2000 {
            return Draft { key: None, pieces: line.pieces, ending: Ending::Close };
        }
        line.raw(b"\r\n");
        Draft { key: None, pieces: line.pieces, ending: Ending::Close }
    }

    fn key(&mut self) -> usize {
        match self.rng.below(10) {
            0..6 => self.rng.below(5),
            6..9 => self.rng.below(self.words.short_keys),
            _ => self.rng.below(self.words.keys),
        }
    }

    fn value(&mut self) -> Vec<u8> {
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

    /// The announced length: nearly always the true one.
    fn length(&mut self, true_length: usize) -> usize {
        match self.rng.below(60) {
            _ if self.agree => true_length,
            0 => true_length + 1 + self.rng.below(30),
            1 => true_length.saturating_sub(1 + self.rng.below(4)),
            _ => true_length,
        }
    }

    fn cas(&mut self, key: usize) -> Piece {
        let seen = &self.seen[key];
        if seen.is_empty() || self.rng.chance(1, 8) {
            return Piece::Bytes(self.rng.pick(self.words.explicit_cas).to_vec());
        }
        let back = if self.rng.chance(2, 3) { 0 } else { self.rng.below(seen.len()) };
        let (group, nth) = seen[back];
        Piece::Cas { group, nth }
    }

    fn line_end(&mut self) -> &'static [u8] {
        if self.rng.chance(1, 40) { b"\n" } else { b"\r\n" }
    }

    fn with_data(&mut self, line: Line, key: usize, value: &[u8], announced: usize) -> Draft {
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

    /// Spoils the command line of a whole command.
    fn mangle(&mut self, draft: Draft) -> Draft {
        if self.agree || draft.ending != Ending::Marker {
            return draft;
        }
        let Some(Piece::Bytes(first)) = draft.pieces.first() else { return draft };
        let end = first.iter().position(|&byte| byte == b'\n').map_or(first.len(), |at| at + 1);
        let whole_line = end < first.len() || draft.pieces.len() == 1;
        let line = first[..end].trim_ascii_end().to_vec();
        let rest = first[end..].to_vec();
        let mut words: Vec<Vec<u8>> = line.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect();
        if !whole_line || words.is_empty() || rest.len() > 1500 {
            return draft;
        }
        let verb = words[0].clone();
        for _ in 0..=self.rng.below(2) {
            let at = self.rng.below(words.len());
            match self.rng.below(9) {
                0 if words.len() > 1 => {
                    words.remove(at);
                }
                1 => words.insert(at, words[at].clone()),
                2 => words.truncate(at + 1),
                3 => words.insert(at, Vec::new()),
                4 => words.insert(0, Vec::new()),
                5 => words.push(Vec::new()),
                6 => {
                    for _ in 0..20 + self.rng.below(8) {
                        words.push(b"3000".to_vec());
                    }
                }
                _ => {
                    let odd = self.rng.pick(words::ODD_WORDS);
                    if at > 0 && !(verb.starts_with(b"g") && odd == b"noreply") {
                        words[at] = odd.to_vec();
                    }
                }
            }
        }
        if words.iter().any(|word| word.len() > 250) && verb.starts_with(b"g") {
            // memcached sends stale memory for a failing `get … noreply`.
            words.retain(|word| word != b"noreply");
        }
        let mut bytes = words.join(&b' ');
        if bytes.len() > 1800 {
            return draft;
        }
        let announced = words.iter().filter_map(|word| announced(word)).max().unwrap_or(0);
        if announced > 4000 {
            return draft;
        }
        bytes.extend(if self.rng.chance(1, 10) { &b"\n"[..] } else { b"\r\n" });
        bytes.extend(&rest);
        let mut spoilt = Line { pieces: vec![Piece::Bytes(bytes)] };
        if verb.starts_with(b"m") || !rest.is_empty() {
            spoilt.fill(announced.saturating_sub(rest.len().saturating_sub(2)));
        }
        Draft { key: draft.key, pieces: spoilt.pieces, ending: Ending::Marker }
    }
}

/// What a word may announce as a length, read as generously as any version of memcached does.
fn announced(word: &[u8]) -> Option<usize> {
    let word = word.trim_ascii_start();
    let word = word.strip_prefix(b"+").unwrap_or(word);
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: usize = std::str::from_utf8(&word[..digits]).ok()?.parse().ok()?;
    // Larger ones are refused before anything is swallowed.
    (number <= 2_147_483_645).then_some(number)
}

impl Draft {
    /// An `ms` with a CAS number of its own. When it fails, memcached gives that number to whatever the connection stores
    /// next; another `ms` ends that.
    fn may_leave_its_cas(&self) -> bool {
        let Some(Piece::Bytes(bytes)) = self.pieces.first() else { return false };
        let has_number = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.windows(2).any(|pair| pair == b" E"),
            Piece::Cas { .. } => false,
        };
        bytes.trim_ascii_start().starts_with(b"ms ") && self.pieces.iter().any(has_number)
    }

    /// Whether memcached's background threads make no difference to it: `flush_all` looks at each queue from its newest item
    /// to the first that is old, and the threads reorder the queues.
    fn is_steady(&self) -> bool {
        let Some(Piece::Bytes(bytes)) = self.pieces.first() else { return true };
        let verbs = [&b"incr "[..], b"decr ", b"ma ", b"flush_all"];
        !verbs.iter().any(|verb| bytes.trim_ascii_start().starts_with(verb))
    }
}

fn joined(flag: u8, argument: &[u8]) -> Vec<u8> {
    let mut word = vec![flag];
    word.extend(argument);
    word
}

#[derive(Clone, Copy)]
enum MetaKey {
    Classic(usize),
    Base64,
}

impl MetaKey {
    fn classic(self) -> Option<usize> {
        match self {
            Self::Classic(key) => Some(key),
            Self::Base64 => None,
        }
    }
}

/// A request under construction.
pub(crate) struct Line {
    pieces: Vec<Piece>,
}

impl Line {
    fn new(verb: &str) -> Self {
        Self { pieces: vec![Piece::Bytes(verb.as_bytes().to_vec())] }
    }

    fn of(parts: &[&[u8]]) -> Self {
        Self { pieces: vec![Piece::Bytes(parts.concat())] }
    }

    fn raw(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.raw(b" ");
        self.raw(word);
    }

    fn piece(&mut self, prefix: &[u8], piece: Piece) {
        self.word(prefix);
        match piece {
            Piece::Bytes(bytes) => self.raw(&bytes),
            number @ Piece::Cas { .. } => self.pieces.push(number),
        }
    }

    /// Filler for `missing` bytes of data; whatever of it is not swallowed gives errors that can be compared.
    fn fill(&mut self, missing: usize) {
        if missing > 0 {
            self.raw(&b"mn\r\n".repeat(missing.div_ceil(4)));
            self.raw(b"\r\n");
        }
    }

    fn pieces_len(&self) -> usize {
        self.pieces.iter().map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 0 }).sum()
    }

    fn end(mut self, end: &[u8], key: Option<usize>) -> Draft {
        self.raw(end);
        Draft { key, pieces: self.pieces, ending: Ending::Marker }
    }
}
