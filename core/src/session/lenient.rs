//! Lines of a proxy whose program decides what it routes, as memcached's proxy parses them.
//!
//! That looks at less of a line than a server: it routes lines that a server would refuse, and
//! refuses others in its own words.

use super::env::Env;
use super::routed::{is_lenient, route};
use super::state::Session;
use super::step::{Next, Used};
use crate::protocol::commands::find;
use crate::protocol::output::Output;
use crate::protocol::tokens::Tokens;
use crate::protocol::write::push_line;
use crate::proxy::line::{Fault, Line};
use crate::state::CloseReason;

/// Most bytes before the first of several keys.
const PREFIX_MAX: usize = 20;

const PARSING: &str = "CLIENT_ERROR parsing request";
const MALFORMED: &str = "CLIENT_ERROR malformed request";

/// Returns the reply to a line that is too short for a command.
pub(super) fn too_short(env: &Env<'_>, error: &'static str) -> &'static str {
    if is_lenient(env) { PARSING } else { error }
}

/// Refuses a get whose first key begins too far behind the command.
pub(super) fn refuse_prefix(env: &Env<'_>, line: &[u8], line_len: usize, out: &mut Output) -> Option<Used> {
    if !is_lenient(env) {
        return None;
    }
    let tokens = Tokens::new(line);
    let key = if line.starts_with(b"gat") { 2 } else { 1 };
    let prefix = line.len() - tokens.rest(key)?.len();
    if tokens.len() <= key + 1 || prefix <= PREFIX_MAX {
        return None;
    }
    env.stats.proxy.errors.add(1);
    push_line(out, MALFORMED);
    Some(Used::Bytes(line_len))
}

impl Session {
    /// Handles a line that a server would refuse. `swallow` is the length of the value behind it,
    /// if the line has one. Returns `None` if this server refuses it.
    pub(super) fn lenient_line(
        &mut self,
        env: &mut Env<'_>,
        line: &[u8],
        line_len: usize,
        swallow: usize,
        out: &mut Output,
    ) -> Option<Used> {
        if !is_lenient(env) {
            return None;
        }
        match Line::parse(line) {
            Ok(parsed) => {
                let command = parsed.command;
                // The rights of a client are known for lines that this server understands.
                let routed = self.has_all_rights(env.context) && env.is_routed(command.word.as_bytes());
                // Several keys would be one request.
                let is_one = !command.is_get() || parsed.tokens == command.key() + 1;
                (command.key() > 0 && routed && is_one).then(|| match parsed.value.checked_sub(2) {
                    Some(length) => self.route_store(env, line, (length, false), line_len, out),
                    None => route(env, line, line_len, out),
                })
            }
            // Commands about this server are answered.
            Err(Fault::Unknown) if find(line.split(|&b| b == b' ').next()?).is_some() => None,
            Err(fault) => {
                env.stats.proxy.errors.add(1);
                push_line(out, PARSING);
                Some(match fault {
                    Fault::Unknown => Used::Stop(line_len, Next::Close(CloseReason::Error)),
                    Fault::Malformed => self.swallow(line_len, swallow),
                })
            }
        }
    }
}
