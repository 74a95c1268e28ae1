//! The one gate before all commands: every command of every protocol on every
//! listener passes [`Session::is_authenticated`] before it is looked at. Who has not
//! proved himself is heard by [`Session::handle_unauthenticated`] alone, which knows the two ways
//! to prove it and nothing of commands.

use std::borrow::Cow;

use memchr::memchr;

use super::{CloseReason, Env, LINE_MAX, Next, Session, Used};
use crate::auth::{AuthMethod, Users};
use crate::config::Protocol;
use crate::context::ServerState;
use crate::output::Output;
use crate::protocol::binary::{Echo, PacketHeader, Sasl, Status};
use crate::protocol::classic::push_line;
use crate::protocol::scan::{Tokens, strict_u32, strip_line_end};

/// Longest name of a SASL mechanism (memcached's rule).
const MECHANISM_MAX: usize = 32;

/// The one mechanism.
const PLAIN: &[u8] = b"PLAIN";

/// Most bytes that can be an answer to PLAIN: three fields of an entry.
const PLAIN_MAX: usize = 1024;

/// Most bytes of a name and a password in a `set` (memcached's rule).
const TOKEN_MAX: usize = 16384;

/// Fewest bytes that are looked at (memcached's rule).
const MIN_LOGIN_INPUT: usize = 3;

/// Fewest bytes of a `set` that can be a login (memcached's rule).
const LOGIN_MIN: usize = 6;

/// What a client has proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Nothing.
    Anonymous,
    /// Nothing; it was asked to go on.
    Challenged,
    /// That it may come in.
    Authenticated,
}

impl Session {
    /// Whether the client may give commands.
    #[inline]
    pub(super) fn is_authenticated(&self, context: &ServerState) -> bool {
        context.users.is_none() || self.login == Login::Authenticated
    }

    /// Hears a client that may not give commands.
    pub(super) fn handle_unauthenticated(
        &mut self,
        env: &mut Env<'_>,
        rest: &[u8],
        out: &mut Output,
    ) -> Used {
        let Some(users) = &env.context.users else { return Used::NeedInput };
        match (users.method(), self.protocol) {
            (AuthMethod::Text, Protocol::Ascii) => self.text_login(env, users, rest, out),
            (AuthMethod::Sasl, Protocol::Binary) => {
                let Some(header) = PacketHeader::read(rest) else { return Used::NeedInput };
                if rest.len() >= header.head()
                    && header.is_request()
                    && header.refusal().is_none()
                    && !header.is_open_to_all()
                {
                    self.tell(env, || Cow::Owned(header.describe(rest).into_bytes()));
                    header.echo().error(out, Status::AuthError);
                    return Used::Stop(rest.len(), Next::Close(CloseReason::Error));
                }
                self.packet(env, rest, out)
            }
            // A protocol that has no way to prove anything.
            _ => Used::Stop(rest.len(), Next::Abort(CloseReason::Error)),
        }
    }

    /// A `set` whose key, flags and TTL mean nothing and whose value is name and
    /// password. Only the whole of it is used up.
    fn text_login(&mut self, env: &mut Env<'_>, users: &Users, rest: &[u8], out: &mut Output) -> Used {
        let end = if rest.len() < MIN_LOGIN_INPUT { None } else { memchr(b'\n', rest) };
        let Some(end) = end else {
            if rest.len() > LINE_MAX {
                return Used::Stop(rest.len(), Next::Abort(CloseReason::Error));
            }
            return Used::NeedInput;
        };
        self.tell(env, || Cow::Borrowed(strip_line_end(rest.get(..=end).unwrap_or_default())));
        if !(LOGIN_MIN..=LINE_MAX).contains(&end) {
            return Used::Stop(rest.len(), Next::Abort(CloseReason::Error));
        }
        // memcached takes one byte before the line's end for its `\r`.
        let line = rest.get(..end - 1).unwrap_or_default();
        let size = line
            .starts_with(b"set")
            .then(|| Tokens::new(line).get(4).and_then(strict_u32))
            .flatten()
            .map(|size| size as usize);
        let value = end + 1;
        let size = match size {
            Some(size) if size <= TOKEN_MAX => size,
            other => {
                env.turn.command();
                push_line(
                    out,
                    match other {
                        None => "CLIENT_ERROR unauthenticated",
                        Some(_) => "CLIENT_ERROR auth token too long",
                    },
                );
                return Used::Bytes(value);
            }
        };
        let whole = value + size + 2;
        let Some(token) = rest.get(value..whole) else { return Used::NeedInput };
        env.turn.command();
        push_line(out, self.judge_token(env, users, token));
        Used::Bytes(whole)
    }

