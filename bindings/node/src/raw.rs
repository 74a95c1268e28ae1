//! Functions of JavaScript without detours: bare callbacks of Node-API, which
//! find what they work on through the pointer that they were made with.
//!
//! A method of one of napi's classes looks for its object in every call, and
//! makes a String of every key; that takes ten times as long as a get. Only
//! this module and `cells` call Node-API themselves; what they hand out is safe.
//!
//! ```text
//!   JavaScript -- call --> trampoline::<T, F> -- Call --> F(&T, &Call) -> Answer
//!                               ^  data pointer: Rc<T>, one count a function,
//!                               |  given back when the function is collected
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

/// What a function got fewer of is undefined; what it got more of is ignored.
const ARGUMENTS: usize = 6;

/// What a bare function gives back.
pub enum Answer {
    /// A number.
    Number(i32),
    /// Anything else; null is undefined.
    Made(sys::napi_value),
}

/// The answer of a function that failed; its object keeps why.
pub const FAILED: i32 = -3;

/// What bare functions work on.
pub trait Subject: 'static {
    /// Keeps why a function failed, until JavaScript asks.
    fn keep(&self, failure: Failure);
}

/// A call under way. No code of JavaScript runs meanwhile, but for that of an
/// array's getters (`Value::element`).
pub struct Call {
    env: sys::napi_env,
    arguments: [sys::napi_value; ARGUMENTS],
}

impl Call {
    /// An argument.
    #[inline]
    pub fn argument<const N: usize>(&self) -> Value<'_> {
        const { assert!(N < ARGUMENTS) };
        Value { env: self.env, raw: self.arguments[N], call: PhantomData }
    }

    /// A string of UTF-8; what is none of it is replaced.
    #[inline]
    pub fn string(&self, bytes: &[u8]) -> Result<Answer, Failure> {
        let mut made = ptr::null_mut();
        let (at, length) = (bytes.as_ptr().cast(), bytes.len().cast_signed());
        // SAFETY: Node reads `length` bytes at `at` and writes to `made`. ASCII is
        // Latin-1, and is made faster from it.
        let status = unsafe {
            if bytes.is_ascii() {
                sys::napi_create_string_latin1(self.env, at, length, &raw mut made)
            } else {
                sys::napi_create_string_utf8(self.env, at, length, &raw mut made)
            }
        };
        created(status, made, bytes.len(), "string")
    }

    /// A Buffer with a copy of these bytes.
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

    /// A whole number: beyond 2^53 a bigint.
    pub fn unsigned(&self, number: u64) -> Answer {
        const EXACT: u64 = 1 << 53;
        if let Ok(small) = i32::try_from(number) {
            return Answer::Number(small);
        }
        let mut made = ptr::null_mut();
        // SAFETY: Node writes to `made`.
        unsafe {
            if number < EXACT {
                sys::napi_create_double(self.env, number as f64, &raw mut made);
            } else {
                sys::napi_create_bigint_uint64(self.env, number, &raw mut made);
            }
        }
        Answer::Made(made)
    }
}

/// What Node made of so many bytes, unless they are too many.
#[inline]
fn created(status: i32, made: sys::napi_value, length: usize, kind: &str) -> Result<Answer, Failure> {
    if status == sys::Status::napi_ok { Ok(Answer::Made(made)) } else { Err(errors::too_long(length, kind)) }
}

/// A value of JavaScript, for as long as the call lasts.
#[derive(Clone, Copy)]
pub struct Value<'c> {
    env: sys::napi_env,
    raw: sys::napi_value,
    call: PhantomData<&'c Call>,
}

/// A part of a string, in UTF-16.
pub enum Units<'b> {
    /// All of it.
    Whole(&'b [u16]),
    /// It is longer than the buffer.
    More,
}

/// A bigint.
pub enum Big {
    /// From 0 to 2^64 - 1.
    Whole(u64),
    /// Another one.
    Other,
}

