//! Commands of a proxy. The session leaves a reply slot for each, and the worker sends it to
//! backends.
//!
//! The commands with keys of the text protocols go this way. Others are about this server.

use smallvec::smallvec;

use super::env::Env;
use super::keys::{AHEAD, End, LONG_KEY, NOT_PERMITTED, take_keys};
use super::routed_get::RoutedGet;
use super::slots::{Routing, Work};
use super::state::{Session, State};
use super::step::{Next, Used};
use crate::protocol::output::Output;
use crate::protocol::write::push_line;
use crate::proxy::engine::Client;
use crate::proxy::request::{ClientRequest, Requests};
use crate::state::CloseReason;

/// Most keys of one get.
const MOST_KEYS: usize = 10_000;

/// Longest line that is sent on. A longer one could end the connection to a backend.
const LINE_MAX: usize = 2000;

/// Longest line with its end that is sent on as memcached's proxy does.
const LENIENT_LINE_MAX: usize = 499;

const TOO_LONG: &str = "CLIENT_ERROR request too long";
const NO_MEMORY: &str = "SERVER_ERROR out of memory";
const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";
const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk";
const TOO_MANY_KEYS: &str = "CLIENT_ERROR too many keys\r\n";

/// Returns whether lines are parsed as memcached's proxy does.
#[inline]
pub(super) fn is_lenient(env: &Env<'_>) -> bool {
    env.deferred
        .as_ref()
        .is_some_and(|deferred| deferred.hooks.is_lenient && deferred.routing != Routing::Off)
}

/// Refuses the line of a request that is too long, and closes the connection as memcached does.
fn refuse_long(env: &Env<'_>, line_len: usize, out: &mut Output) -> Option<Used> {
    (line_len > LENIENT_LINE_MAX && is_lenient(env)).then(|| {
        env.stats.proxy.errors.add(1);
        push_line(out, TOO_LONG);
        Used::Stop(line_len, Next::Close(CloseReason::Error))
    })
}

impl Session {
    /// Sends on a store with a value of `length` bytes, once that has arrived. If it is refused and
    /// `purge` is set, the old item is deleted.
    pub(super) fn route_store(
        &mut self,
        env: &mut Env<'_>,
        line: &[u8],
        (length, purge): (usize, bool),
        line_len: usize,
        out: &mut Output,
    ) -> Used {
        if let Some(refused) = refuse_long(env, line_len, out) {
            return refused;
        }
        let is_sampled = env.sampled.is_some();
        let refusal = if line.len() > LINE_MAX {
            TOO_LONG
        } else if length > env.context.cache.config().item_size_max {
            if let Some(delete) = ClientRequest::refused(line, TOO_LARGE).filter(|_| purge) {
                leave_slot(env, smallvec![delete], is_sampled, out);
                return self.swallow(line_len, length + 2);
            }
            TOO_LARGE
        } else if let Some(request) = ClientRequest::new(line, length + 2) {
            if is_sampled {
                env.note_routed_sample(std::slice::from_ref(&request));
            }
            self.state = State::RoutedValue(Box::new(request));
            return Used::Bytes(line_len);
        } else {
            NO_MEMORY
        };
        if refusal == TOO_LONG {
            env.stats.proxy.errors.add(1);
        }
        push_line(out, refusal);
        self.swallow(line_len, length + 2)
    }

    /// Takes bytes of the value under way. Sends the store on if it is complete.
    pub(super) fn routed_value(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let State::RoutedValue(request) = &mut self.state else { return Used::Bytes(0) };
        let used = request.take(input);
        if request.missing() > 0 {
            return Used::Stop(used, Next::Input);
        }
        if let State::RoutedValue(request) = std::mem::replace(&mut self.state, State::Command) {
            if request.is_whole() {
                leave_slot(env, smallvec![*request], false, out);
            } else {
                env.stats.proxy.errors.add(1);
                push_line(out, BAD_CHUNK);
            }
        }
        Used::Bytes(used)
    }

    /// Begins a get whose keys are `keys` bytes behind the start of `input`.
    pub(super) fn begin_routed_get(
        &mut self,
        env: &mut Env<'_>,
        get: RoutedGet,
        (input, keys): (&[u8], usize),
        out: &mut Output,
    ) -> Used {
        match self.routed_keys(env, get, input.get(keys..).unwrap_or_default(), out) {
            Used::Bytes(n) => Used::Bytes(keys + n),
            Used::Stop(n, next) => Used::Stop(keys + n, next),
            Used::NeedInput => Used::Stop(keys, Next::Input),
        }
    }

    /// Takes keys until the line ends. Then sends the get on.
    pub(super) fn routed_keys(
        &mut self,
        env: &mut Env<'_>,
        mut get: RoutedGet,
        input: &[u8],
        out: &mut Output,
    ) -> Used {
        let mut at = 0;
        let refused = loop {
            let mut is_permitted = true;
            let (count, ended) = take_keys(input, &mut at, |_, key| {
                is_permitted &= get.permits(key);
                get.take(key);
            });
            if !is_permitted {
                env.stats.not_permitted.add(1);
                // The end of the line is still to come: `at` is not behind it.
                break NOT_PERMITTED;
            }
            match ended {
                _ if get.requests.len() > MOST_KEYS => break TOO_MANY_KEYS,
                Some(End::Line(end)) => {
                    if env.context.cache.faults().armed() {
                        get = match self.routed_get_fault(env, get, end, out) {
                            Ok(get) => get,
                            Err(used) => return used,
                        };
                    }
                    leave_slot(env, get.requests, get.is_sampled, out);
                    return Used::Bytes(end);
                }
                Some(End::LongKey(key)) => {
                    at = key;
                    break LONG_KEY;
                }
                None if count < AHEAD => {
                    self.state = State::RoutedKeys(Box::new(get));
                    return if at == 0 { Used::NeedInput } else { Used::Stop(at, Next::Input) };
                }
                None => {}
            }
        };
        env.stats.proxy.errors.add(1);
        self.state = State::SkipLine { then: Some(refused) };
        Used::Bytes(at)
    }
}

/// Sends on a command without a value.
pub(super) fn route(env: &mut Env<'_>, line: &[u8], line_len: usize, out: &mut Output) -> Used {
    if let Some(refused) = refuse_long(env, line_len, out) {
        return refused;
    }
    if line.len() > LINE_MAX {
        env.stats.proxy.errors.add(1);
        push_line(out, TOO_LONG);
        return Used::Bytes(line_len);
    }
    let is_sampled = env.sampled.is_some();
    match ClientRequest::new(line, 0) {
        Some(request) => leave_slot(env, smallvec![request], is_sampled, out),
        None => push_line(out, NO_MEMORY),
    }
    Used::Bytes(line_len)
}

/// Leaves a slot in the output, and asks the worker to fill it with the reply to these requests.
/// Counts their keys if `is_sampled`.
fn leave_slot(env: &mut Env<'_>, requests: Requests, is_sampled: bool, out: &mut Output) {
    if is_sampled {
        env.note_routed_sample(&requests);
    }
    let Some(deferred) = &mut env.deferred else { return };
    let slot = deferred.slot();
    out.open_slot(slot, 0);
    let (fd, tag, common_name) = (env.fd, deferred.tag(), deferred.common_name.clone());
    deferred.work.push(Work::Route { client: Client { slot, fd, tag, common_name }, requests });
}
