//! Converts the core's errors to the exception classes of `memcache_rs.errors`.

use std::io;
use std::path::Path;

use memcache_core::internal::base::error::AllocError;
use memcache_core::internal::config::KEY_MAX;
use memcache_core::{ConfigError, ConfigRule, DeltaError, SnapshotError, StartError};
use memcache_embed::server::StartFault;
use memcache_embed::snapshot::{OptionError, SnapshotFault};
use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyTypeError};

/// The exception classes, which are defined in Python.
mod class {
    use pyo3::import_exception;

    import_exception!(memcache_rs.errors, BadSnapshotError);
    import_exception!(memcache_rs.errors, BusyError);
    import_exception!(memcache_rs.errors, CancelledError);
    import_exception!(memcache_rs.errors, ClosedError);
    import_exception!(memcache_rs.errors, ConfigError);
    import_exception!(memcache_rs.errors, ForkError);
    import_exception!(memcache_rs.errors, InvalidKeyError);
    import_exception!(memcache_rs.errors, InvalidTTLError);
    import_exception!(memcache_rs.errors, NotANumberError);
    import_exception!(memcache_rs.errors, OutOfMemoryError);
    import_exception!(memcache_rs.errors, OutOfRangeError);
    import_exception!(memcache_rs.errors, SerializerError);
    import_exception!(memcache_rs.errors, StartError);
    import_exception!(memcache_rs.errors, ValueTooLargeError);
}

/// An object of the parent process is used in a child of `fork`.
#[cold]
pub fn forked(what: &str) -> PyErr {
    class::ForkError::new_err(format!(
        "the {what} belongs to the parent process and cannot be used in a child of fork; make a new one in the child, \
         or connect a client to the parent's server"
    ))
}

/// A closed cache or a stopped server is used.
#[cold]
pub fn closed(text: &'static str) -> PyErr {
    class::ClosedError::new_err(text)
}

/// A key has the wrong length.
#[cold]
pub fn bad_key(length: usize) -> PyErr {
    class::InvalidKeyError::new_err(format!(
        "key must have 1 to {KEY_MAX} bytes, got {length} bytes; hash longer keys, for example with hashlib.sha256"
    ))
}

/// The prefix of a namespace is too long for any key.
#[cold]
pub fn bad_prefix(length: usize) -> PyErr {
    class::InvalidKeyError::new_err(format!(
        "prefix must have at most {KEY_MAX} bytes, with those of the namespaces around it, got {length} bytes"
    ))
}

/// A time is not a TTL. `text` names the parameter.
#[cold]
pub fn bad_ttl(text: String) -> PyErr {
    class::InvalidTTLError::new_err(text)
}

/// The core refuses a setting.
#[cold]
pub fn bad_setting(error: &ConfigError) -> PyErr {
    match error.rule {
        ConfigRule::Range => class::OutOfRangeError::new_err(error.to_string()),
        _ => class::ConfigError::new_err(error.to_string()),
    }
}

/// An argument or setting is invalid.
#[cold]
pub fn bad_argument(text: String) -> PyErr {
    class::ConfigError::new_err(text)
}

/// A number is out of the range of its parameter.
#[cold]
pub fn out_of_range(text: &str) -> PyErr {
    class::OutOfRangeError::new_err(text.to_owned())
}

/// An object that belongs to this process is pickled or copied.
#[cold]
pub fn not_copied(what: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "a {what} can be neither pickled nor copied; to share items with another process, start a Server and connect \
         a client to it"
    ))
}

/// A value cannot be stored. `length` is that of the value, `largest` is `item_size_max`.
#[cold]
pub fn not_stored(error: AllocError, length: usize, largest: usize) -> PyErr {
    match error {
        AllocError::TooLarge => class::ValueTooLargeError::new_err(format!(
            "value must fit in item_size_max together with its key ({largest} bytes), got {length} bytes; raise \
             item_size_max, or store the value in parts"
        )),
        AllocError::NoMemory => class::OutOfMemoryError::new_err(
            "memory_limit is reached and evictions are off; raise memory_limit, or allow evictions",
        ),
    }
}

/// A number cannot be counted. Returns `None` if there is no item.
#[cold]
pub fn not_counted(error: DeltaError) -> Option<PyErr> {
    match error {
        DeltaError::NotFound => None,
        DeltaError::NoMemory => Some(not_stored(AllocError::NoMemory, 0, 0)),
        // The value is not a number; no CAS is compared here.
        _ => Some(class::NotANumberError::new_err(
            "the value of key must be a decimal number from 0 to 2**64 - 1; store one first, such as b\"0\"",
        )),
    }
}

/// The serializer of a cache does not read values with these flags. `mark` is its own flag.
#[cold]
pub fn bad_flags(flags: u32, mark: u32) -> PyErr {
    class::SerializerError::new_err(format!(
        "the flags of the item must be 0, 2, 4, 16 or {mark} for this serializer, got {flags}; another serializer \
         stored the value"
    ))
}

/// A cache or a server failed to start.
#[cold]
pub fn not_started(error: &StartError) -> PyErr {
    match StartFault::of(error) {
        StartFault::Setting => bad_argument(error.to_string()),
        // An OSError has a number and a text.
        StartFault::System(errno) => class::StartError::new_err((errno.unwrap_or(0), error.to_string())),
    }
}

/// An option of a save or a load is not allowed.
#[cold]
pub fn bad_option(error: &OptionError) -> PyErr {
    match error {
        OptionError::Value(text) => bad_argument(text.clone()),
        OptionError::Range(text) => out_of_range(text),
    }
}

/// A cache was not saved or not loaded.
#[cold]
pub fn not_transferred(error: &SnapshotError) -> PyErr {
    let text = error.to_string();
    match SnapshotFault::of(error) {
        SnapshotFault::Bad => class::BadSnapshotError::new_err(text),
        SnapshotFault::Busy => class::BusyError::new_err(text),
        SnapshotFault::Cancelled => class::CancelledError::new_err(text),
        SnapshotFault::System { path: Some(path), source: Some(source) } => refused(source, path),
        SnapshotFault::System { source, .. } => {
            PyOSError::new_err((source.and_then(io::Error::raw_os_error).unwrap_or(0), text))
        }
    }
}

/// The system refused an operation on a file. Python chooses the subclass of `OSError` by the
/// number.
#[cold]
pub fn refused(error: &io::Error, path: &Path) -> PyErr {
    PyOSError::new_err((error.raw_os_error().unwrap_or(0), error.to_string(), path.as_os_str().to_owned()))
}
