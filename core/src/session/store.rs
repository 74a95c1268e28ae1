//! Stores. A value that arrived with its line goes straight into the cache. Another one is an
//! [`Upload`] until it is complete.

use super::env::Env;
use super::fault::FaultOutcome;
use super::state::{Session, State};
use super::step::{Next, Used};
use super::upload::Upload;
use super::verbose;
use crate::cache::{Cache, Exptime, Mode, Request, Response, StoreOperation, StoreValue};
use crate::protocol::encoder::{Encoder, Form};
use crate::protocol::output::Output;
use crate::state::ConnState;

impl Session {
    /// Begins a store whose line, or header and key, is the first `line_len` bytes of `input`. The
    /// value, of `length` bytes, may be complete already.
    #[expect(clippy::too_many_arguments, reason = "one store, of any protocol")]
    #[inline]
    pub(super) fn store(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_, &StoreOperation<Exptime>>,
        length: usize,
        form: &Form<'_>,
        input: &[u8],
        line_len: usize,
        out: &mut Output,
    ) -> Used {
        let cache: &Cache = &env.context.cache;
        let tail_len = form.tail();
        let whole = line_len + length + tail_len;
        let mut reply = Encoder { out, form, key: request.key, clock: cache.clock() };
        if cache.faults().armed() {
            match self.fault(env, input, &mut reply, line_len) {
                // An error: the value is still to come and is discarded.
                Some(FaultOutcome::Done(Used::Bytes(_))) => return self.swallow(line_len, length + tail_len),
                Some(FaultOutcome::Done(used)) => return used,
                // A store has no miss.
                Some(FaultOutcome::Miss) | None => {}
            }
        }
        let timed = cache.timed(request);
        let value = input.get(line_len..line_len + length);
        let tail = input.get(line_len + length..whole);
        if let (Some(value), Some(tail)) = (value, tail) {
            self.trace_within(env, ConnState::Nread);
            if tail_len > 0 && tail != b"\r\n" {
                match cache.store().class_for(timed.key.len(), timed.operation.flags, length) {
                    Ok(class) => {
                        // memcached counts a set once its memory is reserved.
                        cache.count_set(timed.key, class);
                        reply_or_log(env, &mut reply, &Response::BadChunk);
                    }
                    Err(error) => reply.encode(&Response::Refused(error)),
                }
                return Used::Bytes(whole);
            }
            verbose::store(env.context, &timed);
            let response = cache.execute_store(&timed, StoreValue::Bytes(value));
            reply_or_log(env, &mut reply, &response);
            if matches!(timed.operation.mode, Mode::Append | Mode::Prepend) {
                // A long value may have been copied for a short request.
                env.turn.look();
            }
            env.end_store_sample(request.key);
            return Used::Bytes(whole);
        }
        if timed.operation.purge_on_failure
            && env.context.logs(3)
            && cache.store().class_for(timed.key.len(), timed.operation.flags, length).is_err()
        {
            // memcached looks up the item that it removes.
            verbose::lookup(env.context, timed.key);
        }
        match cache.reserve(&timed, length) {
            Ok(reservation) => {
                self.trace_within(env, ConnState::Nread);
                let mut upload = Upload::new(reservation, request, form);
                upload.is_sampled = env.note_store_sample(request.key);
                self.state = State::Value(Box::new(upload));
                Used::Bytes(line_len)
            }
            Err(error) => {
                reply.encode(&Response::Refused(error));
                env.end_store_sample(request.key);
                self.swallow(line_len, length + tail_len)
            }
        }
    }

    /// Takes bytes of the value under way, and logs the reply.
    pub(super) fn value(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let State::Value(upload) = &self.state else { return Used::Bytes(0) };
        let (word, mark) = (upload.word(), out.mark());
        let used = self.receive(env, input, out);
        if env.context.logs(2) {
            match word {
                Some(word) => verbose::answer(env.context, env.fd, word, out, &mark),
                None => verbose::response(env.context, env.fd, false, out, &mark),
            }
        }
        used
    }

    /// Takes bytes of the value under way. Stores it if it is complete.
    fn receive(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        let State::Value(upload) = &mut self.state else { return Used::Bytes(0) };
        let cache: &Cache = &env.context.cache;
        let missing = upload.reservation.missing();
        let mut used = input.len().min(missing);
        if let Err(error) = upload.reservation.write(input.get(..used).unwrap_or_default()) {
            // A part of the input may be in the reservation. All of it is discarded.
            let left = missing + 2 - upload.tail_len;
            if let State::Value(upload) = std::mem::replace(&mut self.state, State::Swallow { left }) {
                let (request, form) = upload.command.request(env.fd);
                let mut reply = Encoder { out, form: &form, key: request.key, clock: cache.clock() };
                reply.encode(&Response::RefusedMidway);
                // memcached keeps the old value. A client that reads it then gets the value that it
                // has tried to replace.
                cache.refuse_reservation(&cache.timed(&request), error);
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
        let Upload { reservation, command, tail, .. } = *upload;
        let (request, form) = command.request(env.fd);
        let timed = cache.timed(&request);
        let mut reply = Encoder { out, form: &form, key: request.key, clock: cache.clock() };
        if &tail != b"\r\n" {
            cache.count_set(request.key, reservation.class());
            reply_or_log(env, &mut reply, &Response::BadChunk);
            return Used::Bytes(used);
        }
        verbose::store(env.context, &timed);
        let response = cache.execute_store(&timed, StoreValue::Reservation(reservation));
        reply_or_log(env, &mut reply, &response);
        Used::Bytes(used)
    }
}

/// Replies. If the client wants no reply, logs at `-vv` the reply that it would have had, as
/// memcached does.
#[inline]
fn reply_or_log(env: &Env<'_>, reply: &mut Encoder<'_>, response: &Response<'_>) {
    if env.context.logs(2) && matches!(reply.form, Form::Classic { quiet: true, .. }) {
        let mark = reply.out.mark();
        Encoder {
            out: reply.out,
            form: &Form::Classic { with_cas: false, quiet: false },
            key: reply.key,
            clock: reply.clock,
        }
        .encode(response);
        verbose::no_reply(env.context, env.fd, reply.out, &mark);
        reply.out.rewind(&mark);
    } else {
        reply.encode(response);
    }
}
