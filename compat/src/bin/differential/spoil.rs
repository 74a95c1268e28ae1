//! Makes mistakes in complete text commands.

use crate::generate::Generator;
use crate::group::{Draft, Ending, Piece};
use crate::line::Line;
use crate::words;

impl Generator {
    /// Spoils the command line of a complete command.
    pub(crate) fn mangle(&mut self, draft: Draft) -> Draft {
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

/// Returns the length that a word may announce, parsed as leniently as any version of memcached
/// does.
fn announced(word: &[u8]) -> Option<usize> {
    let word = word.trim_ascii_start();
    let word = word.strip_prefix(b"+").unwrap_or(word);
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: usize = std::str::from_utf8(&word[..digits]).ok()?.parse().ok()?;
    // Larger ones are refused before any data is read.
    (number <= 2_147_483_645).then_some(number)
}
