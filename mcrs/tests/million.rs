//! Moves a million items from memcached into a server of this repository and back, compares each,
//! and prints the times. `MEMCACHED` names the program; without it Debian's is used.
//!
//! ```console
//! cargo test --release -p memcache-rs-tool --test million -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write as _;
use std::time::Instant;

use common::{Client, memcached, now, ours, pipe};
use memcache_core::{CacheConfig, ServerConfig};

const ITEMS: u64 = 1_000_000;

/// Items that one request stores or reads.
const STEP: u64 = 500;

/// The TTL of an item in seconds, if it expires. memcached takes more than 30 days for a time.
fn ttl(number: u64) -> Option<i64> {
    match number % 4 {
        0 => None,
        1 => Some(3600 + (number % 1000) as i64),
        2 => Some(2_592_000),
        _ => Some(20_000_000 + number as i64),
    }
}

fn flags(number: u64) -> u32 {
    number.wrapping_mul(2_654_435_761) as u32 & if number.is_multiple_of(3) { 0 } else { u32::MAX }
}

/// About 100 bytes that name the item, and 20 KiB for each thousandth.
fn value(number: u64) -> String {
    let length = if number.is_multiple_of(1000) { 20_000 } else { (number * 7 % 200) as usize };
    format!("{number:x}:{}", "v".repeat(length))
}

fn fill(client: &mut Client) {
    for first in (0..ITEMS).step_by(STEP as usize) {
        let mut requests = String::new();
        for number in first..first + STEP {
            let ttl = match ttl(number) {
                None => String::new(),
                Some(ttl) if ttl > 2_592_000 => format!(" T{}", now() + ttl),
                Some(ttl) => format!(" T{ttl}"),
            };
            let value = value(number);
            let (length, flags) = (value.len(), flags(number));
            write!(requests, "ms item:{number} {length} q F{flags}{ttl}\r\n{value}\r\n").unwrap();
        }
        assert_eq!(client.text(&requests), "");
    }
}

/// Reads all items and compares flags, TTL and value. Returns the CAS of each.
fn compare(client: &mut Client, began: Instant) -> Vec<u64> {
    let mut all = Vec::new();
    for first in (0..ITEMS).step_by(STEP as usize) {
        let mut requests = String::new();
        for number in first..first + STEP {
            write!(requests, "mg item:{number} f c t u v\r\n").unwrap();
        }
        let replies = client.text(&requests);
        let mut lines = replies.lines();
        for number in first..first + STEP {
            let value = value(number);
            let line = lines.next().unwrap();
            let rest = line.strip_prefix(&format!("VA {} f{} c", value.len(), flags(number))[..]);
            let (cas, left) =
                rest.unwrap_or_else(|| panic!("item {number}: {line}")).split_once(" t").unwrap();
            let left: i64 = left.parse().unwrap();
            let elapsed = began.elapsed().as_secs() as i64;
            match ttl(number) {
                None => assert_eq!(left, -1, "item {number}"),
                // A second may be lost or won by rounding at each of two moves.
                Some(ttl) => assert!((ttl - elapsed - 3..=ttl + 3).contains(&left), "item {number}: {left}"),
            }
            assert_eq!(lines.next(), Some(&value[..]), "item {number}");
            all.push(cas.parse().unwrap());
        }
    }
    assert!(client.text("stats\r\n").contains(&format!("STAT curr_items {ITEMS}\r\n")));
    all
}

/// Moves all items, and prints the time.
#[expect(clippy::print_stdout, reason = "the numbers are what the test is run for")]
fn timed(what: &str, from: &str, to: &str) {
    let began = Instant::now();
    assert_eq!(pipe(from, to, &[]), (0, format!("stored {ITEMS} items\n"), String::new()));
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {seconds:.2} s, {:.0} items/s", ITEMS as f64 / seconds);
}

#[test]
#[ignore = "takes a minute; run it by hand"]
fn a_million_items_move_into_ours_and_back() {
    let flags = ["-m", "1024"];
    let (Some(first), Some(last)) = (memcached(&flags), memcached(&flags)) else { return };
    let cache = CacheConfig { memory_limit: 1 << 30, ..CacheConfig::default() };
    let (_ours, ours) = ours(ServerConfig { cache, ..ServerConfig::default() });
    let began = Instant::now();
    fill(&mut Client::new(first.address()));
    let cas = compare(&mut Client::new(first.address()), began);
    let takes_cas = Client::new(first.address()).text("mg x E1\r\n") == "EN\r\n";

    timed("memcached to ours", first.address(), &ours);
    assert!(compare(&mut Client::new(&ours), began) == cas, "ours keeps each CAS");
    timed("ours to memcached", &ours, last.address());
    let back = compare(&mut Client::new(last.address()), began);
    assert!(!takes_cas || back == cas, "memcached keeps each CAS");
}
