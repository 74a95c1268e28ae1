//! Clients that may not send every command. Each command of a client with some rights is checked
//! here, before it is carried out as any other. The check and the command parse the same bytes.
//!
//! A refused command changes nothing and the connection goes on. Its value is discarded. An item of
//! its key stays, unlike after a set that finds no memory: a user without the right to change an
//! item must not be able to remove it.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr;

use super::env::Env;
use super::packet::HEAD_MAX;
use super::routed_get::{RoutedGet, word_of_get};
use super::state::{Gets, Login, Session, State};
use super::step::Used;
use super::verbose;
use crate::admin;
use crate::config::{Need, Protocol, Rights};
use crate::protocol::binary::{self, Packet, PacketHeader};
use crate::protocol::commands::{Admin, Kind, find, parse};
use crate::protocol::encoder::Form;
use crate::protocol::line::Line;
use crate::protocol::meta::KeyRoom;
use crate::protocol::output::Output;
use crate::protocol::tokens::{Tokens, strip_line_end};
use crate::protocol::write::push_line;
use crate::protocol::{needs, text};
use crate::state::ServerState;

impl Session {
    /// Handles the command that the input begins with, of a client that may not send all of them.
    /// Returns `None` if the client may send this one, which is then carried out as any other.
    #[cold]
    #[inline(never)]
    pub(super) fn guard(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Option<Used> {
        let Login::Restricted(rights) = &self.login else {
            return Some(self.handle_unauthenticated(env, input, out));
        };
        let rights = Arc::clone(rights);
        if self.protocol == Protocol::Binary {
            self.guard_packet(env, input, &rights, out)
        } else {
            self.guard_line(env, input, &rights, out)
        }
    }

    /// Looks up the keys of a get, and checks each.
    #[cold]
    #[inline(never)]
    pub(super) fn guarded_keys(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        get: Gets,
        out: &mut Output,
    ) -> Used {
        let rights = match &self.login {
            Login::Restricted(rights) => Arc::clone(rights),
            // A login does not change within a command.
            _ => Arc::new(Rights::none()),
        };
        self.keys(env, input, get, |key| rights.permit(Need::Read, Some(key)), out)
    }

    /// Begins a get, or refuses the line if `rights` do not permit it. Returns `None` for another
    /// line.
    fn guard_line(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        rights: &Arc<Rights>,
        out: &mut Output,
    ) -> Option<Used> {
        let Some(end) = memchr(b'\n', input) else {
            let used = self.partial_line(env, input);
            match &mut self.state {
                State::Keys(get) => self.state = State::GuardedKeys(*get),
                State::RoutedKeys(get) => get.rights = Some(Arc::clone(rights)),
                _ => {}
            }
            return Some(used);
        };
        let line_len = end + 1;
        let line = strip_line_end(input.get(..line_len)?);
        let tokens = Tokens::new(line);
        let row = find(tokens.get(0)?)?;
        let mut room = KeyRoom::new();
        let name_len = memchr(b' ', line).unwrap_or(line.len());
        let parsed = parse(line, name_len, &mut room);
        let demand = needs::of_line(row, &parsed, &tokens);
        let permitted = rights.permit(demand.need, demand.key) || is_unknown(env.context, row.kind);
        let is_get = matches!(parsed, Line::Gets { .. });
        if permitted && !is_get {
            return None;
        }
        env.command();
        let mark = out.mark();
        if env.context.logs(2) && !self.reported {
            verbose::line(env.context, env.fd, line);
        }
        self.tell(env, || Cow::Borrowed(line));
        self.served = true;
        let (value, quiet) = match parsed {
            Line::Gets { keys, with_cas, touch } if permitted => {
                let word = word_of_get(with_cas, touch.is_some());
                self.state = if env.is_routed(word.as_bytes()) {
                    let rights = Some(Arc::clone(rights));
                    State::RoutedKeys(Box::new(RoutedGet::new(env, with_cas, touch, rights)))
                } else {
                    State::GuardedKeys(Gets::new(env, with_cas, touch))
                };
                return Some(Used::Bytes(keys));
            }
            Line::Store { length, form, .. } => (length + 2, is_quiet(&form)),
            Line::Late { length, .. } => (length + 2, false),
            Line::Bad { swallow, quiet, .. } => (swallow, quiet),
            Line::Data { form, .. } => (0, is_quiet(&form)),
            Line::Gets { .. } | Line::Noop => (0, false),
            Line::Other => match row.kind {
                Kind::Admin(Admin::Config) => (admin::value_len(&tokens), false),
                Kind::Admin(command) => (0, admin::is_quiet(command, &tokens)),
                Kind::Classic | Kind::Meta => (0, false),
            },
        };
        env.stats.not_permitted.add(1);
        if !quiet {
            push_line(out, text::NOT_PERMITTED);
        }
        if env.context.logs(2) {
            verbose::answer(env.context, env.fd, row.word.as_bytes(), out, &mark);
        }
        Some(self.swallow(line_len, value))
    }

    /// Refuses the packet that the input begins with if `rights` do not permit it. Returns `None`
    /// if they do, and for a packet that is incomplete or malformed.
    fn guard_packet(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        rights: &Rights,
        out: &mut Output,
    ) -> Option<Used> {
        let header = PacketHeader::read(input)?;
        let is_whole = header.is_request() && header.head() <= input.len().min(HEAD_MAX);
        if !is_whole || header.refusal().is_some() || header.has_long_key() {
            return None;
        }
        let packet = binary::parse(&header, input, env.context.cache.config().use_cas);
        let demand = needs::of_packet(&packet);
        if rights.permit(demand.need, demand.key) {
            return None;
        }
        env.turn.command();
        env.stats.not_permitted.add(1);
        self.served = true;
        self.tell(env, || Cow::Owned(header.describe(input).into_bytes()));
        header.echo().not_permitted(out);
        let value = if let Packet::Store { length, .. } = packet { length } else { 0 };
        Some(self.swallow(header.head(), value))
    }
}

/// Returns whether `kind` is not a command of this server, so that nothing follows its line.
fn is_unknown(context: &ServerState, kind: Kind) -> bool {
    kind == Kind::Admin(Admin::Config) && !context.cluster.is_on()
}

/// Returns whether an error has no reply.
fn is_quiet(form: &Form<'_>) -> bool {
    matches!(form, Form::Classic { quiet: true, .. })
}
