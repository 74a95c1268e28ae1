//! A text request under construction.

use crate::group::{Draft, Ending, Piece};

/// A command line, and the bytes that follow it.
pub(crate) struct Line {
    pub(crate) pieces: Vec<Piece>,
}

impl Line {
    pub(crate) fn new(verb: &str) -> Self {
        Self { pieces: vec![Piece::Bytes(verb.as_bytes().to_vec())] }
    }

    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        Self { pieces: vec![Piece::Bytes(parts.concat())] }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    pub(crate) fn word(&mut self, word: &[u8]) {
        self.raw(b" ");
        self.raw(word);
    }

    pub(crate) fn piece(&mut self, prefix: &[u8], piece: Piece) {
        self.word(prefix);
        match piece {
            Piece::Bytes(bytes) => self.raw(&bytes),
            number => self.pieces.push(number),
        }
    }

    /// Appends filler for `missing` bytes of data. The part that is not read as data causes errors
    /// that can be compared.
    pub(crate) fn fill(&mut self, missing: usize) {
        if missing > 0 {
            self.raw(&b"mn\r\n".repeat(missing.div_ceil(4)));
            self.raw(b"\r\n");
        }
    }

    pub(crate) fn pieces_len(&self) -> usize {
        self.pieces.iter().map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 0 }).sum()
    }

    pub(crate) fn end(mut self, end: &[u8], key: Option<usize>) -> Draft {
        self.raw(end);
        Draft { key, pieces: self.pieces, ending: Ending::Marker }
    }
}
