//! Lines, numbers and values, which both text protocols write alike.

use super::head::{Head, LONGEST_LINE};

/// Reads the beginning of a reply in a text protocol. `value` parses the line after `prefix`, and
/// `status` the other lines. The error for lack of memory is the same in both text protocols.
#[inline]
pub fn text_head<'a>(
    input: &'a [u8],
    prefix: &[u8],
    value: fn(&'a [u8], usize) -> Option<Head<'a>>,
    status: fn(&[u8], usize) -> Option<Head<'static>>,
) -> Head<'a> {
    let (line, used) = match line(input) {
        Ok(found) => found,
        Err(head) => return head,
    };
    let head = match line.strip_prefix(prefix) {
        Some(rest) => value(rest, used),
        None if line.starts_with(b"SERVER_ERROR out of memory") => Some(Head::Refused { used }),
        None if line.starts_with(b"SERVER_ERROR ") => Some(Head::Failed { used }),
        None => status(line, used),
    };
    head.unwrap_or(Head::Wrong)
}

/// Appends the end of a line, and a value with its own line end.
pub fn put_value(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Returns the first line of `input` without its CR LF, and its length with them.
#[inline]
fn line(input: &[u8]) -> Result<(&[u8], usize), Head<'static>> {
    match memchr::memchr(b'\n', input) {
        Some(end) => match input[..end].strip_suffix(b"\r") {
            Some(line) => Ok((line, end + 1)),
            None => Err(Head::Wrong),
        },
        None if input.len() <= LONGEST_LINE => Err(Head::Partial),
        None => Err(Head::Wrong),
    }
}

/// Parses a decimal number of at most nine digits.
#[inline]
pub fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_usize, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0')))
}

pub fn put_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"104857600"), Some(104_857_600));
        for wrong in [&b""[..], b"-1", b"1x", b"+1", b"9999999999"] {
            assert_eq!(number(wrong), None);
        }
    }
}
