//! The functions of `system.rs` for Miri, which does not support addresses without memory.

#![expect(unsafe_code, reason = "an allocation in place of a mapping")]

use std::alloc::{Layout, alloc_zeroed, dealloc};

fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len, 4096).ok()
}

pub(super) fn map(len: usize) -> Option<(*mut u8, bool)> {
    // SAFETY: `len` is not 0.
    let memory = unsafe { alloc_zeroed(layout(len)?) };
    (!memory.is_null()).then_some((memory, false))
}

pub(super) fn open(_: *mut u8, _: usize, _: bool) -> std::io::Result<()> {
    Ok(())
}

pub(super) fn most_addresses() -> Option<usize> {
    None
}

pub(super) unsafe fn discard(start: *mut u8, len: usize, _: bool) {
    // SAFETY: the contract.
    unsafe { start.write_bytes(0, len) };
}

pub(super) fn advise_large(_: *mut u8, _: usize) {}

pub(super) fn touch(_: *mut u8, _: usize) {}

pub(super) unsafe fn unmap(mapping: *mut u8, len: usize) {
    if let Some(layout) = layout(len) {
        // SAFETY: the contract.
        unsafe { dealloc(mapping, layout) };
    }
}
