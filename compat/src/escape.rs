//! Bytes as a readable line of C escapes, and back.
//!
//! Printable ASCII stands for itself. The writer uses the escapes `\r \n \t \0 \\ \"` and `\xHH`.
//! `\*N{text}` stands for `text` repeated N times, so that long keys and values stay on one line.
//! Only `record` and people write it.

use std::fmt::Write as _;

use crate::Outcome;

/// Writes `bytes` with escapes, without surrounding quotes.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

/// Like [`escape`], for messages. A text of more than `limit` bytes is cut in the middle.
pub fn shorten(bytes: &[u8], limit: usize) -> String {
    if bytes.len() <= limit {
        return escape(bytes);
    }
    let half = limit / 2;
    let hidden = bytes.len() - 2 * half;
    format!("{}<… {hidden} bytes …>{}", escape(&bytes[..half]), escape(&bytes[bytes.len() - half..]))
}

/// Reads the output of [`escape`], and repeats.
///
/// # Errors
///
/// An unknown escape.
pub fn unescape(text: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let source = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = source.get(at) {
        at += 1;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let kind = *source.get(at).ok_or("a lone backslash at the end")?;
        at += 1;
        match kind {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'\\' => bytes.push(b'\\'),
            b'"' => bytes.push(b'"'),
            b'x' => {
                let digits = text.get(at..at + 2).ok_or("\\x needs two digits")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is no number"))?);
                at += 2;
            }
            b'*' => {
                let rest = text.get(at..).ok_or("a repeat cut short")?;
                let open = rest.find('{').ok_or("\\* needs a count and a {")?;
                let close = rest.find('}').ok_or("\\*N{ needs a }")?;
                let count: usize = rest[..open].parse().map_err(|_| "\\* needs a count".to_owned())?;
                let piece = unescape(rest.get(open + 1..close).ok_or("\\*N{ needs a }")?)?;
                if piece.len().saturating_mul(count) > 64 << 20 {
                    return Err("a repeat longer than 64 MiB".to_owned());
                }
                bytes.extend(piece.repeat(count));
                at += close + 1;
            }
            other => return Err(format!("unknown escape \\{}", char::from(other))),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&all)), Ok(all));
    }

    #[test]
    fn repeats() {
        assert_eq!(unescape("a\\*3{bc}\\r\\n"), Ok(b"abcbcbc\r\n".to_vec()));
        assert!(unescape("\\q").is_err());
    }
}
