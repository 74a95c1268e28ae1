//! A connection without its socket: bytes in, bytes out.
//!
//! [`Session::advance`] takes whatever input there is, carries out the commands
//! that are complete, and says what its owner does next. It keeps what must
//! survive between two reads and nothing else; incomplete lines stay with the
//! owner and are offered again.
//!
//! ```text
//!   Command ──get──▶ Keys ─────────┐         Keys: more keys of a long get
//!      │ ──set──▶ Value ──────────▶│         Value: bytes for an item
//!      │ ──refused set─▶ Swallow ─▶│ Command
//!      │ ──metadump────▶ Dump ────▶│
//!      └ ──watch───────▶ Watch                (until the end)
//! ```

use std::time::Duration;

use memchr::memchr;

use crate::admin::{self, Dump};
use crate::cache::{Cache, StoreRequest, Value};
use crate::config::{KEY_MAX, Protocol};
use crate::context::{ConnState, Context, WorkerStats};
use crate::dispatch::{dispatch, get, miss, store, store_request};
use crate::error::AllocError;
use crate::faults::Fault;
use crate::output::{Mark, Output};
use crate::protocol::classic::{self, push_line};
use crate::protocol::meta::{self, Echo};
use crate::protocol::{ahead, scan, text};
use crate::request::{Key, Request, StoreHead};
use crate::store::{Draft, PinnedValue};

/// Longest line of anything but a get, in bytes (memcached's rule).
const LINE_MAX: usize = 2048;

/// Spaces before a long get, at most (memcached's rule).
const LEADING_SPACES: usize = 100;

/// memcached ends this line twice.
const LONG_KEY: &str = "CLIENT_ERROR bad command line format\r\n\r\n";

/// Keys whose index lines are fetched ahead of their use.
const AHEAD: usize = 16;

/// First byte of a binary request.
const BINARY_REQUEST: u8 = 0x80;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client broke the protocol, or the socket broke.
    Error,
    /// The client is done.
    Normal,
    /// Nothing was heard for too long.
    IdleTimeout,
    /// The server stops.
    Shutdown,
}

/// What the owner of the connection does after [`Session::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Everything usable was consumed; flush, then wait for more input.
    Input,
    /// The budget is spent or the output is full: flush, let others have their
    /// turn, then call again with the rest of the input (maybe none).
    Yield,
    /// Flush, then close.
    Close(CloseReason),
    /// Close without flushing what this visit produced.
    Abort(CloseReason),
    /// Flush, then stream events of these kinds; input is ignored from now on.
    Watch(u32),
    /// Flush, wait, then call again with the rest of the input.
    Sleep(Duration),
}

/// Result of [`Session::advance`].
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// What to do next.
    pub next: Next,
}

/// What a session needs from its surroundings for one visit.
pub struct Env<'a> {
    /// The server.
    pub context: &'a Context,
    /// Counters of this worker.
    pub stats: &'a WorkerStats,
    /// Descriptor of the client, shown to watchers and in logs.
    pub fd: i32,
    /// Commands that this visit may still carry out.
    pub budget: usize,
}

/// Has the processor fetch what the next commands of a pipeline will need.
/// Returns how many bytes of `input` these are.
#[inline]
fn look_ahead(cache: &Cache, input: &[u8]) -> usize {
    if memchr(b'\n', input).is_none_or(|end| end + 1 == input.len()) {
        return input.len();
    }
    let store = cache.store();
    let mut hashes = [0; AHEAD];
    let mut count = 0;
    let used = ahead::keys(input, AHEAD, |key| {
        let hash = store.hash(key);
        store.prefetch(hash);
        hashes[count] = hash;
        count += 1;
    });
    if count > 1 {
        hashes[..count].iter().for_each(|&hash| store.prefetch_item(hash));
    }
    used
}

/// A value on its way into the cache.
struct Upload {
    draft: Draft,
    head: OwnedHead,
    how: Answer,
    /// What came of the line end behind the value.
    tail: [u8; 2],
    tail_len: usize,
}

