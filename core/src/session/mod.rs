//! A connection without its socket: bytes in, bytes out.
//!
//! [`Session::advance`] takes any amount of input, carries out the complete commands, and returns
//! the next action for its owner. The session keeps only the state that must survive between two
//! reads. The owner keeps incomplete lines and passes them in again.
//!
//! ```text
//!   Command ──get──▶ Keys ─────────┐         Keys: more keys of a long get
//!      │                ↳ GuardedKeys: the same, with a check of each key
//!      │ ──set──▶ Value ──────────▶│         Value: bytes for an item
//!      │ ──refused set─▶ Swallow ─▶│ Command
//!      │ ──metadump────▶ Dump ────▶│
//!      │ ──config set──▶ Config ──▶│
//!      └ ──watch───────▶ Watch                (until the end)
//! ```

mod env;
mod fault;
mod keys;
mod lenient;
mod login;
mod machine;
mod packet;
mod restricted;
mod routed;
mod routed_get;
mod sample;
mod sasl;
pub mod slots;
mod state;
mod step;
mod store;
mod trace;
mod upload;
pub(crate) mod verbose;

use std::borrow::Cow;

use memchr::memchr;

pub use self::env::Env;
pub(crate) use self::env::TIGHT;
use self::fault::FaultOutcome;
use self::keys::look_ahead;
use self::lenient::{refuse_prefix, too_short};
use self::routed::route;
use self::routed_get::RoutedGet;
pub use self::state::Session;
use self::state::{Gets, LINE_MAX, State};
use self::step::Used;
pub use self::step::{Next, Step};
use crate::admin;
use crate::cache::{Operation, Request, Response};
use crate::config::{AuthMethod, ClientCommand, OnCommand, Protocol};
use crate::protocol::commands::parse;
use crate::protocol::encoder::{Encoder, Form};
use crate::protocol::key::Key;
use crate::protocol::line::Line;
use crate::protocol::meta::KeyRoom;
use crate::protocol::output::Output;
use crate::protocol::write::push_line;
use crate::protocol::{binary, text, tokens};
use crate::state::{CloseReason, CommandClass, ConnState, Users};

/// Most spaces before a long get (memcached's rule).
const LEADING_SPACES: usize = 100;

