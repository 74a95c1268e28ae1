//! Values of settings, as Python passes them. The table of the core checks them.

use std::collections::HashMap;

use memcache_core::internal::config::Scope;
use memcache_core::{CacheConfig, ConfigError, ServerConfig, Value};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::errors;

/// The value of a setting.
#[derive(Clone)]
pub struct Setting(pub Value);

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
#[derive(Clone)]
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
pub type Settings = HashMap<String, Setting>;

/// Sets the settings of a cache.
pub fn set_cache(config: &mut CacheConfig, settings: Settings) -> PyResult<()> {
    set(settings, |name, value| config.set(name, value))
}

/// Sets the settings of a server.
pub fn set_server(config: &mut ServerConfig, settings: Settings) -> PyResult<()> {
    set(settings, |name, value| config.set(name, value))
}

fn set(settings: Settings, mut set: impl FnMut(&str, Value) -> Result<(), ConfigError>) -> PyResult<()> {
    settings
        .into_iter()
        .try_for_each(|(name, value)| set(&name, value.0).map_err(|e| errors::bad_setting(&e)))
}

/// Checks settings of a server, each alone. Returns the names of those that a cache has.
#[pyfunction]
pub fn check_settings(settings: Settings) -> PyResult<Vec<&'static str>> {
    let names = |row: &'static memcache_core::internal::config::Row| {
        (row.scope == Scope::Cache && settings.contains_key(row.name)).then_some(row.name)
    };
    let cache = ServerConfig::rows().filter_map(names).collect();
    set_server(&mut ServerConfig::default(), settings)?;
    Ok(cache)
}
