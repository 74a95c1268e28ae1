//! What C passes, checked and turned into what Rust can hold: nothing here
//! reads more than a pointer's length says.
//!
//! All readers return a `Result`, those too that cannot fail: `entry!` takes them
//! alike.

#![expect(clippy::unnecessary_wraps, reason = "`entry!` takes all readers alike")]

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use memcache_core::internal::local::is_key;

use crate::guard::{Failure, Handle, Outcome, invalid};
use crate::status::mcrs_status;

type Read<T> = Result<T, Failure>;

#[inline]
fn null<T>() -> Read<T> {
    Err(mcrs_status::MCRS_NULL_ARGUMENT.into())
}

/// A handle that may be used here.
#[inline]
pub(crate) unsafe fn handle<'a, T: Handle>(handle: *const T) -> Read<&'a T> {
    // SAFETY: the caller passes NULL or a handle that lives.
    match unsafe { handle.as_ref() } {
        None => null(),
        Some(handle) => handle.check().map(|()| handle),
    }
}

/// A handle that only this call uses.
#[inline]
pub(crate) unsafe fn handle_mut<'a, T: Handle>(handle: *mut T) -> Read<&'a mut T> {
    // SAFETY: the caller passes NULL or a handle that lives and nobody else uses.
    match unsafe { handle.as_mut() } {
        None => null(),
        Some(handle) => handle.check().map(|()| handle),
    }
}

/// So many things of a kind; NULL is an empty list.
#[inline]
pub(crate) unsafe fn list<'a, T>(start: *const T, count: usize) -> Read<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return null();
    }
    if count > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(invalid("a length is larger than memory can be"));
    }
    // SAFETY: not NULL, and the caller passes so many, which do not change
    // during the call.
    Ok(unsafe { slice::from_raw_parts(start, count) })
}

/// Any bytes.
#[inline]
pub(crate) unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Read<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { list(start.cast(), length) }
}

/// A key.
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
    /// Of these bytes, for as long as they live.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr().cast(), len: bytes.len() }
    }

    /// What it points to.
    #[inline]
    pub(crate) unsafe fn read<'a>(self) -> Read<&'a [u8]> {
        // SAFETY: passed on.
        unsafe { bytes(self.data, self.len) }
    }
}

/// Checks one key of a list.
pub(crate) unsafe fn key_of<'a>(slice: mcrs_slice) -> Read<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { key(slice.data, slice.len) }
}

/// A list of keys, each checked.
pub(crate) struct Keys<'a>(pub(crate) &'a [Key]);

/// One of them.
#[repr(transparent)]
pub(crate) struct Key(mcrs_slice);

impl AsRef<[u8]> for Key {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `keys` has checked it: it is not NULL and has a length.
        unsafe { slice::from_raw_parts(self.0.data.cast(), self.0.len) }
    }
}

/// Keys, all of which can be keys.
pub(crate) unsafe fn keys<'a>(start: *const mcrs_slice, count: usize) -> Read<Keys<'a>> {
    // SAFETY: passed on.
    for slice in unsafe { list(start, count) }? {
        // SAFETY: the caller keeps the contract for each of them.
        unsafe { key(slice.data, slice.len) }?;
    }
    // SAFETY: `Key` has the layout of what it wraps, and each was checked.
    Ok(Keys(unsafe { list(start.cast::<Key>(), count) }?))
}

/// Text that ends in a NUL, UTF-8.
pub(crate) unsafe fn text<'a>(start: *const c_char) -> Read<&'a str> {
    if start.is_null() {
        return null();
    }
    // SAFETY: not NULL, and the caller passes text that ends in a NUL.
    unsafe { CStr::from_ptr(start) }.to_str().map_err(|_| invalid("a text is not UTF-8"))
}

/// The same; NULL is none.
pub(crate) unsafe fn maybe_text<'a>(start: *const c_char) -> Read<Option<&'a str>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { text(start) }.map(Some)
}

/// A path: any bytes that end in a NUL, but some.
pub(crate) unsafe fn path<'a>(start: *const c_char) -> Read<&'a Path> {
    if start.is_null() {
        return null();
    }
    // SAFETY: not NULL, and the caller passes text that ends in a NUL.
    let bytes = unsafe { CStr::from_ptr(start) }.to_bytes();
    if bytes.is_empty() {
        return Err(invalid("a path is empty"));
    }
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

/// The same; NULL is none.
pub(crate) unsafe fn maybe_path<'a>(start: *const c_char) -> Read<Option<&'a Path>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { path(start) }.map(Some)
}

/// Options of a call; NULL: all as they are by default.
pub(crate) unsafe fn options<T: Default + Copy>(start: *const T) -> Read<T> {
    // SAFETY: the caller passes NULL or options that live. They are plain
    // numbers: whatever the bytes are, they are some.
    Ok(unsafe { start.as_ref() }.copied().unwrap_or_default())
}

