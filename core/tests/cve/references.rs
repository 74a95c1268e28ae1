//! Reference counts of items that overflowed or leaked.

use std::io::{self, IoSlice, Write};

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Session};
use memcache_rs::{Protocol, ServerConfig, Ttl};

use super::{attack, context, context_of, packet, talk, unharmed};

/// More than 16 bits can count.
const MANY: usize = 70_000;

/// Length of a value that replies pin in the store. Smaller values are copied.
const LENGTH: usize = 5000;

fn value() -> Vec<u8> {
    (0..LENGTH).map(|at| b'a' + (at * 7 % 26) as u8).collect()
}

/// Compares the written bytes with repetitions of `unit`, without keeping them.
struct Repeats<'a> {
    unit: &'a [u8],
    written: usize,
}

impl Write for Repeats<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at = self.written % self.unit.len();
        let n = bytes.len().min(self.unit.len() - at);
        let at_end = self.written >= MANY * self.unit.len();
        let expected = if at_end { b"END\r\n" } else { &self.unit[at..at + n] };
        assert!(bytes[..n] == *expected, "other bytes than were stored, at {}", self.written);
        self.written += n;
        Ok(n)
    }

    /// Takes all slices, as a socket does.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        for slice in slices {
            self.write_all(slice)?;
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends `input`, which asks [`MANY`] times for the same item. The reply, which repeats `unit`, is
/// read only after the item was removed and its memory reused.
fn hold_many(input: &[u8], unit: &[u8]) {
    let context = context_of(ServerConfig { output_limit: usize::MAX, ..ServerConfig::default() });
    let cache = &context.cache;
    cache.set(b"k", value(), Ttl::Never).unwrap();
    let mut session = Session::new(Protocol::Negotiating);
    let mut out = Output::new();
    let mut rest = input;
    while !rest.is_empty() {
        let mut env = Env::new(&context, &context.workers[0], 9, usize::MAX);
        env.limit = usize::MAX;
        let step = session.advance(&mut env, rest, &mut out);
        assert!(step.consumed > 0);
        rest = &rest[step.consumed..];
    }
    assert!(out.len() >= MANY * LENGTH);

    assert_eq!(cache.store().verify().held, 1);
    assert!(cache.delete(b"k"));
    for n in 0..20_000 {
        cache.set(b"k", [b'Z'; LENGTH], Ttl::Never).unwrap();
        cache.set(format!("other{n}").as_bytes(), [b'Z'; LENGTH], Ttl::Never).unwrap();
    }
    assert!(cache.store().totals().class_sum().evicted > 0, "memory was never short");
    let mut sink = Repeats { unit, written: 0 };
    while sink.written < MANY * unit.len() {
        out.write_to(&mut sink).unwrap();
    }
    out.clear(0);
    assert_eq!(cache.store().verify().held, 0);
    assert_eq!(cache.get(b"k"), Some(vec![b'Z'; LENGTH]));
}

/// A `get` with one key many times overflowed the 16 bits of its item's count. The item was freed
/// while replies referred to it.
#[test]
fn cve_2018_1000127() {
    let unit = [format!("VALUE k 0 {LENGTH}\r\n").as_bytes(), &value(), b"\r\n"].concat();
    hold_many(format!("get{}\r\n", " k".repeat(MANY)).as_bytes(), &unit);
}

/// 2026: the same with binary gets, to which the limit of 2018 did not apply.
#[test]
fn binary_gets_made_a_count_run_over() {
    let get = packet(0x0d, &[], b"k", b"");
    let mut unit = vec![0x81, 0x0d, 0, 1, 4, 0, 0, 0];
    unit.extend((5 + LENGTH as u32).to_be_bytes());
    unit.extend([0; 4]);
    // The CAS: the victim's is 2, as the first one's in memcached.
    unit.extend(3_u64.to_be_bytes());
    unit.extend(b"\0\0\0\0k");
    unit.extend(value());
    hold_many(&get.repeat(MANY), &unit);
}

/// 2026: an `ms` that was refused for its mode or its opaque leaked the item for its value.
#[test]
fn a_refused_ms_kept_its_item() {
    let context = context();
    let before = context.cache.store().totals().usage.malloced;
    let long = "O".repeat(40);
    let value = "x".repeat(MIB / 2);
    for (flags, answer) in [
        ("MZ", "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("M", "CLIENT_ERROR invalid mode for ms M token\r\n"),
        (long.as_str(), "CLIENT_ERROR opaque token too long\r\n"),
        ("T", "CLIENT_ERROR bad token in command line format\r\n"),
    ] {
        for _ in 0..20 {
            let whole = format!("ms victim {} {flags}\r\n{value}\r\n", value.len());
            attack(&context, Protocol::Negotiating, whole.as_bytes(), answer.as_bytes(), true);
            // The same if the client closes before it has sent the value.
            attack(&context, Protocol::Negotiating, &whole.as_bytes()[..5000], answer.as_bytes(), true);
        }
    }
    assert_eq!(context.cache.store().totals().usage.malloced, before);
}

/// 2026: an `mg` that was refused for its opaque released its item without the item's lock. With
/// other users of the item, the count was then wrong.
#[test]
fn a_refused_mg_gave_its_item_back_without_a_lock() {
    let context = context();
    let cache = &context.cache;
    cache.set(b"big", value(), Ttl::Never).unwrap();
    let long = "O".repeat(40);
    let lines: String =
        ["", "T30 ", "N30 ", "h t ", "q k "].map(|flags| format!("mg big v {flags}{long}\r\n")).concat();
    let answer = "CLIENT_ERROR opaque token too long\r\n".repeat(5);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut session = Session::new(Protocol::Negotiating);
                for _ in 0..2000 {
                    // Counters have one writer, so only replies are compared.
                    let mut out = Output::new();
                    let mut env = Env::new(&context, &context.workers[0], 9, 99);
                    session.advance(&mut env, lines.as_bytes(), &mut out);
                    let mut got = Vec::new();
                    while !out.is_empty() {
                        out.write_to(&mut got).unwrap();
                    }
                    assert!(got == answer.as_bytes());
                }
            });
        }
        for _ in 0..2000 {
            assert_eq!(cache.get(b"big"), Some(value()));
            cache.set(b"big", value(), Ttl::Never).unwrap();
        }
    });
    unharmed(&context);
    let mut session = Session::new(Protocol::Negotiating);
    assert_eq!(talk(&context, &mut session, b"delete big\r\nmg big v\r\n").0, b"DELETED\r\nEN\r\n");
    unharmed(&context);
}
