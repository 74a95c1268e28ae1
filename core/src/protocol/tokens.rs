//! Tokens and numbers of the text protocols, by memcached's rules.

/// Most tokens of a line. Further ones are ignored.
const MOST: usize = 23;

/// Start and end of each token of a line.
#[derive(Debug)]
pub struct Tokens<'a> {
    line: &'a [u8],
    spans: [(u32, u32); MOST],
    count: usize,
}

impl<'a> Tokens<'a> {
    /// Splits a line without its end at spaces.
    #[inline]
    pub fn new(line: &'a [u8]) -> Self {
        let mut spans = [(0, 0); MOST];
        let mut count = 0;
        let mut start = 0;
        for (at, &byte) in line.iter().enumerate() {
            if byte == b' ' {
                if start < at {
                    spans[count] = (start as u32, at as u32);
                    count += 1;
                    if count == MOST {
                        return Self { line, spans, count };
                    }
                }
                start = at + 1;
            }
        }
        if start < line.len() {
            spans[count] = (start as u32, line.len() as u32);
            count += 1;
        }
        Self { line, spans, count }
    }

    /// Returns the number of tokens.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns token `index`, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.spans.get(..self.count)?.get(index)?;
        self.line.get(start as usize..end as usize)
    }

    /// Returns the line from token `index` on.
    #[inline]
    pub fn rest(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, _) = self.spans.get(..self.count)?.get(index)?;
        self.line.get(start as usize..)
    }

    /// Returns the last token.
    #[inline]
    pub fn last(&self) -> Option<&'a [u8]> {
        self.get(self.count.checked_sub(1)?)
    }

    /// Returns whether the last token is `noreply`.
    #[inline]
    pub fn is_noreply(&self) -> bool {
        self.last() == Some(b"noreply")
    }

    /// Iterates over the tokens from `index` on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        (index..self.count).filter_map(|at| self.get(at))
    }

    /// Returns whether token `index` is `word` or an abbreviation of it.
    pub fn abbreviates(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|token| word.as_bytes().starts_with(token))
    }
}

/// Splits input into its first line and the rest. The line ends before `\n` or `\r\n`.
#[inline]
pub fn strip_line_end(line: &[u8]) -> &[u8] {
    match line {
        [head @ .., b'\r', b'\n'] | [head @ .., b'\n'] => head,
        other => other,
    }
}

/// Parses a decimal number without sign. An empty text is 0, as in memcached.
macro_rules! strict_unsigned {
    ($(#[$doc:meta])* $name:ident, $type:ty, $most:literal) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(token: &[u8]) -> Option<$type> {
            if token.len() > $most {
                return None;
            }
            let mut sum: $type = 0;
            for &byte in token {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                sum = sum.checked_mul(10)?.checked_add(<$type>::from(digit))?;
            }
            Some(sum)
        }
    };
}

strict_unsigned!(
    /// 32 bits, at most 11 digits.
    strict_u32, u32, 11
);
strict_unsigned!(
    /// 64 bits, at most 22 digits.
    strict_u64, u64, 22
);

/// Parses a decimal number of 32 bits with an optional minus, of at most 11 characters.
#[inline]
pub fn strict_i32(token: &[u8]) -> Option<i32> {
    if token.len() > 11 {
        return None;
    }
    strict_i64(token).and_then(|number| i32::try_from(number).ok())
}

/// Parses a decimal number of 64 bits with an optional minus, of at most 22 characters.
#[inline]
pub fn strict_i64(token: &[u8]) -> Option<i64> {
    if token.len() > 22 {
        return None;
    }
    let (negative, digits) = match token {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut sum: i64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        let digit = i64::from(digit);
        sum = sum.checked_mul(10)?.checked_add(if negative { -digit } else { digit })?;
    }
    Some(sum)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Parses sign and digits at the start of `text` by the rules of `strtol`. The number must end at
/// white space, a NUL or the end.
#[inline]
fn loose(text: &[u8]) -> Option<(bool, u64)> {
    let mut at = 0;
    while text.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    let negative = match text.get(at) {
        Some(b'-') => {
            at += 1;
            true
        }
        Some(b'+') => {
            at += 1;
            false
        }
        _ => false,
    };
    let first = at;
    let mut sum: u64 = 0;
    while let Some(&byte) = text.get(at)
        && byte.is_ascii_digit()
    {
        sum = sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        at += 1;
    }
    let ended = text.get(at).is_none_or(|&byte| is_space(byte) || byte == 0);
    (at > first && ended).then_some((negative, sum))
}

/// Parses client flags as memcached does: `strtoul`, truncated to 32 bits.
#[inline]
pub fn loose_u32(text: &[u8]) -> Option<u32> {
    let (negative, sum) = loose(text)?;
    let value = if negative { sum.wrapping_neg() } else { sum };
    if negative && (value as i64) < 0 {
        return None;
    }
    Some(value as u32)
}

/// Parses an exptime as memcached does: `strtol`, truncated to 32 bits.
#[inline]
pub fn loose_i32(text: &[u8]) -> Option<i32> {
    let (negative, sum) = loose(text)?;
    let value = if negative {
        if sum > 1 << 63 {
            return None;
        }
        (sum as i64).wrapping_neg()
    } else {
        i64::try_from(sum).ok()?
    };
    Some(value as i32)
}

/// Parses a number with a fraction, as `strtod` reads decimal ones.
pub fn float(token: &[u8]) -> Option<f64> {
    if token.len() > 31 {
        return None;
    }
    std::str::from_utf8(token).ok()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_split_at_runs_of_spaces() {
        let tokens = Tokens::new(b"set  a 0 1   noreply ");
        assert_eq!(tokens.from(0).collect::<Vec<_>>(), [&b"set"[..], b"a", b"0", b"1", b"noreply"]);
        assert!(tokens.is_noreply());
        assert!(Tokens::new(b"   ").is_empty());
        assert_eq!(Tokens::new(&[b'a', b' '].repeat(50)).len(), MOST);
    }

    #[test]
    fn strict_numbers() {
        assert_eq!(strict_u32(b"4294967295"), Some(u32::MAX));
        assert_eq!(strict_u32(b"4294967296"), None);
        assert_eq!(strict_u32(b"-1"), None);
        assert_eq!(strict_u32(b""), Some(0));
        assert_eq!(strict_i32(b"-2147483648"), Some(i32::MIN));
        assert_eq!(strict_i32(b"2147483648"), None);
        assert_eq!(strict_u64(b"18446744073709551616"), None);
        assert_eq!(strict_i32(b"-"), Some(0));
    }

    #[test]
    fn loose_numbers() {
        assert_eq!(loose_u32(b"5 rest"), Some(5));
        assert_eq!(loose_u32(b"4294967296 "), Some(0));
        assert_eq!(loose_u32(b"-1 "), None);
        assert_eq!(loose_u32(b"5x"), None);
        assert_eq!(loose_i32(b"4294967295"), Some(-1));
        assert_eq!(loose_i32(b"-1"), Some(-1));
        assert_eq!(loose_i32(b"99999999999999999999"), None);
    }
}