/// A [`StoreHead`] that outlives its line.
struct OwnedHead {
    key: Box<[u8]>,
    request: StoreHead<'static>,
}

/// How a store is answered.
#[derive(Clone, Copy)]
enum Answer {
    Classic { quiet: bool },
    Meta(Echo),
}

/// Items that `debugitem` holds, by key.
pub type Held = Vec<(Vec<u8>, PinnedValue)>;

enum State {
    Command,
    /// More keys follow.
    Keys {
        with_cas: bool,
        expiry: Option<u32>,
    },
    /// The rest of a refused line, and what is answered at its end.
    SkipLine {
        then: Option<&'static str>,
    },
    Value(Box<Upload>),
    Swallow {
        left: usize,
    },
    Dump(Box<Dump>),
    Watch,
}

/// State of one connection.
pub struct Session {
    /// What the first byte decides, until it came.
    protocol: Option<Protocol>,
    state: State,
    /// A command was carried out earlier in this visit.
    served: bool,
    /// A fault's delay is over: the next command is not delayed again.
    slept: bool,
    /// Items held by `debugitem`.
    held: Option<Box<Held>>,
}

/// How one piece of input was used.
enum Used {
    /// So many bytes; go on with the rest.
    Bytes(usize),
    /// Nothing can be done before more input comes.
    NeedInput,
    /// So many bytes; then the owner has something to do.
    Stop(usize, Next),
}

/// What a fault made of a command.
enum Met {
    /// It is answered, or will be later.
    Done(Used),
    /// It is to find nothing.
    Miss,
}

