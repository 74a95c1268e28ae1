//! Gets of any number of keys, and prefetching for the next commands of a pipeline.

use memchr::memchr;

use super::env::Env;
use super::fault::FaultOutcome;
use super::state::{Gets, Session, State};
use super::step::{Next, Used};
use super::verbose;
use crate::base::faults::Fault;
use crate::cache::Cache;
use crate::config::{KEY_MAX, Protocol};
use crate::protocol::ahead;
use crate::protocol::classic::found;
use crate::protocol::key::Key;
use crate::protocol::output::{Mark, Output};
use crate::protocol::write::push_line;
use crate::state::CloseReason;
use crate::store::LookupHint;

/// memcached ends this line twice.
pub(super) const LONG_KEY: &str = "CLIENT_ERROR bad command line format\r\n\r\n";

/// The reply to a key that the client has no right to.
pub(super) const NOT_PERMITTED: &str = "CLIENT_ERROR not permitted\r\n";

/// Keys whose index lines are prefetched together.
pub(super) const AHEAD: usize = 16;

/// Bytes that a turn is charged for looking up a key.
const KEY_WORK: usize = 64;

/// Prefetches memory for the next commands of a pipeline, unless backends have the items. Returns
/// the length of these commands in `input`.
#[inline]
pub(super) fn look_ahead(env: &Env<'_>, protocol: Protocol, input: &[u8]) -> usize {
    let binary = protocol == Protocol::Binary;
    if !binary && memchr(b'\n', input).is_none_or(|end| end + 1 == input.len()) {
        return input.len();
    }
    if !binary && env.is_routed(b"get") {
        return input.len();
    }
    let store = env.context.cache.store();
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
    ///
    /// The first key that `permits` refuses ends the command. Its error replaces the items that
    /// this visit has found.
    #[expect(clippy::inline_always, reason = "as a call, it would cost 25 instructions a get")]
    #[inline(always)]
    pub(super) fn keys(
        &mut self,
        env: &mut Env<'_>,
        input: &[u8],
        get: Gets,
        permits: impl Fn(&[u8]) -> bool,
        out: &mut Output,
    ) -> Used {
        let cache: &Cache = &env.context.cache;
        let limit = env.limit;
        let start = out.mark();
        let logged = env.context.logs(2);
        let mut at = 0;
        let mut next: [(&[u8], LookupHint); AHEAD] = [(&[], LookupHint::from(0)); AHEAD];
        loop {
            let (count, ended) = take_keys(input, &mut at, |index, key| {
                if let Some(slot) = next.get_mut(index) {
                    *slot = (key, cache.store().lookup_hint(key));
                }
            });
            let keys = next.get_mut(..count).unwrap_or_default();
            if count > 1 {
                keys.iter().for_each(|(_, hint)| cache.store().prefetch(hint));
                keys.iter_mut().for_each(|(_, hint)| cache.store().locate_hint(hint));
                keys.iter().for_each(|(_, hint)| cache.store().prefetch_item(hint));
            }
            let armed = cache.faults().armed();
            for &mut (bytes, hint) in keys {
                let Some(key) = Key::new(bytes) else { continue };
                if !permits(bytes) {
                    env.stats.not_permitted.add(1);
                    out.rewind(&start);
                    self.state = State::SkipLine { then: Some(NOT_PERMITTED) };
                    return Used::Bytes(offset(input, bytes));
                }
                if armed {
                    self.end_delayed_reply(env, out);
                    match self.key_fault(env, get, bytes, (input, at), &start, out) {
                        Some(FaultOutcome::Miss) => {
                            cache.count_miss(bytes);
                            continue;
                        }
                        Some(FaultOutcome::Done(used)) => return used,
                        None => {}
                    }
                }
                let mark = out.mark();
                if logged {
                    verbose::lookup(env.context, bytes);
                }
                cache.read(key.bytes(), hint, get.expiry, env.fd, |entry, _| found(out, get.with_cas, entry));
                if logged && out.grew_since(&mark) {
                    verbose::key(env.context, env.fd, bytes);
                }
            }
            if armed {
                self.end_delayed_reply(env, out);
            }
            match ended {
                Some(End::Line(end)) => {
                    let mark = out.mark();
                    out.push(b"END\r\n");
                    if logged {
                        verbose::answer(env.context, env.fd, b"get", out, &mark);
                    }
                    self.state = State::Command;
                    return Used::Bytes(end);
                }
                Some(End::LongKey(at)) => {
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

    /// Applies the fault of a key, if there is one. The input is used up to `at`, and the reply to
    /// its keys begins at `start`.
    fn key_fault(
        &mut self,
        env: &Env<'_>,
        get: Gets,
        key: &[u8],
        (input, at): (&[u8], usize),
        start: &Mark,
        out: &mut Output,
    ) -> Option<FaultOutcome> {
        Some(FaultOutcome::Done(match self.next_fault(env, get.name(), key)? {
            Fault::Miss => return Some(FaultOutcome::Miss),
            Fault::Drop => Used::Stop(at, Next::Abort(CloseReason::Error)),
            Fault::Error(line) => {
                out.rewind(start);
                push_line(out, &format!("SERVER_ERROR {line}"));
                self.state = State::SkipLine { then: None };
                Used::Bytes(offset(input, key))
            }
            Fault::Delay(time) => {
                self.slept = true;
                Used::Stop(offset(input, key), Next::Sleep(time))
            }
            Fault::Truncate(bytes) => {
                self.truncate(bytes, out);
                return None;
            }
            Fault::DelayReply(time) => {
                self.delay_reply(time, out);
                return None;
            }
        }))
    }

    /// Discards the rest of a line, and replies `then` at its end.
    pub(super) fn skip_line(
        &mut self,
        env: &Env<'_>,
        input: &[u8],
        then: Option<&'static str>,
        out: &mut Output,
    ) -> Used {
        let Some(end) = memchr(b'\n', input) else { return Used::Stop(input.len(), Next::Input) };
        let mark = out.mark();
        out.push(then.unwrap_or_default().as_bytes());
        if env.context.logs(2) {
            verbose::answer(env.context, env.fd, b"get", out, &mark);
        }
        self.state = State::Command;
        Used::Bytes(end + 1)
    }
}

/// The end of a list of keys, as an offset in the input.
pub(super) enum End {
    /// The end of the line.
    Line(usize),
    /// The start of a key that is too long.
    LongKey(usize),
}

/// Passes up to `AHEAD` keys of `input` from `at` on to `take`, and moves `at` behind them. Returns
/// their number. A key whose end has not arrived is not taken.
#[inline]
pub(super) fn take_keys<'a>(
    input: &'a [u8],
    at: &mut usize,
    mut take: impl FnMut(usize, &'a [u8]),
) -> (usize, Option<End>) {
    let mut count = 0;
    while count < AHEAD {
        while input.get(*at) == Some(&b' ') {
            *at += 1;
        }
        let Some(tail) = input.get(*at..) else { break };
        let length = tail.iter().position(|&byte| byte == b' ' || byte == b'\n');
        let Some(length) = length else {
            return (count, (tail.len() > KEY_MAX + 1).then_some(End::LongKey(*at)));
        };
        let at_end = tail.get(length) == Some(&b'\n');
        let mut key = tail.get(..length).unwrap_or_default();
        if at_end && let [head @ .., b'\r'] = key {
            key = head;
        }
        if key.len() > KEY_MAX {
            return (count, Some(End::LongKey(*at)));
        }
        if !key.is_empty() {
            take(count, key);
            count += 1;
        }
        if at_end {
            return (count, Some(End::Line(*at + length + 1)));
        }
        *at += length;
    }
    (count, None)
}

/// Returns the offset of `part` in `all`.
fn offset(all: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(all.as_ptr() as usize).min(all.len())
}
