//! How every call begins and ends: `entry!`.
//!
//! ```text
//!   handle   NULL?  made before a fork?  used in a callback that may not?
//!   inputs   NULL with a length?  a key of 1 to 250 bytes?
//!   body     may fail, may panic
//!   end      outputs are written by the body's last steps, so only on success;
//!            a failure leaves its text with the thread
//! ```
//!
//! What a thread keeps has no destructor: nothing runs when it ends, and nothing
//! of this library is left to run after `dlclose`.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_char;
use std::panic::{self, AssertUnwindSafe};

use memcache_core::internal::fork::ForkMark;

use crate::status::mcrs_status;

/// Longest message in bytes, its NUL included.
const MESSAGE: usize = 512;

/// Why a call does not return MCRS_OK.
pub(crate) enum Failure {
    /// All is said by the status.
    Plain(mcrs_status),
    /// There is more to say.
    Text(mcrs_status, String),
}

/// How a body ends.
pub(crate) type Outcome = Result<(), Failure>;

impl From<mcrs_status> for Failure {
    fn from(status: mcrs_status) -> Self {
        Self::Plain(status)
    }
}

/// An argument that cannot be so.
pub(crate) fn invalid(text: impl Into<String>) -> Failure {
    Failure::Text(mcrs_status::MCRS_INVALID_ARGUMENT, text.into())
}

/// What a thread keeps.
struct Thread {
    /// The message, static or in `buffer`.
    message: Cell<*const c_char>,
    buffer: UnsafeCell<[u8; MESSAGE]>,
    /// The callbacks that this thread is in.
    inside: Cell<u8>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            message: Cell::new(c"".as_ptr()),
            buffer: UnsafeCell::new([0; MESSAGE]),
            inside: Cell::new(0),
        }
    };
}

/// A callback that is called while a part of the cache is locked.
pub(crate) const LOCKED: u8 = 1;

/// A callback that a server calls.
pub(crate) const SERVER: u8 = 2;

/// Runs a callback; until it returns, calls of this thread know of it.
#[inline]
pub(crate) fn inside<R>(what: u8, callback: impl FnOnce() -> R) -> R {
    struct Back(u8);
    impl Drop for Back {
        fn drop(&mut self) {
            THREAD.with(|thread| thread.inside.set(self.0));
        }
    }
    let _back = Back(THREAD.with(|thread| thread.inside.replace(thread.inside.get() | what)));
    callback()
}

/// Refuses what would wait for this thread, or for the lock that it holds.
#[inline]
pub(crate) fn not_inside(what: u8) -> Outcome {
    if THREAD.with(|thread| thread.inside.get()) & what != 0 {
        return Err(mcrs_status::MCRS_IN_CALLBACK.into());
    }
    Ok(())
}

/// A handle made under `mark` is of this process.
#[inline]
pub(crate) fn not_forked(mark: ForkMark) -> Outcome {
    if mark.holds() { Ok(()) } else { Err(mcrs_status::MCRS_FORKED.into()) }
}

/// What C holds.
pub(crate) trait Handle {
    /// Whether it may be used here and now.
    fn check(&self) -> Outcome;
}

/// Runs a body and returns what became of it.
#[inline]
pub(crate) fn run(body: impl FnOnce() -> Outcome) -> mcrs_status {
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => mcrs_status::MCRS_OK,
        Ok(Err(failure)) => note(failure),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            // Dropping what was thrown might throw again.
            std::mem::forget(payload);
            note(Failure::Text(mcrs_status::MCRS_PANIC, text.unwrap_or_default()))
        }
    }
}