impl Session {
    /// A new connection's session.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol: Some(protocol), state: State::Command, served: false, slept: false, held: None }
    }

    /// What the connection does, as `stats conns` shows it.
    pub fn state(&self) -> ConnState {
        match self.state {
            State::Command | State::Keys { .. } | State::SkipLine { .. } => ConnState::Read,
            State::Value(_) => ConnState::Nread,
            State::Swallow { .. } => ConnState::Swallow,
            State::Dump(_) => ConnState::Mwrite,
            State::Watch => ConnState::Watch,
        }
    }

    /// Whether nothing is half done: an idle connection may be closed then.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Command)
    }

    /// Memory that the next input bytes belong to, if a large value is under
    /// way; at least one byte long. The owner may read from its socket straight
    /// into it, and then calls [`Session::value_filled`].
    pub fn value_target(&mut self) -> Option<&mut [u8]> {
        let State::Value(upload) = &mut self.state else { return None };
        upload.draft.target().ok().filter(|target| !target.is_empty())
    }

    /// Notes that `n` bytes were put into [`Session::value_target`].
    pub fn value_filled(&mut self, n: usize) {
        if let State::Value(upload) = &mut self.state {
            upload.draft.advance(n);
        }
    }

    /// Carries out what `input` holds, appending answers to `out`.
    pub fn advance(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Step {
        let limit = env.context.config.output_limit;
        let mut consumed = 0;
        let mut looked = 0;
        self.served = false;
        if let (Some(protocol), Some(&first)) = (self.protocol, input.first()) {
            self.protocol = None;
            // The binary protocol is not spoken yet: its clients are turned away.
            if protocol == Protocol::Binary || (protocol == Protocol::Negotiating && first == BINARY_REQUEST)
            {
                return Step { consumed: input.len(), next: Next::Close(CloseReason::Error) };
            }
        }
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            if out.len() >= limit {
                return Step { consumed, next: Next::Yield };
            }
            if env.budget == 0 && !rest.is_empty() {
                return Step { consumed, next: Next::Yield };
            }
            let used = match &mut self.state {
                State::Command => {
                    if consumed >= looked {
                        looked = consumed + look_ahead(&env.context.cache, rest);
                    }
                    self.command(env, rest, out)
                }
                State::Keys { with_cas, expiry } => {
                    let (with_cas, expiry) = (*with_cas, *expiry);
                    self.keys(env, rest, with_cas, expiry, out)
                }
                State::SkipLine { then } => {
                    let then = *then;
                    self.skip_line(rest, then, out)
                }
                State::Value(_) => self.value(env, rest, out),
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
                    if dump.advance(&env.context.cache, out, limit) {
                        self.state = State::Command;
                        Used::Bytes(0)
                    } else {
                        Used::Stop(0, Next::Yield)
                    }
                }
                State::Watch => Used::Stop(rest.len(), Next::Input),
            };
            match used {
                Used::Bytes(n) => consumed += n,
                Used::NeedInput => return Step { consumed, next: Next::Input },
                Used::Stop(n, next) => return Step { consumed: consumed + n, next },
            }
        }
    }

    /// Carries out one line.
    #[inline]
    fn command(&mut self, env: &mut Env<'_>, rest: &[u8], out: &mut Output) -> Used {
        let Some(end) = memchr(b'\n', rest) else { return self.partial_line(rest) };
        let whole = end + 1;
        let Some(raw) = rest.get(..whole) else { return Used::NeedInput };
        env.budget -= 1;
        let verbose = env.context.verbosity.load(std::sync::atomic::Ordering::Relaxed) > 1;
        let mark = out.mark();
        let used = if raw.len() < 4 {
            // memcached's shortest command is "mn\r\n".
            push_line(out, text::BAD_LINE);
            Used::Bytes(whole)
        } else {
            let line = scan::strip_line_end(raw);
            if verbose {
                eprintln!("<{} {}", env.fd, String::from_utf8_lossy(line));
            }
            self.line(env, line, rest, whole, out)
        };
        if verbose {
            log_answer(env.fd, out, &mark);
        }
        self.served = true;
        used
    }

    /// Input without a line end.
    fn partial_line(&mut self, rest: &[u8]) -> Used {
        if rest.len() <= LINE_MAX {
            return Used::NeedInput;
        }
        // Only a get may be longer. Its keys are used as they come.
        let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
        let line = rest.get(spaces..).unwrap_or_default();
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

    /// `line` is the first line of `rest`, `whole` its length with its end.
    #[inline]
    fn line(&mut self, env: &mut Env<'_>, line: &[u8], rest: &[u8], whole: usize, out: &mut Output) -> Used {
        let word = memchr(b' ', line).unwrap_or(line.len());
        match classic::parse(line, word, env.fd) {
            classic::Line::Gets { keys, with_cas, touch } => {
                let expiry = touch.map(|ttl| env.context.cache.clock().expiry(i64::from(ttl)));
                self.state = State::Keys { with_cas, expiry };
                return Used::Bytes(keys);
            }
            classic::Line::Store { head, length, quiet } => {
                if env.context.cache.prefixes().enabled() {
                    env.context.cache.prefixes().record_set(head.key.bytes());
                }
                return self.store(env, &head, length, Answer::Classic { quiet }, rest, whole, out);
            }
            classic::Line::Data { request, quiet } => {
                let name = command_name(line, word);
                let met = self.fault(env, name, request_key(&request), quiet, whole, out);
                let mut reply = classic::Encoder { out, with_cas: false, quiet };
                match met {
                    Some(Met::Done(used)) => return used,
                    Some(Met::Miss) => miss(&request, &mut reply),
                    None => dispatch(&env.context.cache, &request, env.fd, &mut reply),
                }
                return Used::Bytes(whole);
            }
            classic::Line::Bad { error, swallow, quiet } => {
                if !quiet {
                    push_line(out, error);
                }
                return self.swallow(whole, swallow);
            }
            classic::Line::Other => {}
        }
        if word == 2
            && line.first() == Some(&b'm')
            && let Some(used) = self.meta(env, line, rest, whole, out)
        {
            return used;
        }
        self.admin(env, line, word, whole, out)
    }

    fn swallow(&mut self, whole: usize, left: usize) -> Used {
        if left > 0 {
            self.state = State::Swallow { left };
        }
        Used::Bytes(whole)
    }

    fn meta(
        &mut self,
        env: &mut Env<'_>,
        line: &[u8],
        rest: &[u8],
        whole: usize,
        out: &mut Output,
    ) -> Option<Used> {
        let context = env.context;
        let clock = context.cache.clock();
        let start = out.mark();
        let name = command_name(line, 2);
        let parsed = meta::parse(line);
        let bad = |out: &mut Output, error: &str| {
            push_line(out, error);
            Some(Used::Bytes(whole))
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
                    Ok(head) => self.store(env, &head, *length, Answer::Meta(flags.echo()), rest, whole, out),
                    Err(error) => {
                        let class = |key: Key<'_>| {
                            let bytes = key.bytes().len();
                            context.cache.store().class_for(bytes, flags.client_flags(), *length).ok()
                        };
                        if let (true, Some(key)) = (error == meta::LONG_OPAQUE, flags.key())
                            && let Some(class) = class(key)
                        {
                            // memcached has made the item by then.
                            context.cache.count_set(key.bytes(), class);
                        }
                        push_line(out, error);
                        self.swallow(whole, length + 2)
                    }
                });
            }
            meta::Line::Noop => {
                push_line(out, "MN");
                // It flushes what is before it.
                let last = rest.len() == whole;
                return Some(if last { Used::Bytes(whole) } else { Used::Stop(whole, Next::Yield) });
            }
            meta::Line::Bad(error, swallow) => {
                push_line(out, error);
                return Some(self.swallow(whole, *swallow));
            }
            meta::Line::Other => return None,
        };
        let met = self.fault(env, name, request_key(&request), false, whole, out);
        let given = flags.expiries(clock);
        let mut reply = meta::Encoder { out, flags, now: clock.now(), given, start };
        match met {
            Some(Met::Done(used)) => return Some(used),
            Some(Met::Miss) => miss(&request, &mut reply),
            None => dispatch(&context.cache, &request, env.fd, &mut reply),
        }
        Some(Used::Bytes(whole))
    }

    fn admin(&mut self, env: &mut Env<'_>, line: &[u8], word: usize, whole: usize, out: &mut Output) -> Used {
        let pipelined = self.served || !out.is_empty();
        let mut held = self.held.take().map_or_else(Vec::new, |held| *held);
        let mut desk = admin::Desk {
            context: env.context,
            stats: env.stats,
            client: env.fd,
            out,
            quiet: false,
            pipelined,
            held: &mut held,
        };
        let outcome = admin::run(&mut desk, line, word);
        let quiet = desk.quiet;
        if !held.is_empty() {
            self.held = Some(Box::new(held));
        }
        match outcome {
            None => {
                if !quiet {
                    push_line(out, text::ERROR);
                }
                Used::Bytes(whole)
            }
            Some(admin::Outcome::Done) => Used::Bytes(whole),
            Some(admin::Outcome::Close(reason)) => Used::Stop(whole, Next::Close(reason)),
            Some(admin::Outcome::Abort(reason)) => Used::Stop(whole, Next::Abort(reason)),
            Some(admin::Outcome::Watch(kinds)) => {
                self.state = State::Watch;
                Used::Stop(whole, Next::Watch(kinds))
            }
            Some(admin::Outcome::Dump(dump)) => {
                self.state = State::Dump(dump);
                Used::Bytes(whole)
            }
        }
    }

    /// Called if a watch could not be set up after all: commands go on.
    pub fn watch_refused(&mut self) {
        self.state = State::Command;
    }

    /// Reads keys until the line ends, the output is full or input runs out.
    fn keys(
        &mut self,
        env: &mut Env<'_>,
        rest: &[u8],
        with_cas: bool,
        expiry: Option<u32>,
        out: &mut Output,
    ) -> Used {
        let cache: &Cache = &env.context.cache;
        let limit = env.context.config.output_limit;
        let start = out.mark();
        let mut at = 0;
        let mut next: [(&[u8], u64); AHEAD] = [(&[], 0); AHEAD];
        loop {
            let mut count = 0;
            let mut ended = None;
            while count < AHEAD {
                while rest.get(at) == Some(&b' ') {
                    at += 1;
                }
                let Some(tail) = rest.get(at..) else { break };
                let length = tail.iter().position(|&byte| byte == b' ' || byte == b'\n');
                let Some(length) = length else {
                    if tail.len() > KEY_MAX + 1 {
                        ended = Some(Err(at));
                    }
                    break;
                };
                let at_end = tail.get(length) == Some(&b'\n');
                let mut key = tail.get(..length).unwrap_or_default();
                if at_end {
                    ended = Some(Ok(at + length + 1));
                    if let [head @ .., b'\r'] = key {
                        key = head;
                    }
                }
                if key.len() > KEY_MAX {
                    ended = Some(Err(at));
                    break;
                }
                if !key.is_empty() {
                    let hash = cache.store().hash(key);
                    if let Some(slot) = next.get_mut(count) {
                        *slot = (key, hash);
                    }
                    count += 1;
                }
                if at_end {
                    break;
                }
                at += length;
            }
            let keys = next.get(..count).unwrap_or_default();
            if count > 1 {
                keys.iter().for_each(|&(_, hash)| cache.store().prefetch(hash));
                keys.iter().for_each(|&(_, hash)| cache.store().prefetch_item(hash));
            }
            let mut reply = classic::Encoder { out, with_cas, quiet: false };
            let armed = cache.faults().armed();
            for &(bytes, hash) in keys {
                let Some(key) = Key::new(bytes) else { continue };
                if armed {
                    let name = match (expiry.is_some(), with_cas) {
                        (false, false) => "get",
                        (false, true) => "gets",
                        (true, false) => "gat",
                        (true, true) => "gats",
                    };
                    match self.fault_of(cache, name, bytes) {
                        Some(Fault::Miss) => {
                            cache.count_miss(hash, bytes);
                            continue;
                        }
                        Some(Fault::Drop) => return Used::Stop(at, Next::Abort(CloseReason::Error)),
                        Some(Fault::Error(line)) => {
                            reply.out.rewind(&start);
                            push_line(reply.out, &format!("SERVER_ERROR {line}"));
                            self.state = State::SkipLine { then: None };
                            return Used::Bytes(offset(rest, bytes));
                        }
                        Some(Fault::Delay(time)) => {
                            self.slept = true;
                            return Used::Stop(offset(rest, bytes), Next::Sleep(time));
                        }
                        None => {}
                    }
                }
                get(cache, key, hash, expiry, env.fd, &mut reply);
            }
            match ended {
                Some(Ok(end)) => {
                    out.push(b"END\r\n");
                    self.state = State::Command;
                    return Used::Bytes(end);
                }
                Some(Err(at)) => {
                    out.rewind(&start);
                    self.state = State::SkipLine { then: Some(LONG_KEY) };
                    return Used::Bytes(at);
                }
                None => {}
            }
            if count < AHEAD {
                // The last key may not be whole.
                return if at == 0 { Used::NeedInput } else { Used::Stop(at, Next::Input) };
            }
            if out.len() >= limit {
                return Used::Stop(at, Next::Yield);
            }
        }
    }

    fn skip_line(&mut self, rest: &[u8], then: Option<&'static str>, out: &mut Output) -> Used {
        match memchr(b'\n', rest) {
            Some(end) => {
                out.push(then.unwrap_or_default().as_bytes());
                self.state = State::Command;
                Used::Bytes(end + 1)
            }
            None => Used::Stop(rest.len(), Next::Input),
        }
    }

    /// Begins a store whose line is `whole` bytes of `rest`; the value may be
    /// there already.
    #[expect(clippy::too_many_arguments, reason = "one store, from a line of one of two protocols")]
    #[inline]
    fn store(
        &mut self,
        env: &mut Env<'_>,
        head: &StoreHead<'_>,
        length: usize,
        how: Answer,
        rest: &[u8],
        whole: usize,
        out: &mut Output,
    ) -> Used {
        let cache: &Cache = &env.context.cache;
        if cache.faults().armed() {
            let name = match how {
                Answer::Classic { .. } => command_name(rest, memchr(b' ', rest).unwrap_or(0)),
                Answer::Meta(_) => "ms",
            };
            if let Some(fault) = self.fault_of(cache, name, head.key.bytes()) {
                match fault {
                    Fault::Drop => return Used::Stop(whole, Next::Abort(CloseReason::Error)),
                    Fault::Delay(time) => {
                        self.slept = true;
                        return Used::Stop(0, Next::Sleep(time));
                    }
                    Fault::Error(line) => {
                        push_line(out, &format!("SERVER_ERROR {line}"));
                        return self.swallow(whole, length + 2);
                    }
                    // Nothing is looked for that could be missed.
                    Fault::Miss => {}
                }
            }
        }
        let request = store_request(cache, head, env.fd);
        let value = rest.get(whole..whole + length);
        let tail = rest.get(whole + length..whole + length + 2);
        if let (Some(value), Some(tail)) = (value, tail) {
            if tail != b"\r\n" {
                let fits = cache.store().class_for(request.key.len(), request.flags, length);
                if let Ok(class) = fits {
                    // memcached counts a set when its memory is there.
                    cache.count_set(request.key, class);
                }
                refuse_chunk(out, how, fits.err());
                return Used::Bytes(whole + length + 2);
            }
            finish_store(cache, &request, Value::Bytes(value), how, out);
            return Used::Bytes(whole + length + 2);
        }
        match cache.draft(&request, length) {
            Ok(draft) => {
                let upload = Upload { draft, head: OwnedHead::new(head), how, tail: [0; 2], tail_len: 0 };
                self.state = State::Value(Box::new(upload));
                Used::Bytes(whole)
            }
            Err(error) => {
                refuse(out, how, error);
                self.swallow(whole, length + 2)
            }
        }
    }

    /// Takes in bytes of a value under way.
    fn value(&mut self, env: &mut Env<'_>, rest: &[u8], out: &mut Output) -> Used {
        let State::Value(upload) = &mut self.state else { return Used::Bytes(0) };
        let missing = upload.draft.missing();
        let mut used = rest.len().min(missing);
        if upload.draft.write(rest.get(..used).unwrap_or_default()).is_err() {
            // A part of `rest` may be in the draft: it is swallowed all the same.
            let left = missing + 2 - upload.tail_len;
            if !matches!(upload.how, Answer::Classic { quiet: true }) {
                push_line(out, text::NO_MEMORY_READ);
            }
            self.state = State::Swallow { left };
            return Used::Bytes(0);
        }
        if upload.draft.missing() == 0 {
            for &byte in rest.get(used..).unwrap_or_default().iter().take(2 - upload.tail_len) {
                if let Some(slot) = upload.tail.get_mut(upload.tail_len) {
                    *slot = byte;
                }
                upload.tail_len += 1;
                used += 1;
            }
        }
        if upload.tail_len < 2 {
            return Used::Stop(used, Next::Input);
        }
        let State::Value(upload) = std::mem::replace(&mut self.state, State::Command) else {
            return Used::Bytes(used);
        };
        let Upload { draft, head, how, tail, .. } = *upload;
        if &tail != b"\r\n" {
            refuse_chunk(out, how, None);
            return Used::Bytes(used);
        }
        let cache: &Cache = &env.context.cache;
        let Some(head) = head.borrow() else { return Used::Bytes(used) };
        let request: StoreRequest<'_> = store_request(cache, &head, env.fd);
        finish_store(cache, &request, Value::Draft(draft), how, out);
        Used::Bytes(used)
    }

    /// The fault that a command meets; a delay only once.
    fn fault_of(&mut self, cache: &Cache, name: &str, key: &[u8]) -> Option<Fault> {
        if self.slept {
            self.slept = false;
            return None;
        }
        cache.faults().check(name, key)
    }

    /// Injects a fault into a command of one line, if there is one for it.
    fn fault(
        &mut self,
        env: &Env<'_>,
        name: &str,
        key: &[u8],
        quiet: bool,
        whole: usize,
        out: &mut Output,
    ) -> Option<Met> {
        let cache: &Cache = &env.context.cache;
        if !cache.faults().armed() {
            return None;
        }
        Some(Met::Done(match self.fault_of(cache, name, key)? {
            Fault::Drop => Used::Stop(whole, Next::Abort(CloseReason::Error)),
            Fault::Delay(time) => {
                self.slept = true;
                Used::Stop(0, Next::Sleep(time))
            }
            Fault::Error(line) => {
                if !quiet {
                    push_line(out, &format!("SERVER_ERROR {line}"));
                }
                Used::Bytes(whole)
            }
            Fault::Miss => return Some(Met::Miss),
        }))
    }
}

