//! Numbers that JavaScript sees as an `ArrayBuffer`, and that are written from
//! here without asking Node where they lie. They belong to the thread of their
//! environment.
//!
//! The memory lives as long as either side has it, so it does no harm if
//! JavaScript detaches the `ArrayBuffer`.

#![expect(unsafe_code, reason = "memory that two languages share")]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::rc::Rc;

use napi::sys;

use crate::errors::{self, Failure};

/// How many there are.
const CELLS: usize = 5;

type Memory = UnsafeCell<[u64; CELLS]>;

/// Numbers beside an answer, which JavaScript reads from a `BigUint64Array`.
#[derive(Default)]
pub struct Cells(Rc<Memory>);

impl Cells {
    /// As an `ArrayBuffer`. To be called once.
    pub fn show(&self, env: sys::napi_env) -> Result<sys::napi_value, Failure> {
        let mut made = std::ptr::null_mut();
        let kept = Rc::into_raw(Rc::clone(&self.0)).cast_mut();
        // SAFETY: the memory lives until `give_back` is called at the earliest. Node
        // calls that on the thread of the environment, once.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                env,
                kept.cast(),
                size_of::<Memory>(),
                Some(give_back),
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

    /// Sets one.
    #[inline]
    pub fn set<const N: usize>(&self, number: u64) {
        const { assert!(N < CELLS) };
        // SAFETY: it lies within the memory. Nobody holds a reference into it, and
        // JavaScript does not run meanwhile.
        unsafe {
            self.0.get().cast::<u64>().add(N).write(number);
        }
    }
}

unsafe extern "C" fn give_back(_: sys::napi_env, _: *mut c_void, kept: *mut c_void) {
    // SAFETY: `kept` is from `Rc::into_raw` in `show`.
    drop(unsafe { Rc::from_raw(kept.cast::<Memory>()) });
}
