//! Errors for JavaScript. `node/errors.js` chooses the public class by the code.

use memcache_core::internal::base::error::AllocError;
use memcache_core::internal::config::KEY_MAX;
use memcache_core::{ConfigError, DeltaError, SnapshotError, StartError};
use memcache_embed::server::StartFault;
use memcache_embed::snapshot::{OptionError, SnapshotFault};
use memcache_embed::ttl::LONGEST;
use napi::bindgen_prelude::JsObjectValue;
use napi::{Env, JsError, JsValue};

/// The code of an error, with the system's error number and the path of the file, if there are any.
#[derive(Default)]
pub struct Code {
    name: &'static str,
    pub errno: Option<i32>,
    pub path: Option<String>,
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        self.name
    }
}

/// An error on its way to JavaScript.
pub type Failure = napi::Error<Code>;

#[cold]
fn failure(name: &'static str, text: impl Into<String>) -> Failure {
    Failure::new(Code { name, ..Code::default() }, text.into())
}

/// Makes the error object here. napi itself would lose the errno, and in a promise the code, too.
#[cold]
pub fn thrown(env: Env, failure: Failure) -> napi::Error {
    let errno = failure.status.errno;
    let error = JsError::from(failure).into_unknown(env);
    if let (Some(errno), Ok(mut object)) = (errno, error.coerce_to_object()) {
        // The error is worth throwing without the property, too.
        let _ = object.set_named_property("errno", -errno);
    }
    napi::Error::from_unknown_without_coercion(error)
}

/// The cache was closed.
#[cold]
pub fn cache_closed() -> Failure {
    failure("ERR_MEMCACHE_CLOSED", "the cache is closed: create a new Cache")
}

/// The server was stopped, or not started yet.
#[cold]
pub fn not_running() -> Failure {
    failure("ERR_MEMCACHE_CLOSED", "the server is not running: call start() first")
}

/// A key has the wrong length.
#[cold]
pub fn bad_key(length: usize) -> Failure {
    failure(
        "ERR_MEMCACHE_INVALID_KEY",
        format!(
            "key must have 1 to {KEY_MAX} bytes, got {length}; hash a longer key, for example with createHash of \
             node:crypto"
        ),
    )
}

/// The prefix of a namespace has the wrong length.
#[cold]
pub fn bad_prefix(length: usize) -> Failure {
    failure(
        "ERR_MEMCACHE_INVALID_KEY",
        format!(
            "prefix must have 1 to {KEY_MAX} bytes, with those of the namespaces around it, got {length}"
        ),
    )
}

/// A TTL is out of range or not a time. `name` is the parameter.
#[cold]
pub fn bad_ttl(name: &str, got: &str) -> Failure {
    failure(
        "ERR_MEMCACHE_INVALID_TTL",
        format!(
            "{name} must be 0 to {LONGEST} seconds (100 years), or a Date at most 100 years ahead, got {got}; leave \
             it out for an item without expiry"
        ),
    )
}

/// The core refuses a setting.
#[cold]
pub fn bad_setting(error: &ConfigError) -> Failure {
    bad_argument(error.to_string().replace(&*error.setting, &camel(&error.setting)))
}

/// Returns the name of a setting in JavaScript.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        camel.push_str(&part[..part.len().min(1)].to_ascii_uppercase());
        camel.push_str(part.get(1..).unwrap_or_default());
    }
    camel
}

/// A setting is refused, with a message of this crate.
#[cold]
pub fn bad_argument(text: impl Into<String>) -> Failure {
    failure("ERR_MEMCACHE_CONFIG", text)
}

/// An argument has the wrong type.
#[cold]
pub fn bad_type(text: impl Into<String>) -> Failure {
    failure("ERR_INVALID_ARG_TYPE", text)
}

/// A number is out of its range.
#[cold]
pub fn out_of_range(text: impl Into<String>) -> Failure {
    failure("ERR_OUT_OF_RANGE", text)
}

/// A fault of this package.
#[cold]
pub fn internal(text: &str) -> Failure {
    failure("ERR_MEMCACHE_INTERNAL", text)
}

/// Node failed to create an object.
#[cold]
pub fn no_object() -> Failure {
    internal("Node failed to create an object")
}

/// The cache could not store a value of `length` bytes.
#[cold]
pub fn not_stored(error: AllocError, length: usize, largest: usize) -> Failure {
    match error {
        AllocError::TooLarge => failure(
            "ERR_MEMCACHE_VALUE_TOO_LARGE",
            format!(
                "value of {length} bytes is too large: an item, with its key, may take {largest} bytes; raise \
                 itemSizeMax, or split the value"
            ),
        ),
        AllocError::NoMemory => failure(
            "ERR_MEMCACHE_OUT_OF_MEMORY",
            "the cache is full and evictions are off: raise memoryLimit, or allow evictions",
        ),
    }
}

/// A stored value is too long for a JavaScript value of this kind.
#[cold]
pub fn too_long(length: usize, kind: &str) -> Failure {
    failure(
        "ERR_MEMCACHE_VALUE_TOO_LARGE",
        format!("value of {length} bytes does not fit into a JavaScript {kind}: read it with getInto"),
    )
}

/// The cache could not count. Returns `None` if there is no such item.
#[cold]
pub fn not_counted(error: DeltaError) -> Option<Failure> {
    match error {
        DeltaError::NotFound => None,
        DeltaError::NoMemory => Some(not_stored(AllocError::NoMemory, 0, 0)),
        // The value is not a number; no CAS is compared here.
        _ => Some(failure(
            "ERR_MEMCACHE_NOT_A_NUMBER",
            "the stored value must be a decimal number from 0 to 2**64 - 1; store one first, such as '0'",
        )),
    }
}

/// A count is too large for a JavaScript number. The cache has stored it.
#[cold]
pub fn inexact(count: u64) -> Failure {
    out_of_range(format!(
        "the count is now {count}, and a number must be at most 2**53 - 1 to be exact; pass {{ bigint: true }}"
    ))
}

/// A cache or a server could not start.
#[cold]
pub fn not_started(error: &StartError) -> Failure {
    match StartFault::of(error) {
        StartFault::Setting => bad_argument(error.to_string()),
        StartFault::System(errno) => system(errno, error.to_string()),
    }
}

/// The system refused something.
#[cold]
pub fn refused(cause: &std::io::Error, text: impl Into<String>) -> Failure {
    system(cause.raw_os_error(), text)
}

fn system(errno: Option<i32>, text: impl Into<String>) -> Failure {
    Failure::new(Code { name: "ERR_MEMCACHE_START", errno, path: None }, text.into())
}

/// An option of a save or a load is not allowed.
#[cold]
pub fn bad_option(error: &OptionError) -> Failure {
    match error {
        OptionError::Value(text) => bad_argument(text),
        OptionError::Range(text) => out_of_range(text),
    }
}

/// A cache was not saved or not loaded.
#[cold]
pub fn not_transferred(error: &SnapshotError) -> Failure {
    let text = error.to_string();
    match SnapshotFault::of(error) {
        SnapshotFault::Bad => failure("ERR_MEMCACHE_BAD_SNAPSHOT", text),
        SnapshotFault::Busy => failure("ERR_MEMCACHE_BUSY", text),
        SnapshotFault::Cancelled => failure("ERR_MEMCACHE_CANCELLED", text),
        SnapshotFault::System { path, source } => {
            let errno = source.and_then(std::io::Error::raw_os_error);
            let path = path.map(|path| path.to_string_lossy().into_owned());
            Failure::new(Code { name: "ERR_MEMCACHE_FILE", errno, path }, text)
        }
    }
}
