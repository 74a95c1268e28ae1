//! A line of the meta protocol: the parsed request lies within bounds, and the reply to a store is
//! one line.

#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use memcache_core::Clock;
use memcache_core::internal::cache::{StoreReply, Stored};
use memcache_core::internal::protocol::meta::{Flags, Line, parse};
use memcache_core::internal::protocol::output::Output;
use memcache_core::internal::protocol::request::Key;
use memcache_fuzz::first_line;

thread_local! {
    static CLOCK: LazyCell<Clock> = const { LazyCell::new(Clock::new) };
}

fn check(line: &Line<'_>, clock: &Clock) {
    let check_key = |key: Key<'_>| assert!((1..=250).contains(&key.bytes().len()));
    let look = |flags: &Flags<'_>| {
        flags.key().map(check_key);
        let _ = (flags.expiries(clock), flags.client_flags());
    };
    match line {
        Line::Get(flags) => {
            look(flags);
            let _ = flags.get(clock, 9);
        }
        Line::Delete(flags) => {
            look(flags);
            let _ = flags.delete(clock, 9);
        }
        Line::Delta(flags) => {
            look(flags);
            let _ = flags.delta(clock, 9);
        }
        Line::Inspect(flags) => {
            look(flags);
            let _ = flags.inspect();
        }
        Line::Set(flags, length) => {
            look(flags);
            assert!(*length <= i32::MAX as usize - 2);
            let Ok(head) = flags.set() else { return };
            check_key(head.key);
            for stored in [Stored::Stored, Stored::NotStored, Stored::Exists, Stored::NotFound] {
                let mut out = Output::new();
                flags.echo().answer(&mut out, b"key", &StoreReply { stored, cas: u64::MAX, length: *length });
                let mut answer = Vec::new();
                while !out.is_empty() {
                    out.write_to(&mut answer).expect("a vector takes all");
                }
                assert!(answer.is_empty() || answer.ends_with(b"\r\n"));
                assert!(answer.iter().filter(|&&byte| byte == b'\n').count() <= 1);
            }
        }
        Line::Bad(error, swallow) => {
            assert!(error.starts_with("CLIENT_ERROR ") && *swallow <= i32::MAX as usize);
        }
        Line::Noop | Line::Other => {}
    }
}

fuzz_target!(|input: &[u8]| {
    let line = first_line(input);
    // The longest line that the session passes on.
    let line = &line[..line.len().min(2047)];
    CLOCK.with(|clock| check(&parse(line), clock));
});
