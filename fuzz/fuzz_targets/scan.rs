//! Tokens and numbers against the simplest way to read them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::protocol::tokens::{
    Tokens, float, loose_i32, loose_u32, strict_i32, strict_i64, strict_u32, strict_u64, strip_line_end,
};

/// Parses a number of digits alone, with a minus if `signed`. An empty token is 0.
fn strict(token: &[u8], signed: bool, most: usize) -> Option<i128> {
    let digits = if signed { token.strip_prefix(b"-").unwrap_or(token) } else { token };
    if token.len() > most || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i128 = if digits.is_empty() { 0 } else { std::str::from_utf8(digits).ok()?.parse().ok()? };
    Some(if digits.len() < token.len() { -number } else { number })
}

/// Parses a number as `strtol` does, if white space, a NUL or the end follows.
fn loose(text: &[u8]) -> Option<(bool, u64)> {
    let is_space = |byte: u8| byte == b' ' || (b'\t'..=b'\r').contains(&byte);
    let start = text.iter().position(|&byte| !is_space(byte))?;
    let (negative, rest) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    if rest.get(end).is_some_and(|&byte| !is_space(byte) && byte != 0) {
        return None;
    }
    Some((negative, std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?))
}

fuzz_target!(|input: &[u8]| {
    let line = strip_line_end(input);
    assert!(input.starts_with(line) && input.len() - line.len() <= 2);
    let expected: Vec<&[u8]> =
        line.split(|&byte| byte == b' ').filter(|token| !token.is_empty()).take(23).collect();
    let tokens = Tokens::new(line);
    assert_eq!((tokens.len(), tokens.is_empty()), (expected.len(), expected.is_empty()));
    assert_eq!(tokens.from(0).collect::<Vec<_>>(), expected);
    assert_eq!(tokens.last(), expected.last().copied());
    assert_eq!(tokens.is_noreply(), tokens.last() == Some(b"noreply"));
    for index in 0..30 {
        assert_eq!(tokens.get(index), expected.get(index).copied());
        let rest = tokens.rest(index);
        assert_eq!(rest.is_some(), index < expected.len());
        assert!(rest.is_none_or(|rest| line.ends_with(rest) && rest.starts_with(expected[index])));
        assert_eq!(
            tokens.abbreviates(index, "metadump"),
            expected.get(index).is_some_and(|token| b"metadump".starts_with(token))
        );
    }
    for token in [line, input].into_iter().chain(expected) {
        let number = |signed, most| strict(token, signed, most);
        assert_eq!(strict_u32(token), number(false, 11).and_then(|n| n.try_into().ok()));
        assert_eq!(strict_u64(token), number(false, 22).and_then(|n| n.try_into().ok()));
        assert_eq!(strict_i32(token), number(true, 11).and_then(|n| n.try_into().ok()));
        assert_eq!(strict_i64(token), number(true, 22).and_then(|n| n.try_into().ok()));
        let signed = |(negative, sum)| if negative { -i128::from(sum) } else { i128::from(sum) };
        let long = loose(token).map(signed).and_then(|n| i64::try_from(n).ok());
        assert_eq!(loose_i32(token), long.map(|n| n as i32));
        // memcached refuses a number with a minus if its 64 bits are negative as a signed number.
        let unsigned = loose(token).filter(|&(negative, sum)| !negative || sum.wrapping_neg() as i64 >= 0);
        let wrap = |(negative, sum): (bool, u64)| if negative { sum.wrapping_neg() } else { sum };
        assert_eq!(loose_u32(token), unsigned.map(wrap).map(|n| n as u32));
        assert!(float(token).is_none() || token.len() <= 31);
    }
});
