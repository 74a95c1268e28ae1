//! Changes that Lua programs make to the line of a request.
//!
//! A changed line is parsed again. A request keeps its line if the new one is refused.

use memcache_core::internal::protocol::tokens::Tokens;
use memcache_core::internal::proxy::request::ClientRequest;

use crate::response::Response;

/// Longest line of a request with its end, twice that of a key.
pub const LINE_MAX: usize = 500;

/// Replaces token `index`, from 0. An empty text removes it. Returns `false` if there is no such
/// token, or if the line cannot be that long or is refused.
pub fn set_token(request: &mut ClientRequest, index: usize, text: &[u8]) -> bool {
    render(request, index, &[text])
}

/// Returns the number of the first token with this flag.
pub fn flag_place(request: &ClientRequest, flag: u8) -> Option<usize> {
    if !request.command.is_meta() {
        return None;
    }
    let tokens = Tokens::new(request.line());
    (request.command.flags()..tokens.len())
        .find(|index| tokens.get(*index).and_then(<[u8]>::first) == Some(&flag))
}

/// Returns the text behind the first flag with this letter.
pub fn flag(request: &ClientRequest, letter: u8) -> Option<&[u8]> {
    let tokens = Tokens::new(request.line());
    tokens.get(flag_place(request, letter)?)?.get(1..)
}

/// Replaces the flag `old` by the flag `new` with a text, or appends that. Returns `false` if the
/// line cannot be that long or is refused.
pub fn set_flag(request: &mut ClientRequest, old: u8, new: u8, text: &[u8]) -> bool {
    match flag_place(request, old) {
        Some(index) => render(request, index, &[&[new], text]),
        None => append_flag(request, new, text),
    }
}

/// Appends a flag with a text. Returns `false` if the line cannot be that long or is refused.
pub fn append_flag(request: &mut ClientRequest, flag: u8, text: &[u8]) -> bool {
    let line = request.line();
    if line.len() + 2 + text.len() + 2 >= LINE_MAX {
        return false;
    }
    let line = [line, b" ", &[flag], text].concat();
    request.set_line(&line).is_ok()
}

/// Removes a flag. Returns `false` if there is none.
pub fn remove_flag(request: &mut ClientRequest, flag: u8) -> bool {
    flag_place(request, flag).is_some_and(|index| render(request, index, &[]))
}

fn render(request: &mut ClientRequest, index: usize, parts: &[&[u8]]) -> bool {
    let line = request.line();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let tokens = Tokens::new(line);
    let Some(rest) = tokens.rest(index) else { return false };
    if line.len() + 2 + length + 2 > LINE_MAX {
        return false;
    }
    let mut new = Vec::with_capacity(line.len() + length + 1);
    new.extend_from_slice(line.get(..line.len() - rest.len()).unwrap_or_default());
    parts.iter().for_each(|part| new.extend_from_slice(part));
    match tokens.rest(index + 1) {
        Some(rest) => {
            if length > 0 {
                new.push(b' ');
            }
            new.extend_from_slice(rest);
        }
        None => new.truncate(new.trim_ascii_end().len()),
    }
    request.set_line(&new).is_ok()
}

/// Compares the key and the opaque of a reply with those of its request.
///
/// # Errors
/// The difference.
pub fn match_response(request: &ClientRequest, response: &Response) -> Result<bool, &'static str> {
    if response.is_garbage() || response.is_error_line() || !response.is_ok() {
        return Err("failed to parse response");
    }
    let mut matched = false;
    if let Some(key) = response.flag(b'k') {
        if key != request.key() {
            return Err("key in response does not match request key");
        }
        matched = true;
    }
    if let Some(opaque) = flag(request, b'O').filter(|opaque| !opaque.is_empty()) {
        match response.flag(b'O') {
            Some(other) if other == opaque => matched = true,
            Some(_) => return Err("request opaque does not match response opaque"),
            None => return Err("opaque in request but not in response"),
        }
    }
    Ok(matched)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn request(line: &str) -> ClientRequest {
        ClientRequest::parse(line.as_bytes(), b"").unwrap()
    }

    fn line(request: &ClientRequest) -> &str {
        str::from_utf8(request.line()).unwrap()
    }

    #[test]
    fn tokens() {
        let mut r = request("gat 10 k");
        assert!(set_token(&mut r, 1, b"20") && set_token(&mut r, 2, b"other"));
        assert_eq!((line(&r), r.key()), ("gat 20 other", &b"other"[..]));
        assert!(!set_token(&mut r, 3, b"x"), "there is no such token");
        assert!(!set_token(&mut r, 2, b""), "it needs its key");
        assert!(!set_token(&mut r, 2, &[b'x'; 490]));
        assert_eq!(line(&r), "gat 20 other");
        let mut r = request("mg  k   s t  v ");
        assert!(set_token(&mut r, 2, b""));
        assert_eq!(line(&r), "mg  k   t  v ");
        assert!(set_token(&mut r, 3, b""));
        assert_eq!(line(&r), "mg  k   t");
        let mut r = request("version");
        assert!(!set_token(&mut r, 0, b""));
    }

    #[test]
    fn flags() {
        let mut r = request("mg k s Oab");
        assert!(append_flag(&mut r, b't', b""));
        assert_eq!(line(&r), "mg k s Oab t");
        assert!(set_flag(&mut r, b'O', b'O', b"123") && set_flag(&mut r, b'N', b'N', b"30"));
        assert_eq!(line(&r), "mg k s O123 t N30");
        assert!(set_flag(&mut r, b's', b'f', b""));
        assert!(remove_flag(&mut r, b'N') && !remove_flag(&mut r, b'N'));
        assert_eq!(line(&r), "mg k f O123 t");
        assert_eq!(
            (flag(&r, b'O'), flag(&r, b'f'), flag(&r, b'k')),
            (Some(&b"123"[..]), Some(&b""[..]), None)
        );
        assert!(!append_flag(&mut r, b'k', &[b'x'; 484]));
        let mut r = request("get k");
        assert_eq!(flag(&r, b'k'), None);
        assert!(!remove_flag(&mut r, b'k'));
    }

    #[test]
    fn replies_match_their_request() {
        let matches = |line: &str, reply: &str| {
            match_response(&request(line), &Response::parse(reply.as_bytes().to_vec()))
        };
        assert_eq!(matches("mg k k v", "VA 1 kk\r\nx\r\n"), Ok(true));
        assert_eq!(matches("mg k", "HD\r\n"), Ok(false));
        assert_eq!(matches("mg k", "HD kl\r\n"), Err("key in response does not match request key"));
        assert_eq!(matches("mg k Oa", "HD kk Oa\r\n"), Ok(true));
        assert_eq!(matches("mg k Oa", "HD Ob\r\n"), Err("request opaque does not match response opaque"));
        assert_eq!(matches("mg k Oa", "HD kk\r\n"), Err("opaque in request but not in response"));
        assert_eq!(matches("mg k Oa", "SERVER_ERROR\r\n"), Err("failed to parse response"));
    }
}
