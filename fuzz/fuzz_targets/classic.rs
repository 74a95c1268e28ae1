//! A line of the classic protocol: the parsed parts lie in the line and within bounds. The line
//! that is written from them is parsed to the same parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::cache::{Exptime, Mode, StoreOperation};
use memcache_core::internal::protocol::commands::parse;
use memcache_core::internal::protocol::encoder::Form;
use memcache_core::internal::protocol::line::Line;
use memcache_core::internal::protocol::meta::KeyRoom;
use memcache_fuzz::first_line;

fn word(line: &[u8]) -> usize {
    line.iter().position(|&byte| byte == b' ').unwrap_or(line.len())
}

fn write(key: &[u8], head: &StoreOperation<Exptime>, length: usize, quiet: bool) -> Vec<u8> {
    let name = match head.mode {
        Mode::Set => "set",
        Mode::Add => "add",
        Mode::Replace => "replace",
        Mode::Append => "append",
        Mode::Prepend => "prepend",
        Mode::Cas => "cas",
    };
    let cas = if head.mode == Mode::Cas { format!(" {}", head.compare) } else { String::new() };
    let quiet = if quiet { " noreply" } else { "" };
    let rest = format!(" {} {} {length}{cas}{quiet}", head.flags, head.expiry);
    [name.as_bytes(), b" ", key, rest.as_bytes()].concat()
}

fuzz_target!(|input: &[u8]| {
    let line = first_line(input);
    if line.starts_with(b"m") {
        // The target `meta` has these.
        return;
    }
    let mut room = KeyRoom::new();
    match parse(line, word(line), &mut room) {
        Line::Gets { keys, .. } => assert!(keys <= line.len()),
        Line::Store { key, operation, length, form: Form::Classic { quiet, .. } } => {
            assert!((1..=250).contains(&key.bytes().len()));
            assert!(length <= i32::MAX as usize - 2);
            let again = write(key.bytes(), &operation, length, quiet);
            let mut room = KeyRoom::new();
            let line = parse(&again, word(&again), &mut room);
            let Line::Store { key: second, operation: also, length: bytes, form } = line else {
                panic!("not a store: {}", String::from_utf8_lossy(&again));
            };
            assert_eq!((key, length), (second, bytes));
            assert_eq!(format!("{operation:?}"), format!("{also:?}"));
            assert!(matches!(form, Form::Classic { quiet: too, .. } if too == quiet));
        }
        Line::Data { operation, .. } => assert!(!format!("{operation:?}").is_empty()),
        Line::Bad { error, swallow, .. } => {
            assert!(error.starts_with("CLIENT_ERROR ") && (swallow == 0 || swallow >= 2));
            assert!(swallow <= i32::MAX as usize);
        }
        Line::Other => {}
        Line::Store { .. } | Line::Noop | Line::Late { .. } => panic!("not a classic command"),
    }
});
