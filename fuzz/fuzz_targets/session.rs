//! A session replies the same for all ways to cut its input, in every protocol, authenticated or
//! not.
//!
//! ```text
//! | how 1 | number of cuts 1 | cuts | input of the client |
//!
//! how: protocol 2 bits, authentication 2, direct 1, small budget 1, cluster 1, small output 1
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::{AuthMethod, Protocol};
use memcache_fuzz::{Course, PASSWORD, check_packets, context, is_loud, is_steady, talk};

fuzz_target!(|input: &[u8]| {
    let [how, count, rest @ ..] = input else { return };
    let Some((cuts, bytes)) = rest.split_at_checked(usize::from(count & 15)) else { return };
    if is_loud(bytes) {
        return;
    }
    let protocol = [Protocol::Ascii, Protocol::Binary, Protocol::Negotiating, Protocol::Negotiating];
    let protocol = protocol[usize::from(how & 3)];
    let auth = [None, None, Some(AuthMethod::Sasl), Some(AuthMethod::Text)][usize::from(how >> 2 & 3)];
    let is = |bit: u8| how >> bit & 1 == 1;
    let server = context(auth, is(6), None);
    let whole = Course { protocol, cuts: &[], budget: 1000, direct: false };
    let whole = talk(&server, &whole, bytes);
    let cut = Course { protocol, cuts, budget: if is(5) { 1 } else { 20 }, direct: is(4) };
    let cut = talk(&context(auth, is(6), is(7).then_some(100)), &cut, bytes);
    if is_steady(bytes) {
        assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&cut));
        assert!(whole == cut);
    }
    let negotiated = match auth {
        Some(AuthMethod::Sasl) => true,
        Some(AuthMethod::Text) => false,
        None => bytes.first() == Some(&0x80),
    };
    if protocol == Protocol::Binary || protocol == Protocol::Negotiating && negotiated {
        check_packets(&whole);
        check_packets(&cut);
    }
    if auth.is_some() && !bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD) {
        assert_eq!(server.cache.store().totals().curr_items, 0, "somebody has come in");
    }
});
