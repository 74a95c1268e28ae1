//! Stores. A value that arrived with its line goes straight into the cache. Another one is an
//! [`Upload`] until it is complete.

use memchr::memchr;

use super::answer::ReplyWriter;
use super::env::Env;
use super::fault::{FaultOutcome, command_name};
use super::state::{Session, State};
use super::step::{Next, Used};
use super::upload::{OwnedHead, Upload};
use super::verbose;
use crate::cache::{Cache, Mode, StoreRequest, StoreValue};
use crate::protocol::dispatch::store_request;
use crate::protocol::output::Output;
use crate::protocol::request::StoreHead;
use crate::state::ConnState;

impl Session {
    /// Begins a store whose line, or header and key, is the first `line_len` bytes of `input`. The
    /// value may be complete already.
    #[expect(clippy::too_many_arguments, reason = "one store, of any protocol")]
    #[inline]
    pub(super) fn store(
        &mut self,
        env: &mut Env<'_>,
        head: &StoreHead<'_>,
        length: usize,
        reply_via: ReplyWriter,
        input: &[u8],
        line_len: usize,
        out: &mut Output,
    ) -> Used {
        let cache: &Cache = &env.context.cache;
        let tail_len = reply_via.tail();
        if cache.faults().armed() {
            let name = match reply_via {
                ReplyWriter::Classic { .. } => command_name(input, memchr(b' ', input).unwrap_or(0)),
                ReplyWriter::Meta(_) => "ms",
                ReplyWriter::Binary(echo) => echo.name(),
            };
            match self.fault(env, name, head.key.bytes(), reply_via, line_len, out) {
                // An error: the value is still to come and is discarded.
                Some(FaultOutcome::Done(Used::Bytes(_))) => return self.swallow(line_len, length + tail_len),
                Some(FaultOutcome::Done(used)) => return used,
                // A store has no miss.
                Some(FaultOutcome::Miss) | None => {}
            }
        }
        let request = store_request(cache, head, env.fd);
        let value = input.get(line_len..line_len + length);
        let tail = input.get(line_len + length..line_len + length + tail_len);
        if let (Some(value), Some(tail)) = (value, tail) {
            self.trace_within(env, ConnState::Nread);
            if tail_len > 0 && tail != b"\r\n" {
                match cache.store().class_for(request.key.len(), request.flags, length) {
                    Ok(class) => {
                        // memcached counts a set once its memory is reserved.
                        cache.count_set(request.key, class);
                        reply_or_log(env, reply_via, out, ReplyWriter::bad_chunk);
                    }
                    Err(error) => reply_via.refused(out, error),
                }
                return Used::Bytes(line_len + length + tail_len);
            }
            verbose::store(env.context, &request);
            reply_or_log(env, reply_via, out, |reply_via, out| {
                reply_via.store(cache, &request, StoreValue::Bytes(value), out);
            });
            if matches!(head.mode, Mode::Append | Mode::Prepend) {
                // A long value may have been copied for a short request.
                env.turn.look();
            }
            return Used::Bytes(line_len + length + tail_len);
        }
        if head.purge_on_failure
            && env.context.logs(3)
            && cache.store().class_for(request.key.len(), request.flags, length).is_err()
        {
            // memcached looks up the item that it removes.
            verbose::lookup(env.context, request.key);
        }
        match cache.reserve(&request, length) {
            Ok(reservation) => {
                self.trace_within(env, ConnState::Nread);
                // A value without a line end is treated as one whose line end has arrived.
                let (tail, tail_len) = (*b"\r\n", 2 - tail_len);
                let upload = Upload { reservation, head: OwnedHead::new(head), reply_via, tail, tail_len };
                self.state = State::Value(Box::new(upload));
                Used::Bytes(line_len)
            }
            Err(error) => {
                reply_via.refused(out, error);
                self.swallow(line_len, length + tail_len)
            }
        }
    }

    /// Takes bytes of the value under way.
    pub(super) fn value(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let State::Value(upload) = &mut self.state else { return Used::Bytes(0) };
        let missing = upload.reservation.missing();
        let mut used = input.len().min(missing);
        if let Err(error) = upload.reservation.write(input.get(..used).unwrap_or_default()) {
            // A part of the input may be in the reservation. All of it is discarded.
            let left = missing + 2 - upload.tail_len;
            upload.reply_via.refused_midway(out);
            if let State::Value(upload) = std::mem::replace(&mut self.state, State::Swallow { left })
                && let Some(head) = upload.head.borrow()
            {
                // memcached keeps the old value. A client that reads it then gets the value that it
                // has tried to replace.
                let cache: &Cache = &env.context.cache;
                cache.refuse_reservation(&store_request(cache, &head, env.fd), error);
            }
            return Used::Bytes(0);
        }
        if upload.reservation.missing() == 0 {
            for &byte in input.get(used..).unwrap_or_default().iter().take(2 - upload.tail_len) {
                if let Some(slot) = upload.tail.get_mut(upload.tail_len) {
                    *slot = byte;
                }
                upload.tail_len += 1;
                used += 1;
            }
        }
        if upload.reservation.missing() > 0 || upload.tail_len < 2 {
            return Used::Stop(used, Next::Input);
        }
        let State::Value(upload) = std::mem::replace(&mut self.state, State::Command) else {
            return Used::Bytes(used);
        };
        let Upload { reservation, head, reply_via, tail, .. } = *upload;
        let cache: &Cache = &env.context.cache;
        if &tail != b"\r\n" {
            cache.count_set(&head.key, reservation.class());
            reply_or_log(env, reply_via, out, ReplyWriter::bad_chunk);
            return Used::Bytes(used);
        }
        let Some(head) = head.borrow() else { return Used::Bytes(used) };
        let request: StoreRequest<'_> = store_request(cache, &head, env.fd);
        verbose::store(env.context, &request);
        reply_or_log(env, reply_via, out, |reply_via, out| {
            reply_via.store(cache, &request, StoreValue::Reservation(reservation), out);
        });
        Used::Bytes(used)
    }
}

/// Replies with `answer`. If the client wants no reply, logs at `-vv` the reply that it would have
/// had, as memcached does.
#[inline]
fn reply_or_log(
    env: &Env<'_>,
    reply_via: ReplyWriter,
    out: &mut Output,
    answer: impl FnOnce(ReplyWriter, &mut Output),
) {
    if env.context.logs(2) && matches!(reply_via, ReplyWriter::Classic { quiet: true }) {
        let mark = out.mark();
        answer(ReplyWriter::Classic { quiet: false }, out);
        verbose::no_reply(env.context, env.fd, out, &mark);
        out.rewind(&mark);
    } else {
        answer(reply_via, out);
    }
}
