//! Values in cache memory as memoryviews.
//!
//! A memoryview keeps the object alive whose bytes it shows, and that object pins the value. PyO3
//! offers no buffers for a `#[pyclass]` under the stable ABI of 3.10. The slots work there, but
//! CPython guarantees them only from 3.11 on. So this file makes the class from slots.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::Arc;

use memcache_core::PinnedValue;
use memcache_embed::handle::Handle;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyMemoryView, PyType};

/// `Py_buffer`, which is in the stable ABI since 3.11 and has not changed since 3.3.
#[repr(C)]
struct Buffer {
    start: *mut c_void,
    owner: *mut ffi::PyObject,
    length: ffi::Py_ssize_t,
    item_size: ffi::Py_ssize_t,
    read_only: c_int,
    dimensions: c_int,
    format: *mut u8,
    shape: *mut ffi::Py_ssize_t,
    strides: *mut ffi::Py_ssize_t,
    suboffsets: *mut ffi::Py_ssize_t,
    internal: *mut c_void,
}

/// Flags of a buffer request: `PyBUF_WRITABLE`, `PyBUF_FORMAT` and so on.
mod request {
    use std::ffi::c_int;

    pub const WRITABLE: c_int = 1;
    pub const FORMAT: c_int = 4;
    pub const SHAPE: c_int = 8;
    pub const STRIDES: c_int = 16 | SHAPE;
}

/// The slot `Py_bf_getbuffer`.
const GET_BUFFER: c_int = 1;

/// The class has no constructor (`Py_TPFLAGS_DISALLOW_INSTANTIATION`).
const NOT_CALLABLE: c_uint = 1 << 7;

/// A Python object that exports one slice of a value.
#[repr(C)]
struct Piece {
    object: ffi::PyObject,
    value: ManuallyDrop<Handle<PinnedValue>>,
    start: *const u8,
    length: usize,
}

/// Returns the slices of `value`, in order, as read-only memoryviews.
pub fn views<'py>(py: Python<'py>, value: &Arc<PinnedValue>) -> PyResult<Bound<'py, PyList>> {
    let views = PyList::empty(py);
    for slice in value.slices() {
        views.append(PyMemoryView::from(&piece(py, value, slice)?)?)?;
    }
    Ok(views)
}

/// Returns the class of pieces.
fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.get_or_try_init(py, || make_class(py)).map(|class| class.bind(py))
}

#[expect(unsafe_code, reason = "a class made from slots")]
fn make_class(py: Python<'_>) -> PyResult<Py<PyType>> {
    let slot = |slot, pfunc| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc as unsafe extern "C" fn(*mut ffi::PyObject) as *mut c_void),
        slot(
            GET_BUFFER,
            get_buffer as unsafe extern "C" fn(*mut ffi::PyObject, *mut Buffer, c_int) -> c_int
                as *mut c_void,
        ),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"memcache_rs._native.Piece".as_ptr(),
        basicsize: size_of::<Piece>() as c_int,
        itemsize: 0,
        flags: ffi::Py_TPFLAGS_DEFAULT as c_uint | NOT_CALLABLE,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: each slot has the function type that CPython expects, and an empty slot ends the
    // list. `basicsize` is the size of `Piece`, which begins with a `PyObject`.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec))? };
    Ok(made.cast_into::<PyType>()?.unbind())
}

/// Makes an object that exports `slice`, which must be a slice of `value`.
#[expect(unsafe_code, reason = "an object of a class made from slots")]
fn piece<'py>(py: Python<'py>, value: &Arc<PinnedValue>, slice: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let class = class(py)?.as_type_ptr();
    // SAFETY: objects of this class have the size of a `Piece`. All fields are written before other
    // code gets a reference.
    unsafe {
        let object = Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(class, 0))?;
        let piece = object.as_ptr().cast::<Piece>();
        (&raw mut (*piece).value).write(ManuallyDrop::new(Handle::new(Arc::clone(value))));
        (&raw mut (*piece).start).write(slice.as_ptr());
        (&raw mut (*piece).length).write(slice.len());
        Ok(object)
    }
}

/// Exports the slice, read-only. Returns -1 if it raised an error.
#[expect(unsafe_code, reason = "CPython calls it")]
unsafe extern "C" fn get_buffer(object: *mut ffi::PyObject, buffer: *mut Buffer, flags: c_int) -> c_int {
    let requests = |flag| flags & flag == flag;
    // SAFETY: CPython passes a live object of the class and a buffer to fill in. The slice lives as
    // long as the object, and the buffer holds a reference to it. Shape and strides point into the
    // buffer, as PyBuffer_FillInfo does it.
    unsafe {
        if requests(request::WRITABLE) {
            (*buffer).owner = ptr::null_mut();
            PyBufferError::new_err("a view of a cached value is read-only")
                .restore(Python::assume_attached());
            return -1;
        }
        let piece = object.cast::<Piece>();
        ffi::Py_INCREF(object);
        buffer.write(Buffer {
            start: (*piece).start.cast_mut().cast(),
            owner: object,
            length: (*piece).length.cast_signed(),
            item_size: 1,
            read_only: 1,
            dimensions: 1,
            format: if requests(request::FORMAT) { c"B".as_ptr().cast_mut().cast() } else { ptr::null_mut() },
            shape: if requests(request::SHAPE) { &raw mut (*buffer).length } else { ptr::null_mut() },
            strides: if requests(request::STRIDES) { &raw mut (*buffer).item_size } else { ptr::null_mut() },
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
        });
    }
    0
}

/// Releases the value and frees the object.
#[expect(unsafe_code, reason = "CPython calls it")]
unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, without other references to the object. `piece` allocated
    // the object, which holds a reference to the class.
    unsafe {
        let class = ffi::Py_TYPE(object);
        let value = ManuallyDrop::take(&mut (*object.cast::<Piece>()).value);
        // A panic that left this function would abort the process. The panic hook has reported it.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(value)));
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}
