//! The steps of mutators: parts of the line of a new request or response.

use memcache_core::internal::proxy::request::ClientRequest;

use crate::request;
use crate::response::Response;

/// A part of a line. Copied parts come from an argument, which is numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A text.
    Text(Vec<u8>),
    /// The command of a request, or a text.
    Command(usize),
    /// The key of a request, or a text.
    Key(usize),
    /// The reply to a request whose item is missing.
    Miss(Option<usize>),
    /// The first word of a meta response, or a text.
    Code(usize),
    /// A flag of a meta request or response. Or a flag with a text, or without one if the argument
    /// is true. Nothing if there is no such flag, or the argument is false or nil.
    Flag(u8, usize),
    /// All flags of a meta response, or a text.
    Flags(Option<usize>),
    /// The length of a value, which follows the line: of a request, or of a text that ends with a
    /// line end.
    Value(usize),
}

/// An argument of a mutator.
#[derive(Debug)]
pub enum Argument<'a> {
    /// Nil.
    Nil,
    /// True or false.
    Bool(bool),
    /// A string.
    Text(&'a [u8]),
    /// A request.
    Request(&'a ClientRequest),
    /// A response.
    Response(&'a Response),
    /// Another value, or none.
    Other,
}

/// An argument does not fit its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsuitable;

/// Builds the line without its end, and the value with its end.
///
/// # Errors
/// An argument does not fit its step.
pub fn build<'a>(steps: &[Step], arguments: &[Argument<'a>]) -> Result<(Vec<u8>, &'a [u8]), Unsuitable> {
    let (mut line, mut value) = (Vec::new(), &[][..]);
    let argument = |index: usize| arguments.get(index).unwrap_or(&Argument::Other);
    let mut is_first = true;
    let mut push = |part: &[&[u8]]| {
        if !is_first {
            line.push(b' ');
        }
        is_first = false;
        part.iter().for_each(|bytes| line.extend_from_slice(bytes));
    };
    for step in steps {
        match step {
            Step::Text(text) => push(&[text]),
            Step::Command(index) => match argument(*index) {
                Argument::Text(text) => push(&[text]),
                Argument::Request(request) => push(&[request.command.word.as_bytes()]),
                _ => return Err(Unsuitable),
            },
            Step::Key(index) => match argument(*index) {
                Argument::Text(text) => push(&[text]),
                Argument::Request(request) => push(&[request.key()]),
                _ => return Err(Unsuitable),
            },
            Step::Miss(index) => match index.map(argument) {
                Some(Argument::Request(request)) => push(&[miss(request)?]),
                _ => return Err(Unsuitable),
            },
            Step::Code(index) => match argument(*index) {
                Argument::Text(text) => push(&[text]),
                Argument::Response(response) if response.is_meta() => {
                    push(&[response.line().split(|&byte| byte == b' ').next().unwrap_or_default()]);
                }
                _ => return Err(Unsuitable),
            },
            Step::Flag(flag, index) => {
                if let Some(text) = flag_text(*flag, argument(*index))? {
                    push(&[&[*flag], text]);
                }
            }
            Step::Flags(index) => match index.map(argument) {
                Some(Argument::Text(text)) => push(&[text]),
                Some(Argument::Response(response)) => push(&[response.rest().ok_or(Unsuitable)?]),
                _ => return Err(Unsuitable),
            },
            Step::Value(index) => {
                value = match argument(*index) {
                    Argument::Text(text) => text,
                    Argument::Request(request) => request.value(),
                    _ => &[],
                };
                let length = value.strip_suffix(b"\r\n").ok_or(Unsuitable)?.len();
                push(&[length.to_string().as_bytes()]);
            }
        }
    }
    Ok((line, value))
}

/// Returns the text behind a flag, or `None` if the flag is left out.
fn flag_text<'a>(flag: u8, argument: &Argument<'a>) -> Result<Option<&'a [u8]>, Unsuitable> {
    match argument {
        Argument::Nil | Argument::Bool(false) => Ok(None),
        Argument::Bool(true) => Ok(Some(&[])),
        Argument::Text(text) => Ok(Some(text)),
        Argument::Request(request) if request.command.is_meta() => Ok(request::flag(request, flag)),
        Argument::Response(response) if response.is_meta() => Ok(response.flag(flag)),
        _ => Err(Unsuitable),
    }
}

