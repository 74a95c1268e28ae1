//! Bare callbacks of Node-API, which find their receiver through the pointer they were created
//! with.
//!
//! A method of one of napi's classes looks up its object in every call and makes a String of every
//! key. That takes ten times as long as a get. Only this module and `cells` call Node-API directly,
//! and their interfaces are safe.
//!
//! ```text
//!   JavaScript -- call --> trampoline::<T, F> -- Call --> F(&T, &Call) -> Answer
//!                               ^  data pointer: Rc<T>, one count for each function,
//!                               |  released when the function is collected
//!                          catches panics
//! ```

#![expect(unsafe_code, reason = "Node-API is an interface of C")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::slice;

use napi::sys;

use crate::errors::{self, Failure};

/// Arguments of a function. Missing ones are undefined, further ones are ignored.
const ARGUMENTS: usize = 6;

/// The first whole number that a JavaScript number need not hold exactly.
const FIRST_INEXACT: u64 = 1 << 53;

/// The result of a bare function.
pub enum Answer {
    /// A number.
    Number(i32),
    /// Any other value. A null pointer is undefined.
    Made(sys::napi_value),
}

/// The answer of a function that failed. Its receiver keeps the error.
pub const FAILED: i32 = -3;

/// The object that bare functions are bound to.
pub trait Receiver: 'static {
    /// Keeps the error of a function until JavaScript asks for it.
    fn keep(&self, failure: Failure);
}

/// A call in progress. No JavaScript runs during it, except an array's getters
/// (`Value::element`).
pub struct Call {
    env: sys::napi_env,
    arguments: [sys::napi_value; ARGUMENTS],
}

impl Call {
    /// Returns an argument.
    #[inline]
    pub fn argument<const N: usize>(&self) -> Value<'_> {
        const { assert!(N < ARGUMENTS) };
        Value { env: self.env, raw: self.arguments[N], call: PhantomData }
    }

    /// Makes a string of UTF-8. Invalid bytes become U+FFFD.
    #[inline]
    pub fn string(&self, bytes: &[u8]) -> Result<Answer, Failure> {
        let mut made = ptr::null_mut();
        let (at, length) = (bytes.as_ptr().cast(), bytes.len().cast_signed());
        // SAFETY: Node reads `length` bytes at `at` and writes to `made`. ASCII is Latin-1, and
        // Node makes that faster.
        let status = unsafe {
            if bytes.is_ascii() {
                sys::napi_create_string_latin1(self.env, at, length, &raw mut made)
            } else {
                sys::napi_create_string_utf8(self.env, at, length, &raw mut made)
            }
        };
        created(status, made, bytes.len(), "string")
    }

    /// Makes a Buffer with a copy of these bytes.
    pub fn buffer(&self, bytes: &[u8]) -> Result<Answer, Failure> {
        let (mut made, mut at) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: Node reads as many bytes as `bytes` has.
        let status = unsafe {
            sys::napi_create_buffer_copy(
                self.env,
                bytes.len(),
                bytes.as_ptr().cast(),
                &raw mut at,
                &raw mut made,
            )
        };
        created(status, made, bytes.len(), "Buffer")
    }

    /// Makes a number. Returns `None` if it would not be exact.
    pub fn number(&self, number: u64) -> Option<Answer> {
        if let Ok(small) = i32::try_from(number) {
            return Some(Answer::Number(small));
        }
        if number >= FIRST_INEXACT {
            return None;
        }
        let mut made = ptr::null_mut();
        // SAFETY: Node writes to `made`.
        unsafe {
            sys::napi_create_double(self.env, number as f64, &raw mut made);
        }
        Some(Answer::Made(made))
    }

    /// Makes a bigint.
    pub fn bigint(&self, number: u64) -> Answer {
        let mut made = ptr::null_mut();
        // SAFETY: Node writes to `made`.
        unsafe {
            sys::napi_create_bigint_uint64(self.env, number, &raw mut made);
        }
        Answer::Made(made)
    }
}

/// Checks that Node could make a value of `length` bytes.
#[inline]
fn created(status: i32, made: sys::napi_value, length: usize, kind: &str) -> Result<Answer, Failure> {
    if status == sys::Status::napi_ok { Ok(Answer::Made(made)) } else { Err(errors::too_long(length, kind)) }
}