impl Session {
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
        let mut unseen = input.len();
        if self.protocol == Protocol::Negotiating {
            let Some(&first) = input.first() else { return Step { consumed: 0, next: Next::Input } };
            self.negotiate(env, first);
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
            if rest.is_empty() && consumed > 0 && !traced && self.is_idle() {
                // Most visits end here, after one command.
                return Step { consumed, next: Next::Input };
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
            let used = self.step(env, rest, &mut unseen, out);
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

    /// Carries out a command, or goes on with the one under way. `unseen` is the number of bytes at
    /// the end of the input that the look-ahead has not seen.
    #[expect(clippy::inline_always, reason = "as a call, it would cost 15 instructions a step")]
    #[inline(always)]
    fn step(&mut self, env: &mut Env<'_>, input: &[u8], unseen: &mut usize, out: &mut Output) -> Used {
        match &mut self.state {
            State::Command => {
                if !self.has_all_rights(env.context)
                    && let Some(used) = self.guard(env, input, out)
                {
                    return used;
                }
                if input.len() <= *unseen {
                    *unseen = input.len().saturating_sub(look_ahead(env, self.protocol, input));
                }
                if self.protocol == Protocol::Binary {
                    self.packet(env, input, out)
                } else {
                    self.command(env, input, out)
                }
            }
            State::Keys(get) => {
                let get = *get;
                if get.is_sampled {
                    env.resume_sample();
                }
                let used = self.keys(env, input, get, |_| true, out);
                if get.is_sampled {
                    self.end_keys_sample(env, input, &used);
                }
                used
            }
            State::GuardedKeys(get) => {
                let get = *get;
                if get.is_sampled {
                    env.resume_sample();
                }
                let used = self.guarded_keys(env, input, get, out);
                if get.is_sampled {
                    self.end_keys_sample(env, input, &used);
                }
                used
            }
            State::SkipLine { then } => {
                let then = *then;
                self.skip_line(env, input, then, out)
            }
            State::Value(upload) if upload.is_sampled => self.sampled_value(env, input, out),
            State::Value(_) => self.value(env, input, out),
            State::RoutedKeys(_) => match std::mem::replace(&mut self.state, State::Command) {
                State::RoutedKeys(get) => self.routed_keys(env, *get, input, out),
                _ => Used::Bytes(0),
            },
            State::RoutedValue(_) => self.routed_value(env, input, out),
            State::Swallow { left } => {
                let n = input.len().min(*left);
                *left -= n;
                let is_done = *left == 0;
                self.after(n, is_done)
            }
            State::Dump(dump) => {
                if dump.advance(env.context, &mut env.turn, out, env.limit) {
                    self.state = State::Command;
                    Used::Bytes(0)
                } else {
                    Used::Stop(0, Next::Yield)
                }
            }
            State::Config(upload) => {
                let n = upload.take(input);
                let answer = upload.finish(&env.context.cluster);
                answer.into_iter().for_each(|answer| push_line(out, answer));
                self.after(n, answer.is_some())
            }
            State::Watch => Used::Stop(input.len(), Next::Input),
        }
    }

    /// Decides the protocol by the first byte of the input.
    fn negotiate(&mut self, env: &Env<'_>, first: u8) {
        if env.context.proxy.is_some() {
            // As in memcached, a proxy knows the text protocols only.
            self.protocol = Protocol::Ascii;
            return;
        }
        self.protocol = match env.context.users.as_ref().and_then(Users::method) {
            Some(AuthMethod::Sasl) => Protocol::Binary,
            None if first == binary::REQUEST => Protocol::Binary,
            Some(AuthMethod::Text) | None => Protocol::Ascii,
        };
        if env.context.logs(2) {
            verbose::protocol(env.context, env.fd, self.protocol);
        }
    }

    /// Goes on with commands if `is_done`, else waits for more input. `n` bytes were used.
    fn after(&mut self, n: usize, is_done: bool) -> Used {
        if !is_done {
            return Used::Stop(n, Next::Input);
        }
        self.state = State::Command;
        Used::Bytes(n)
    }

    /// Carries out one line.
    #[inline]
    fn command(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let Some(end) = memchr(b'\n', input) else { return self.partial_line(env, input) };
        let line_len = end + 1;
        let Some(raw) = input.get(..line_len) else { return Used::NeedInput };
        env.command();
        let mark = out.mark();
        let line = tokens::strip_line_end(raw);
        if env.context.logs(2) && !self.reported {
            verbose::line(env.context, env.fd, line);
        }
        self.tell(env, || Cow::Borrowed(line));
        let used = if raw.len() < 4 {
            // memcached's shortest command is "mn\r\n".
            push_line(out, too_short(env, text::BAD_LINE));
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
                tell(&**hook, env.fd, self.protocol == Protocol::Binary, &command());
            }
        }
    }

    /// Handles input without a line end.
    fn partial_line(&mut self, env: &mut Env<'_>, input: &[u8]) -> Used {
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
        env.decide_sample();
        self.state = if env.is_routed(if with_cas { b"gets" } else { b"get" }) {
            State::RoutedKeys(Box::new(RoutedGet::new(env, with_cas, None, None)))
        } else {
            State::Keys(Gets { with_cas, expiry: None, is_sampled: env.sampled.is_some() })
        };
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
        let name = line.get(..name_len).unwrap_or_default();
        let mut room = KeyRoom::new();
        match parse(line, name_len, &mut room) {
            Line::Gets { keys, with_cas, touch } => {
                if env.is_routed(name) {
                    if let Some(refused) = refuse_prefix(env, line, line_len, out) {
                        return refused;
                    }
                    let get = RoutedGet::new(env, with_cas, touch, None);
                    return self.begin_routed_get(env, get, (input, keys), out);
                }
                self.state = State::Keys(Gets::new(env, with_cas, touch));
                Used::Bytes(keys)
            }
            Line::Store { key, length, ref operation, ref form } if env.is_routed(name) => {
                if env.context.cache.faults().armed()
                    && let Some(used) = self.routed_fault(env, line, (key.bytes(), form), None, line_len, out)
                {
                    // An error: the value is still to come and is discarded.
                    let is_error = matches!(used, Used::Bytes(_));
                    return if is_error { self.swallow(line_len, length + 2) } else { used };
                }
                self.route_store(env, line, (length, operation.purge_on_failure), line_len, out)
            }
            Line::Data { key, ref operation, ref form } if env.is_routed(name) => {
                if env.context.cache.faults().armed()
                    && let Some(used) =
                        self.routed_fault(env, line, (key.bytes(), form), Some(operation), line_len, out)
                {
                    return used;
                }
                route(env, line, line_len, out)
            }
            Line::Store { key, ref operation, length, ref form } => {
                // As in memcached, stores of the meta protocol are not counted by prefix.
                if matches!(form, Form::Classic { .. }) && env.context.cache.prefixes().enabled() {
                    env.context.cache.prefixes().record_set(key.bytes());
                }
                let request = Request { key: key.bytes(), operation, client: env.fd };
                self.store(env, &request, length, form, input, line_len, out)
            }
            Line::Data { key, ref operation, ref form } => {
                let request = Request { key: key.bytes(), operation: *operation, client: env.fd };
                self.data(env, &request, form, line, line_len, out).unwrap_or(Used::Bytes(line_len))
            }
            Line::Noop => {
                push_line(out, "MN");
                // This command flushes the replies before it.
                let is_last = input.len() == line_len;
                if is_last { Used::Bytes(line_len) } else { Used::Stop(line_len, Next::Yield) }
            }
            Line::Bad { error, swallow, quiet } => {
                if let Some(used) = self.lenient_line(env, line, line_len, swallow, out) {
                    return used;
                }
                env.stats.proxy.errors.add(u64::from(env.context.proxy.is_some()));
                if !quiet {
                    push_line(out, error);
                }
                self.swallow(line_len, swallow)
            }
            Line::Late { error, key, flags, length } => {
                if let Some(used) = self.lenient_line(env, line, line_len, length + 2, out) {
                    return used;
                }
                self.refuse_late(env, key, flags, length, error, out);
                self.swallow(line_len, length + 2)
            }
            Line::Other => {
                if let Some(used) = self.lenient_line(env, line, line_len, 0, out) {
                    return used;
                }
                let used = self.admin(env, line, line_len, out);
                env.end_sample(CommandClass::Other);
                used
            }
        }
    }

    /// Carries out a request that has no value, and replies. Returns `None` unless a fault decides
    /// how the session goes on. The request is the first `length` bytes of the input.
    #[inline]
    fn data(
        &mut self,
        env: &Env<'_>,
        request: &Request<'_, Operation>,
        form: &Form<'_>,
        input: &[u8],
        length: usize,
        out: &mut Output,
    ) -> Option<Used> {
        let cache = &env.context.cache;
        let mut reply = Encoder { out, form, key: request.key, clock: cache.clock() };
        if cache.faults().armed() {
            match self.fault(env, input, &mut reply, length) {
                Some(FaultOutcome::Done(used)) => return Some(used),
                Some(FaultOutcome::Miss) => {
                    reply.encode(&Response::miss_of(&request.operation));
                    return None;
                }
                None => {}
            }
        }
        verbose::request(env.context, request);
        if let Some(response) = cache.execute(request, |entry, state| reply.found(entry, state)) {
            reply.encode(&response);
        }
        env.end_data_sample(&request.operation, request.key);
        None
    }

    fn swallow(&mut self, line_len: usize, left: usize) -> Used {
        if left > 0 {
            self.state = State::Swallow { left };
        }
        Used::Bytes(line_len)
    }

    /// Refuses a store whose item memcached has created at this point.
    fn refuse_late(
        &mut self,
        env: &Env<'_>,
        key: Key<'_>,
        flags: u32,
        length: usize,
        error: &str,
        out: &mut Output,
    ) {
        let (context, mark) = (env.context, out.mark());
        if let Ok(class) = context.cache.store().class_for(key.bytes().len(), flags, length) {
            context.cache.count_set(key.bytes(), class);
        }
        push_line(out, error);
        if context.logs(2) {
            verbose::answer(context, env.fd, b"set", out, &mark);
            self.trace_within(env, ConnState::NewCmd);
        }
    }

    /// Carries out a line with a command about the server, or with none that is known.
    fn admin(&mut self, env: &mut Env<'_>, line: &[u8], line_len: usize, out: &mut Output) -> Used {
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
        let outcome = admin::run(&mut ctx, line);
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

#[cold]
fn tell(hook: &OnCommand, client: i32, is_binary: bool, command: &[u8]) {
    let mut line = String::from_utf8_lossy(command.get(..LINE_MAX).unwrap_or(command));
    if command.len() > LINE_MAX {
        line.to_mut().push('…');
    }
    hook(&ClientCommand { client, is_binary, line: &line });
}