impl OwnedHead {
    fn new(head: &StoreHead<'_>) -> Self {
        const PLACE: &[u8] = b"-";
        let place = Key::new(PLACE);
        let request = StoreHead { key: place.unwrap_or_else(|| unreachable!("one byte is a key")), ..*head };
        Self { key: head.key.bytes().into(), request }
    }

    fn borrow(&self) -> Option<StoreHead<'_>> {
        Some(StoreHead { key: Key::new(&self.key)?, ..self.request })
    }
}

/// Where `part` of `whole` begins.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}

fn command_name(line: &[u8], word: usize) -> &str {
    line.get(..word).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
}

fn request_key<'a>(request: &Request<'a>) -> &'a [u8] {
    match request {
        Request::Get { key, .. }
        | Request::Delete { key }
        | Request::Touch { key, .. }
        | Request::MetaGet { key, .. }
        | Request::MetaDelete { key, .. }
        | Request::Inspect { key } => key.bytes(),
        Request::Delta(delta) => delta.key,
    }
}

fn alloc_error(error: AllocError) -> &'static str {
    match error {
        AllocError::TooLarge => text::TOO_LARGE,
        AllocError::NoMemory => text::NO_MEMORY,
    }
}

/// Answers a store that has no room. Meta answers errors even if quiet.
fn refuse(out: &mut Output, how: Answer, error: AllocError) {
    if !matches!(how, Answer::Classic { quiet: true }) {
        push_line(out, alloc_error(error));
    }
}

