//! Values of settings, as Python passes them. The table of the core checks them.

use memcache_core::Value;
use memcache_embed::{cluster, settings};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyMapping, PyString};

use crate::errors;

/// The value of a setting.
struct Setting(Value);

impl<'a, 'py> FromPyObject<'a, 'py> for Setting {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            Ok(Self(Value::None))
        } else if object.is_instance_of::<PyBool>() {
            object.extract::<bool>().map(|on| Self(on.into()))
        } else if object.is_instance_of::<PyInt>() {
            Whole::extract(object).map(|number| Self(number.0))
        } else if object.is_instance_of::<PyFloat>() {
            object.extract::<f64>().map(|number| Self(number.into()))
        } else if object.is_instance_of::<PyString>() {
            object.extract::<String>().map(|text| Self(text.into()))
        } else if let Ok(list) = object.extract::<Vec<i128>>() {
            Ok(Self(Value::List(list)))
        } else {
            let text = "a setting must be a bool, an int, a float, a str or a list of int";
            Err(PyTypeError::new_err(text))
        }
    }
}

/// The value of a setting that is a whole number. A number beyond 128 bits is their largest or
/// smallest.
pub struct Whole(pub Value);

impl<'a, 'py> FromPyObject<'a, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract() {
            Ok(number) => Ok(Self(Value::Integer(number))),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(Value::Integer(if object.lt(0)? { i128::MIN } else { i128::MAX })))
            }
            Err(error) => Err(error),
        }
    }
}

/// Settings by name.
#[derive(Clone, Default)]
pub struct Settings(pub settings::Settings);

impl<'a, 'py> FromPyObject<'a, 'py> for Settings {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let pairs = object.cast::<PyMapping>()?.items()?;
        let pairs = pairs.iter().map(|pair| pair.extract::<(String, Setting)>());
        Ok(Self(pairs.map(|pair| pair.map(|(name, value)| (name, value.0))).collect::<PyResult<_>>()?))
    }
}

/// Returns the configuration of a proxy before nodes, each ``HOST:PORT``.
#[pyfunction]
pub fn cluster_proxy(route: Option<&str>, nodes: Vec<String>) -> String {
    cluster::proxy_config(route, &nodes)
}

/// Checks settings of a server, each alone. Returns the names of those that a cache has.
#[pyfunction]
pub fn check_settings(settings: Settings) -> PyResult<Vec<String>> {
    let names = settings.0.iter().map(|(name, _)| name.clone());
    let of_cache = names.filter(|name| settings::is_of_cache(name)).collect();
    settings::check(settings.0).map_err(|e| errors::bad_setting(&e))?;
    Ok(of_cache)
}
