//! The binary protocol: GET for one key, GETKQ closed by NOOP for several, SET.
//!
//! ```text
//! byte 0  magic (0x80 request, 0x81 reply)   4  length of extras      12..16 opaque
//!      1  opcode                             5  data type             16..24 CAS
//!   2..4  length of the key               6..8  status of a reply     24..    extras, key, value
//!                                         8..12 length of all three
//! ```

use super::head::{Head, LONGEST_LINE};
use crate::items::Items;

const HEADER: usize = 24;
const GET: u8 = 0x00;
const SET: u8 = 0x01;
const NOOP: u8 = 0x0a;
const GETKQ: u8 = 0x0d;

const STATUS_OK: u16 = 0;
const STATUS_NOT_FOUND: u16 = 1;
const STATUS_NOT_STORED: u16 = 5;
const STATUS_OUT_OF_MEMORY: u16 = 0x82;

pub fn get(items: &Items, ids: &[u64], out: &mut Vec<u8>) {
    if let &[id] = ids {
        header(GET, items.key_length(id), 0, 0, out);
        items.put_key(id, out);
        return;
    }
    for &id in ids {
        header(GETKQ, items.key_length(id), 0, 0, out);
        items.put_key(id, out);
    }
    header(NOOP, 0, 0, 0, out);
}

pub fn set(items: &Items, id: u64, ttl: u32, out: &mut Vec<u8>) {
    let value = items.value(id);
    header(SET, items.key_length(id), 8, value.len(), out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&ttl.to_be_bytes());
    items.put_key(id, out);
    out.extend_from_slice(value);
}

fn header(opcode: u8, key: usize, extras: u8, value: usize, out: &mut Vec<u8>) {
    let mut header = [0_u8; HEADER];
    header[0] = 0x80;
    header[1] = opcode;
    header[2..4].copy_from_slice(&(key as u16).to_be_bytes());
    header[4] = extras;
    let body = key + usize::from(extras) + value;
    header[8..12].copy_from_slice(&(body as u32).to_be_bytes());
    out.extend_from_slice(&header);
}

pub fn head(input: &[u8]) -> Head<'_> {
    if input.first().is_some_and(|&magic| magic != 0x81) {
        return Head::Wrong;
    }
    let Some(header) = input.first_chunk::<HEADER>() else {
        return Head::Partial;
    };
    let key = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let extras = usize::from(header[4]);
    let status = u16::from_be_bytes([header[6], header[7]]);
    let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    match (header[1], status) {
        (GET | GETKQ, STATUS_OK) => {
            // The flags, which are 0, then the key if it was requested. The rest is the value.
            let used = HEADER + extras + key;
            let Some(length) = body.checked_sub(extras + key).filter(|_| extras == 4) else {
                return Head::Wrong;
            };
            if input.len() < used {
                return Head::Partial;
            }
            if input[HEADER..HEADER + 4] != [0; 4] {
                return Head::Wrong;
            }
            let key = (header[1] == GETKQ).then(|| &input[used - key..used]);
            Head::Value { key, length, used }
        }
        (NOOP, STATUS_OK) if body == 0 => Head::End { used: HEADER },
        (SET, STATUS_OK) if body == 0 => Head::Stored { used: HEADER },
        // These replies contain a text for humans.
        (GET, STATUS_NOT_FOUND) => text(input, body, |used| Head::End { used }),
        (SET, STATUS_NOT_STORED | STATUS_OUT_OF_MEMORY) => text(input, body, |used| Head::Refused { used }),
        _ => Head::Wrong,
    }
}

fn text(input: &[u8], body: usize, head: impl FnOnce(usize) -> Head<'static>) -> Head<'static> {
    match HEADER + body {
        _ if body > LONGEST_LINE => Head::Wrong,
        used if input.len() < used => Head::Partial,
        used => head(used),
    }
}

#[cfg(test)]
mod tests {
    use super::{GET, GETKQ, NOOP, SET, head};
    use crate::wire::Head;

    fn reply(opcode: u8, status: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
        let body = (extras.len() + key.len() + value.len()) as u8;
        let mut out = vec![0_u8; 24];
        out[0] = 0x81;
        out[1] = opcode;
        out[3] = key.len() as u8;
        out[4] = extras.len() as u8;
        out[7] = status;
        out[11] = body;
        for part in [extras, key, value] {
            out.extend_from_slice(part);
        }
        out
    }

    #[test]
    fn replies() {
        let hit = reply(GET, 0, &[0; 4], b"", b"abc");
        assert_eq!(head(&hit), Head::Value { key: None, length: 3, used: 28 });
        let hit = reply(GETKQ, 0, &[0; 4], b"k01", b"abc");
        assert_eq!(head(&hit), Head::Value { key: Some(b"k01"), length: 3, used: 31 });
        assert_eq!(head(&reply(GET, 1, b"", b"", b"Not found")), Head::End { used: 33 });
        assert_eq!(head(&reply(NOOP, 0, b"", b"", b"")), Head::End { used: 24 });
        assert_eq!(head(&reply(SET, 0, b"", b"", b"")), Head::Stored { used: 24 });
        assert_eq!(head(&reply(SET, 0x82, b"", b"", b"Out")), Head::Refused { used: 27 });
    }

    #[test]
    fn every_prefix_is_partial() {
        let hit = reply(GETKQ, 0, &[0; 4], b"k01", b"");
        assert!((0..hit.len()).all(|end| head(&hit[..end]) == Head::Partial));
        let miss = reply(GET, 1, b"", b"", b"Not found");
        assert!((0..miss.len()).all(|end| head(&miss[..end]) == Head::Partial));
    }

    #[test]
    fn anything_else_is_wrong() {
        for wrong in [
            b"ERROR\r\n".to_vec(),
            reply(GET, 0x81, b"", b"", b"Unknown command"),
            reply(GET, 0, b"", b"", b"abc"),
            reply(GET, 0, &[0, 0, 0, 1], b"", b"abc"),
            reply(SET, 1, b"", b"", b""),
        ] {
            assert_eq!(head(&wrong), Head::Wrong, "{}", wrong.escape_ascii());
        }
    }
}
