//! Authentication. Every command of every protocol on every listener passes
//! [`Session::has_all_rights`] before it is parsed.
//!
//! Input of a client with some rights is handled by [`Session::guard`] first. Input of an
//! unauthenticated one is handled by [`Session::handle_unauthenticated`], which accepts the login
//! exchanges and no commands.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr;

use super::env::Env;
use super::state::{LINE_MAX, Login, Session};
use super::step::{Next, Used};
use super::{sasl, verbose};
use crate::cache::{Response, StoreReply, Stored};
use crate::config::{AuthMethod, Protocol, Rights};
use crate::protocol::binary::{Echo, Sasl, Status};
use crate::protocol::commands::parse;
use crate::protocol::encoder::Encoder;
use crate::protocol::line::Line;
use crate::protocol::meta::KeyRoom;
use crate::protocol::output::Output;
use crate::protocol::tokens::{Tokens, strict_u32, strip_line_end};
use crate::protocol::write::push_line;
use crate::state::{Access, CloseReason, ConnState, ServerState, Users};

/// Longest name of a SASL mechanism (memcached's rule).
const MECHANISM_MAX: usize = 32;

/// The supported mechanism.
const PLAIN: &[u8] = b"PLAIN";

/// Longest valid response to PLAIN: three fields of the file of users.
const PLAIN_MAX: usize = 1024;

/// Most bytes of a name and a password in a `set` or `ms` (memcached's rule).
const TOKEN_MAX: usize = 16384;

/// Fewest bytes that are parsed (memcached's rule).
const MIN_LOGIN_INPUT: usize = 3;

/// Fewest bytes of a line that can be a login (memcached's rule).
const LOGIN_MIN: usize = 6;

impl Session {
    /// Returns whether the client may send all commands.
    #[inline]
    pub(super) fn has_all_rights(&self, context: &ServerState) -> bool {
        context.users.is_none() || matches!(self.login, Login::Authenticated)
    }

    /// Returns whether the client may send some commands.
    #[inline]
    pub(super) fn is_authenticated(&self, context: &ServerState) -> bool {
        self.has_all_rights(context) || matches!(self.login, Login::Restricted(_))
    }

    /// Records the rights of a client that its certificate names.
    pub fn identify(&mut self, access: Access) {
        self.login = access.into();
    }

    /// Handles input of a client that may not send commands.
    pub(super) fn handle_unauthenticated(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        out: &mut Output,
    ) -> Used {
        let Some(users) = &env.context.users else { return Used::NeedInput };
        match (users.method(), self.protocol) {
            // Only a certificate could name the user.
            (None, _) => {
                self.login = Login::Restricted(Arc::new(Rights::none()));
                Used::Bytes(0)
            }
            (Some(AuthMethod::Text), Protocol::Ascii) => {
                let mark = out.mark();
                let used = self.text_login(env, users, input, out);
                if env.context.logs(2) {
                    verbose::answer(env.context, env.fd, b"set", out, &mark);
                }
                used
            }
            // It refuses all packets but those of SASL and `version`.
            (Some(AuthMethod::Sasl), Protocol::Binary) => self.packet(env, input, out),
            // A protocol without a login.
            _ => Used::Stop(input.len(), Next::Abort(CloseReason::Error)),
        }
    }

    /// Handles a `set` or `ms` whose value is a user name and a password. memcached knows the `set`
    /// only. Key, flags and exptime are ignored, but the reply to an `ms` has what its flags ask
    /// for. Uses only complete logins.
    fn text_login(&mut self, env: &mut Env<'_>, users: &Users, input: &[u8], out: &mut Output) -> Used {
        let end = if input.len() < MIN_LOGIN_INPUT { None } else { memchr(b'\n', input) };
        let Some(end) = end else {
            if input.len() > LINE_MAX {
                return Used::Stop(input.len(), Next::Abort(CloseReason::Error));
            }
            return Used::NeedInput;
        };
        self.tell(env, || Cow::Borrowed(strip_line_end(input.get(..=end).unwrap_or_default())));
        if !(LOGIN_MIN..=LINE_MAX).contains(&end) {
            return Used::Stop(input.len(), Next::Abort(CloseReason::Error));
        }
        // memcached removes one byte before the line's end, for its `\r`.
        let line = input.get(..end - 1).unwrap_or_default();
        let mut room = KeyRoom::new();
        let meta = line.starts_with(b"ms ").then(|| parse(line, 2, &mut room));
        let size = match meta {
            Some(Line::Store { length, .. }) => Some(length),
            None if line.starts_with(b"set") => {
                Tokens::new(line).get(4).and_then(strict_u32).map(|size| size as usize)
            }
            _ => None,
        };
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
        let login_len = value + size + 2;
        let Some(token) = input.get(value..login_len) else { return Used::NeedInput };
        env.turn.command();
        match (self.judge_token(env, users, token), meta) {
            (Err(line), _) => push_line(out, line),
            (Ok(()), Some(Line::Store { key, form, .. })) => {
                let reply = StoreReply { stored: Stored::Stored, cas: 0, length: size };
                let clock = env.context.cache.clock();
                Encoder { out, form: &form, key: key.bytes(), clock }.encode(&Response::Stored(reply));
            }
            (Ok(()), _) => push_line(out, "STORED"),
        }
        Used::Bytes(login_len)
    }