/// A JavaScript value, valid during the call.
#[derive(Clone, Copy)]
pub struct Value<'c> {
    env: sys::napi_env,
    raw: sys::napi_value,
    call: PhantomData<&'c Call>,
}

/// A string in UTF-16.
pub enum Units<'b> {
    /// The whole string.
    Whole(&'b [u16]),
    /// The string is longer than the buffer.
    More,
}

/// The value of a bigint.
pub enum Big {
    /// A bigint from 0 to 2^64 - 1.
    U64(u64),
    /// Any other bigint.
    Other,
}

impl<'c> Value<'c> {
    /// Returns the string in UTF-16, or `None` if the value is not a string.
    ///
    /// Node keeps strings as Latin-1 or UTF-16. Reading UTF-8 costs more, and reading Latin-1 loses
    /// other characters.
    #[inline]
    pub fn utf16<const N: usize>(self, to: &mut [MaybeUninit<u16>; N]) -> Option<Units<'_>> {
        let mut length = 0;
        // SAFETY: Node writes at most N units, the last of them 0, and their number without the 0.
        let status = unsafe {
            sys::napi_get_value_string_utf16(self.env, self.raw, to.as_mut_ptr().cast(), N, &raw mut length)
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        if length + 1 >= N {
            return Some(Units::More);
        }
        // SAFETY: `length` units were written, and they lie within the array.
        Some(Units::Whole(unsafe { slice::from_raw_parts(to.as_ptr().cast(), length) }))
    }

    /// Returns the number of UTF-16 units, or `None` if the value is not a string.
    #[inline]
    pub fn units(self) -> Option<usize> {
        let mut length = 0;
        // SAFETY: without a buffer Node only writes the length.
        let status = unsafe {
            sys::napi_get_value_string_utf16(self.env, self.raw, ptr::null_mut(), 0, &raw mut length)
        };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// Returns the number of UTF-8 bytes of a string.
    pub fn utf8_length(self) -> usize {
        let mut length = 0;
        // SAFETY: without a buffer Node only writes the length.
        unsafe {
            sys::napi_get_value_string_utf8(self.env, self.raw, ptr::null_mut(), 0, &raw mut length);
        }
        length
    }

    /// Replaces the contents of `to` by the string in UTF-8. `units` is its number of UTF-16 units.
    #[inline]
    pub fn utf8(self, units: usize, to: &mut Vec<u8>) {
        to.clear();
        // A unit takes at most three bytes, and Node adds a 0.
        to.reserve(units.saturating_mul(3).saturating_add(1));
        let mut length = 0;
        // SAFETY: Node writes at most `capacity` bytes, the last of them 0, and their number
        // without the 0. That many are then initialised.
        unsafe {
            let status = sys::napi_get_value_string_utf8(
                self.env,
                self.raw,
                to.as_mut_ptr().cast(),
                to.capacity(),
                &raw mut length,
            );
            if status == sys::Status::napi_ok {
                to.set_len(length.min(to.capacity()));
            }
        }
    }

    /// Returns address and length of a `Uint8Array`, such as a Buffer.
    #[inline]
    fn span(self) -> Option<(*mut u8, usize)> {
        let (mut kind, mut length, mut at) = (0, 0, ptr::null_mut());
        // SAFETY: Node writes to what it was given pointers to.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                self.raw,
                &raw mut kind,
                &raw mut length,
                &raw mut at,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let is_bytes =
            kind == sys::TypedarrayType::uint8_array || kind == sys::TypedarrayType::uint8_clamped_array;
        (status == sys::Status::napi_ok && is_bytes)
            .then_some((at.cast(), if at.is_null() { 0 } else { length }))
    }

    /// Returns the bytes of a `Uint8Array`.
    #[inline]
    pub fn bytes(self) -> Option<&'c [u8]> {
        let (at, length) = self.span()?;
        if length == 0 {
            return Some(&[]);
        }
        // SAFETY: the array has `length` bytes. They do not move during the call, which keeps the
        // array alive, and no JavaScript of this thread runs in it. (Another thread may write to a
        // SharedArrayBuffer. Then a byte read is the old or the new one, and no code relies on
        // reading it twice.)
        Some(unsafe { slice::from_raw_parts(at, length) })
    }

