//! Memory that JavaScript sees as an `ArrayBuffer`, and that is written from
//! here without asking Node where it lies.
//!
//! A `Slab` takes small values one behind the other; JavaScript cuts Buffers
//! from it. `Cells` are numbers beside a result. Both belong to the thread of
//! their environment.
//!
//! The memory lives as long as either side has it, so it does no harm if
//! JavaScript detaches the `ArrayBuffer`. Bytes that were handed out are never
//! written again.

#![expect(unsafe_code, reason = "memory that two languages share")]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use napi::sys;

use crate::errors::{self, Failure};

/// Bytes of a slab.
const SIZE: usize = 32 * 1024;

/// Largest value that goes into a slab; larger ones get memory of their own,
/// so that none is kept for long by a small neighbour.
pub const SMALL: usize = 4096;

/// Numbers of `Cells`.
const CELLS: usize = 8;

/// Memory for small values.
#[derive(Default)]
pub struct Slab {
    memory: Option<Rc<UnsafeCell<[u8; SIZE]>>>,
    used: usize,
}

impl Slab {
    /// An empty slab in place of the one there was, as an `ArrayBuffer`.
    pub fn renew(&mut self, env: sys::napi_env) -> Result<sys::napi_value, Failure> {
        #[expect(
            clippy::large_stack_arrays,
            reason = "any stack has 32 KiB, and it goes to the heap at once"
        )]
        let memory = Rc::new(UnsafeCell::new([0; SIZE]));
        let shown = lend(env, &memory)?;
        *self = Self { memory: Some(memory), used: 0 };
        Ok(shown)
    }

    /// Where so many bytes can be put, if they can.
    #[inline]
    pub fn room(&self, length: usize) -> Option<usize> {
        (self.memory.is_some() && length <= SMALL && SIZE - self.used >= length).then_some(self.used)
    }

    /// Puts bytes at the end. Only as many as there is `room` for are kept.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let Some(memory) = &self.memory else { return };
        let length = bytes.len().min(SIZE - self.used);
        // SAFETY: they end within the memory. Nobody else holds a reference into
        // it, and JavaScript does not run meanwhile.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), memory.get().cast::<u8>().add(self.used), length);
        }
        self.used += length;
    }

    /// Bytes that were pushed, copied.
    pub fn copy(&self, at: usize, length: usize) -> Vec<u8> {
        let mut copy = vec![0; length];
        if let Some(memory) = &self.memory
            && at.checked_add(length).is_some_and(|end| end <= self.used)
        {
            // SAFETY: they end within the memory, and the copy has as many.
            unsafe {
                ptr::copy_nonoverlapping(memory.get().cast::<u8>().add(at), copy.as_mut_ptr(), length);
            }
        }
        copy
    }
}

/// Numbers that JavaScript reads from a `BigUint64Array` or a `Uint32Array`.
#[derive(Default)]
pub struct Cells(Rc<UnsafeCell<[u64; CELLS]>>);

impl Cells {
    /// As an `ArrayBuffer`. To be called once.
    pub fn show(&self, env: sys::napi_env) -> Result<sys::napi_value, Failure> {
        lend(env, &self.0)
    }

    /// Sets one.
    #[inline]
    pub fn set<const N: usize>(&self, number: u64) {
        const { assert!(N < CELLS) };
        // SAFETY: as for `Slab::push`.
        unsafe {
            self.0.get().cast::<u64>().add(N).write(number);
        }
    }
}

/// What a buffer was made of, until JavaScript has no more use of it.
pub fn buffer_of(env: sys::napi_env, bytes: Vec<u8>) -> sys::napi_value {
    let mut made = ptr::null_mut();
    let length = bytes.len();
    let kept = Box::into_raw(Box::new(bytes));
    // SAFETY: the bytes of the Vec stay where they are while it lives, which is
    // until `forget` is called; if no Buffer could be made, it is dropped here.
    unsafe {
        let status = sys::napi_create_external_buffer(
            env,
            length,
            (*kept).as_mut_ptr().cast(),
            Some(forget),
            kept.cast(),
            &raw mut made,
        );
        if status != sys::Status::napi_ok {
            drop(Box::from_raw(kept));
        }
    }
    made
}

unsafe extern "C" fn forget(_: sys::napi_env, _: *mut c_void, kept: *mut c_void) {
    // SAFETY: `kept` is from `Box::into_raw` in `buffer_of`; Node calls this once.
    drop(unsafe { Box::from_raw(kept.cast::<Vec<u8>>()) });
}

fn lend<T>(env: sys::napi_env, memory: &Rc<UnsafeCell<T>>) -> Result<sys::napi_value, Failure> {
    let mut made = ptr::null_mut();
    let kept = Rc::into_raw(Rc::clone(memory)).cast_mut();
    // SAFETY: the memory lives until `give_back` is called at the earliest. Node
    // calls that on the thread of the environment, once.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env,
            kept.cast(),
            size_of::<T>(),
            Some(give_back::<T>),
            kept.cast(),
            &raw mut made,
        )
    };
    if status == sys::Status::napi_ok {
        return Ok(made);
    }
    // SAFETY: `kept` is from above, and nobody has it.
    drop(unsafe { Rc::from_raw(kept) });
    Err(errors::internal("this runtime allows no memory of addons in an `ArrayBuffer`"))
}

unsafe extern "C" fn give_back<T>(_: sys::napi_env, _: *mut c_void, kept: *mut c_void) {
    // SAFETY: `kept` is from `Rc::into_raw` in `lend`.
    drop(unsafe { Rc::from_raw(kept.cast::<UnsafeCell<T>>()) });
}
