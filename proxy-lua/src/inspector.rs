//! The steps of inspectors: questions about a request or a response.

use memcache_core::internal::protocol::tokens::strict_i64;
use memcache_core::internal::proxy::request::ClientRequest;

use crate::request;
use crate::response::Response;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The piece of the key between separators with this number, from 1. Separators at the start
    /// are skipped.
    Piece {
        /// The separator.
        separator: u8,
        /// The number of the piece.
        number: i64,
    },
    /// Whether the key begins with a text, and is longer.
    KeyBegins(Vec<u8>),
    /// Whether the key is a text.
    KeyIs(Vec<u8>),
    /// Whether there is a flag.
    HasFlag(u8),
    /// Whether there is a flag, and its text.
    FlagText(u8),
    /// Whether there is a flag, and its number.
    FlagNumber(u8),
    /// Whether there is a flag, and whether it has a text.
    FlagIs(u8, Vec<u8>),
}

/// An answer. One about a flag is `None` if the flag is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The piece, if it is there and not empty.
    Piece(Option<&'a [u8]>),
    /// Yes or no.
    Is(bool),
    /// The text of a flag. It may be empty.
    Text(Option<&'a [u8]>),
    /// The number of a flag, if it has one.
    Number(Option<Option<i64>>),
    /// Whether the flag has the text.
    Equal(Option<bool>),
}

/// The question was about the flags of a classic response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotMeta;

impl Step {
    /// Answers the question about a request.
    pub fn of_request<'a>(&self, request: &'a ClientRequest) -> Answer<'a> {
        let key = request.key();
        match self {
            Self::Piece { separator, number } => {
                let start = key.iter().position(|byte| byte != separator).unwrap_or(key.len());
                let mut pieces = key.get(start..).unwrap_or_default().split(|byte| byte == separator);
                let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
                Answer::Piece(index.and_then(|index| pieces.nth(index)).filter(|piece| !piece.is_empty()))
            }
            Self::KeyBegins(text) => Answer::Is(key.len() > text.len() && key.starts_with(text)),
            Self::KeyIs(text) => Answer::Is(key == text),
            Self::HasFlag(flag) => Answer::Is(request.flags().has(*flag)),
            Self::FlagText(_) | Self::FlagNumber(_) | Self::FlagIs(..) => {
                self.of_flag(|flag| request::flag(request, flag))
            }
        }
    }

    /// Answers the question about a response.
    ///
    /// # Errors
    /// The response has no flags. Only [`Step::HasFlag`] takes that for an error.
    pub fn of_response<'a>(&self, response: &'a Response) -> Result<Answer<'a>, NotMeta> {
        match self {
            Self::HasFlag(flag) if response.is_meta() => Ok(Answer::Is(response.flags().has(*flag))),
            Self::HasFlag(_) => Err(NotMeta),
            _ => Ok(self.of_flag(|flag| response.flag(flag))),
        }
    }

    fn of_flag<'a>(&self, find: impl Fn(u8) -> Option<&'a [u8]>) -> Answer<'a> {
        match self {
            Self::FlagText(flag) => Answer::Text(find(*flag)),
            // An empty text is not a number.
            Self::FlagNumber(flag) => Answer::Number(
                find(*flag).map(|text| Some(text).filter(|text| !text.is_empty()).and_then(strict_i64)),
            ),
            Self::FlagIs(flag, text) => Answer::Equal(find(*flag).map(|found| found == text)),
            _ => Answer::Is(false),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn pieces_of_a_key() {
        let piece = |key: &str, number| {
            let request = ClientRequest::parse(format!("mg {key}").as_bytes(), b"").unwrap();
            match (Step::Piece { separator: b'/', number }).of_request(&request) {
                Answer::Piece(piece) => piece.map(|piece| String::from_utf8(piece.to_vec()).unwrap()),
                other => panic!("{other:?}"),
            }
        };
        for (key, number, expected) in [
            ("a/b/c", 1, Some("a")),
            ("a/b/c", 3, Some("c")),
            ("a/b/c", 4, None),
            ("//a/b", 1, Some("a")),
            ("a//b", 2, None),
            ("a//b", 3, Some("b")),
            ("a/", 2, None),
            ("///", 1, None),
            ("a", 0, None),
            ("a", -1, None),
        ] {
            assert_eq!(piece(key, number).as_deref(), expected, "{key} {number}");
        }
    }

    #[test]
    fn keys_and_flags_of_requests() {
        let request = ClientRequest::parse(b"mg key s T30 Ox", b"").unwrap();
        for (step, answer) in [
            (Step::KeyBegins(b"ke".to_vec()), Answer::Is(true)),
            (Step::KeyBegins(b"key".to_vec()), Answer::Is(false)),
            (Step::KeyIs(b"key".to_vec()), Answer::Is(true)),
            (Step::KeyIs(b"ke".to_vec()), Answer::Is(false)),
            (Step::HasFlag(b's'), Answer::Is(true)),
            (Step::HasFlag(b'v'), Answer::Is(false)),
            (Step::FlagText(b'O'), Answer::Text(Some(b"x"))),
            (Step::FlagText(b's'), Answer::Text(Some(b""))),
            (Step::FlagText(b'v'), Answer::Text(None)),
            (Step::FlagNumber(b'T'), Answer::Number(Some(Some(30)))),
            (Step::FlagNumber(b'O'), Answer::Number(Some(None))),
            (Step::FlagNumber(b's'), Answer::Number(Some(None))),
            (Step::FlagNumber(b'v'), Answer::Number(None)),
            (Step::FlagIs(b'O', b"x".to_vec()), Answer::Equal(Some(true))),
            (Step::FlagIs(b'O', b"xy".to_vec()), Answer::Equal(Some(false))),
            (Step::FlagIs(b'v', b"x".to_vec()), Answer::Equal(None)),
        ] {
            assert_eq!(step.of_request(&request), answer, "{step:?}");
        }
    }

    #[test]
    fn flags_of_responses() {
        let meta = Response::parse(b"VA 2 t-1 Oab\r\nhi\r\n".to_vec());
        let classic = Response::parse(b"VALUE t 0 2\r\nhi\r\nEND\r\n".to_vec());
        assert_eq!(Step::HasFlag(b't').of_response(&meta), Ok(Answer::Is(true)));
        assert_eq!(Step::HasFlag(b't').of_response(&classic), Err(NotMeta));
        assert_eq!(Step::FlagNumber(b't').of_response(&meta), Ok(Answer::Number(Some(Some(-1)))));
        assert_eq!(Step::FlagText(b't').of_response(&classic), Ok(Answer::Text(None)));
        assert_eq!(Step::FlagIs(b'O', b"ab".to_vec()).of_response(&meta), Ok(Answer::Equal(Some(true))));
    }
}
