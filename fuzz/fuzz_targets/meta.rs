//! A line of the meta protocol: the parsed request lies within bounds, and each reply without a
//! value is one line.

#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use memcache_core::Clock;
use memcache_core::internal::cache::{Operation, Response, StoreReply, Stored};
use memcache_core::internal::protocol::commands::parse;
use memcache_core::internal::protocol::encoder::{Encoder, Form};
use memcache_core::internal::protocol::line::Line;
use memcache_core::internal::protocol::meta::KeyRoom;
use memcache_core::internal::protocol::output::Output;
use memcache_fuzz::first_line;

thread_local! {
    static CLOCK: LazyCell<Clock> = const { LazyCell::new(Clock::new) };
}

/// Checks the reply to a command on `key`.
fn reply(key: &[u8], form: &Form<'_>, clock: &Clock, response: &Response<'_>) {
    let mut out = Output::new();
    Encoder { out: &mut out, form, key, clock }.encode(response);
    let mut reply = Vec::new();
    while !out.is_empty() {
        out.write_to(&mut reply).expect("a vector takes all");
    }
    assert!(reply.is_empty() || reply.ends_with(b"\r\n"));
    // A key from base64 is shown in base64.
    assert!(reply.iter().filter(|&&byte| byte == b'\n').count() <= 1);
}

fn check(line: &Line<'_>, clock: &Clock) {
    match line {
        Line::Data { key, operation, form } => {
            assert!((1..=250).contains(&key.bytes().len()));
            assert!(!matches!(operation, Operation::Get { .. } | Operation::Touch { .. }));
            reply(key.bytes(), form, clock, &Response::miss_of(operation));
        }
        Line::Store { key, length, form, .. } => {
            assert!((1..=250).contains(&key.bytes().len()));
            assert!(*length <= i32::MAX as usize - 2);
            for stored in [Stored::Stored, Stored::NotStored, Stored::Exists, Stored::NotFound] {
                let stored = StoreReply { stored, cas: u64::MAX, length: *length };
                reply(key.bytes(), form, clock, &Response::Stored(stored));
            }
        }
        Line::Late { key, length, .. } => {
            assert!((1..=250).contains(&key.bytes().len()));
            assert!(*length <= i32::MAX as usize - 2);
        }
        Line::Bad { error, swallow, .. } => {
            assert!(error.starts_with("CLIENT_ERROR ") && *swallow <= i32::MAX as usize);
        }
        Line::Noop | Line::Other => {}
        Line::Gets { .. } => panic!("not a meta command"),
    }
}

fuzz_target!(|input: &[u8]| {
    let line = first_line(input);
    // The longest line that the session passes on.
    let line = &line[..line.len().min(2047)];
    let word = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    if line.starts_with(b"m") {
        CLOCK.with(|clock| check(&parse(line, word, &mut KeyRoom::new()), clock));
    }
});
