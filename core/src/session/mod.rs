//! A connection without its socket: bytes in, bytes out.
//!
//! [`Session::advance`] takes any amount of input, carries out the complete commands, and returns
//! the next action for its owner. The session keeps only the state that must survive between two
//! reads. The owner keeps incomplete lines and passes them in again.
//!
//! ```text
//!   Command ──get──▶ Keys ─────────┐         Keys: more keys of a long get
//!      │ ──set──▶ Value ──────────▶│         Value: bytes for an item
//!      │ ──refused set─▶ Swallow ─▶│ Command
//!      │ ──metadump────▶ Dump ────▶│
//!      │ ──config set──▶ Config ──▶│
//!      └ ──watch───────▶ Watch                (until the end)
//! ```

mod answer;
mod fault;
mod keys;
mod login;
mod packet;
pub mod slots;
mod trace;
mod upload;
pub(crate) mod verbose;

use std::borrow::Cow;
use std::time::Duration;

use memchr::memchr;

use crate::admin::debug::PinnedItems;
use crate::admin::{self, Dump};
use crate::base::turn::{self, Turn};
use crate::config::AuthMethod;
use crate::config::OnCommand;
use crate::config::Protocol;
use crate::protocol::classic::{self, push_line};
use crate::protocol::dispatch::{dispatch, miss};
use crate::protocol::output::Output;
use crate::protocol::request::{Key, Request};
use crate::protocol::{binary, meta, text, tokens};
use crate::state::Users;
use crate::state::{CloseReason, ConnState, ServerState, WorkerStats};

use self::answer::ReplyWriter;
use self::fault::{FaultOutcome, ReplyFault};
use self::keys::look_ahead;
use self::login::Login;
use self::slots::Deferred;
use self::trace::Trace;
use self::upload::Upload;

/// Longest input without a line end, in bytes, except of a get (memcached's rule).
const LINE_MAX: usize = 2048;

/// Bytes that a visit reads and replies with while all connections together hold much memory.
pub(crate) const TIGHT: usize = 16 * 1024;

/// Most spaces before a long get (memcached's rule).
const LEADING_SPACES: usize = 100;

/// The next action of the connection's owner after [`Session::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All usable input was used. Flush, then wait for more input.
    Input,
    /// The budget is spent or the output is full. Flush, let other clients have their turn, then
    /// call again with the rest of the input, which may be empty.
    Yield,
    /// Flush, then close.
    Close(CloseReason),
    /// Close without flushing what this visit produced.
    Abort(CloseReason),
    /// Flush, then stream events of these kinds. Input is ignored from now on.
    Watch(u32),
    /// Flush, wait, then call again with the rest of the input.
    Sleep(Duration),
    /// Flush, and do not read. When the last open slot of the output is filled, flush, then call
    /// again with the rest of the input, which may be empty.
    Pending,
}

/// Result of [`Session::advance`].
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// The next action.
    pub next: Next,
}

/// The surroundings of a session for one visit.
#[derive(Debug)]
pub struct Env<'a> {
    /// The server.
    pub context: &'a ServerState,
    /// Counters of this worker.
    pub stats: &'a WorkerStats,
    /// Descriptor of the client, shown to watchers and in logs.
    pub fd: i32,
    /// The rest of the visit's budget.
    pub turn: Turn,
    /// The length of the output at which the visit ends.
    pub limit: usize,
    /// Takes work whose replies come later. `None` if the owner does not wait for replies.
    pub deferred: Option<&'a mut Deferred>,
    /// Set if all connections together hold much memory, so that each must hold little.
    pub(crate) is_tight: bool,
}

impl<'a> Env<'a> {
    /// Returns the surroundings of a visit of at most `commands` commands, whose output is empty.
    #[inline]
    pub fn new(context: &'a ServerState, stats: &'a WorkerStats, fd: i32, commands: usize) -> Self {
        let is_tight = context.cache.store().beside().is_tight();
        let limit = context.config.output_limit.min(if is_tight { TIGHT } else { turn::WORK });
        Self { context, stats, fd, turn: Turn::new(commands), limit, deferred: None, is_tight }
    }
}

enum State {
    Command,
    /// More keys follow.
    Keys {
        with_cas: bool,
        expiry: Option<u32>,
    },
    /// The rest of a refused line, and the reply at its end.
    SkipLine {
        then: Option<&'static str>,
    },
    Value(Box<Upload>),
    Swallow {
        left: usize,
    },
    Dump(Box<Dump>),
    Config(Box<admin::NodesUpload>),
    Watch,
}

