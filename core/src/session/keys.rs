//! Gets of any number of keys, and prefetching for the next commands of a pipeline.

use memchr::memchr;

use super::{Env, Next, Session, State, Used, verbose};
use crate::base::faults::Fault;
use crate::cache::Cache;
use crate::config::{KEY_MAX, Protocol};
use crate::protocol::ahead;
use crate::protocol::classic::{self, push_line};
use crate::protocol::dispatch::get;
use crate::protocol::output::Output;
use crate::protocol::request::Key;
use crate::state::CloseReason;
use crate::store::LookupHint;

/// memcached ends this line twice.
const LONG_KEY: &str = "CLIENT_ERROR bad command line format\r\n\r\n";

/// Keys whose index lines are prefetched together.
const AHEAD: usize = 16;

/// Bytes that a turn is charged for looking up a key.
const KEY_WORK: usize = 64;

/// Prefetches memory for the next commands of a pipeline. Returns the length of these commands in
/// `input`.
#[inline]
pub(super) fn look_ahead(cache: &Cache, protocol: Protocol, input: &[u8]) -> usize {
    let binary = protocol == Protocol::Binary;
    if !binary && memchr(b'\n', input).is_none_or(|end| end + 1 == input.len()) {
        return input.len();
    }
    let store = cache.store();
    let mut hints = [LookupHint::from(0); AHEAD];
    let mut count = 0;
    let found = |key: &[u8]| {
        let hint = store.lookup_hint(key);
        store.prefetch(&hint);
        hints[count] = hint;
        count += 1;
    };
    let used =
        if binary { ahead::packet_keys(input, AHEAD, found) } else { ahead::keys(input, AHEAD, found) };
    if count > 1 {
        hints[..count].iter_mut().for_each(|hint| store.locate_hint(hint));
        hints[..count].iter().for_each(|hint| store.prefetch_item(hint));
    }
    used
}

impl Session {
    /// Looks up keys until the line ends, the output is full or the input ends.
    pub(super) fn keys(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        with_cas: bool,
        expiry: Option<u32>,
        out: &mut Output,
    ) -> Used {
        let cache: &Cache = &env.context.cache;
        let limit = env.limit;
        let start = out.mark();
        let logged = env.context.logs(2);
        let mut at = 0;
        let mut next: [(&[u8], LookupHint); AHEAD] = [(&[], LookupHint::from(0)); AHEAD];
        loop {
            let mut count = 0;
            let mut ended = None;
            while count < AHEAD {
                while input.get(at) == Some(&b' ') {
                    at += 1;
                }
                let Some(tail) = input.get(at..) else { break };
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
                    if let Some(slot) = next.get_mut(count) {
                        *slot = (key, cache.store().lookup_hint(key));
                    }
                    count += 1;
                }
                if at_end {
                    break;
                }
                at += length;
            }
            let keys = next.get_mut(..count).unwrap_or_default();
            if count > 1 {
                keys.iter().for_each(|(_, hint)| cache.store().prefetch(hint));
                keys.iter_mut().for_each(|(_, hint)| cache.store().locate_hint(hint));
                keys.iter().for_each(|(_, hint)| cache.store().prefetch_item(hint));
            }
            let mut reply = classic::Encoder { out, with_cas, quiet: false };
            let armed = cache.faults().armed();
            for &mut (bytes, hint) in keys {
                let Some(key) = Key::new(bytes) else { continue };
                if armed {
                    self.end_delayed_reply(env, reply.out);
                    let name = match (expiry.is_some(), with_cas) {
                        (false, false) => "get",
                        (false, true) => "gets",
                        (true, false) => "gat",
                        (true, true) => "gats",
                    };
                    match self.next_fault(env, name, bytes) {
                        Some(Fault::Miss) => {
                            cache.count_miss(bytes);
                            continue;
                        }
                        Some(Fault::Drop) => return Used::Stop(at, Next::Abort(CloseReason::Error)),
                        Some(Fault::Error(line)) => {
                            reply.out.rewind(&start);
                            push_line(reply.out, &format!("SERVER_ERROR {line}"));
                            self.state = State::SkipLine { then: None };
                            return Used::Bytes(offset(input, bytes));
                        }
                        Some(Fault::Delay(time)) => {
                            self.slept = true;
                            return Used::Stop(offset(input, bytes), Next::Sleep(time));
                        }
                        Some(Fault::Truncate(bytes)) => self.truncate(bytes, reply.out),
                        Some(Fault::DelayReply(time)) => self.delay_reply(time, reply.out),
                        None => {}
                    }
                }
                let mark = reply.out.mark();
                if logged {
                    verbose::lookup(env.context, bytes);
                }
                get(cache, key, hint, expiry, env.fd, &mut reply);
                if logged && reply.out.grew_since(&mark) {
                    verbose::key(env.context, env.fd, bytes);
                }
            }
            if armed {
                self.end_delayed_reply(env, out);
            }
            match ended {
                Some(Ok(end)) => {
                    let mark = out.mark();
                    out.push(b"END\r\n");
                    if logged {
                        verbose::answer(env.context, env.fd, b"get", out, &mark);
                    }
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
                // The last key may be incomplete.
                return if at == 0 { Used::NeedInput } else { Used::Stop(at, Next::Input) };
            }
            env.turn.spend(AHEAD * KEY_WORK);
            if out.len() >= limit || env.turn.is_over() {
                return Used::Stop(at, Next::Yield);
            }
        }
    }

    pub(super) fn skip_line(&mut self, input: &[u8], then: Option<&'static str>, out: &mut Output) -> Used {
        match memchr(b'\n', input) {
            Some(end) => {
                out.push(then.unwrap_or_default().as_bytes());
                self.state = State::Command;
                Used::Bytes(end + 1)
            }
            None => Used::Stop(input.len(), Next::Input),
        }
    }
}

/// Returns the offset of `part` in `all`.
fn offset(all: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(all.as_ptr() as usize).min(all.len())
}
