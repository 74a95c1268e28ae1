//! Results beside a function's answer, in memory that JavaScript sees as an `ArrayBuffer`.
//!
//! Rust writes them without a call of Node-API. They belong to the thread of their environment.
//! Both sides keep the memory alive, so JavaScript may detach the `ArrayBuffer`.

#![expect(unsafe_code, reason = "memory that two languages share")]

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::rc::Rc;

use napi::sys;

use crate::errors::{self, Failure};

/// The number of cells.
const CELLS: usize = 6;

type Memory = UnsafeCell<[u64; CELLS]>;

/// Numbers that JavaScript reads from a `BigUint64Array`.
#[derive(Default)]
pub struct Cells(Rc<Memory>);

impl Cells {
    /// Returns the memory as an `ArrayBuffer`. Called once.
    pub fn array_buffer(&self, env: sys::napi_env) -> Result<sys::napi_value, Failure> {
        let mut made = std::ptr::null_mut();
        let shared = Rc::into_raw(Rc::clone(&self.0)).cast_mut();
        // SAFETY: the memory lives until `release` is called at the earliest. Node calls that once,
        // on the thread of the environment.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                env,
                shared.cast(),
                size_of::<Memory>(),
                Some(release),
                shared.cast(),
                &raw mut made,
            )
        };
        if status == sys::Status::napi_ok {
            return Ok(made);
        }
        // SAFETY: `shared` is from above, and Node has not kept it.
        drop(unsafe { Rc::from_raw(shared) });
        Err(errors::internal("this runtime does not support external ArrayBuffers"))
    }

    /// Sets a cell.
    #[inline]
    pub fn set<const N: usize>(&self, number: u64) {
        const { assert!(N < CELLS) };
        // SAFETY: the cell lies within the memory. No reference into it exists, and JavaScript does
        // not run during a call.
        unsafe {
            self.0.get().cast::<u64>().add(N).write(number);
        }
    }
}

unsafe extern "C" fn release(_: sys::napi_env, _: *mut c_void, shared: *mut c_void) {
    // SAFETY: `shared` is from `Rc::into_raw` in `array_buffer`.
    drop(unsafe { Rc::from_raw(shared.cast::<Memory>()) });
}
