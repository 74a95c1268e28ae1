//! The codes that functions return, and their texts.

use std::ffi::{CStr, c_char};

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
    /// The operation cannot run now; it may be tried again.
    MCRS_BUSY = 7,
    /// The progress callback ended the operation.
    MCRS_CANCELLED = 8,
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
    /// The system refused an operation on a file.
    MCRS_IO_ERROR = 63,
    /// The file is not a snapshot of this version, or it is damaged.
    MCRS_BAD_SNAPSHOT = 64,
    /// Internal error of the library: please report it.
    MCRS_PANIC = 99,
}

/// Writes the table of texts: `text` and `ALL` come from it, and a status that is
/// missing does not compile. (cbindgen reads the enum, so no macro can write that.)
macro_rules! texts {
    ($($status:ident => $text:literal,)*) => {
        /// All statuses.
        const ALL: &[mcrs_status] = &[$(mcrs_status::$status),*];

        impl mcrs_status {
            /// Returns the text of the status.
            pub(crate) fn text(self) -> &'static CStr {
                match self {
                    $(Self::$status => $text,)*
                }
            }
        }
    };
}

texts! {
    MCRS_OK => c"success",
    MCRS_NOT_FOUND => c"not found",
    MCRS_NOT_STORED => c"not stored: the condition of the store was not met",
    MCRS_EXISTS => c"the item has another CAS",
    MCRS_NOT_A_NUMBER => c"the value is not a 64-bit decimal number",
    MCRS_BUFFER_TOO_SMALL => c"the buffer is too small",
    MCRS_TIMED_OUT => c"the timeout expired",
    MCRS_BUSY => c"the operation cannot run now",
    MCRS_CANCELLED => c"the progress callback ended the operation",
    MCRS_TOO_LARGE => c"the item is larger than item_size_max allows",
    MCRS_NO_MEMORY => c"there is no memory for the item",
    MCRS_NULL_ARGUMENT => c"an argument must not be NULL",
    MCRS_BAD_KEY => c"a key must have 1 to 250 bytes",
    MCRS_INVALID_ARGUMENT => c"invalid argument or setting",
    MCRS_IN_CALLBACK => c"a callback must not call this function",
    MCRS_FORKED => c"the handle was made before fork, in a parent of this process",
    MCRS_LISTEN_FAILED => c"the server cannot listen at an address",
    MCRS_SYSTEM_ERROR => c"the system refused memory, a thread or a descriptor",
    MCRS_BAD_FILE => c"a file of users, certificates or keys cannot be used",
    MCRS_IO_ERROR => c"the system refused an operation on a file",
    MCRS_BAD_SNAPSHOT => c"the file is not a snapshot, or it is damaged",
    MCRS_PANIC => c"internal error of the library",
}

/// Returns a short English text for a status.
///
/// @param status  Any number, known or not.
/// @return Static text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_status_text(status: i32) -> *const c_char {
    let known = ALL.iter().find(|known| **known as i32 == status);
    known.map_or(c"unknown status", |known| known.text()).as_ptr()
}
