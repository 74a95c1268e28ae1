//! Values that are not bytes: how they become bytes, and the client flags that name their type.
//!
//! ```text
//!   flags   bytes of the item             written by
//!       0   the bytes                     "pickle", "json", clients
//!       1   a pickle                      "pickle", clients of Python
//!       2   a whole number, in decimal    "pickle", "json", incr and decr with initial, clients
//!       4   the same                      clients only
//!      16   text in UTF-8                 "pickle", "json", clients
//!      32   JSON                          "json"
//!      64   the result of the function    a pair of functions
//! ```
//!
//! The flags up to 16 are those of python-memcached, which pymemcache and pylibmc share. A reader
//! accepts the plain types and its own flag. So a cache with `"json"` never unpickles.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::bytes_like::{BytesLike, bytes_like};
use crate::errors;

const BYTES: u32 = 0;
const PICKLE: u32 = 1;
const INTEGER: u32 = 1 << 1;
const LONG: u32 = 1 << 2;
const TEXT: u32 = 1 << 4;
const JSON: u32 = 1 << 5;
const PAIR: u32 = 1 << 6;

/// Converts values to bytes with flags, and back.
pub struct Serializer {
    dumps: Py<PyAny>,
    loads: Py<PyAny>,
    /// The flag of the values that `dumps` made.
    mark: u32,
}

impl Serializer {
    /// Returns another owner of the same functions.
    pub fn another(&self, py: Python<'_>) -> Self {
        Self { dumps: self.dumps.clone_ref(py), loads: self.loads.clone_ref(py), mark: self.mark }
    }

    /// The flag of a number.
    pub const NUMBER: u32 = INTEGER;

    /// Returns the bytes and the flags of a value.
    pub fn dump<'a, 'py>(&self, value: &'a Bound<'py, PyAny>) -> PyResult<(BytesLike<'a, 'py>, u32)> {
        if self.mark != PAIR {
            // Subclasses are not their base: pickle restores them.
            if let Ok(bytes) = value.cast_exact::<PyBytes>() {
                return Ok((BytesLike::Lent(bytes.as_bytes()), BYTES));
            }
            if let Ok(text) = value.cast_exact::<PyString>() {
                return Ok((BytesLike::Lent(text.to_str()?.as_bytes()), TEXT));
            }
            if let Ok(number) = value.cast_exact::<PyInt>() {
                let digits = PyBytes::new(value.py(), number.str()?.to_str()?.as_bytes());
                return Ok((BytesLike::Copied(digits), INTEGER));
            }
        }
        let made = self.dumps.bind(value.py()).call1((value,))?;
        let bytes = match made.cast_into_exact::<PyBytes>() {
            Ok(bytes) => bytes,
            Err(other) => {
                let made = other.into_inner();
                PyBytes::new(value.py(), &bytes_like(&made, "the result of serializer")?)
            }
        };
        Ok((BytesLike::Copied(bytes), self.mark))
    }

    /// Returns the value of bytes with these flags.
    pub fn load<'py>(&self, data: Bound<'py, PyBytes>, flags: u32) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        match flags {
            BYTES => Ok(data.into_any()),
            TEXT => PyString::from_encoded_object(data.as_any(), Some(c"utf-8"), None).map(Bound::into_any),
            INTEGER | LONG => py.get_type::<PyInt>().call1((data,)),
            _ if flags == self.mark => self.loads.bind(py).call1((data,)),
            _ => Err(errors::bad_flags(flags, self.mark)),
        }
    }

    /// Visits the functions for the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.dumps)?;
        visit.call(&self.loads)
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Serializer {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let of_module = |name: &str, mark| {
            let module = object.py().import(name)?;
            Ok(Self {
                dumps: module.getattr("dumps")?.unbind(),
                loads: module.getattr("loads")?.unbind(),
                mark,
            })
        };
        if let Ok(name) = object.cast::<PyString>() {
            match name.to_str()? {
                "pickle" => return of_module("pickle", PICKLE),
                "json" => return of_module("json", JSON),
                _ => {}
            }
        }
        let is_pair =
            |pair: &Bound<'_, PyTuple>| pair.len() == 2 && pair.iter().all(|part| part.is_callable());
        match object.cast::<PyTuple>() {
            Ok(pair) if is_pair(&pair) => {
                Ok(Self { dumps: pair.get_item(0)?.unbind(), loads: pair.get_item(1)?.unbind(), mark: PAIR })
            }
            _ => Err(PyTypeError::new_err(format!(
                "serializer must be \"json\", \"pickle\" or a pair of functions, got {}",
                object.repr()?
            ))),
        }
    }
}