/// Keeps the message of a failure for `mcrs_error_message`.
#[cold]
fn note(failure: Failure) -> mcrs_status {
    THREAD.with(|thread| match failure {
        Failure::Plain(status) => {
            thread.message.set(status.text().as_ptr());
            status
        }
        Failure::Text(status, text) => {
            let mut end = text.len().min(MESSAGE - 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            // SAFETY: the buffer is this thread's, and nobody in Rust holds a
            // reference to it; C was told that the text changes now.
            let buffer = unsafe { &mut *thread.buffer.get() };
            buffer.fill(0);
            for (to, byte) in buffer.iter_mut().zip(text.bytes().take(end)) {
                *to = if byte == 0 { b' ' } else { byte };
            }
            thread.message.set(buffer.as_ptr().cast());
            status
        }
    })
}

/// The last message of this thread.
pub(crate) fn last_message() -> *const c_char {
    THREAD.with(|thread| thread.message.get())
}

/// Frees a handle, unless it may not be freed here: then it is left alone.
pub(crate) unsafe fn free<T: Handle>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    run(|| {
        // SAFETY: the caller passes what a function of this library returned
        // and was not freed yet.
        unsafe { &*handle }.check()?;
        // SAFETY: as above, and it was made by `Box::into_raw`.
        drop(unsafe { Box::from_raw(handle) });
        Ok(())
    });
}

/// The body of a function that returns a status:
/// `entry!(handle, { name: how(pointer, …), … }, body)`. `how` is one of
/// `arguments`; the body is a block that ends in an `Outcome` and sees each name
/// as what was read. `entry!(mut handle, …)` for a handle that is changed,
/// `entry!({ … }, body)` without one.
macro_rules! entry {
    ({ $($name:ident: $how:ident($($argument:expr),*)),* $(,)? }, $body:block) => {{
        // SAFETY: the caller keeps the contract at the top of the header:
        // pointers are NULL or point to as much as their lengths say, and live
        // as long as the call.
        $(let $name = unsafe { $crate::arguments::$how($($argument),*) };)*
        $crate::guard::run(move || {
            $(let $name = $name?;)*
            $body
        })
    }};
    (mut $handle:ident, { $($name:ident: $how:ident($($argument:expr),*)),* $(,)? }, $body:block) => {{
        // SAFETY: as below; and the caller uses this kind of handle from one
        // thread at a time.
        let $handle = unsafe { $crate::arguments::handle_mut($handle) };
        $(
            // SAFETY: as below.
            let $name = unsafe { $crate::arguments::$how($($argument),*) };
        )*
        $crate::guard::run(move || {
            let $handle = $handle?;
            $(let $name = $name?;)*
            $body
        })
    }};
    ($handle:ident, { $($name:ident: $how:ident($($argument:expr),*)),* $(,)? }, $body:block) => {{
        // SAFETY: the caller keeps the contract at the top of the header:
        // handles are NULL or were made by this library and not freed, pointers
        // are NULL or point to as much as their lengths say, and all of them
        // live as long as the call.
        let $handle = unsafe { $crate::arguments::handle($handle) };
        $(
            // SAFETY: as above.
            let $name = unsafe { $crate::arguments::$how($($argument),*) };
        )*
        $crate::guard::run(move || {
            let $handle = $handle?;
            $(let $name = $name?;)*
            $body
        })
    }};
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn message() -> String {
        // SAFETY: it is a text of this thread, which makes no other call.
        unsafe { CStr::from_ptr(last_message()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_ends_in_its_call() {
        for number in 0..2 {
            assert!(run(|| panic!("bug {number}")) == mcrs_status::MCRS_PANIC);
            assert_eq!(message(), format!("bug {number}"));
        }
        assert!(run(|| panic!("a plain text")) == mcrs_status::MCRS_PANIC);
        assert_eq!(message(), "a plain text");
        assert!(run(|| panic::panic_any(7)) == mcrs_status::MCRS_PANIC);
        assert_eq!(message(), "");
        assert!(run(|| Ok(())) == mcrs_status::MCRS_OK);
    }

    #[test]
    fn what_is_thrown_may_not_be_dropped() {
        struct Throws;
        impl Drop for Throws {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert!(run(|| panic::panic_any(Throws)) == mcrs_status::MCRS_PANIC);
    }

    #[test]
    fn a_callback_that_panics_leaves_no_mark() {
        assert!(run(|| inside(LOCKED, || panic!("bug"))) == mcrs_status::MCRS_PANIC);
        assert!(run(|| not_inside(LOCKED)) == mcrs_status::MCRS_OK);
    }
}
