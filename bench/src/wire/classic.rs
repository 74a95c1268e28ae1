//! The classic text protocol.

use super::head::Head;
use super::text::{number, put_number, put_value, text_head};
use crate::items::Items;

pub fn get(items: &Items, ids: &[u64], out: &mut Vec<u8>) {
    out.extend_from_slice(b"get");
    for &id in ids {
        out.push(b' ');
        items.put_key(id, out);
    }
    out.extend_from_slice(b"\r\n");
}

pub fn set(items: &Items, id: u64, ttl: u32, out: &mut Vec<u8>) {
    let value = items.value(id);
    out.extend_from_slice(b"set ");
    items.put_key(id, out);
    out.extend_from_slice(b" 0 ");
    put_number(ttl, out);
    out.push(b' ');
    put_number(value.len(), out);
    put_value(value, out);
}

pub fn head(input: &[u8]) -> Head<'_> {
    text_head(input, b"VALUE ", value, status)
}

fn status(line: &[u8], used: usize) -> Option<Head<'static>> {
    match line {
        b"END" => Some(Head::End { used }),
        b"STORED" => Some(Head::Stored { used }),
        b"NOT_STORED" => Some(Head::Refused { used }),
        _ => None,
    }
}

/// Parses `<key> <flags> <length>`. Every item is stored with flags 0.
#[inline]
fn value(line: &[u8], used: usize) -> Option<Head<'_>> {
    let (key, rest) = line.split_at(memchr::memchr(b' ', line)?);
    let length = number(rest.strip_prefix(b" 0 ")?)?;
    Some(Head::Value { key: Some(key), length, used })
}

#[cfg(test)]
mod tests {
    use super::head;
    use crate::wire::Head;

    #[test]
    fn replies() {
        assert_eq!(
            head(b"VALUE k01 0 3\r\nabc\r\nEND\r\n"),
            Head::Value { key: Some(b"k01"), length: 3, used: 15 }
        );
        assert_eq!(head(b"END\r\nEND\r\n"), Head::End { used: 5 });
        assert_eq!(head(b"STORED\r\n"), Head::Stored { used: 8 });
        assert_eq!(head(b"SERVER_ERROR out of memory storing object\r\n"), Head::Refused { used: 43 });
        assert_eq!(head(b"SERVER_ERROR backend failure\r\n"), Head::Failed { used: 30 });
    }

    #[test]
    fn every_prefix_is_partial() {
        let reply = b"VALUE k01 0 3\r\n";
        assert!((0..reply.len()).all(|end| head(&reply[..end]) == Head::Partial));
    }

    #[test]
    fn anything_else_is_wrong() {
        for reply in [
            &b"ERROR\r\n"[..],
            b"VALUE k01 1 3\r\n",
            b"VALUE k01 0\r\n",
            b"VALUE k01 0 3 9\r\n",
            b"VALUE k01\r\n",
            b"VALUE k01 0 -3\r\n",
            b"END \r\n",
            b"SERVER_ERROR\r\n",
        ] {
            assert_eq!(head(reply), Head::Wrong, "{}", reply.escape_ascii());
        }
    }
}