    /// Returns a `Uint8Array` to write to.
    #[inline]
    pub fn target(self) -> Option<Target<'c>> {
        let (at, length) = self.span()?;
        Some(Target { at, length, call: PhantomData })
    }

    /// Returns the number, or `None` if the value is not a number.
    #[inline]
    pub fn number(self) -> Option<f64> {
        let mut number = 0.0;
        // SAFETY: Node writes to `number`.
        let status = unsafe { sys::napi_get_value_double(self.env, self.raw, &raw mut number) };
        (status == sys::Status::napi_ok).then_some(number)
    }

    /// Returns the bigint, or `None` if the value is not a bigint.
    pub fn bigint(self) -> Option<Big> {
        let (mut number, mut whole) = (0, false);
        // SAFETY: Node writes to both.
        let status =
            unsafe { sys::napi_get_value_bigint_uint64(self.env, self.raw, &raw mut number, &raw mut whole) };
        (status == sys::Status::napi_ok).then_some(if whole { Big::U64(number) } else { Big::Other })
    }

    /// Returns whether it is `true`.
    pub fn is_true(self) -> bool {
        let mut value = false;
        // SAFETY: Node writes to `value`.
        let status = unsafe { sys::napi_get_value_bool(self.env, self.raw, &raw mut value) };
        status == sys::Status::napi_ok && value
    }

    /// Returns the milliseconds of a Date, NaN if it is invalid, or `None` if the value is not a
    /// Date.
    pub fn date(self) -> Option<f64> {
        let (mut is, mut time) = (false, 0.0);
        // SAFETY: Node writes to both. The second call is made for a Date only.
        let status = unsafe {
            sys::napi_is_date(self.env, self.raw, &raw mut is);
            if is {
                sys::napi_get_date_value(self.env, self.raw, &raw mut time)
            } else {
                sys::Status::napi_date_expected
            }
        };
        (status == sys::Status::napi_ok).then_some(time)
    }

    /// Returns the length of an array.
    pub fn elements(self) -> Option<u32> {
        let mut length = 0;
        // SAFETY: Node writes to `length`.
        let status = unsafe { sys::napi_get_array_length(self.env, self.raw, &raw mut length) };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// Returns an element of an array. Returns `None` if its getter threw an error, which the
    /// caller of the function then gets.
    pub fn element(self, index: u32) -> Option<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: Node writes to `raw`.
        let status = unsafe { sys::napi_get_element(self.env, self.raw, index, &raw mut raw) };
        (status == sys::Status::napi_ok).then_some(Self { raw, ..self })
    }

    /// Returns whether it is undefined or null.
    #[inline]
    pub fn is_nothing(self) -> bool {
        matches!(self.kind(), sys::ValueType::napi_undefined | sys::ValueType::napi_null)
    }

    /// Returns its type, for errors.
    pub fn type_name(self) -> &'static str {
        match self.kind() {
            sys::ValueType::napi_undefined => "undefined",
            sys::ValueType::napi_null => "null",
            sys::ValueType::napi_boolean => "a boolean",
            sys::ValueType::napi_number => "a number",
            sys::ValueType::napi_string => "a string",
            sys::ValueType::napi_symbol => "a symbol",
            sys::ValueType::napi_function => "a function",
            sys::ValueType::napi_bigint => "a bigint",
            _ => "an object",
        }
    }

    #[inline]
    fn kind(self) -> i32 {
        let mut kind = sys::ValueType::napi_undefined;
        // SAFETY: Node writes to `kind`.
        unsafe {
            sys::napi_typeof(self.env, self.raw, &raw mut kind);
        }
        kind
    }
}

/// Bytes of a `Uint8Array` to write to.
pub struct Target<'c> {
    at: *mut u8,
    length: usize,
    call: PhantomData<&'c Call>,
}

impl Target<'_> {
    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns `length` bytes from byte `from` on. Returns `None` if the array is shorter.
    #[inline]
    pub fn part(&mut self, from: usize, length: usize) -> Option<&mut [MaybeUninit<u8>]> {
        if from.checked_add(length)? > self.length {
            return None;
        }
        if length == 0 {
            return Some(&mut []);
        }
        // SAFETY: inside the array (checked), which does not move during the call.
        Some(unsafe { slice::from_raw_parts_mut(self.at.wrapping_add(from).cast(), length) })
    }
}

