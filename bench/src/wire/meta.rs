//! The meta text protocol: `mg <key> v` for one key, quiet gets closed by `mn` for several.

use super::head::Head;
use super::text::{number, put_number, put_value, text_head};
use crate::items::Items;

pub fn get(items: &Items, ids: &[u64], out: &mut Vec<u8>) {
    if let &[id] = ids {
        out.extend_from_slice(b"mg ");
        items.put_key(id, out);
        out.extend_from_slice(b" v\r\n");
        return;
    }
    for &id in ids {
        out.extend_from_slice(b"mg ");
        items.put_key(id, out);
        out.extend_from_slice(b" v k q\r\n");
    }
    out.extend_from_slice(b"mn\r\n");
}

pub fn set(items: &Items, id: u64, ttl: u32, out: &mut Vec<u8>) {
    let value = items.value(id);
    out.extend_from_slice(b"ms ");
    items.put_key(id, out);
    out.push(b' ');
    put_number(value.len(), out);
    if ttl != 0 {
        out.extend_from_slice(b" T");
        put_number(ttl, out);
    }
    put_value(value, out);
}

pub fn head(input: &[u8]) -> Head<'_> {
    text_head(input, b"VA ", value, status)
}

fn status(line: &[u8], used: usize) -> Option<Head<'static>> {
    match line {
        b"EN" | b"MN" => Some(Head::End { used }),
        b"HD" => Some(Head::Stored { used }),
        b"NS" => Some(Head::Refused { used }),
        _ => None,
    }
}

/// Parses `<length>`, or `<length> k<key>` in the reply to a quiet get.
#[inline]
fn value(line: &[u8], used: usize) -> Option<Head<'_>> {
    let (length, key) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], Some(line[space..].strip_prefix(b" k")?)),
        None => (line, None),
    };
    Some(Head::Value { key, length: number(length)?, used })
}

#[cfg(test)]
mod tests {
    use super::head;
    use crate::wire::Head;

    #[test]
    fn replies() {
        assert_eq!(head(b"VA 3\r\nabc\r\n"), Head::Value { key: None, length: 3, used: 6 });
        assert_eq!(head(b"VA 3 kk01\r\nabc\r\n"), Head::Value { key: Some(b"k01"), length: 3, used: 11 });
        assert_eq!(head(b"EN\r\n"), Head::End { used: 4 });
        assert_eq!(head(b"MN\r\n"), Head::End { used: 4 });
        assert_eq!(head(b"HD\r\n"), Head::Stored { used: 4 });
        assert_eq!(head(b"NS\r\n"), Head::Refused { used: 4 });
    }

    #[test]
    fn every_prefix_is_partial() {
        let reply = b"VA 3 kk01\r\n";
        assert!((0..reply.len()).all(|end| head(&reply[..end]) == Head::Partial));
    }

    #[test]
    fn anything_else_is_wrong() {
        for reply in [&b"VA \r\n"[..], b"VA 3 W\r\n", b"VA x\r\n", b"CLIENT_ERROR bad\r\n", b"END\r\n"] {
            assert_eq!(head(reply), Head::Wrong, "{}", reply.escape_ascii());
        }
    }
}
