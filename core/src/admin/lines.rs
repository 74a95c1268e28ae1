//! Lines of statistics: their destination, and the rows that long replies write in parts.

use std::fmt::Display;
use std::io::Write as _;

use crate::protocol::binary::Echo;
use crate::state::{ConnState, ServerState, describe};
use crate::store::Sizes;

/// The destination of statistics.
pub(super) enum Lines<'a> {
    /// To a client, as lines.
    Text(&'a mut Vec<u8>),
    /// To a client, as packets that repeat fields of the request.
    Packets(&'a mut Vec<u8>, Echo),
    /// To the calling program.
    Program(&'a mut dyn FnMut(&str, &str)),
}

impl Lines<'_> {
    pub(super) fn put(&mut self, name: impl Display, value: impl Display) {
        match self {
            // Writing to a Vec cannot fail.
            Self::Text(bytes) => drop(write!(bytes, "STAT {name} {value}\r\n")),
            Self::Packets(bytes, echo) => {
                echo.statistic(bytes, name.to_string().as_bytes(), value.to_string().as_bytes());
            }
            Self::Program(each) => each(&name.to_string(), &value.to_string()),
        }
    }

    pub(super) fn end(&mut self) {
        match self {
            Self::Text(bytes) => bytes.extend_from_slice(b"END\r\n"),
            Self::Packets(bytes, echo) => echo.statistic(bytes, &[], &[]),
            Self::Program(_) => {}
        }
    }
}

/// Writes the counts of `most` sizes from number `from` on. Returns the next number, or `None` at
/// the end.
pub(super) fn put_sizes(sizes: &Sizes, from: usize, most: usize, out: &mut Lines<'_>) -> Option<usize> {
    let (list, next) = sizes.list(from, most);
    for (size, count) in list {
        out.put(size, count);
    }
    next
}

/// Writes the row of the connection of `fd`, for the connection `client`.
pub(super) fn put_connection(
    context: &ServerState,
    client: i32,
    fd: i32,
    state: ConnState,
    last: u32,
    out: &mut Lines<'_>,
) {
    let now = context.cache.clock().now();
    let [peer, local] = describe(fd);
    let state = if fd == client { ConnState::ParseCmd } else { state };
    let udp = local.starts_with("udp");
    if udp {
        out.put(format_args!("{fd}:UDP"), "UDP");
    }
    if state == ConnState::Listening || udp {
        // A UDP socket has no peer, and is busy only for a moment.
        out.put(format_args!("{fd}:addr"), local);
    } else {
        out.put(format_args!("{fd}:addr"), peer);
        out.put(format_args!("{fd}:listen_addr"), local);
    }
    out.put(format_args!("{fd}:state"), state.text());
    out.put(format_args!("{fd}:secs_since_last_cmd"), now.saturating_sub(last));
}
