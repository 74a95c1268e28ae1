//! A packet of the binary protocol: accepted lengths add up, and the parsed parts lie in the
//! packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::protocol::binary::{HEADER, Packet, PacketHeader, Sasl, parse};

fuzz_target!(|input: &[u8]| {
    let Some(header) = PacketHeader::read(input) else { return };
    let (head, whole) = (header.head(), header.whole());
    assert!(header.key().end == head && HEADER <= head);
    assert!(!header.echo().name().contains(' '));
    if header.refusal().is_some() {
        return;
    }
    assert!(head <= whole && whole <= HEADER + (1 << 30));
    if !header.is_request() || header.has_long_key() || input.len() < head {
        return;
    }
    let body = &input[HEADER..head];
    let within = |part: &[u8]| part.is_empty() || body.windows(part.len()).any(|other| other == part);
    match parse(&header, input, true) {
        Packet::Store { key, length, .. } => {
            assert!(within(key.bytes()) && (1..=250).contains(&key.bytes().len()));
            assert_eq!(head + length, whole);
        }
        Packet::Sasl(Sasl { mechanism, length, .. }) => {
            assert!(within(mechanism));
            assert_eq!(head + length, whole);
        }
        Packet::Stat(group) => assert!(within(group)),
        Packet::Unknown(left) => assert_eq!(HEADER + left, whole),
        Packet::Data(key, _) => assert!(within(key.bytes())),
        Packet::Noop | Packet::Version | Packet::Quit | Packet::SaslList => assert_eq!(whole, HEADER),
        Packet::Flush(_) | Packet::Malformed => {}
    }
});
