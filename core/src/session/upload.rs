//! Stores: a value that came with its line goes straight into the cache; one
//! that did not is an [`Upload`] until it is there.

use memchr::memchr;

use super::fault::Met;
use super::{Env, Next, Session, State, Used, command_name};
use crate::cache::{Cache, StoreRequest, Value};
use crate::dispatch::{store, store_request};
use crate::error::AllocError;
use crate::output::Output;
use crate::protocol::classic::{self, push_line};
use crate::protocol::meta::Echo;
use crate::protocol::text;
use crate::request::{Key, StoreHead};
use crate::store::Draft;

/// A value on its way into the cache.
pub(super) struct Upload {
    pub(super) draft: Draft,
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
pub(super) enum Answer {
    /// In the classic protocol, or not at all.
    Classic { quiet: bool },
    /// In the meta protocol.
    Meta(Echo),
}

impl Session {
    /// Begins a store whose line is `whole` bytes of `rest`; the value may be
    /// there already.
    #[expect(clippy::too_many_arguments, reason = "one store, from a line of one of two protocols")]
    #[inline]
    pub(super) fn store(
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
            match self.fault(env, name, head.key.bytes(), false, whole, out) {
                // An error: the value is still to come.
                Some(Met::Done(Used::Bytes(_))) => return self.swallow(whole, length + 2),
                Some(Met::Done(used)) => return used,
                // Nothing is looked for that could be missed.
                Some(Met::Miss) | None => {}
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
    pub(super) fn value(&mut self, env: &mut Env<'_>, rest: &[u8], out: &mut Output) -> Used {
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
