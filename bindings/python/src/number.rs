//! Numbers as Python passes them. A number out of range is an `OutOfRangeError` that names the
//! parameter.

use std::fmt::Display;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::errors;

/// Defines a type for each parameter that is a whole number of at least 0.
macro_rules! whole {
    ($($type:ident($of:ty) = $name:literal;)*) => {$(
        #[doc = concat!("The parameter `", $name, "`.")]
        #[derive(Clone, Copy)]
        pub struct $type(pub $of);

        impl<'a, 'py> FromPyObject<'a, 'py> for $type {
            type Error = PyErr;

            fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
                object.extract().map(Self).map_err(|error| out_of_range(error, &object, $name, &<$of>::MAX))
            }
        }
    )*};
}

whole! {
    Bytes(u64) = "after";
    Cas(u64) = "cas";
    Delta(u64) = "delta";
    Flags(u32) = "flags";
    Initial(u64) = "initial";
    Most(usize) = "most";
    Times(u64) = "times";
}

#[cold]
fn out_of_range(error: PyErr, object: &Bound<'_, PyAny>, name: &str, most: &dyn Display) -> PyErr {
    if !error.is_instance_of::<PyOverflowError>(object.py()) {
        return error;
    }
    // Python refuses to convert a number of thousands of digits to text.
    let given = object.str().map_or_else(|_| "a longer number".to_owned(), |text| text.to_string());
    errors::out_of_range(&format!("{name} must be a whole number from 0 to {most}, got {given}"))
}

/// A float. A number that does not fit in an `f64` is infinite.
#[derive(Clone, Copy)]
pub struct Float(pub f64);

impl<'a, 'py> FromPyObject<'a, 'py> for Float {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(if object.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }))
            }
            Err(error) => Err(error),
        }
    }
}