/// Refuses bits that this version does not know, and fields that it reserves.
pub(crate) fn known(bits: u32, all: u32, reserved: &[u64]) -> Outcome {
    if bits & !all != 0 {
        return Err(invalid(format!("unknown bits: 0x{:x}", bits & !all)));
    }
    if reserved.iter().any(|&word| word != 0) {
        return Err(invalid("a reserved field is not 0"));
    }
    Ok(())
}

/// A structure that must be there.
pub(crate) unsafe fn given<T: Copy>(start: *const T) -> Read<T> {
    // SAFETY: the caller passes NULL or a structure that lives, plain numbers and
    // pointers.
    unsafe { start.as_ref() }.copied().map_or_else(null, Ok)
}

/// A callback that must be there.
pub(crate) unsafe fn callback<F>(function: Option<F>) -> Read<F> {
    function.map_or_else(null, Ok)
}

/// A place for an output.
pub(crate) struct Out<'a, T>(*mut T, PhantomData<&'a mut T>);

impl<T> Out<'_, T> {
    /// Writes it.
    #[inline]
    pub(crate) fn set(self, value: T) {
        // SAFETY: `out` has seen that it is not NULL; the caller passed a place
        // for a T, which may hold anything before.
        unsafe { self.0.write(value) }
    }
}

/// A place for an output that must be there.
#[inline]
pub(crate) unsafe fn out<'a, T>(place: *mut T) -> Read<Out<'a, T>> {
    if place.is_null() {
        return null();
    }
    Ok(Out(place, PhantomData))
}

/// The same; NULL: it is not wanted.
#[inline]
pub(crate) unsafe fn maybe_out<'a, T>(place: *mut T) -> Read<Option<Out<'a, T>>> {
    Ok((!place.is_null()).then_some(Out(place, PhantomData)))
}

/// Places for outputs, one behind the other.
pub(crate) struct Places<'a, T> {
    start: *mut T,
    count: usize,
    life: PhantomData<&'a mut [T]>,
}

impl<T> Places<'_, T> {
    /// Writes to one of them.
    #[inline]
    pub(crate) fn set(&self, index: usize, value: T) {
        assert!(index < self.count, "a place that was not given");
        // SAFETY: the caller passed so many places, which may hold anything
        // before; `places` has seen that they are not at NULL.
        unsafe { self.start.add(index).write(value) }
    }
}

/// So many places; NULL is none.
pub(crate) unsafe fn places<'a, T>(start: *mut T, count: usize) -> Read<Places<'a, T>> {
    if start.is_null() && count != 0 {
        return null();
    }
    Ok(Places { start, count, life: PhantomData })
}

/// The same; NULL: they are not wanted.
pub(crate) unsafe fn maybe_places<'a, T>(start: *mut T, count: usize) -> Read<Option<Places<'a, T>>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { places(start, count) }.map(Some)
}

/// A handle that may be used here; NULL is none.
pub(crate) unsafe fn maybe_handle<'a, T: Handle>(start: *const T) -> Read<Option<&'a T>> {
    if start.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { handle(start) }.map(Some)
}

/// A place for a new handle; NULL: it is not wanted.
pub(crate) unsafe fn maybe_out_handle<'a, T>(place: *mut *mut T) -> Read<Option<OutHandle<'a, T>>> {
    // SAFETY: passed on.
    Ok(unsafe { maybe_out(place) }?.map(OutHandle))
}

/// A place for a new handle.
pub(crate) unsafe fn out_handle<'a, T>(place: *mut *mut T) -> Read<OutHandle<'a, T>> {
    // SAFETY: passed on.
    unsafe { out(place) }.map(OutHandle)
}

/// A place for a new handle, which the caller will free.
pub(crate) struct OutHandle<'a, T>(Out<'a, *mut T>);

impl<T> OutHandle<'_, T> {
    /// Gives the handle away.
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

/// Memory to copy values to; NULL has room for nothing.
#[inline]
pub(crate) unsafe fn room<'a>(start: *mut c_void, size: usize) -> Read<Room<'a>> {
    if start.is_null() && size != 0 {
        return null();
    }
    Ok(Room { start: start.cast(), size, life: PhantomData })
}

impl Room<'_> {
    /// Bytes of it.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// `length` bytes from byte `at` on, if there is so much room.
    #[inline]
    pub(crate) fn part(&mut self, at: usize, length: usize) -> Option<&mut [MaybeUninit<u8>]> {
        let end = at.checked_add(length)?;
        if length == 0 || end > self.size {
            return (end <= self.size).then_some(&mut []);
        }
        // SAFETY: so much of the caller's memory is ours to write. What is written
        // comes from the cache's memory, which no caller can lend to us.
        Some(unsafe { slice::from_raw_parts_mut(self.start.add(at).cast(), length) })
    }
}
