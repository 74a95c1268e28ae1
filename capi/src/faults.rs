//! Faults that clients of a server meet, for tests of those clients. Calls of
//! this library on the cache meet none.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use memcache_core::{Fault, FaultRule, FaultRuleId};

use crate::arguments::{bytes, known, maybe_text};
use crate::cache::mcrs_cache;
use crate::guard::invalid;
use crate::status::mcrs_status;

/// What goes wrong: one of the MCRS_FAULT_ numbers.
pub type mcrs_fault_kind = u32;

/// The command waits `delay_ms` milliseconds first.
pub const MCRS_FAULT_DELAY: mcrs_fault_kind = 1;

/// The connection is closed instead.
pub const MCRS_FAULT_DROP: mcrs_fault_kind = 2;

/// The command answers SERVER_ERROR with `text` and does nothing.
pub const MCRS_FAULT_ERROR: mcrs_fault_kind = 3;

/// A read finds nothing.
pub const MCRS_FAULT_MISS: mcrs_fault_kind = 4;

/// The command is carried out, and of its reply `after` bytes are sent, of a
/// multiget counted from where the reply to the key begins; then the connection
/// is closed.
pub const MCRS_FAULT_TRUNCATE: mcrs_fault_kind = 5;

/// A fault and when it happens: all conditions that are given must hold. All
/// zero but `kind`: always.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_fault {
    /// What goes wrong.
    pub kind: mcrs_fault_kind,
    /// Of MCRS_FAULT_DELAY.
    pub delay_ms: u32,
    /// Of MCRS_FAULT_ERROR; NULL is "injected".
    pub text: *const c_char,
    /// Only this command, by its name in the text protocols ("get", "mg"); NULL:
    /// all.
    pub command: *const c_char,
    /// Only keys that match, in which `*` stands for any bytes; NULL: all.
    pub key: *const c_void,
    /// Bytes of `key`.
    pub key_len: usize,
    /// At most this many times; 0: without end.
    pub times: u64,
    /// With this probability, above 0 and up to 1; 0 is taken for 1.
    pub probability: f64,
    /// Of MCRS_FAULT_TRUNCATE.
    pub after: usize,
    /// 0; for later versions.
    pub reserved: [u64; 1],
}

/// Adds a fault to those of a cache; the first that holds happens. `id`, if not
/// NULL, gets its number. Nothing of `fault` is used after the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_faults_add(
    cache: *const mcrs_cache,
    fault: *const mcrs_fault,
    id: *mut u64,
) -> mcrs_status {
    entry!(cache, { fault: given(fault), id: maybe_out(id) }, {
        known(0, 0, &fault.reserved)?;
        // SAFETY: the caller keeps the contract for the texts of a fault, too.
        let (text, command, key) =
            unsafe { (maybe_text(fault.text)?, maybe_text(fault.command)?, bytes(fault.key, fault.key_len)?) };
        let what = match fault.kind {
            MCRS_FAULT_DELAY => Fault::Delay(Duration::from_millis(u64::from(fault.delay_ms))),
            MCRS_FAULT_DROP => Fault::Drop,
            MCRS_FAULT_ERROR => Fault::Error(text.unwrap_or("injected").replace(['\r', '\n'], " ")),
            MCRS_FAULT_MISS => Fault::Miss,
            MCRS_FAULT_TRUNCATE => Fault::Truncate(fault.after),
            other => return Err(invalid(format!("there is no fault {other}"))),
        };
        if !(0.0..=1.0).contains(&fault.probability) {
            return Err(invalid("a probability is 0 to 1"));
        }
        let number = cache.cache.faults().add(FaultRule {
            command: command.map(str::to_owned),
            key: (!fault.key.is_null()).then(|| key.to_vec()),
            times: (fault.times != 0).then_some(fault.times),
            probability: if fault.probability == 0.0 { 1.0 } else { fault.probability },
            ..FaultRule::new(what)
        });
        if let Some(id) = id {
            id.set(number.0);
        }
        Ok(())
    })
}

/// Takes a fault away. `applied`, if not NULL, gets how often it has happened.
/// MCRS_NOT_FOUND: there is none with this number.
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

/// Takes all faults away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcrs_faults_clear(cache: *const mcrs_cache) -> mcrs_status {
    entry!(cache, {}, {
        cache.cache.faults().clear();
        Ok(())
    })
}
