//! The scan ahead: it returns keys that are in the input, and lengths that agree with the parsers
//! for well-formed commands.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::protocol::ahead::{keys, packet_keys};
use memcache_core::internal::protocol::binary::PacketHeader;
use memcache_core::internal::protocol::commands::{find, parse};
use memcache_core::internal::protocol::line::Line;
use memcache_core::internal::protocol::meta::KeyRoom;
use memcache_core::internal::protocol::tokens::{Tokens, strip_line_end};

type Look = for<'a> fn(&'a [u8], usize, &mut dyn FnMut(&'a [u8])) -> usize;

fn look(with: Look, input: &[u8], most: usize) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    let used = with(input, most, &mut |key| found.push(key));
    (found, used)
}

fn check(with: Look, input: &[u8]) {
    let (all, used) = look(with, input, 16);
    let range = input.as_ptr_range();
    assert!(all.len() <= 16 && (used > 0 || all.is_empty()));
    for key in &all {
        assert!(!key.is_empty() && range.contains(&key.as_ptr()) && key.as_ptr_range().end <= range.end);
    }
    // A smaller maximum gives the first of these.
    for most in 0..4 {
        let (some, less) = look(with, input, most);
        assert!(some.len() <= most && all.starts_with(&some) && less <= used);
    }
}

/// Checks that key and length of a store's line are those of the parser.
fn check_store(input: &[u8]) {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return };
    let line = strip_line_end(&input[..=end]);
    let word = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let mut room = KeyRoom::new();
    let Line::Store { key: stored, length, .. } = parse(line, word, &mut room) else { return };
    let Some(command) = find(&line[..word]) else { panic!("a store is in the table") };
    let tokens = Tokens::new(line);
    let digits = tokens.get(command.value);
    let plain = !line.contains(&b'\r') && digits.is_some_and(|digits| digits.len() <= 7);
    // The key of an `ms` may be in base64.
    let stored = if command.word == "ms" { tokens.get(1).unwrap_or_default() } else { stored.bytes() };
    let (found, used) = look(|input, most, found| keys(input, most, found), input, 1);
    if let ([key], true) = (found.as_slice(), plain) {
        assert_eq!((*key, used), (stored, end + 1 + length + 2));
    }
}

fuzz_target!(|input: &[u8]| {
    check(|input, most, found| keys(input, most, found), input);
    check(|input, most, found| packet_keys(input, most, found), input);
    check_store(input);
    let whole = PacketHeader::read(input).filter(PacketHeader::is_request).map(|header| header.whole());
    let used = packet_keys(input, 1, |_| ());
    assert!(used == 0 || Some(used) == whole);
});