/// Returns the reply to a request whose item is missing.
fn miss(request: &ClientRequest) -> Result<&'static [u8], Unsuitable> {
    match request.command.word {
        // memcached has no miss of `me` here.
        "me" => Err(Unsuitable),
        _ if request.command.key() == 0 => Err(Unsuitable),
        _ => request.command.miss().strip_suffix(b"\r\n").ok_or(Unsuitable),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn built(steps: &[Step], arguments: &[Argument<'_>]) -> Option<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        build(steps, arguments).ok().map(|(line, value)| (text(&line), text(value)))
    }

    fn line(steps: &[Step], arguments: &[Argument<'_>]) -> Option<String> {
        built(steps, arguments).map(|(line, _)| line)
    }

    fn request(line: &str, value: &str) -> ClientRequest {
        ClientRequest::parse(line.as_bytes(), value.as_bytes()).unwrap()
    }

    #[test]
    fn each_step_takes_what_fits() {
        let get = request("mg key s T5 v", "");
        let classic = request("get key", "");
        let meta = Response::parse(b"VA 2 t-1 Oab\r\nhi\r\n".to_vec());
        let bare = Response::parse(b"HD\r\n".to_vec());
        let stored = Response::parse(b"STORED\r\n".to_vec());
        let (text, nil, other) = (Argument::Text(b"x"), Argument::Nil, Argument::Other);
        let (get, classic) = (Argument::Request(&get), Argument::Request(&classic));
        let (meta, bare, stored) =
            (Argument::Response(&meta), Argument::Response(&bare), Argument::Response(&stored));
        let (yes, no) = (Argument::Bool(true), Argument::Bool(false));
        for (step, argument, expected) in [
            (Step::Command(0), &text, Some("x")),
            (Step::Command(0), &get, Some("mg")),
            (Step::Command(0), &meta, None),
            (Step::Command(1), &get, None),
            (Step::Key(0), &text, Some("x")),
            (Step::Key(0), &classic, Some("key")),
            (Step::Key(0), &nil, None),
            (Step::Code(0), &text, Some("x")),
            (Step::Code(0), &meta, Some("VA")),
            (Step::Code(0), &stored, None),
            (Step::Code(0), &get, None),
            (Step::Flag(b'T', 0), &get, Some("T5")),
            (Step::Flag(b's', 0), &get, Some("s")),
            (Step::Flag(b'k', 0), &get, Some("")),
            (Step::Flag(b'T', 0), &classic, None),
            (Step::Flag(b'O', 0), &meta, Some("Oab")),
            (Step::Flag(b'O', 0), &bare, Some("")),
            (Step::Flag(b'O', 0), &stored, None),
            (Step::Flag(b'O', 0), &text, Some("Ox")),
            (Step::Flag(b'O', 0), &nil, Some("")),
            (Step::Flag(b'O', 0), &yes, Some("O")),
            (Step::Flag(b'O', 0), &no, Some("")),
            (Step::Flag(b'O', 0), &other, None),
            (Step::Flags(Some(0)), &meta, Some("t-1 Oab")),
            (Step::Flags(Some(0)), &text, Some("x")),
            (Step::Flags(Some(0)), &bare, None),
            (Step::Flags(Some(0)), &get, None),
            (Step::Flags(None), &meta, None),
            (Step::Miss(Some(0)), &text, None),
            (Step::Miss(None), &get, None),
            (Step::Value(0), &text, None),
            (Step::Value(0), &get, None),
            (Step::Value(0), &meta, None),
        ] {
            assert_eq!(
                line(std::slice::from_ref(&step), std::slice::from_ref(argument)).as_deref(),
                expected,
                "{step:?}"
            );
        }
    }

    #[test]
    fn parts_are_joined() {
        let set = request("ms key 2", "hi\r\n");
        let set = Argument::Request(&set);
        let text = |text: &str| Step::Text(text.into());
        let steps = [text("ms"), Step::Key(1), Step::Value(0), Step::Flag(b'O', 2), text("T30")];
        let arguments = [set, Argument::Text(b"other"), Argument::Nil];
        assert_eq!(built(&steps, &arguments), Some(("ms other 2 T30".into(), "hi\r\n".into())));
        let arguments = [Argument::Text(b"abc\r\n"), Argument::Text(b"k"), Argument::Bool(true)];
        assert_eq!(built(&steps, &arguments), Some(("ms k 3 O T30".into(), "abc\r\n".into())));
    }

    #[test]
    fn misses() {
        for (request_line, expected) in [
            ("mg k", Some("EN")),
            ("ms k 0", Some("NS")),
            ("md k", Some("NF")),
            ("ma k", Some("NF")),
            ("gat 1 k", Some("END")),
            ("cas k 0 0 0 1", Some("NOT_STORED")),
            ("prepend k 0 0 0", Some("NOT_STORED")),
            ("touch k 1", Some("NOT_FOUND")),
            ("me k", None),
            ("version", None),
        ] {
            let value = if request_line.contains(" 0") { "\r\n" } else { "" };
            let request = request(request_line, value);
            assert_eq!(line(&[Step::Miss(Some(0))], &[Argument::Request(&request)]).as_deref(), expected);
        }
    }
}
