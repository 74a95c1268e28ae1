//! The codes that functions return, and what they mean in words.

use std::ffi::{CStr, c_char};

use memcache_core::internal::error::AllocError;
use memcache_core::{ConfigError, StartError};

use crate::guard::Failure;

/// Reports the result of a call.
///
/// A number never changes its meaning and is never reused. Later versions may add others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum mcrs_status {
    /// The call succeeded, and outputs are written.
    MCRS_OK = 0,
    /// There is no such item, fault or address.
    MCRS_NOT_FOUND = 1,
    /// The store's condition was not met (`add` found an item, or `replace` found none).
    MCRS_NOT_STORED = 2,
    /// The item has another CAS, because it has changed.
    MCRS_EXISTS = 3,
    /// The value is not a 64-bit decimal number.
    MCRS_NOT_A_NUMBER = 4,
    /// The buffer is too small; the length output says what is needed.
    MCRS_BUFFER_TOO_SMALL = 5,
    /// The timeout expired.
    MCRS_TIMED_OUT = 6,
    /// The item is larger than the item_size_max setting allows.
    MCRS_TOO_LARGE = 20,
    /// There is no memory, and nothing may be evicted.
    MCRS_NO_MEMORY = 21,
    /// A pointer is NULL that must not be.
    MCRS_NULL_ARGUMENT = 40,
    /// The key is empty or longer than 250 bytes.
    MCRS_BAD_KEY = 41,
    /// Invalid argument or setting.
    MCRS_INVALID_ARGUMENT = 42,
    /// The callback may not call this function.
    MCRS_IN_CALLBACK = 43,
    /// The handle was made before fork(), in a parent of this process.
    MCRS_FORKED = 44,
    /// The server cannot listen at an address.
    MCRS_LISTEN_FAILED = 60,
    /// The system refused memory, a thread or a descriptor.
    MCRS_SYSTEM_ERROR = 61,
    /// A file of users, certificates or keys cannot be used.
    MCRS_BAD_FILE = 62,
    /// Internal error of the library: please report it.
    MCRS_PANIC = 99,
}

impl mcrs_status {
    /// What it means.
    pub(crate) fn text(self) -> &'static CStr {
        match self {
            Self::MCRS_OK => c"done",
            Self::MCRS_NOT_FOUND => c"there is no such thing",
            Self::MCRS_NOT_STORED => c"not stored: there is an item, or there is none",
            Self::MCRS_EXISTS => c"the item's CAS is another",
            Self::MCRS_NOT_A_NUMBER => c"the value is not a decimal number of 64 bits",
            Self::MCRS_BUFFER_TOO_SMALL => c"the room given is too small",
            Self::MCRS_TIMED_OUT => c"it has not happened in the time given",
            Self::MCRS_TOO_LARGE => c"the item is larger than items may be",
            Self::MCRS_NO_MEMORY => c"there is no memory for the item",
            Self::MCRS_NULL_ARGUMENT => c"a pointer is NULL that must not be",
            Self::MCRS_BAD_KEY => c"a key has 1 to 250 bytes",
            Self::MCRS_INVALID_ARGUMENT => c"an argument or a setting cannot be so",
            Self::MCRS_IN_CALLBACK => c"a callback may not do this",
            Self::MCRS_FORKED => c"the handle was made before fork, in a parent of this process",
            Self::MCRS_LISTEN_FAILED => c"an address cannot be listened at",
            Self::MCRS_SYSTEM_ERROR => c"the system refused memory, a thread or a descriptor",
            Self::MCRS_BAD_FILE => c"a file of passwords or certificates cannot be used",
            Self::MCRS_PANIC => c"a mistake of the library",
        }
    }
}

/// All of them.
const ALL: [mcrs_status; 18] = [
    mcrs_status::MCRS_OK,
    mcrs_status::MCRS_NOT_FOUND,
    mcrs_status::MCRS_NOT_STORED,
    mcrs_status::MCRS_EXISTS,
    mcrs_status::MCRS_NOT_A_NUMBER,
    mcrs_status::MCRS_BUFFER_TOO_SMALL,
    mcrs_status::MCRS_TIMED_OUT,
    mcrs_status::MCRS_TOO_LARGE,
    mcrs_status::MCRS_NO_MEMORY,
    mcrs_status::MCRS_NULL_ARGUMENT,
    mcrs_status::MCRS_BAD_KEY,
    mcrs_status::MCRS_INVALID_ARGUMENT,
    mcrs_status::MCRS_IN_CALLBACK,
    mcrs_status::MCRS_FORKED,
    mcrs_status::MCRS_LISTEN_FAILED,
    mcrs_status::MCRS_SYSTEM_ERROR,
    mcrs_status::MCRS_BAD_FILE,
    mcrs_status::MCRS_PANIC,
];

impl From<AllocError> for Failure {
    fn from(error: AllocError) -> Self {
        Self::Plain(match error {
            AllocError::TooLarge => mcrs_status::MCRS_TOO_LARGE,
            AllocError::NoMemory => mcrs_status::MCRS_NO_MEMORY,
        })
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Text(mcrs_status::MCRS_INVALID_ARGUMENT, error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let status = match &error {
            StartError::Config(_) => mcrs_status::MCRS_INVALID_ARGUMENT,
            StartError::File(_) => mcrs_status::MCRS_BAD_FILE,
            StartError::Listen(..) => mcrs_status::MCRS_LISTEN_FAILED,
            StartError::Memory(_) | StartError::Descriptors { .. } | StartError::System(_) => {
                mcrs_status::MCRS_SYSTEM_ERROR
            }
        };
        Self::Text(status, error.to_string())
    }
}

/// Returns a short English text for a status.
///
/// @param status  Any number, known or not.
/// @return Static text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_status_text(status: i32) -> *const c_char {
    let known = ALL.into_iter().find(|known| *known as i32 == status);
    known.map_or(c"this number is no status", mcrs_status::text).as_ptr()
}

/// Returns the text of this thread's last failed call, in English.
///
/// It says more than mcrs_status_text() where there is more to say. A call fails if it does not
/// return MCRS_OK.
///
/// ```c
/// assert(mcrs_config_set_threads(config, 0) == MCRS_INVALID_ARGUMENT);
/// fprintf(stderr, "%s\n", mcrs_error_message());
/// ```
///
/// @return Text, never NULL; empty before the first failure. It is valid until this thread's next
///     call that fails, or the thread's end.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_error_message() -> *const c_char {
    crate::guard::last_message()
}