/// Answers a value that does not end where it was said to.
fn refuse_chunk(out: &mut Output, how: Answer, error: Option<AllocError>) {
    if !matches!(how, Answer::Classic { quiet: true }) {
        push_line(out, error.map_or(text::BAD_CHUNK, alloc_error));
    }
}

/// Stores a value that is there, and answers in the words of its protocol.
#[inline]
fn finish_store(cache: &Cache, request: &StoreRequest<'_>, value: Value<'_>, how: Answer, out: &mut Output) {
    match how {
        Answer::Classic { quiet } => {
            let mut reply = classic::Encoder { out, with_cas: false, quiet };
            store(cache, request, value, &mut reply);
        }
        Answer::Meta(echo) => match cache.store_value(request, value) {
            Ok(reply) => echo.answer(out, request.key, &reply),
            Err(error) => push_line(out, alloc_error(error)),
        },
    }
}

/// What memcached logs of an answer at -vv.
fn log_answer(fd: i32, out: &mut Output, mark: &Mark) {
    if !out.grew_since(mark) {
        return;
    }
    let bytes = out.since(mark);
    let mut at = 0;
    while let Some(end) = bytes.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        let line = bytes.get(at..at + end).unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if let Some(value) = line.strip_prefix("VALUE ") {
            let mut words = value.split(' ');
            eprintln!(">{fd} sending key {}", words.next().unwrap_or_default());
            let length = words.nth(1).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
            let copied = if length > classic::COPY_MAX { 0 } else { length };
            at += end + 1 + copied + 2;
            continue;
        }
        eprintln!(">{fd} {line}");
        at += end + 1;
    }
}
