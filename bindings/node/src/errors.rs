//! Errors of the core in words of JavaScript. `node/errors.js` makes its
//! classes of the codes.

use memcache_core::internal::config::KEY_MAX;
use memcache_core::internal::error::AllocError;
use memcache_core::{ConfigError, DeltaError, StartError};
use napi::{Env, JsError};

/// What an error is: its code, behind which an errno may stand.
pub struct Code(String);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An error on its way to JavaScript.
pub type Failure = napi::Error<Code>;

#[cold]
fn failure(code: &str, text: impl Into<String>) -> Failure {
    Failure::new(Code(code.to_owned()), text.into())
}

/// The same, for promises: napi rejects them with errors that carry no code,
/// so the error is made here.
#[cold]
pub fn rejected(env: Env, failure: Failure) -> napi::Error {
    napi::Error::from_unknown_without_coercion(JsError::from(failure).into_unknown(env))
}

/// A cache that was closed.
#[cold]
pub fn cache_closed() -> Failure {
    failure("ERR_MEMCACHE_CLOSED", "this cache is closed; make a new one")
}

/// A server that was stopped, or not started yet.
#[cold]
pub fn not_running() -> Failure {
    failure("ERR_MEMCACHE_CLOSED", "this server does not run; start() starts it")
}

/// A key of the wrong length.
#[cold]
pub fn bad_key(length: usize) -> Failure {
    failure(
        "ERR_MEMCACHE_INVALID_KEY",
        format!(
            "a key has 1 to {KEY_MAX} bytes, this one has {length}; hash longer ones, for example with createHash of \
             node:crypto"
        ),
    )
}

/// A time to live that is none.
#[cold]
pub fn bad_ttl(why: &str) -> Failure {
    failure(
        "ERR_MEMCACHE_INVALID_TTL",
        format!("{why}; give seconds or a Date, or nothing for an item that does not expire"),
    )
}

/// A setting that cannot work.
#[cold]
pub fn bad_setting(error: &ConfigError) -> Failure {
    bad_argument(error.to_string())
}

/// The same, with words of this crate.
#[cold]
pub fn bad_argument(text: impl Into<String>) -> Failure {
    failure("ERR_MEMCACHE_CONFIG", text)
}

/// An argument of the wrong kind.
#[cold]
pub fn bad_type(text: impl Into<String>) -> Failure {
    failure("ERR_INVALID_ARG_TYPE", text)
}

/// A number that is none of those that an argument may be.
#[cold]
pub fn out_of_range(text: impl Into<String>) -> Failure {
    failure("ERR_OUT_OF_RANGE", text)
}

/// What should not have happened.
#[cold]
pub fn internal(text: &str) -> Failure {
    failure("ERR_MEMCACHE_INTERNAL", text)
}

/// What could not be stored.
#[cold]
pub fn not_stored(error: AllocError, length: usize, largest: usize) -> Failure {
    match error {
        AllocError::TooLarge => failure(
            "ERR_MEMCACHE_VALUE_TOO_LARGE",
            format!(
                "a value of {length} bytes does not fit: with its key an item takes at most {largest} bytes. Raise \
                 itemSizeMax, or store it in parts"
            ),
        ),
        AllocError::NoMemory => failure(
            "ERR_MEMCACHE_OUT_OF_MEMORY",
            "there is no memory for the item and nothing may be evicted. Raise memoryLimit, or allow evictions",
        ),
    }
}

/// What is there, but too long for a value of JavaScript of this kind.
#[cold]
pub fn too_long(length: usize, kind: &str) -> Failure {
    failure(
        "ERR_MEMCACHE_VALUE_TOO_LARGE",
        format!(
            "{length} bytes do not fit into a {kind} of JavaScript; getInto reads any value into memory of yours"
        ),
    )
}

/// What could not be counted; `None` where there is no such item.
#[cold]
pub fn not_counted(error: DeltaError) -> Option<Failure> {
    match error {
        DeltaError::NotFound => None,
        DeltaError::NoMemory => Some(not_stored(AllocError::NoMemory, 0, 0)),
        DeltaError::NonNumeric | DeltaError::CasMismatch => Some(failure(
            "ERR_MEMCACHE_NOT_A_NUMBER",
            "the value is not a decimal number from 0 to 2**64 - 1; set it to one, such as '0', before counting",
        )),
    }
}

/// "Too many open files", the same number on every Unix.
const EMFILE: i32 = 24;

/// A cache or a server that could not start.
#[cold]
pub fn not_started(error: &StartError) -> Failure {
    match error {
        StartError::Config(error) => bad_setting(error),
        StartError::File(text) => bad_argument(text.clone()),
        StartError::Descriptors { .. } => {
            no_system(&std::io::Error::from_raw_os_error(EMFILE), error.to_string())
        }
        StartError::Memory(cause) | StartError::Listen(_, cause) | StartError::System(cause) => {
            no_system(cause, error.to_string())
        }
    }
}

/// What the system refused.
#[cold]
pub fn no_system(cause: &std::io::Error, text: impl Into<String>) -> Failure {
    failure(&format!("ERR_MEMCACHE_START/{}", cause.raw_os_error().unwrap_or(0)), text)
}
