//! Text for terminals: tables, JSON, and bytes that a terminal shows without obeying them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Returns the bytes as text. Control characters, characters that change the direction of text, and
/// bytes that are not UTF-8 are escaped, as in `\n`, `\u{9b}` and `\xff`.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\'' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Returns a value as one line of JSON. It escapes the characters that [`printable`] escapes.
pub fn json(value: &Value) -> String {
    let mut line = String::new();
    for character in value.to_string().chars() {
        // Such characters are in texts only, where JSON allows an escape.
        if character == '\\' || character == '"' || character == '\'' || character.escape_debug().len() == 1 {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line.push('\n');
    line
}

/// Returns a key as in a URL, which is the form of memcached's lists of keys.
pub fn url(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Returns the name and the text of a key in JSON, which has base64 if the key is not UTF-8.
pub fn key_json(key: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(key) {
        Ok(key) => ("key", key.to_owned()),
        Err(_) => ("key_base64", STANDARD.encode(key)),
    }
}

/// The side of a column at which its cells begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// A table with a head. Its cells must be printable.
#[derive(Debug)]
pub struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table without rows.
    pub fn new(columns: impl IntoIterator<Item = (String, Side)>) -> Self {
        let (head, sides) = columns.into_iter().unzip();
        Self { sides, rows: vec![head] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Returns the lines. Two spaces are between columns, and none are at the end of a line.
    pub fn lines(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<_> = (0..self.sides.len()).map(|column| width(column).unwrap_or_default()).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), side) in row.iter().zip(&widths).zip(&self.sides) {
                let _ = match side {
                    Side::Left => write!(line, "{cell:<width$}  "),
                    Side::Right => write!(line, "{cell:>width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_terminal_never_gets_control_characters() {
        assert_eq!(printable(b"a b\"'\xc3\xa9"), "a b\"'é");
        assert_eq!(printable(b"\x1b[2J\r\n\x7f\xff\\"), "\\u{1b}[2J\\r\\n\\u{7f}\\xff\\\\");
        assert_eq!(printable("\u{9b}\u{202e}".as_bytes()), "\\u{9b}\\u{202e}");
        let line = json(&json!({ "a": "\u{1b}\u{7f}\u{9b}\u{202e}é\"\\" }));
        assert_eq!(line, "{\"a\":\"\\u001b\\u007f\\u009b\\u202eé\\\"\\\\\"}\n");
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([("NAME".into(), Side::Left), ("N".into(), Side::Right)]);
        table.push(vec!["a".into(), "100".into()]);
        table.push(vec!["longer".into(), "1".into()]);
        assert_eq!(table.lines(), "NAME      N\na       100\nlonger    1\n");
    }
}
