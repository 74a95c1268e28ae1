//! Invalid lengths in binary packets.

use std::io::{Read, Write};

use memcache_rs::internal::session::Session;
use memcache_rs::{Protocol, ServerConfig};

use super::{
    attack, connect, context, context_of, header, invalid, others_are_served, packet, reply, start, talk,
    unharmed, unknown,
};

const DELETE: u8 = 0x04;
const NOOP: u8 = 0x0a;
/// set, add, replace, append, prepend and their quiet twins.
const STORES: [u8; 10] = [0x01, 0x02, 0x03, 0x11, 0x12, 0x13, 0x0e, 0x0f, 0x19, 0x1a];

/// Returns the bytes of extras of a store.
fn extras(opcode: u8) -> usize {
    if matches!(opcode, 0x0e | 0x0f | 0x19 | 0x1a) { 0 } else { 8 }
}

/// A body of almost 4 GiB became a negative length. The server waited for it in an endless loop or
/// copied out of bounds.
#[test]
fn cve_2011_4971() {
    let mut bytes = header(0x12, 1, 8, 0xffff_ffe8);
    bytes.extend(b"\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\0\x000");
    attack(&context(), Protocol::Negotiating, &bytes, &invalid(0x12), false);
    let server = start(|_| ());
    for opcode in STORES.into_iter().chain([0x21, NOOP]) {
        let mut client = connect(&server);
        client.write_all(&header(opcode, 0, 0, 0xffff_ffe8)).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, invalid(opcode));
    }
    others_are_served(&server);
}

/// The key of a binary delete was logged as if it ended in NUL.
#[test]
fn cve_2013_0179() {
    let context = context_of(ServerConfig { verbosity: 2, ..ServerConfig::default() });
    let mut session = Session::new(Protocol::Negotiating);
    for key in [&[b'k'; 250][..], b"%s%n%s%n", b"\xff\xfe", b"k\0k", b"VALUE k 0 4096"] {
        let set = talk(&context, &mut session, &packet(0x01, &[0; 8], key, b"VALUE k 0 4000\r\n"));
        assert_eq!((set.0.len(), set.1), (24, true));
        assert!(talk(&context, &mut session, &packet(0x0c, &[], key, b"")).0.ends_with(b"4000\r\n"));
        let delete = packet(DELETE, &[], key, b"");
        assert_eq!(talk(&context, &mut session, &delete), (reply(DELETE, 0, b""), true));
        assert_eq!(talk(&context, &mut session, &delete), (reply(DELETE, 1, b"Not found"), true));
    }
    let delete = |length: usize| packet(DELETE, &[], &vec![b'k'; length], b"");
    for length in [0, 251, 16_000] {
        attack(&context, Protocol::Binary, &delete(length), &invalid(DELETE), false);
    }
    // memcached refuses it before it has read that many bytes.
    attack(&context, Protocol::Binary, &delete(65_535), b"", false);
}

/// A body shorter than key and extras made the length of an append negative: less was allocated
/// than was written.
#[test]
fn cve_2016_8704() {
    shorter_than_its_parts(&[0x0e, 0x0f, 0x19, 0x1a]);
}

/// The same in set, add and replace.
#[test]
fn cve_2016_8705() {
    shorter_than_its_parts(&[0x01, 0x02, 0x03, 0x11, 0x12, 0x13]);
}

/// The same in an authentication, whose data are read into an item.
#[test]
fn cve_2016_8706() {
    shorter_than_its_parts(&[0x21, 0x22]);
}

#[track_caller]
fn shorter_than_its_parts(opcodes: &[u8]) {
    let context = context();
    for &opcode in opcodes {
        for (key, body) in [(250, 0), (250, 1), (250, 249), (6, 5), (1, 0)] {
            let mut bytes = header(opcode, key, 0, body);
            bytes.extend(b"victim".iter().cycle().take(1024));
            attack(&context, Protocol::Negotiating, &bytes, &unknown(opcode), false);
        }
        let short = u32::try_from(extras(opcode) + 5).unwrap();
        let mut bytes = header(opcode, 6, extras(opcode), short);
        bytes.extend([b'x'; 1024]);
        attack(&context, Protocol::Negotiating, &bytes, &unknown(opcode), false);
    }
}

/// A length was compared as a signed number. One above 2 GiB passed and was read beyond the buffer:
/// the fix of 2016 was incomplete.
#[test]
fn cve_2017_9951() {
    let context = context();
    let before = context.cache.store().totals().usage.malloced;
    for opcode in STORES {
        for body in [(1 << 30) + 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe] {
            let mut bytes = header(opcode, 6, extras(opcode), body);
            bytes.extend([b'x'; 1024]);
            attack(&context, Protocol::Negotiating, &bytes, &invalid(opcode), false);
        }
    }
    // The largest possible length is refused before anything is allocated. The bytes that follow
    // are the value, which is discarded.
    let mut session = Session::new(Protocol::Negotiating);
    let mut bytes = header(0x02, 6, 8, 1 << 30);
    bytes.extend(b"\0\0\0\0\0\0\0\0victim");
    assert_eq!(talk(&context, &mut session, &bytes), (reply(0x02, 0x03, b"Too large."), true));
    assert_eq!(talk(&context, &mut session, &packet(DELETE, &[], b"victim", b"")), (Vec::new(), true));
    assert_eq!(context.cache.store().totals().usage.malloced, before);
    unharmed(&context);
}

/// Up to 255 bytes of extras were copied into a buffer of 20.
#[test]
fn cve_2020_10931() {
    let context = context();
    for opcode in 0..=u8::MAX {
        for length in [21, 24, 64, 255] {
            let bytes = packet(opcode, &vec![b'E'; length], b"victim", b"x");
            if matches!(opcode, 0x00..=0x1a | 0x1c..=0x1e | 0x20..=0x24) {
                attack(&context, Protocol::Negotiating, &bytes, &invalid(opcode), false);
            } else {
                // As in memcached, as many bytes again as the body are discarded.
                let mut session = Session::new(Protocol::Negotiating);
                assert_eq!(talk(&context, &mut session, &bytes), (unknown(opcode), true));
                unharmed(&context);
            }
        }
    }
}

/// 2026: lengths above 2 GiB were negative in all commands. Nothing was discarded, and the body was
/// read as commands.
#[test]
fn a_body_above_two_gigabytes_was_read_as_commands() {
    let context = context();
    for opcode in 0..=u8::MAX {
        for body in [0x4000_0001, 0x8000_0000, u32::MAX] {
            let mut bytes = header(opcode, 0, 0, body);
            bytes.extend(packet(DELETE, &[], b"victim", b""));
            attack(&context, Protocol::Negotiating, &bytes, &invalid(opcode), false);
        }
    }
}
