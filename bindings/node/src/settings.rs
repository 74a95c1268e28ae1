//! Values of settings, as JavaScript passes them. The table of the core checks them.

use memcache_core::internal::config::Scope;
use memcache_core::{CacheConfig, ConfigError, ServerConfig, Value};
use napi::bindgen_prelude::Either4;
use napi_derive::napi;

use crate::errors::{self, Failure};

/// A setting: its name in JavaScript and its value.
#[napi(object)]
#[derive(Clone)]
pub struct Setting {
    pub name: String,
    pub value: Either4<bool, f64, String, Vec<f64>>,
}

impl Setting {
    fn value(&self) -> Value {
        match &self.value {
            Either4::A(on) => (*on).into(),
            Either4::B(number) => (*number).into(),
            Either4::C(text) => text.as_str().into(),
            Either4::D(list) => Value::List(list.iter().map(|number| *number as i128).collect()),
        }
    }
}

/// Sets the settings of a cache.
pub fn set_cache(config: &mut CacheConfig, settings: &[Setting]) -> Result<(), Failure> {
    set(settings, |name, value| config.set(name, value))
}

/// Sets the settings of a server.
pub fn set_server(config: &mut ServerConfig, settings: &[Setting]) -> Result<(), Failure> {
    set(settings, |name, value| config.set(name, value))
}

fn set(
    settings: &[Setting],
    mut set: impl FnMut(&str, Value) -> Result<(), ConfigError>,
) -> Result<(), Failure> {
    settings.iter().try_for_each(|setting| {
        set(&snake(&setting.name), setting.value()).map_err(|e| errors::bad_setting(&e))
    })
}

/// Returns whether a cache has the setting.
fn is_of_cache(setting: &Setting) -> bool {
    let name = snake(&setting.name);
    ServerConfig::rows().any(|row| row.name == name && row.scope == Scope::Cache)
}

/// Returns whether two caches differ in a setting.
pub fn differs(one: &CacheConfig, other: &CacheConfig, setting: &Setting) -> bool {
    let name = snake(&setting.name);
    one.get(&name) != other.get(&name)
}

/// Checks settings of a server, each alone. Returns the names of those that a cache has.
pub fn check(settings: Vec<Setting>) -> Result<Vec<String>, Failure> {
    set_server(&mut ServerConfig::default(), &settings)?;
    Ok(settings.into_iter().filter(is_of_cache).map(|setting| setting.name).collect())
}

/// Returns the name of a setting in the core.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
