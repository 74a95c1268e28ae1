//! Looks closely at some requests: counts their keys and measures their time.
//!
//! The time of a request begins when its command is parsed, and ends when its reply is encoded. A
//! request that arrives in parts is measured from its last part on. So the network and the client
//! do not count, and neither does the work on other requests. A request for backends has no time
//! here: the proxy measures those of backends.

use std::time::Instant;

use super::env::Env;
use super::state::{Session, State};
use super::step::Used;
use crate::cache::{Access, Operation};
use crate::protocol::key::Key;
use crate::protocol::output::Output;
use crate::proxy::command::Kind;
use crate::proxy::request::ClientRequest;
use crate::state::CommandClass;

impl Env<'_> {
    /// Begins a command: charges it, and decides whether it is sampled.
    #[inline]
    pub(super) fn command(&mut self) {
        self.turn.command();
        self.decide_sample();
    }

    /// Decides whether the command under way is sampled.
    #[inline]
    pub(super) fn decide_sample(&mut self) {
        self.sampled = if self.context.cache.sampler().is_due() { begin() } else { None };
    }

    /// Begins the time of a sampled command of which a further part has arrived.
    #[cold]
    pub(super) fn resume_sample(&mut self) {
        self.sampled = self.sampled.or_else(begin);
    }

    /// Ends the sample of a command without a key, if it is sampled.
    #[inline]
    pub(super) fn end_sample(&self, class: CommandClass) {
        if let Some(begin) = self.sampled {
            self.record(class, begin);
        }
    }

    /// Ends the sample of an operation on `key`, if it is sampled.
    #[inline]
    pub(super) fn end_data_sample(&self, operation: &Operation, key: &[u8]) {
        if let Some(begin) = self.sampled {
            let class = class_of(operation);
            self.record(class, begin);
            self.note(class, key);
        }
    }

    /// Ends the sample of a store, if it is sampled.
    #[inline]
    pub(super) fn end_store_sample(&self, key: &[u8]) {
        if let Some(begin) = self.sampled {
            self.record(CommandClass::Set, begin);
            self.note(CommandClass::Set, key);
        }
    }

    /// Counts the key of a store whose value is still to come, if it is sampled. Returns whether it
    /// is.
    #[inline]
    pub(super) fn note_store_sample(&self, key: &[u8]) -> bool {
        if self.sampled.is_some() {
            self.note(CommandClass::Set, key);
        }
        self.sampled.is_some()
    }

    /// Counts the keys of sampled requests for backends.
    #[cold]
    pub(super) fn note_routed_sample(&self, requests: &[ClientRequest]) {
        for request in requests {
            let access = if request.command.kind == Kind::Read { Access::Read } else { Access::Write };
            if let Some(key) = request.decoded_key() {
                self.context.cache.note_key(&key, access);
            }
        }
    }

    #[cold]
    fn record(&self, class: CommandClass, begin: Instant) {
        self.context.latency.record(class, begin.elapsed());
    }

    #[cold]
    fn note(&self, class: CommandClass, key: &[u8]) {
        if !self.is_of_proxy {
            let access = if class == CommandClass::Get { Access::Read } else { Access::Write };
            self.context.cache.note_key(key, access);
        }
    }
}

impl Session {
    /// Ends a part of a sampled get, for which the first bytes of `input` were used.
    #[cold]
    pub(super) fn end_keys_sample(&self, env: &Env<'_>, input: &[u8], used: &Used) {
        let (Used::Bytes(length) | Used::Stop(length, _)) = *used else { return };
        if let (false, Some(begin)) =
            (matches!(self.state, State::Keys(_) | State::GuardedKeys(_)), env.sampled)
        {
            env.record(CommandClass::Get, begin);
        }
        let taken = input.get(..length).unwrap_or_default();
        let keys = taken.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).filter_map(Key::new);
        keys.for_each(|key| env.note(CommandClass::Get, key.bytes()));
    }

    /// Takes bytes of a sampled value.
    #[cold]
    pub(super) fn sampled_value(&mut self, env: &mut Env<'_>, input: &[u8], out: &mut Output) -> Used {
        env.resume_sample();
        let used = self.value(env, input, out);
        if let (false, Some(begin)) = (matches!(self.state, State::Value(_)), env.sampled) {
            env.record(CommandClass::Set, begin);
        }
        used
    }
}

#[cold]
#[expect(clippy::unnecessary_wraps, reason = "the caller needs an option")]
fn begin() -> Option<Instant> {
    Some(Instant::now())
}

/// Returns the class of an operation.
fn class_of(operation: &Operation) -> CommandClass {
    match operation {
        Operation::Get { .. } | Operation::MetaGet(_) | Operation::Inspect => CommandClass::Get,
        Operation::Touch { .. } => CommandClass::Touch,
        Operation::Delete { .. } | Operation::MetaDelete(_) => CommandClass::Delete,
        Operation::Delta(_) => CommandClass::Arithmetic,
    }
}