    /// Logs in by a user name and a password with a line end behind them. Returns an error line if
    /// that fails.
    fn judge_token(&mut self, env: &Env<'_>, users: &Users, token: &[u8]) -> Result<(), &'static str> {
        let pair = token.strip_suffix(b"\r\n").ok_or("CLIENT_ERROR bad command line termination")?;
        let space = memchr(b' ', pair).ok_or("CLIENT_ERROR bad authentication token format")?;
        let (user, password) = pair.split_at(space);
        env.stats.auth_cmds.add(1);
        if let Some(access) = users.log_in(user, password.get(1..).unwrap_or_default()) {
            self.login = access.into();
            Ok(())
        } else {
            env.stats.auth_errors.add(1);
            Err("CLIENT_ERROR authentication failure")
        }
    }

    /// Lists the mechanisms. As in memcached, the client is unauthenticated afterwards.
    pub(super) fn sasl_list(&mut self, env: &Env<'_>, echo: Echo, out: &mut Output) {
        if !has_sasl(env) {
            return echo.error(out, Status::UnknownCommand);
        }
        if matches!(self.login, Login::Authenticated | Login::Restricted(_)) {
            self.login = Login::Withdrawn;
        }
        echo.done(out, 0, PLAIN);
    }

    /// Handles a step of SASL, whose data are the `length` bytes of `input` behind `head`. Any step
    /// ends an earlier authentication.
    pub(super) fn sasl(
        &mut self,
        env: &mut Env<'_>,
        echo: Echo,
        ask: &Sasl<'_>,
        input: &[u8],
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
        self.trace_within(env, ConnState::Nread);
        let too_long = length > PLAIN_MAX;
        let data = if too_long { Some(&[][..]) } else { input.get(head..head + length) };
        let Some(data) = data else {
            // The command is incomplete.
            env.turn.no_command();
            return Used::NeedInput;
        };
        let begun = if step { self.login != Login::Anonymous } else { mechanism.eq_ignore_ascii_case(PLAIN) };
        verbose::mechanism(env.context, mechanism, length);
        if step && !begun {
            verbose::not_begun(env.context, env.fd);
        }
        let is_second = matches!(self.login, Login::Authenticated | Login::Restricted(_) | Login::Withdrawn);
        let asks = begun && !step && length == 0;
        self.login = match (asks || step && begun, is_second) {
            // The client may begin anew.
            (false, _) => Login::Anonymous,
            // The client may repeat a step.
            (true, false) => Login::Challenged,
            (true, true) => Login::Withdrawn,
        };
        if asks {
            verbose::sasl_result(env.context, sasl::CONTINUE);
            echo.answer(out, Status::AuthContinue, 0, &[]);
            return Used::Bytes(head);
        }
        env.stats.auth_cmds.add(1);
        let result = match &env.context.users {
            Some(users) if begun && !is_second => judge_plain(users, data),
            _ if begun || step => Err(sasl::FAIL),
            _ => Err(sasl::NO_MECHANISM),
        };
        verbose::sasl_result(env.context, result.as_ref().map_or_else(|&code| code, |_| sasl::OK));
        if let Ok(access) = result {
            self.login = access.into();
            echo.done(out, 0, b"Authenticated");
        } else {
            env.stats.auth_errors.add(1);
            echo.error(out, Status::AuthError);
        }
        if too_long { self.swallow(head, length) } else { Used::Bytes(head + length) }
    }
}

impl From<Access> for Login {
    fn from(access: Access) -> Self {
        match access {
            Access::All => Self::Authenticated,
            Access::Limited(rights) => Self::Restricted(rights),
        }
    }
}

fn has_sasl(env: &Env<'_>) -> bool {
    env.context.users.as_ref().is_some_and(|users| users.method() == Some(AuthMethod::Sasl))
}

/// Returns the rights of the client whose response to PLAIN is `data`, or a result of SASL. It is
/// `[authorization] NUL user NUL password` (RFC 4616). A user can only be authorized as itself.
fn judge_plain(users: &Users, data: &[u8]) -> Result<Access, i32> {
    let mut fields = data.split(|&byte| byte == 0);
    let (Some(authorization), Some(user), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(sasl::BAD_PROTOCOL);
    };
    let is_itself = authorization.is_empty() || authorization == user;
    let access = if user.is_empty() || !is_itself { None } else { users.log_in(user, password) };
    access.ok_or(sasl::BAD_AUTH)
}