/// State of one connection.
pub struct Session {
    protocol: Protocol,
    login: Login,
    state: State,
    /// Whether a command was carried out since the last visit that ended for another reason than a
    /// spent turn.
    served: bool,
    /// Whether a fault's delay is over, so that the next command is not delayed again.
    slept: bool,
    /// Whether the hook and the log have received the command that the input begins with.
    reported: bool,
    /// The state of memcached's own machine, for the log.
    trace: Trace,
    /// A fault of the reply under way.
    reply_fault: Option<Box<ReplyFault>>,
    /// Items pinned by `debugitem`.
    held: Option<Box<PinnedItems>>,
}

opaque_debug!(Session);

/// The use of one piece of input.
enum Used {
    /// This many bytes were used. The session goes on with the rest.
    Bytes(usize),
    /// The session needs more input.
    NeedInput,
    /// This many bytes were used. The owner acts next.
    Stop(usize, Next),
}

impl Session {
    /// Returns the session of a new connection.
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            login: Login::Anonymous,
            state: State::Command,
            served: false,
            slept: false,
            reported: false,
            trace: Trace::default(),
            reply_fault: None,
            held: None,
        }
    }

    /// Returns the session of a datagram whose first byte is `first`.
    pub fn of_datagram(first: u8) -> Self {
        let protocol = if first == binary::REQUEST { Protocol::Binary } else { Protocol::Ascii };
        Self { trace: Trace::of_datagram(), ..Self::new(protocol) }
    }

    /// Returns the state of the connection for `stats conns`.
    pub fn state(&self) -> ConnState {
        match self.state {
            State::Command | State::Keys { .. } | State::SkipLine { .. } => ConnState::Read,
            State::Value(_) | State::Config(_) => ConnState::Nread,
            State::Swallow { .. } => ConnState::Swallow,
            State::Dump(_) => ConnState::Mwrite,
            State::Watch => ConnState::Watch,
        }
    }

    /// Returns whether no command is under way, so that an idle connection may be closed.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Command)
    }

    /// Returns the bytes of a reply that gathers here.
    pub fn held(&self) -> usize {
        if let State::Dump(dump) = &self.state { dump.held() } else { 0 }
    }

    /// Returns the memory for the next input bytes if a large value is under way. It is at least
    /// one byte long. The owner may read from its socket straight into it, and then calls
    /// [`Session::value_filled`].
    pub fn value_target(&mut self) -> Option<&mut [u8]> {
        let State::Value(upload) = &mut self.state else { return None };
        upload.reservation.target().ok().filter(|target| !target.is_empty())
    }

    /// Records that `n` bytes were written to [`Session::value_target`].
    pub fn value_filled(&mut self, n: usize) {
        if let State::Value(upload) = &mut self.state {
            upload.reservation.advance(n);
        }
    }

    /// Carries out the commands in `input` and appends replies to `out`.
    pub fn advance(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Step {
        if self.reply_fault.is_some() {
            self.resume_reply_fault(out);
        }
        let traced = env.context.logs(3);
        if traced && !input.is_empty() {
            self.trace_input(env);
        }
        let mut step = self.visit(env, input, out, traced);
        if traced {
            self.trace_visit(env, &step, input.len().saturating_sub(step.consumed));
        }
        // A pipeline that is cut by the end of a turn is still one pipeline.
        if step.next != Next::Yield || !env.turn.is_over() {
            self.served = false;
        }
        if out.open_slots() > 0 {
            step.next = match step.next {
                Next::Yield if out.len() < env.limit => Next::Yield,
                Next::Input | Next::Yield => Next::Pending,
                other => other,
            };
        }
        if self.reply_fault.is_some()
            && let Some(next) = self.pause_reply_fault(out)
        {
            step.next = next;
        }
        step
    }

    /// Carries out the commands of one visit. With `traced`, logs changes of memcached's states.
    fn visit(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output, traced: bool) -> Step {
        let limit = env.limit;
        let mut consumed = 0;
        let mut prefetched_to = 0;
        if self.protocol == Protocol::Negotiating {
            let Some(&first) = input.first() else { return Step { consumed: 0, next: Next::Input } };
            self.protocol = match env.context.users.as_ref().map(Users::method) {
                Some(AuthMethod::Sasl) => Protocol::Binary,
                None if first == binary::REQUEST => Protocol::Binary,
                Some(AuthMethod::Text) | None => Protocol::Ascii,
            };
            if env.context.logs(2) {
                verbose::protocol(env.context, env.fd, self.protocol);
            }
        }
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            if self.reply_fault.is_some()
                && let Some(next) = self.apply_reply_fault(env, out)
            {
                return Step { consumed, next };
            }
            if out.len() >= limit {
                return Step { consumed, next: Next::Yield };
            }
            if !out.make_room() {
                return Step { consumed, next: Next::Close(CloseReason::Error) };
            }
            if env.turn.is_over() && !rest.is_empty() {
                return Step { consumed, next: Next::Yield };
            }
            let mark = out.mark();
            if traced && !rest.is_empty() && self.is_idle() {
                self.trace_command(env);
            }
            let used = match &mut self.state {
                State::Command => {
                    if self.is_authenticated(env.context) {
                        if consumed >= prefetched_to {
                            prefetched_to = consumed + look_ahead(&env.context.cache, self.protocol, rest);
                        }
                        if self.protocol == Protocol::Binary {
                            self.packet(env, rest, out)
                        } else {
                            self.command(env, rest, out)
                        }
                    } else {
                        self.handle_unauthenticated(env, rest, out)
                    }
                }
                State::Keys { with_cas, expiry } => {
                    let (with_cas, expiry) = (*with_cas, *expiry);
                    self.keys(env, rest, with_cas, expiry, out)
                }
                State::SkipLine { then } => {
                    let then = *then;
                    let used = self.skip_line(rest, then, out);
                    if env.context.logs(2) {
                        verbose::answer(env.context, env.fd, b"get", out, &mark);
                    }
                    used
                }
                State::Value(upload) => {
                    let word = upload.word();
                    let used = self.value(env, rest, out);
                    if env.context.logs(2) {
                        match word {
                            Some(word) => verbose::answer(env.context, env.fd, word, out, &mark),
                            None => verbose::response(env.context, env.fd, false, out, &mark),
                        }
                    }
                    used
                }
                State::Swallow { left } => {
                    let n = rest.len().min(*left);
                    *left -= n;
                    if *left == 0 {
                        self.state = State::Command;
                        Used::Bytes(n)
                    } else {
                        Used::Stop(n, Next::Input)
                    }
                }
                State::Dump(dump) => {
                    if dump.advance(env.context, &mut env.turn, out, limit) {
                        self.state = State::Command;
                        Used::Bytes(0)
                    } else {
                        Used::Stop(0, Next::Yield)
                    }
                }
                State::Config(upload) => {
                    let n = upload.take(rest);
                    if let Some(answer) = upload.finish(&env.context.cluster) {
                        push_line(out, answer);
                        self.state = State::Command;
                        Used::Bytes(n)
                    } else {
                        Used::Stop(n, Next::Input)
                    }
                }
                State::Watch => Used::Stop(rest.len(), Next::Input),
            };
            if let Used::Bytes(n) | Used::Stop(n, _) = used {
                self.reported &= n == 0;
            }
            if traced {
                self.trace_step(env, &used, out.since(&mark));
            }
            match used {
                Used::Bytes(n) => consumed += n,
                Used::NeedInput => return Step { consumed, next: Next::Input },
                Used::Stop(n, next) => return Step { consumed: consumed + n, next },
            }
        }
    }

    /// Carries out one line.
    #[inline]
    fn command(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let Some(end) = memchr(b'\n', input) else { return self.partial_line(env, input) };
        let line_len = end + 1;
        let Some(raw) = input.get(..line_len) else { return Used::NeedInput };
        env.turn.command();
        let mark = out.mark();
        let line = tokens::strip_line_end(raw);
        if env.context.logs(2) && !self.reported {
            verbose::line(env.context, env.fd, line);
        }
        self.tell(env, || Cow::Borrowed(line));
        let used = if raw.len() < 4 {
            // memcached's shortest command is "mn\r\n".
            push_line(out, text::BAD_LINE);
            Used::Bytes(line_len)
        } else {
            self.line(env, line, input, line_len, out)
        };
        // memcached does not log the error of a value that it discards.
        if env.context.logs(2) && !matches!(self.state, State::Swallow { .. }) {
            let word = memchr(b' ', line).and_then(|name_len| line.get(..name_len)).unwrap_or(line);
            verbose::answer(env.context, env.fd, word, out, &mark);
        }
        self.served = true;
        used
    }

    /// Passes the command at the start of the input to the hook. Does so once, even if a delayed
    /// command is parsed again.
    #[inline]
    fn tell<'a>(&mut self, env: &Env<'_>, command: impl FnOnce() -> Cow<'a, [u8]>) {
        if !self.reported {
            self.reported = true;
            if let Some(hook) = &env.context.config.hooks.command {
                tell(&**hook, env.fd, &command());
            }
        }
    }

    /// Handles input without a line end.
    fn partial_line(&mut self, env: &Env<'_>, input: &[u8]) -> Used {
        if input.len() <= LINE_MAX {
            return Used::NeedInput;
        }
        self.tell(env, || Cow::Borrowed(input));
        // Only a get may be longer. Its keys are used as they arrive.
        let spaces = input.iter().take_while(|&&byte| byte == b' ').count();
        let line = input.get(spaces..).unwrap_or_default();
        let with_cas = line.starts_with(b"gets ");
        if spaces > LEADING_SPACES || !(with_cas || line.starts_with(b"get ")) {
            return Used::Stop(0, Next::Abort(CloseReason::Error));
        }
        if spaces > 0 {
            self.state = State::SkipLine { then: Some("ERROR\r\n") };
            return Used::Bytes(0);
        }
        self.state = State::Keys { with_cas, expiry: None };
        Used::Bytes(if with_cas { 4 } else { 3 })
    }

    /// Carries out `line`, the first line of `input`. `line_len` is its length with its end.
    #[inline]
    fn line(
        &mut self,
        env: &mut Env<'_>,
        line: &[u8],
        input: &[u8],
        line_len: usize,
        out: &mut Output,
    ) -> Used {
        let name_len = memchr(b' ', line).unwrap_or(line.len());
        match classic::parse(line, name_len, env.fd) {
            classic::Line::Gets { keys, with_cas, touch } => {
                let expiry = touch.map(|ttl| env.context.cache.clock().expiry(i64::from(ttl)));
                self.state = State::Keys { with_cas, expiry };
                return Used::Bytes(keys);
            }
            classic::Line::Store { head, length, quiet } => {
                if env.context.cache.prefixes().enabled() {
                    env.context.cache.prefixes().record_set(head.key.bytes());
                }
                return self.store(env, &head, length, ReplyWriter::Classic { quiet }, input, line_len, out);
            }
            classic::Line::Data { request, quiet } => {
                let name = command_name(line, name_len);
                let reply_via = ReplyWriter::Classic { quiet };
                let met = self.fault(env, name, request_key(&request), reply_via, line_len, out);
                let mut reply = classic::Encoder { out, with_cas: false, quiet };
                match met {
                    Some(FaultOutcome::Done(used)) => return used,
                    Some(FaultOutcome::Miss) => miss(&request, &mut reply),
                    None => {
                        verbose::request(env.context, &request);
                        dispatch(&env.context.cache, &request, env.fd, &mut reply);
                    }
                }
                return Used::Bytes(line_len);
            }
            classic::Line::Bad { error, swallow, quiet } => {
                if !quiet {
                    push_line(out, error);
                }
                return self.swallow(line_len, swallow);
            }
            classic::Line::Other => {}
        }
        if name_len == 2
            && line.first() == Some(&b'm')
            && let Some(used) = self.meta(env, line, input, line_len, out)
        {
            return used;
        }
        self.admin(env, line, name_len, line_len, out)
    }

    fn swallow(&mut self, line_len: usize, left: usize) -> Used {
        if left > 0 {
            self.state = State::Swallow { left };
        }
        Used::Bytes(line_len)
    }

    fn meta(
        &mut self,
        env: &mut Env<'_>,
        line: &[u8],
        input: &[u8],
        line_len: usize,
        out: &mut Output,
    ) -> Option<Used> {
        let context = env.context;
        let clock = context.cache.clock();
        let start = out.mark();
        let name = command_name(line, 2);
        let parsed = meta::parse(line);
        let bad = |out: &mut Output, error: &str| {
            push_line(out, error);
            Some(Used::Bytes(line_len))
        };
        let (flags, request) = match &parsed {
            meta::Line::Get(flags) => match flags.get(clock, env.fd) {
                Some(request) => (flags, request),
                None => return bad(out, text::BAD_LINE),
            },
            meta::Line::Delete(flags) => match flags.delete(clock, env.fd) {
                Ok(request) => (flags, request),
                Err(error) => return bad(out, error),
            },
            meta::Line::Delta(flags) => match flags.delta(clock, env.fd) {
                Ok(request) => (flags, request),
                Err(error) => return bad(out, error),
            },
            meta::Line::Inspect(flags) => match flags.inspect() {
                Some(request) => (flags, request),
                None => return bad(out, text::BAD_LINE),
            },
            meta::Line::Set(flags, length) => {
                return Some(match flags.set() {
                    Ok(head) => {
                        self.store(env, &head, *length, ReplyWriter::Meta(flags.echo()), input, line_len, out)
                    }
                    Err(error) => {
                        let class = |key: Key<'_>| {
                            let bytes = key.bytes().len();
                            context.cache.store().class_for(bytes, flags.client_flags(), *length).ok()
                        };
                        if let (true, Some(key)) = (error == meta::LONG_OPAQUE, flags.key())
                            && let Some(class) = class(key)
                        {
                            // memcached has created the item at this point.
                            context.cache.count_set(key.bytes(), class);
                        }
                        push_line(out, error);
                        if error == meta::LONG_OPAQUE && context.logs(2) {
                            verbose::answer(context, env.fd, b"set", out, &start);
                            self.trace_within(env, ConnState::NewCmd);
                        }
                        self.swallow(line_len, length + 2)
                    }
                });
            }
            meta::Line::Noop => {
                push_line(out, "MN");
                // This command flushes the replies before it.
                let last = input.len() == line_len;
                return Some(if last { Used::Bytes(line_len) } else { Used::Stop(line_len, Next::Yield) });
            }
            meta::Line::Bad(error, swallow) => {
                push_line(out, error);
                return Some(self.swallow(line_len, *swallow));
            }
            meta::Line::Other => return None,
        };
        let reply_via = ReplyWriter::Classic { quiet: false };
        let met = self.fault(env, name, request_key(&request), reply_via, line_len, out);
        let given = flags.expiries(clock);
        let mut reply = meta::Encoder { out, flags, now: clock.now(), given, start };
        match met {
            Some(FaultOutcome::Done(used)) => return Some(used),
            Some(FaultOutcome::Miss) => miss(&request, &mut reply),
            None => {
                verbose::request(context, &request);
                dispatch(&context.cache, &request, env.fd, &mut reply);
            }
        }
        Some(Used::Bytes(line_len))
    }

    fn admin(
        &mut self,
        env: &mut Env<'_>,
        line: &[u8],
        name_len: usize,
        line_len: usize,
        out: &mut Output,
    ) -> Used {
        let pipelined = self.served || !out.is_empty();
        let mut held = self.held.take().map_or_else(Vec::new, |held| *held);
        let mut ctx = admin::AdminContext {
            context: env.context,
            stats: env.stats,
            client: env.fd,
            out,
            quiet: false,
            pipelined,
            is_dear: false,
            held: &mut held,
        };
        let outcome = admin::run(&mut ctx, line, name_len);
        if ctx.is_dear {
            env.turn.end();
        }
        let quiet = ctx.quiet;
        if !held.is_empty() {
            self.held = Some(Box::new(held));
        }
        match outcome {
            None => {
                if !quiet {
                    push_line(out, text::ERROR);
                }
                Used::Bytes(line_len)
            }
            Some(admin::Outcome::Done) => Used::Bytes(line_len),
            Some(admin::Outcome::Close(reason)) => Used::Stop(line_len, Next::Close(reason)),
            Some(admin::Outcome::Abort(reason)) => Used::Stop(line_len, Next::Abort(reason)),
            Some(admin::Outcome::Watch(kinds)) => {
                self.state = State::Watch;
                Used::Stop(line_len, Next::Watch(kinds))
            }
            Some(admin::Outcome::Dump(dump)) => {
                self.state = State::Dump(dump);
                Used::Bytes(line_len)
            }
            Some(admin::Outcome::Upload(upload)) => {
                self.state = State::Config(upload);
                Used::Bytes(line_len)
            }
            Some(admin::Outcome::Swallow(left)) => self.swallow(line_len, left),
        }
    }

    /// Returns to commands after a watch could not be set up.
    pub fn watch_refused(&mut self) {
        self.state = State::Command;
    }
}

fn command_name(line: &[u8], name_len: usize) -> &str {
    line.get(..name_len).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
}

fn request_key<'a>(request: &Request<'a>) -> &'a [u8] {
    match request {
        Request::Get { key, .. }
        | Request::Delete { key, .. }
        | Request::Touch { key, .. }
        | Request::MetaGet { key, .. }
        | Request::MetaDelete { key, .. }
        | Request::Inspect { key } => key.bytes(),
        Request::Delta(delta) => delta.key,
    }
}

#[cold]
fn tell(hook: &OnCommand, fd: i32, command: &[u8]) {
    match command.get(..LINE_MAX) {
        Some(start) if command.len() > LINE_MAX => hook(fd, &format!("{}…", String::from_utf8_lossy(start))),
        _ => hook(fd, &String::from_utf8_lossy(command)),
    }
}