    /// The answer to a name and a password with a line end behind them.
    fn judge_token(&mut self, env: &Env<'_>, users: &Users, token: &[u8]) -> &'static str {
        let Some(pair) = token.strip_suffix(b"\r\n") else {
            return "CLIENT_ERROR bad command line termination";
        };
        let Some(space) = memchr(b' ', pair) else {
            return "CLIENT_ERROR bad authentication token format";
        };
        let (user, password) = pair.split_at(space);
        env.stats.auth_cmds.add(1);
        if users.admits(user, password.get(1..).unwrap_or_default()) {
            self.login = Login::Authenticated;
            "STORED"
        } else {
            env.stats.auth_errors.add(1);
            "CLIENT_ERROR authentication failure"
        }
    }

    /// Names the mechanisms. Whoever asks has proved nothing any more, as in
    /// memcached.
    pub(super) fn sasl_list(&mut self, env: &Env<'_>, echo: Echo, out: &mut Output) {
        if !has_sasl(env) {
            return echo.error(out, Status::UnknownCommand);
        }
        if self.login == Login::Authenticated {
            self.login = Login::Anonymous;
        }
        echo.done(out, 0, PLAIN);
    }

    /// A step of an authentication, its data being the `length` bytes of `rest`
    /// behind `head`. A failed one takes away what was proved before.
    pub(super) fn sasl(
        &mut self,
        env: &mut Env<'_>,
        echo: Echo,
        ask: &Sasl<'_>,
        rest: &[u8],
        head: usize,
        out: &mut Output,
    ) -> Used {
        let &Sasl { step, mechanism, length } = ask;
        let refused = if !has_sasl(env) {
            Some(Status::UnknownCommand)
        } else if mechanism.len() > MECHANISM_MAX {
            Some(Status::Invalid)
        } else if env.context.cache.store().is_chunked_in_memcached(mechanism.len(), 0, length) {
            // memcached reads the data into an item.
            Some(Status::OutOfMemory)
        } else {
            None
        };
        if let Some(status) = refused {
            echo.error(out, status);
            return self.swallow(head, length);
        }
        let too_long = length > PLAIN_MAX;
        let data = if too_long { Some(&[][..]) } else { rest.get(head..head + length) };
        let Some(data) = data else {
            // It is no command yet.
            env.turn.no_command();
            return Used::NeedInput;
        };
        let asked = self.login == Login::Challenged;
        let begun = if step { asked } else { mechanism.eq_ignore_ascii_case(PLAIN) };
        // A step may be tried again.
        self.login = if step && asked { Login::Challenged } else { Login::Anonymous };
        if begun && !step && length == 0 {
            self.login = Login::Challenged;
            echo.answer(out, Status::AuthContinue, 0, &[]);
            return Used::Bytes(head);
        }
        env.stats.auth_cmds.add(1);
        if begun && env.context.users.as_ref().is_some_and(|users| is_user(users, data)) {
            self.login = Login::Authenticated;
            echo.done(out, 0, b"Authenticated");
        } else {
            env.stats.auth_errors.add(1);
            echo.error(out, Status::AuthError);
        }
        if too_long { self.swallow(head, length) } else { Used::Bytes(head + length) }
    }
}

fn has_sasl(env: &Env<'_>) -> bool {
    env.context.users.as_ref().is_some_and(|users| users.method() == AuthMethod::Sasl)
}

/// Whether `data` is an answer to PLAIN, `[as whom] NUL who NUL password`, of a
/// user who wants to be nobody else (RFC 4616).
fn is_user(users: &Users, data: &[u8]) -> bool {
    let mut fields = data.split(|&byte| byte == 0);
    let (Some(whom), Some(who), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    !who.is_empty() && (whom.is_empty() || whom == who) && users.admits(who, password)
}
