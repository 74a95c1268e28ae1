//! The frame of every call: `entry!`.
//!
//! ```text
//!   handle   NULL?  made before a fork?  used in a callback that may not?
//!   inputs   NULL with a length?  a key of 1 to 250 bytes?
//!   body     may fail, may panic
//!   end      the body's last steps write the outputs, so only a success does;
//!            a failure leaves its text with the thread
//! ```
//!
//! The state of a thread has no destructor, so no code of this library has to run
//! when a thread ends, also after `dlclose`.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_char;
use std::panic::{self, AssertUnwindSafe};

use memcache_core::internal::base::fork::ForkMark;

pub(crate) use crate::arguments::Handle;
pub(crate) use crate::failure::{Failure, Outcome, invalid};
use crate::status::mcrs_status;

/// Longest message in bytes, its NUL included.
const MESSAGE: usize = 512;

/// State of a thread.
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

/// Runs a callback. Calls that it makes on this thread see `what`.
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

/// Refuses a call inside such a callback: it would wait for this thread or its lock.
#[inline]
pub(crate) fn not_inside(what: u8) -> Outcome {
    if THREAD.with(|thread| thread.inside.get()) & what != 0 {
        return Err(mcrs_status::MCRS_IN_CALLBACK.into());
    }
    Ok(())
}

/// Refuses a handle whose `mark` is that of another process.
#[inline]
pub(crate) fn not_forked(mark: ForkMark) -> Outcome {
    if mark.holds() { Ok(()) } else { Err(mcrs_status::MCRS_FORKED.into()) }
}

/// Runs a body and returns its status.
#[inline]
pub(crate) fn run(body: impl FnOnce() -> Outcome) -> mcrs_status {
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => mcrs_status::MCRS_OK,
        Ok(Err(failure)) => note(failure),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            // The payload's destructor might panic again.
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
            // SAFETY: the buffer is this thread's, and Rust holds no reference to
            // it; the header says that the text changes now.
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
    THREAD.with(|thread| thread.message.get())
}

/// Frees a handle, or does nothing if it may not be freed here.
pub(crate) unsafe fn free<T: Handle>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    run(|| {
        // SAFETY: the caller passes a handle that this library made and that
        // was not freed yet.
        unsafe { &*handle }.check()?;
        // SAFETY: as above; `Box::into_raw` made it.
        drop(unsafe { Box::from_raw(handle) });
        Ok(())
    });
}

/// The body of a function that returns a status:
/// `entry!(handle, { name: reader(argument, …), … }, body)`. `reader` is a function
/// of `arguments`, `argument` the name of a parameter. The body is a block that
/// ends in an `Outcome` and sees each name as the value that was read.
/// `entry!(mut handle, …)` is for a handle that is changed, `entry!({ … }, body)`
/// for a function without one.
macro_rules! entry {
    ({ $($name:ident: $reader:ident($argument:ident $(, $more:ident)*)),* $(,)? }, $body:block) => {{
        // SAFETY: the caller keeps the conventions at the top of the header:
        // pointers are NULL or point to as much as their lengths say, and live
        // as long as the call.
        $(let $name = unsafe { $crate::arguments::$reader($argument $(, $more)*) };)*
        $crate::guard::run(move || {
            $(let $name = $name.map_err(|failure| failure.named(stringify!($argument)))?;)*
            $body
        })
    }};
    (mut $handle:ident, { $($name:ident: $reader:ident($argument:ident $(, $more:ident)*)),* $(,)? }, $body:block) => {{
        // SAFETY: as below; and the caller uses this kind of handle from one
        // thread at a time.
        let $handle = unsafe { $crate::arguments::handle_mut($handle) };
        $(
            // SAFETY: as below.
            let $name = unsafe { $crate::arguments::$reader($argument $(, $more)*) };
        )*
        $crate::guard::run(move || {
            let $handle = $handle.map_err(|failure| failure.named(stringify!($handle)))?;
            $(let $name = $name.map_err(|failure| failure.named(stringify!($argument)))?;)*
            $body
        })
    }};
    ($handle:ident, { $($name:ident: $reader:ident($argument:ident $(, $more:ident)*)),* $(,)? }, $body:block) => {{
        // SAFETY: the caller keeps the conventions at the top of the header. Handles are NULL, or
        // were made by this library and not freed. Pointers are NULL, or point to as many bytes as
        // their lengths say. All of them live as long as the call.
        let $handle = unsafe { $crate::arguments::handle($handle) };
        $(
            // SAFETY: as above.
            let $name = unsafe { $crate::arguments::$reader($argument $(, $more)*) };
        )*
        $crate::guard::run(move || {
            let $handle = $handle.map_err(|failure| failure.named(stringify!($handle)))?;
            $(let $name = $name.map_err(|failure| failure.named(stringify!($argument)))?;)*
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
        unsafe { CStr::from_ptr(mcrs_error_message()) }.to_string_lossy().into_owned()
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
    fn a_payload_that_panics_in_its_destructor_is_not_dropped() {
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
