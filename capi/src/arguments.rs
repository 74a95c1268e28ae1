//! Readers of arguments: they check what C passes and turn it into Rust's types.
//!
//! No reader reads beyond the length that C gives. All return a `Result`, also
//! those that cannot fail, because `entry!` treats them alike. The text of a
//! failure is a predicate ("must be UTF-8"), to which `entry!` adds the name of the
//! argument.

#![expect(clippy::unnecessary_wraps, reason = "`entry!` treats all readers alike")]

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use memcache_core::internal::cache::is_key;

use crate::failure::{Failure, Outcome, invalid};
use crate::status::mcrs_status;

type Read<T> = Result<T, Failure>;

/// A handle that C holds.
pub(crate) trait Handle {
    /// Refuses a use that is not allowed in this process or on this thread.
    fn check(&self) -> Outcome;
}

#[inline]
fn null<T>() -> Read<T> {
    Err(mcrs_status::MCRS_NULL_ARGUMENT.into())
}

/// Reads a handle that may be used here.
#[inline]
pub(crate) unsafe fn handle<'a, T: Handle>(handle: *const T) -> Read<&'a T> {
    // SAFETY: the caller passes NULL or a handle that lives.
    match unsafe { handle.as_ref() } {
        None => null(),
        Some(handle) => handle.check().map(|()| handle),
    }
}

/// Reads a handle that only this call uses.
#[inline]
pub(crate) unsafe fn handle_mut<'a, T: Handle>(handle: *mut T) -> Read<&'a mut T> {
    // SAFETY: the caller passes NULL or a handle that lives, which no other call uses.
    match unsafe { handle.as_mut() } {
        None => null(),
        Some(handle) => handle.check().map(|()| handle),
    }
}

/// Reads a list of `count` elements; NULL is an empty list.
#[inline]
pub(crate) unsafe fn list<'a, T>(start: *const T, count: usize) -> Read<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return null();
    }
    let most = isize::MAX as usize / size_of::<T>().max(1);
    if count > most {
        return Err(invalid(format!("must have a length of at most {most}, got {count}")));
    }
    // SAFETY: not NULL, and the caller passes `count` elements, which do not
    // change during the call.
    Ok(unsafe { slice::from_raw_parts(start, count) })
}

/// Reads bytes of any value.
#[inline]
pub(crate) unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Read<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { list(start.cast(), length) }
}

/// Reads a key.
#[inline]
pub(crate) unsafe fn key<'a>(start: *const c_void, length: usize) -> Read<&'a [u8]> {
    // SAFETY: passed on.
    let key = unsafe { bytes(start, length) }?;
    if is_key(key) { Ok(key) } else { Err(mcrs_status::MCRS_BAD_KEY.into()) }
}

/// Points to bytes: a key, a value or a part of a buffer.
///
/// It has the layout of `struct iovec`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct mcrs_slice {
    /// Points to the bytes; may be NULL if `len` is 0.
    pub data: *const c_void,
    /// Number of bytes.
    pub len: usize,
}

impl mcrs_slice {
    /// Points to bytes, without a lifetime.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr().cast(), len: bytes.len() }
    }

    /// Reads the bytes it points to.
    #[inline]
    pub(crate) unsafe fn read<'a>(self) -> Read<&'a [u8]> {
        // SAFETY: passed on.
        unsafe { bytes(self.data, self.len) }
    }
}

/// Reads a key of a list.
pub(crate) unsafe fn key_of<'a>(slice: mcrs_slice) -> Read<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { key(slice.data, slice.len) }
}

/// A list of keys, each of which `keys` has checked.
pub(crate) struct Keys<'a>(pub(crate) &'a [Key]);

/// A key of such a list.
#[repr(transparent)]
pub(crate) struct Key(mcrs_slice);

impl AsRef<[u8]> for Key {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `keys` has checked it: it is not NULL and has a length.
        unsafe { slice::from_raw_parts(self.0.data.cast(), self.0.len) }
    }
}

/// Reads a list of keys.
pub(crate) unsafe fn keys<'a>(start: *const mcrs_slice, count: usize) -> Read<Keys<'a>> {
    // SAFETY: passed on.
    for (index, slice) in unsafe { list(start, count) }?.iter().enumerate() {
        // SAFETY: the caller keeps the conventions for each of them.
        unsafe { key_of(*slice) }.map_err(|failure| failure.named(&format!("[{index}]")))?;
    }
    // SAFETY: `Key` has the layout of what it wraps, and each was checked.
    Ok(Keys(unsafe { list(start.cast::<Key>(), count) }?))
}

/// Reads a text: UTF-8 that ends in a NUL.
pub(crate) unsafe fn text<'a>(start: *const c_char) -> Read<&'a str> {
    if start.is_null() {
        return null();
    }
    // SAFETY: not NULL, and the caller passes text that ends in a NUL.
    unsafe { CStr::from_ptr(start) }.to_str().map_err(|_| invalid("must be UTF-8"))
}

/// Reads a text; NULL is none.
pub(crate) unsafe fn maybe_text<'a>(start: *const c_char) -> Read<Option<&'a str>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { text(start) }.map(Some)
}

/// Reads a path: at least one byte, ending in a NUL.
pub(crate) unsafe fn path<'a>(start: *const c_char) -> Read<&'a Path> {
    if start.is_null() {
        return null();
    }
    // SAFETY: not NULL, and the caller passes text that ends in a NUL.
    let bytes = unsafe { CStr::from_ptr(start) }.to_bytes();
    if bytes.is_empty() {
        return Err(invalid("must not be empty"));
    }
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// Reads a path; NULL is none.
pub(crate) unsafe fn maybe_path<'a>(start: *const c_char) -> Read<Option<&'a Path>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { path(start) }.map(Some)
}

