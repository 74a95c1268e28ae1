//! Random commands. There are few keys, so that most commands hit. Half of the values are numbers,
//! and there are mistakes of every kind.
//!
//! Replies must be comparable. Therefore nothing depends on the second in which it runs. No line is
//! so long that its effect depends on how it was split. If data is shorter than announced, filler
//! follows, so that the marker is never swallowed.

use std::collections::{BTreeSet, VecDeque};

use memcache_compat::rng::Rng;

use crate::binary_words;
use crate::group::{Draft, Ending, Group};
use crate::line::Line;
use crate::proxy::BACKENDS;
use crate::words::{self, Vocabulary};

/// The protocol of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Classic text commands.
    Text,
    /// Meta commands.
    Meta,
    /// Either of these, chosen for each command.
    Both,
    /// The binary protocol.
    Binary,
}

/// Number of CAS numbers that are remembered for a key.
const REMEMBERED: usize = 6;

/// A stream of groups.
#[derive(Debug)]
pub struct Generator {
    /// The source of all choices.
    pub rng: Rng,
    /// A group that was generated but not yet sent.
    pub held: Option<Group>,
    pub(crate) mode: Mode,
    pub(crate) agree: bool,
    pub(crate) words: &'static Vocabulary,
    pub(crate) background: bool,
    /// Whether both servers are proxies.
    proxies: bool,
    /// Whether their backends die.
    pub kills: bool,
    /// The backends that are dead, and the number of the group that starts each of them again.
    dead: Vec<(usize, u64)>,
    pub(crate) next_id: u64,
    pub(crate) seen: Vec<VecDeque<(u64, usize)>>,
    pub(crate) planned: VecDeque<Draft>,
    pub(crate) delayed_flush: bool,
    /// The keys that requests of the binary protocol may have stored.
    pub(crate) names: BTreeSet<Vec<u8>>,
}

impl Generator {
    /// Creates a stream that depends only on the seed and on the replies' CAS numbers.
    pub fn new(seed: u64, mode: Mode, agree: bool, background: bool, proxies: bool) -> Self {
        Self {
            rng: Rng::new(seed),
            held: None,
            mode,
            agree: agree || proxies,
            words: match (agree, proxies) {
                (_, true) => &words::PROXIED,
                (true, false) => &words::AGREE,
                (false, false) => &words::FULL,
            },
            background,
            proxies,
            kills: false,
            dead: Vec::new(),
            next_id: 1,
            seen: vec![VecDeque::new(); words::KEYS.len().max(binary_words::KEYS.len())],
            planned: VecDeque::new(),
            names: binary_words::KEYS.iter().map(|name| name.to_vec()).collect(),
            delayed_flush: false,
        }
    }

    /// Records that the reply to `group` contained a CAS number of `key`.
    pub fn saw(&mut self, key: usize, group: u64, nth: usize) {
        let seen = &mut self.seen[key];
        seen.push_front((group, nth));
        seen.truncate(REMEMBERED);
    }

    /// Returns the next command.
    pub fn next(&mut self) -> Group {
        let mut draft = match self.planned.pop_front() {
            Some(draft) => draft,
            None if self.kills => self.event().unwrap_or_else(|| self.draft()),
            None => self.draft(),
        };
        if self.proxies && draft.ending == Ending::Marker {
            draft.ending = Ending::Proxied;
        }
        if draft.may_leave_its_cas() {
            self.planned.push_front(Line::of(&[b"ms differential-cas 1 T-1\r\nx"]).end(b"\r\n", None));
        }
        let id = self.next_id;
        self.next_id += 1;
        Group { id, key: draft.key, pieces: draft.pieces, ending: draft.ending }
    }

    /// Kills a backend or starts one again, now and then. One backend at least is alive.
    fn event(&mut self) -> Option<Draft> {
        let due = self.dead.iter().position(|(_, until)| *until <= self.next_id);
        let ending = if let Some(at) = due {
            Ending::Revive(self.dead.remove(at).0)
        } else if self.rng.chance(1, 3000) || !self.dead.is_empty() && self.rng.chance(1, 600) {
            let backend = self.rng.below(BACKENDS);
            if self.dead.len() + 1 == BACKENDS || self.dead.iter().any(|(dead, _)| *dead == backend) {
                return None;
            }
            self.dead.push((backend, self.next_id + 50 + self.rng.below(600) as u64));
            Ending::Kill(backend)
        } else {
            return None;
        };
        Some(Draft { key: None, pieces: Vec::new(), ending })
    }

    fn draft(&mut self) -> Draft {
        if self.mode == Mode::Binary {
            return self.binary();
        }
        if self.rng.chance(1, 700) {
            return self.closing();
        }
        if !self.background && !self.proxies && self.rng.chance(1, 1500) {
            return self.delayed_flush();
        }
        let meta = match self.mode {
            Mode::Text | Mode::Binary => false,
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
}