impl<'c> Value<'c> {
    /// The string in UTF-16, if it is one that fits. Of strings Node holds as
    /// Latin-1 this is a wider copy, of others a plain one; asking for UTF-8 costs
    /// more, and asking for Latin-1 loses what is not in it.
    #[inline]
    pub fn utf16<const N: usize>(self, to: &mut [MaybeUninit<u16>; N]) -> Option<Units<'_>> {
        let mut length = 0;
        // SAFETY: Node writes at most N units, the last of them 0, and how many
        // they are without the 0.
        let status = unsafe {
            sys::napi_get_value_string_utf16(self.env, self.raw, to.as_mut_ptr().cast(), N, &raw mut length)
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        if length + 1 >= N {
            return Some(Units::More);
        }
        // SAFETY: so many units were written, and they lie within the array.
        Some(Units::Whole(unsafe { slice::from_raw_parts(to.as_ptr().cast(), length) }))
    }

    /// How many units of UTF-16 a string has.
    #[inline]
    pub fn units(self) -> Option<usize> {
        let mut length = 0;
        // SAFETY: without a buffer Node only writes the length.
        let status = unsafe {
            sys::napi_get_value_string_utf16(self.env, self.raw, ptr::null_mut(), 0, &raw mut length)
        };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// How many bytes of UTF-8 a string has.
    pub fn utf8_length(self) -> usize {
        let mut length = 0;
        // SAFETY: without a buffer Node only writes the length.
        unsafe {
            sys::napi_get_value_string_utf8(self.env, self.raw, ptr::null_mut(), 0, &raw mut length);
        }
        length
    }

    /// The string in UTF-8, in place of what is in `to`; `units` is how many
    /// units of UTF-16 it has.
    #[inline]
    pub fn utf8(self, units: usize, to: &mut Vec<u8>) {
        to.clear();
        // A unit takes at most three bytes, and the string ends with 0.
        to.reserve(units.saturating_mul(3).saturating_add(1));
        let mut length = 0;
        // SAFETY: Node writes at most `capacity` bytes, the last of them 0, and how
        // many they are without the 0; so many are then initialised.
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

    /// Address and length of a `Uint8Array`, of which Buffer is a kind.
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
        let octets =
            kind == sys::TypedarrayType::uint8_array || kind == sys::TypedarrayType::uint8_clamped_array;
        (status == sys::Status::napi_ok && octets)
            .then_some((at.cast(), if at.is_null() { 0 } else { length }))
    }

    /// The bytes of a `Uint8Array`.
    #[inline]
    pub fn bytes(self) -> Option<&'c [u8]> {
        let (at, length) = self.span()?;
        if length == 0 {
            return Some(&[]);
        }
        // SAFETY: the array holds so many bytes; they stay where they are during the
        // call, which holds the array, and no code of JavaScript of this thread runs
        // meanwhile. (Of a SharedArrayBuffer another thread may change them; what is
        // read then is one or the other, and nothing depends on reading it twice.)
        Some(unsafe { slice::from_raw_parts(at, length) })
    }

    /// A `Uint8Array`, to be written to.
    #[inline]
    pub fn target(self) -> Option<Target<'c>> {
        let (at, length) = self.span()?;
        Some(Target { at, length, call: PhantomData })
    }

    /// A number.
    #[inline]
    pub fn number(self) -> Option<f64> {
        let mut number = 0.0;
        // SAFETY: Node writes to `number`.
        let status = unsafe { sys::napi_get_value_double(self.env, self.raw, &raw mut number) };
        (status == sys::Status::napi_ok).then_some(number)
    }

    /// A bigint.
    pub fn bigint(self) -> Option<Big> {
        let (mut number, mut whole) = (0, false);
        // SAFETY: Node writes to both.
        let status =
            unsafe { sys::napi_get_value_bigint_uint64(self.env, self.raw, &raw mut number, &raw mut whole) };
        (status == sys::Status::napi_ok).then_some(if whole { Big::Whole(number) } else { Big::Other })
    }

    /// Milliseconds of a Date.
    pub fn date(self) -> Option<f64> {
        let (mut is, mut time) = (false, 0.0);
        // SAFETY: Node writes to both; the second only looks at a Date.
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

    /// Elements of an array.
    pub fn elements(self) -> Option<u32> {
        let mut length = 0;
        // SAFETY: Node writes to `length`.
        let status = unsafe { sys::napi_get_array_length(self.env, self.raw, &raw mut length) };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// An element of an array; `None`: its getter threw an error, which the caller
    /// of the function gets.
    pub fn element(self, index: u32) -> Option<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: Node writes to `raw`.
        let status = unsafe { sys::napi_get_element(self.env, self.raw, index, &raw mut raw) };
        (status == sys::Status::napi_ok).then_some(Self { raw, ..self })
    }

    /// Whether it is undefined or null.
    #[inline]
    pub fn is_nothing(self) -> bool {
        matches!(self.kind(), sys::ValueType::napi_undefined | sys::ValueType::napi_null)
    }

    /// What it is, in words.
    pub fn word(self) -> &'static str {
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

/// Bytes of JavaScript that are written to.
pub struct Target<'c> {
    at: *mut u8,
    length: usize,
    call: PhantomData<&'c Call>,
}

