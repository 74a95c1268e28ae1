//! Errors of the core as the exception classes of `memcache_rs.errors`.

use memcache_core::internal::config::KEY_MAX;
use memcache_core::internal::error::AllocError;
use memcache_core::{ConfigError, DeltaError, StartError};
use pyo3::PyErr;
use pyo3::exceptions::PyTypeError;

/// The classes, which are written in Python.
mod class {
    use pyo3::import_exception;

    import_exception!(memcache_rs.errors, ClosedError);
    import_exception!(memcache_rs.errors, ConfigError);
    import_exception!(memcache_rs.errors, ForkError);
    import_exception!(memcache_rs.errors, InvalidKeyError);
    import_exception!(memcache_rs.errors, InvalidTTLError);
    import_exception!(memcache_rs.errors, NotANumberError);
    import_exception!(memcache_rs.errors, OutOfMemoryError);
    import_exception!(memcache_rs.errors, OutOfRangeError);
    import_exception!(memcache_rs.errors, StartError);
    import_exception!(memcache_rs.errors, ValueTooLargeError);
}

/// What was made before a fork is used in the child.
#[cold]
pub fn forked(what: &str) -> PyErr {
    class::ForkError::new_err(format!(
        "this {what} belongs to the parent process: its threads did not survive the fork. Make a new one in the \
         child, or connect to the parent's server with a client"
    ))
}

/// A handle that was closed, or a server that was stopped.
#[cold]
pub fn closed(text: &'static str) -> PyErr {
    class::ClosedError::new_err(text)
}

/// A key of the wrong length.
#[cold]
pub fn bad_key(length: usize) -> PyErr {
    class::InvalidKeyError::new_err(format!(
        "a key has 1 to {KEY_MAX} bytes, this one has {length}; hash longer ones, for example with hashlib.sha256"
    ))
}

/// A time to live that is none.
#[cold]
pub fn bad_ttl(why: &str) -> PyErr {
    class::InvalidTTLError::new_err(format!(
        "{why}; give seconds, a timedelta or a datetime, or None for an item that does not expire"
    ))
}

/// A setting that cannot work.
#[cold]
pub fn bad_setting(error: &ConfigError) -> PyErr {
    class::ConfigError::new_err(error.to_string())
}

/// The same, with words of this crate.
#[cold]
pub fn bad_argument(text: String) -> PyErr {
    class::ConfigError::new_err(text)
}

/// A number that its argument cannot take.
#[cold]
pub fn out_of_range(text: &str) -> PyErr {
    class::OutOfRangeError::new_err(text.to_owned())
}

/// A handle that was to be pickled or copied.
#[cold]
pub fn not_copied(what: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "a {what} can be neither pickled nor copied: it belongs to this process. Other processes reach the same items \
         through a Server and a memcached client"
    ))
}

/// What could not be stored.
#[cold]
pub fn not_stored(error: AllocError, length: usize, largest: usize) -> PyErr {
    match error {
        AllocError::TooLarge => class::ValueTooLargeError::new_err(format!(
            "a value of {length} bytes does not fit: with its key an item takes at most {largest} bytes. Raise \
             item_size_max, or store it in parts"
        )),
        AllocError::NoMemory => class::OutOfMemoryError::new_err(
            "there is no memory for the item and nothing may be evicted. Raise memory_limit, or allow evictions",
        ),
    }
}

/// What could not be counted; `None` where there is no such item.
#[cold]
pub fn not_counted(error: DeltaError) -> Option<PyErr> {
    match error {
        DeltaError::NotFound => None,
        DeltaError::NoMemory => Some(not_stored(AllocError::NoMemory, 0, 0)),
        DeltaError::NonNumeric | DeltaError::CasMismatch => Some(class::NotANumberError::new_err(
            "the value is not a decimal number from 0 to 2**64 - 1; set it to one, such as b\"0\", before counting",
        )),
    }
}

/// "Too many open files", the same number on every Unix.
const EMFILE: i32 = 24;

/// A cache or a server that could not start.
#[cold]
pub fn not_started(error: &StartError) -> PyErr {
    match error {
        StartError::Config(error) => bad_setting(error),
        StartError::File(text) => bad_argument(text.clone()),
        StartError::Descriptors { .. } => class::StartError::new_err((EMFILE, error.to_string())),
        StartError::Memory(cause) | StartError::Listen(_, cause) | StartError::System(cause) => {
            // As an OSError: number and text.
            class::StartError::new_err((cause.raw_os_error().unwrap_or(0), error.to_string()))
        }
    }
}
