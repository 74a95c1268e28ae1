//! Random meta commands: the right flags, too many, unknown ones, and items that go stale.

use memcache_core::internal::protocol::commands::Kind;
use memcache_core::internal::protocol::meta::{Argument, FLAGS, MetaCommand};

use crate::generate::Generator;
use crate::group::{Draft, Piece};
use crate::line::Line;
use crate::words;

impl Generator {
    pub(crate) fn meta(&mut self) -> Draft {
        match self.rng.below(100) {
            0..30 => self.meta_get(false),
            30..52 => self.meta_set(false),
            52..62 => self.meta_delete(false),
            62..75 => self.meta_arithmetic(false),
            75..77 if !self.agree => self.debug(),
            77..80 => self.stale(),
            80..81 => self.fixed(&self.words.odd_meta.concat()),
            81..82 if !self.agree => self.example(Kind::Meta),
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
        self.flags(&mut line, key, MetaCommand::Get, careless);
        line.end(self.line_end(), key.classic())
    }

    fn meta_set(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("ms");
        let value = self.value();
        let length = self.length(value.len());
        line.word(length.to_string().as_bytes());
        self.flags(&mut line, key, MetaCommand::Set, careless);
        let mut draft = self.with_data(line, 0, &value, length);
        draft.key = key.classic();
        draft
    }

    fn meta_delete(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("md");
        self.flags(&mut line, key, MetaCommand::Delete, careless);
        line.end(self.line_end(), key.classic())
    }

    fn meta_arithmetic(&mut self, careless: bool) -> Draft {
        let (key, mut line) = self.meta_line("ma");
        self.flags(&mut line, key, MetaCommand::Delta, careless);
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

    /// An item that is invalidated and then fetched, refreshed and set with older and newer CAS
    /// numbers.
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

    /// Appends flags in a random order. Mistaken ones are repeated, unknown, too many, or lack
    /// their argument.
    fn flags(&mut self, line: &mut Line, key: MetaKey, command: MetaCommand, careless: bool) {
        let mut chosen: Vec<u8> = Vec::new();
        for (flag, weight) in self.weights(command) {
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
                    let known = FLAGS.iter().map(|flag| flag.letter).chain([b'A']);
                    many.extend(known.filter(|flag| !chosen.contains(flag)));
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
            let argument = FLAGS.iter().find(|row| row.letter == flag).map(|row| row.argument);
            let list = match (argument.unwrap_or(Argument::None), flag) {
                (_, b'C') => {
                    let number = match key {
                        MetaKey::Classic(key) => self.cas(key),
                        MetaKey::Base64 => Piece::Bytes(b"1000000000000".to_vec()),
                    };
                    line.piece(b"C", number);
                    continue;
                }
                (Argument::None, _) => &[&b""[..]],
                (Argument::Token, _) => self.words.opaques,
                (Argument::Seconds, b'R') => self.words.recaches,
                (Argument::Seconds, _) => self.words.ttls,
                (Argument::U32, _) => self.words.flags,
                (Argument::U64, b'E') => self.words.explicit_cas,
                (Argument::U64, _) => self.words.deltas,
                (Argument::Letter, _) if command == MetaCommand::Delta => self.words.delta_modes,
                (Argument::Letter, _) => self.words.modes,
            };
            line.word(&joined(flag, self.rng.pick(list)));
        }
    }

    /// Returns the flags for a command, with the percentage of commands that have each. A flag that
    /// the words do not mention is still sent.
    fn weights(&self, command: MetaCommand) -> Vec<(u8, usize)> {
        let known = match command {
            MetaCommand::Get => self.words.get_flags,
            MetaCommand::Set => self.words.set_flags,
            MetaCommand::Delete => self.words.delete_flags,
            MetaCommand::Delta => self.words.arithmetic_flags,
            MetaCommand::Inspect => &[],
        };
        let is_new = |letter| letter != b'b' && !known.iter().any(|&(other, _)| other == letter);
        let others = FLAGS.iter().filter(|flag| !self.agree && is_new(flag.letter));
        let others = others.map(|flag| (flag.letter, if flag.matters(command) { 15 } else { 1 }));
        known.iter().copied().chain(others).collect()
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
