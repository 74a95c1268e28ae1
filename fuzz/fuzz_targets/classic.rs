//! A line of the classic protocol: the parsed parts lie in the line and within bounds. The line
//! that is written from them is parsed to the same parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::cache::Mode;
use memcache_core::internal::protocol::classic::{Line, parse};
use memcache_core::internal::protocol::request::StoreHead;
use memcache_fuzz::first_line;

fn word(line: &[u8]) -> usize {
    line.iter().position(|&byte| byte == b' ').unwrap_or(line.len())
}

fn write(head: &StoreHead<'_>, length: usize, quiet: bool) -> Vec<u8> {
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
    let rest = format!(" {} {} {length}{cas}{quiet}", head.flags, head.exptime);
    [name.as_bytes(), b" ", head.key.bytes(), rest.as_bytes()].concat()
}

fuzz_target!(|input: &[u8]| {
    let line = first_line(input);
    match parse(line, word(line), 9) {
        Line::Gets { keys, .. } => assert!(keys <= line.len()),
        Line::Store { head, length, quiet } => {
            assert!((1..=250).contains(&head.key.bytes().len()));
            assert!(length <= i32::MAX as usize - 2);
            let again = write(&head, length, quiet);
            let Line::Store { head: second, length: also, quiet: too } = parse(&again, word(&again), 9)
            else {
                panic!("not a store: {}", String::from_utf8_lossy(&again));
            };
            assert_eq!(format!("{head:?}"), format!("{second:?}"));
            assert_eq!((length, quiet), (also, too));
        }
        Line::Data { request, .. } => assert!(!format!("{request:?}").is_empty()),
        Line::Bad { error, swallow, .. } => {
            assert!(error.starts_with("CLIENT_ERROR ") && (swallow == 0 || swallow >= 2));
            assert!(swallow <= i32::MAX as usize);
        }
        Line::Other => {}
    }
});
