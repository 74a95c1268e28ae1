//! Faults that clients of a server meet, for tests of those clients.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use memcache_core::{Fault, FaultRuleId};
use memcache_embed::faults::{self, Conditions};

use crate::arguments::{bytes, known, maybe_text};
use crate::cache::mcrs_cache;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// Names a kind of fault: one of the MCRS_FAULT_ numbers.
pub type mcrs_fault_kind = u32;

/// Delays the command by `delay_ms` milliseconds.
pub const MCRS_FAULT_DELAY: mcrs_fault_kind = 1;

/// Closes the connection instead of running the command.
pub const MCRS_FAULT_DROP: mcrs_fault_kind = 2;

/// Answers SERVER_ERROR with `text` instead of running the command.
pub const MCRS_FAULT_ERROR: mcrs_fault_kind = 3;

/// Lets a read find no item.
pub const MCRS_FAULT_MISS: mcrs_fault_kind = 4;

/// Runs the command, sends `after` bytes of its reply, and closes the connection.
///
/// In a multiget, the bytes count from the start of the reply to the key.
pub const MCRS_FAULT_TRUNCATE: mcrs_fault_kind = 5;

/// Runs the command and sends its reply `delay_ms` milliseconds later.
///
/// Later commands of the connection run in between, and their replies wait behind this one.
pub const MCRS_FAULT_DELAY_REPLY: mcrs_fault_kind = 6;

/// Describes a fault and when it happens.
///
/// All conditions that are set must hold. All zero except `kind` always happens.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_fault {
    /// Kind of the fault: one of the MCRS_FAULT_ numbers.
    pub kind: mcrs_fault_kind,
    /// Delay in milliseconds, for MCRS_FAULT_DELAY and MCRS_FAULT_DELAY_REPLY.
    pub delay_ms: u32,
    /// Text of the error, for MCRS_FAULT_ERROR; NULL is "injected".
    pub text: *const c_char,
    /// Command in the text protocols, as "get" or "mg"; NULL for all.
    pub command: *const c_char,
    /// Pattern of keys, in which `*` stands for any bytes; NULL for all keys.
    pub key: *const c_void,
    /// Length of `key` in bytes.
    pub key_len: usize,
    /// Number of times it happens at most; 0 for no limit.
    pub times: u64,
    /// Probability, at most 1; 0 means 1.
    pub probability: f64,
    /// Bytes of the reply to send, for MCRS_FAULT_TRUNCATE.
    pub after: usize,
    /// Must be 0.
    pub reserved: [u64; 1],
}

/// Adds a fault that clients of a cache's servers meet.
///
/// The first fault whose conditions hold happens. Calls of this library meet none.
///
/// ```c
/// mcrs_fault fault = {0};
/// uint64_t id = 0, applied = 0;
/// fault.kind = MCRS_FAULT_ERROR;
/// fault.text = "out of order";
/// fault.command = "get";
/// fault.times = 2;
/// assert(mcrs_faults_add(cache, &fault, &id) == MCRS_OK);
/// // Two gets of clients now answer "SERVER_ERROR out of order".
/// assert(mcrs_faults_remove(cache, id, &applied) == MCRS_OK && applied == 0);
/// ```
///
/// @param cache  Cache to work on.
/// @param fault  Fault to add, which is copied.
/// @param id  Receives the number of the fault; may be NULL.
/// @return MCRS_OK; MCRS_INVALID_ARGUMENT if a field of `fault` is not allowed; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_faults_add(
    cache: *const mcrs_cache,
    fault: *const mcrs_fault,
    id: *mut u64,
) -> mcrs_status {
    entry!(cache, { fault: given(fault), id: maybe_out(id) }, {
        known(0, 0, &fault.reserved)?;
        // SAFETY: the caller keeps the conventions for the texts of a fault, too.
        let (text, command, key) = unsafe {
            (maybe_text(fault.text), maybe_text(fault.command), bytes(fault.key, fault.key_len))
        };
        let text = text.map_err(|failure| failure.named("text"))?;
        let command = command.map_err(|failure| failure.named("command"))?;
        let key = key.map_err(|failure| failure.named("key"))?;
        let time = Duration::from_millis(u64::from(fault.delay_ms));
        let what = match fault.kind {
            MCRS_FAULT_DELAY => Fault::Delay(time),
            MCRS_FAULT_DELAY_REPLY => Fault::DelayReply(time),
            MCRS_FAULT_DROP => Fault::Drop,
            MCRS_FAULT_ERROR => Fault::Error(text.unwrap_or("injected").replace(['\r', '\n'], " ")),
            MCRS_FAULT_MISS => Fault::Miss,
            MCRS_FAULT_TRUNCATE => Fault::Truncate(fault.after),
            other => return Err(invalid(format!("kind must be one of the MCRS_FAULT_ numbers, got {other}"))),
        };
        let when = Conditions {
            command: command.map(str::to_owned),
            key: (!fault.key.is_null()).then(|| key.to_vec()),
            times: (fault.times != 0).then_some(fault.times),
            probability: (fault.probability != 0.0).then_some(fault.probability),
        };
        let injected =
            faults::inject(&cache.cache, what, when).map_err(|error| invalid(error.to_string()))?;
        if let Some(id) = id {
            id.set(injected.id().0);
        }
        Ok(())
    })
}

/// Removes a fault.
///
/// @param cache  Cache to work on.
/// @param id  Number of the fault, from mcrs_faults_add().
/// @param applied  Receives how often it has happened; may be NULL.
/// @return MCRS_OK; MCRS_NOT_FOUND if there is no such fault; or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_faults_remove(
    cache: *const mcrs_cache,
    id: u64,
    applied: *mut u64,
) -> mcrs_status {
    entry!(cache, { applied: maybe_out(applied) }, {
        let Some(times) = cache.cache.faults().remove(FaultRuleId(id)) else {
            return Err(mcrs_status::MCRS_NOT_FOUND.into());
        };
        if let Some(applied) = applied {
            applied.set(times);
        }
        Ok(())
    })
}

/// Removes all faults of a cache.
///
/// @param cache  Cache to work on.
/// @return MCRS_OK, or a common status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_faults_clear(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.faults().clear();
        Ok(())
    })
}
