//! Replies of a backend: they reach the same requests however their bytes are split, and each
//! request gets one outcome, behind its items if it has several keys. The first byte of the input
//! is the length of the parts, up to 127, and whether the requests are gets of several keys.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::proxy::bounds::Bounds;
use memcache_core::internal::proxy::connection::Connection;
use memcache_core::internal::proxy::failure::Reason;
use memcache_core::internal::proxy::reply::Meaning;

const REQUESTS: u64 = 20;

/// Returns what the requests of a connection get from these parts, which end the connection.
fn outcomes<'a>(
    parts: impl Iterator<Item = &'a [u8]>,
    takes_values: bool,
    now: Instant,
) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut connection = Connection::new(Bounds { value_max: 1 << 20, ..Bounds::default() });
    let (mut outcomes, mut items) = (Vec::new(), 0);
    connection.connecting(now);
    connection.connected(now);
    let mut receive = |connection: &mut Connection<u64>, part: &[u8]| {
        let mut input = connection.take_input();
        input.extend_from_slice(part);
        let mut used = 0;
        while let Some((name, length, meaning)) = connection.next_reply(&input[used..], now)? {
            outcomes.push((name, Some(input[used..used + length].to_vec())));
            items += u64::from(meaning == Meaning::Item);
            used += length;
        }
        connection.keep_input(input, used, now);
        Ok::<(), Reason>(())
    };
    receive(&mut connection, b"VERSION 1.6.45\r\n").expect("the version is taken");
    for name in 0..REQUESTS {
        let push = |out: &mut Vec<u8>| out.extend_from_slice(b"get a\r\n");
        connection.submit(name, takes_values, now, push).expect("there is no limit");
    }
    connection.wrote(connection.unwritten().len(), || now);
    for part in parts {
        if receive(&mut connection, part).is_err() {
            break;
        }
    }
    let failure = connection.fail(Reason::Disconnected, now);
    outcomes.extend(failure.lost.into_iter().map(|name| (name, None)));
    assert_eq!(outcomes.len() as u64, REQUESTS + items);
    outcomes
}

fuzz_target!(|input: &[u8]| {
    let Some((length, bytes)) = input.split_first() else { return };
    let now = Instant::now();
    let (length, takes_values) = (usize::from(*length & 127).max(1), *length > 127);
    let whole = outcomes([bytes].into_iter(), takes_values, now);
    let parts = outcomes(bytes.chunks(length), takes_values, now);
    assert_eq!(whole, parts);
});