impl Target<'_> {
    /// How many bytes there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// `length` bytes from byte `from` on, if there are so many.
    #[inline]
    pub fn part(&mut self, from: usize, length: usize) -> Option<&mut [MaybeUninit<u8>]> {
        if from.checked_add(length)? > self.length {
            return None;
        }
        if length == 0 {
            return Some(&mut []);
        }
        // SAFETY: inside the array (checked), which stays where it is during the call.
        Some(unsafe { slice::from_raw_parts_mut(self.at.wrapping_add(from).cast(), length) })
    }
}

/// Makes functions that work on `of`, and puts them into `object`.
pub struct Functions<'a, T> {
    pub env: sys::napi_env,
    pub object: sys::napi_value,
    pub of: &'a Rc<T>,
}

impl<T: Subject> Functions<'_, T> {
    /// Adds `work` under `name`.
    pub fn add<F>(&self, name: &str, _work: F) -> Result<(), Failure>
    where
        F: Fn(&T, &Call) -> Result<Answer, Failure> + Copy + 'static,
    {
        const { assert!(size_of::<F>() == 0, "a function that captures nothing") };
        let data = Rc::into_raw(Rc::clone(self.of)).cast_mut().cast::<c_void>();
        let mut function = ptr::null_mut();
        // SAFETY: Node copies the name and keeps `data`, which is a count of the Rc
        // that `release` gives back once the function is gone. If it cannot be
        // added, it is never called.
        let made = unsafe {
            let status = sys::napi_create_function(
                self.env,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                Some(trampoline::<T, F>),
                data,
                &raw mut function,
            );
            let held = status == sys::Status::napi_ok
                && sys::napi_add_finalizer(
                    self.env,
                    function,
                    data,
                    Some(release::<T>),
                    ptr::null_mut(),
                    ptr::null_mut(),
                ) == sys::Status::napi_ok;
            if !held {
                drop(Rc::from_raw(data.cast::<T>()));
            }
            held && self.put(name, function)
        };
        if made { Ok(()) } else { Err(errors::internal("Node could not make a function")) }
    }

    /// Adds a value.
    pub fn put(&self, name: &str, value: sys::napi_value) -> bool {
        let mut key = ptr::null_mut();
        // SAFETY: Node reads the bytes of the name, and writes to `key`.
        unsafe {
            let (at, length) = (name.as_ptr().cast(), name.len().cast_signed());
            sys::napi_create_string_utf8(self.env, at, length, &raw mut key) == sys::Status::napi_ok
                && sys::napi_set_property(self.env, self.object, key, value) == sys::Status::napi_ok
        }
    }
}

/// Takes the arguments of a call, does the work, and hands the answer back.
unsafe extern "C" fn trampoline<T, F>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value
where
    T: Subject,
    F: Fn(&T, &Call) -> Result<Answer, Failure> + Copy + 'static,
{
    let mut call = Call { env, arguments: [ptr::null_mut(); ARGUMENTS] };
    let (mut count, mut data) = (ARGUMENTS, ptr::null_mut());
    // SAFETY: Node writes ARGUMENTS values, those not given as undefined, their
    // number, and the pointer that the function was made with, which is an Rc of
    // T that lives as long as the function. F has no bytes and is Copy, so one may
    // be had from anywhere; that it exists is shown by `add`.
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
        Err(_) => refused(of, errors::internal("a panic, which is a bug in memcache-rs")),
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
fn refused<T: Subject>(of: &T, failure: Failure) -> Answer {
    of.keep(failure);
    Answer::Number(FAILED)
}

/// Gives back the count of a function that is gone.
unsafe extern "C" fn release<T>(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `data` is from `Rc::into_raw` in `add`, and Node calls this once, on
    // the thread of the function.
    drop(unsafe { Rc::from_raw(data.cast::<T>()) });
}

/// Runs what Node calls, or drops, without a caller that a panic could reach.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