/// Creates functions bound to `of` as properties of `object`.
pub struct Functions<'a, T> {
    pub env: sys::napi_env,
    pub object: sys::napi_value,
    pub of: &'a Rc<T>,
}

impl<T: Receiver> Functions<'_, T> {
    /// Adds `work` under `name`.
    pub fn add<F>(&self, name: &str, _work: F) -> Result<(), Failure>
    where
        F: Fn(&T, &Call) -> Result<Answer, Failure> + Copy + 'static,
    {
        const { assert!(size_of::<F>() == 0, "the function must capture nothing") };
        let data = Rc::into_raw(Rc::clone(self.of)).cast_mut().cast::<c_void>();
        let mut function = ptr::null_mut();
        // SAFETY: Node copies the name and keeps `data`, a count of the Rc that `release` drops
        // when the function is collected. A function that cannot be added is never called.
        let made = unsafe {
            let status = sys::napi_create_function(
                self.env,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                Some(trampoline::<T, F>),
                data,
                &raw mut function,
            );
            let owned = status == sys::Status::napi_ok
                && sys::napi_add_finalizer(
                    self.env,
                    function,
                    data,
                    Some(release::<T>),
                    ptr::null_mut(),
                    ptr::null_mut(),
                ) == sys::Status::napi_ok;
            if !owned {
                drop(Rc::from_raw(data.cast::<T>()));
            }
            owned && self.put(name, function)
        };
        if made { Ok(()) } else { Err(errors::internal("Node failed to create a function")) }
    }

    /// Adds a value.
    pub fn put(&self, name: &str, value: sys::napi_value) -> bool {
        let mut key = ptr::null_mut();
        // SAFETY: Node reads the bytes of the name and writes to `key`.
        unsafe {
            let (at, length) = (name.as_ptr().cast(), name.len().cast_signed());
            sys::napi_create_string_utf8(self.env, at, length, &raw mut key) == sys::Status::napi_ok
                && sys::napi_set_property(self.env, self.object, key, value) == sys::Status::napi_ok
        }
    }
}

/// Reads the arguments of a call, calls the function, and converts its answer.
unsafe extern "C" fn trampoline<T, F>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value
where
    T: Receiver,
    F: Fn(&T, &Call) -> Result<Answer, Failure> + Copy + 'static,
{
    let mut call = Call { env, arguments: [ptr::null_mut(); ARGUMENTS] };
    let (mut count, mut data) = (ARGUMENTS, ptr::null_mut());
    // SAFETY: Node writes ARGUMENTS values (undefined for missing ones), their number, and the
    // pointer that the function was created with: an Rc of T that lives as long as the function. F
    // has no bytes and is Copy, so any aligned address is a valid F, and `add` was called with one.
    let (of, work) = unsafe {
        let status = sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            call.arguments.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        );
        if status != sys::Status::napi_ok {
            return ptr::null_mut();
        }
        (&*data.cast::<T>(), ptr::NonNull::<F>::dangling().as_ref())
    };
    let answer = match catch_unwind(AssertUnwindSafe(|| work(of, &call))) {
        Ok(Ok(answer)) => answer,
        Ok(Err(failure)) => refused(of, failure),
        Err(_) => refused(of, errors::internal("memcache-rs panicked, which is a bug: please report it")),
    };
    match answer {
        Answer::Made(value) => value,
        Answer::Number(number) => {
            let mut made = ptr::null_mut();
            // SAFETY: Node writes to `made`.
            unsafe {
                sys::napi_create_int32(env, number, &raw mut made);
            }
            made
        }
    }
}

#[cold]
#[inline(never)]
fn refused<T: Receiver>(of: &T, failure: Failure) -> Answer {
    of.keep(failure);
    Answer::Number(FAILED)
}

/// Drops the count of a function that was collected.
unsafe extern "C" fn release<T>(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `data` is from `Rc::into_raw` in `add`. Node calls this once, on the thread of the
    // function.
    drop(unsafe { Rc::from_raw(data.cast::<T>()) });
}

/// Catches a panic where no caller could: in finalizers and in tasks.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