/// Reads options; NULL means the defaults.
pub(crate) unsafe fn options<T: Default + Copy>(start: *const T) -> Read<T> {
    // SAFETY: the caller passes NULL or options that live. They are plain
    // numbers, for which all bytes are valid.
    Ok(unsafe { start.as_ref() }.copied().unwrap_or_default())
}

/// Refuses unknown bits, and reserved fields that are not 0.
pub(crate) fn known(bits: u32, all: u32, reserved: &[u64]) -> Outcome {
    if bits & !all != 0 {
        return Err(invalid(format!("bits must be within 0x{all:x}, got 0x{bits:x}")));
    }
    if reserved.iter().any(|&word| word != 0) {
        return Err(invalid("reserved fields must be 0"));
    }
    Ok(())
}

/// Reads a structure.
pub(crate) unsafe fn given<T: Copy>(start: *const T) -> Read<T> {
    // SAFETY: the caller passes NULL or a structure that lives, plain numbers and
    // pointers.
    unsafe { start.as_ref() }.copied().map_or_else(null, Ok)
}

/// Reads a callback.
pub(crate) unsafe fn callback<F>(function: Option<F>) -> Read<F> {
    function.map_or_else(null, Ok)
}

/// An output of a call.
pub(crate) struct Out<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T> Out<'_, T> {
    /// Writes the output.
    #[inline]
    pub(crate) fn set(self, value: T) {
        // SAFETY: `out` has checked that it is not NULL; the caller passed memory
        // for a T, which may be uninitialised.
        unsafe { self.0.write(value) }
    }
}

/// Reads a pointer to an output.
#[inline]
pub(crate) unsafe fn out<'a, T>(output: *mut T) -> Read<Out<'a, T>> {
    if output.is_null() {
        return null();
    }
    Ok(Out(output, PhantomData))
}

/// Reads a pointer to an output; NULL if the caller does not want it.
#[inline]
pub(crate) unsafe fn maybe_out<'a, T>(output: *mut T) -> Read<Option<Out<'a, T>>> {
    Ok((!output.is_null()).then_some(Out(output, PhantomData)))
}

/// A list of outputs.
pub(crate) struct Outs<'a, T> {
    start: *mut T,
    count: usize,
    life: PhantomData<&'a mut [T]>,
}

impl<T> Outs<'_, T> {
    /// Writes the output at `index`.
    #[inline]
    pub(crate) fn set(&self, index: usize, value: T) {
        assert!(index < self.count, "an output beyond the list");
        // SAFETY: the caller passed memory for `count` outputs, which may be
        // uninitialised; `outs` has checked that it is not NULL.
        unsafe { self.start.add(index).write(value) }
    }
}

/// Reads a pointer to `count` outputs; NULL if `count` is 0.
pub(crate) unsafe fn outs<'a, T>(start: *mut T, count: usize) -> Read<Outs<'a, T>> {
    if start.is_null() && count != 0 {
        return null();
    }
    Ok(Outs { start, count, life: PhantomData })
}

/// Reads a pointer to `count` outputs; NULL if the caller does not want them.
pub(crate) unsafe fn maybe_outs<'a, T>(start: *mut T, count: usize) -> Read<Option<Outs<'a, T>>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { outs(start, count) }.map(Some)
}

/// Reads a handle that may be used here; NULL is none.
pub(crate) unsafe fn maybe_handle<'a, T: Handle>(start: *const T) -> Read<Option<&'a T>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { handle(start) }.map(Some)
}

/// Reads a pointer to a new handle; NULL if the caller does not want one.
pub(crate) unsafe fn maybe_out_handle<'a, T>(output: *mut *mut T) -> Read<Option<OutHandle<'a, T>>> {
    // SAFETY: passed on.
    Ok(unsafe { maybe_out(output) }?.map(OutHandle))
}

/// Reads a pointer to a new handle.
pub(crate) unsafe fn out_handle<'a, T>(output: *mut *mut T) -> Read<OutHandle<'a, T>> {
    // SAFETY: passed on.
    unsafe { out(output) }.map(OutHandle)
}

/// A new handle to write, which the caller will free.
pub(crate) struct OutHandle<'a, T>(Out<'a, *mut T>);

impl<T> OutHandle<'_, T> {
    /// Gives the handle to the caller.
    pub(crate) fn give(self, handle: T) {
        self.0.set(Box::into_raw(Box::new(handle)));
    }
}

/// The caller's buffer.
pub(crate) struct Room<'a> {
    start: *mut u8,
    size: usize,
    life: PhantomData<&'a mut [u8]>,
}

/// Reads a buffer; NULL if its size is 0.
#[inline]
pub(crate) unsafe fn room<'a>(start: *mut c_void, size: usize) -> Read<Room<'a>> {
    if start.is_null() && size != 0 {
        return null();
    }
    Ok(Room { start: start.cast(), size, life: PhantomData })
}

impl Room<'_> {
    /// Size in bytes.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns `length` bytes from byte `at` on, or `None` if they do not fit.
    #[inline]
    pub(crate) fn part(&mut self, at: usize, length: usize) -> Option<&mut [MaybeUninit<u8>]> {
        let end = at.checked_add(length)?;
        if length == 0 || end > self.size {
            return (end <= self.size).then_some(&mut []);
        }
        // SAFETY: this part of the caller's memory is free to write. Values come
        // from the cache's memory, which never overlaps it.
        Some(unsafe { slice::from_raw_parts_mut(self.start.add(at).cast(), length) })
    }
}
