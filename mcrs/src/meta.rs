//! Requests and replies of the meta commands. Bytes in, bytes out: it knows no connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most characters of a key in a request.
const KEY_MAX: usize = 250;

/// Returns whether a line can have this key as it is.
pub fn is_text(key: &[u8]) -> bool {
    !key.iter().any(|byte| b" \r\n\0".contains(byte))
}

/// Appends `word` and a key, as in `mg KEY`, or `mg BASE64 b` if `binary` is set or the key is not
/// a text. `between` stands between the key and the flag. Returns `false` if no request can have
/// this key.
pub fn push_key(out: &mut Vec<u8>, word: &str, key: &[u8], binary: bool, between: &str) -> bool {
    let binary = binary || !is_text(key);
    if binary && key.len().div_ceil(3) * 4 > KEY_MAX {
        return false;
    }
    out.extend_from_slice(word.as_bytes());
    out.push(b' ');
    if binary {
        out.extend_from_slice(STANDARD.encode(key).as_bytes());
    } else {
        out.extend_from_slice(key);
    }
    out.extend_from_slice(between.as_bytes());
    if binary {
        out.extend_from_slice(b" b");
    }
    true
}

/// Flags that return all about an item. `u` keeps the access from counting.
const FLAGS: &[u8] = b" f t c l h u v\r\n";

/// Appends the request of an item: client flags, TTL, CAS, last access, hit before, and the value.
/// Returns `false` if no request can have this key.
///
/// The reply has a key that is a text, in base64 if it came so. The words of any other key would
/// look like the rest of the reply.
pub fn push_get(out: &mut Vec<u8>, key: &[u8]) -> bool {
    let named = push_key(out, "mg", key, false, "");
    if named {
        out.extend_from_slice(if is_text(key) { b" k" } else { b"" });
        out.extend_from_slice(FLAGS);
    }
    named
}

/// An item, as the reply to [`push_get`] has it, without its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the value.
    pub length: usize,
    /// Client flags.
    pub flags: u32,
    /// Seconds that the item has left, or `None` if it never expires.
    pub ttl: Option<u32>,
    /// The CAS, or 0.
    pub cas: u64,
    /// Seconds since the last access.
    pub idle: u32,
    /// Whether the item was read before.
    pub fetched: bool,
    /// Whether the key came in base64.
    pub key_binary: bool,
    /// Whether the item was invalidated.
    pub stale: bool,
    /// Whether a client has won the right to recache the item.
    pub won: bool,
    /// Whether this request has won it.
    pub wins: bool,
}

impl Header {
    /// Reads the line of a hit. Returns `None` if it is malformed, or has another key.
    pub fn read(line: &[u8], key: &[u8]) -> Option<Self> {
        let mut header = Self::default();
        let mut named = None;
        let mut words = line.split(|&byte| byte == b' ');
        if words.next()? != b"VA" {
            return None;
        }
        header.length = number(words.next()?)?;
        for word in words {
            let Some((&flag, token)) = word.split_first() else { continue };
            match flag {
                b'k' => named = Some(token),
                b'f' => header.flags = number(token)?,
                b't' if token == b"-1" => header.ttl = None,
                b't' => header.ttl = Some(number(token)?),
                b'c' => header.cas = number(token)?,
                b'l' => header.idle = number(token)?,
                b'h' => header.fetched = token == b"1",
                b'b' => header.key_binary = true,
                b'X' => header.stale = true,
                b'Z' => header.won = true,
                b'W' => header.wins = true,
                _ => {}
            }
        }
        let same = match named {
            None => !is_text(key),
            Some(named) if header.key_binary => STANDARD.decode(named).is_ok_and(|named| named == key),
            Some(named) => named == key,
        };
        header.key_binary |= !is_text(key);
        same.then_some(header)
    }
}

fn number<N: std::str::FromStr>(token: &[u8]) -> Option<N> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &[u8], binary: bool) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        push_key(&mut out, "ms", key, binary, " 5").then_some(out)
    }

    #[test]
    fn keys_that_a_line_cannot_have_are_sent_in_base64() {
        assert_eq!(request(b"a", false).as_deref(), Some(&b"ms a 5"[..]));
        assert_eq!(request(b"a", true).as_deref(), Some(&b"ms YQ== 5 b"[..]));
        assert_eq!(request(b"a b", false).as_deref(), Some(&b"ms YSBi 5 b"[..]));
        assert_eq!(request(&[b'x'; 250], false).map(|request| request.len()), Some(255));
        assert_eq!(request(&[b' '; 186], false).map(|request| request.len()), Some(255));
        assert_eq!(request(&[b' '; 187], false), None);
    }

    #[test]
    fn a_reply_has_the_key_only_if_it_is_a_text() {
        let get = |key| {
            let mut out = Vec::new();
            push_get(&mut out, key).then(|| String::from_utf8(out).unwrap_or_default())
        };
        assert_eq!(get(b"a").as_deref(), Some("mg a k f t c l h u v\r\n"));
        assert_eq!(get(b"a f1\n").as_deref(), Some("mg YSBmMQo= b f t c l h u v\r\n"));
        assert_eq!(get(&[b' '; 200]), None);
        let header = Header { length: 2, flags: 7, key_binary: true, ..Header::default() };
        assert_eq!(Header::read(b"VA 2 f7 t-1 c0 l0 h0", b"a f1\n"), Some(header));
    }

    #[test]
    fn a_hit_tells_all_about_an_item() {
        let line = b"VA 5 kYQ== b f7 t-1 c9 l3 h1 X W";
        let header = Header {
            length: 5,
            flags: 7,
            cas: 9,
            idle: 3,
            fetched: true,
            key_binary: true,
            stale: true,
            wins: true,
            ..Header::default()
        };
        assert_eq!(Header::read(line, b"a"), Some(header));
        assert_eq!(Header::read(line, b"b"), None);
        let header = Header { ttl: Some(60), won: true, ..Header::default() };
        assert_eq!(Header::read(b"VA 0 ka t60 Z", b"a"), Some(header));
        for line in [&b"VA"[..], b"VA x", b"HD ka", b"VA 1 ka f-1", b"VA 1 ka t", b"VA 1 f0", b"EN"] {
            assert_eq!(Header::read(line, b"a"), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
