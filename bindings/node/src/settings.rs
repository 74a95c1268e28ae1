//! Values of settings, as JavaScript passes them. The table of the core checks them.

use memcache_core::{CacheConfig, Value};
use memcache_embed::settings;
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

/// Converts settings to those of the core.
pub fn convert(settings: &[Setting]) -> settings::Settings {
    settings.iter().map(|setting| (snake(&setting.name), setting.value())).collect()
}

/// Returns whether two caches differ in a setting.
pub fn differs(one: &CacheConfig, other: &CacheConfig, setting: &Setting) -> bool {
    let name = snake(&setting.name);
    one.get(&name) != other.get(&name)
}

/// Checks settings of a server, each alone. Returns the names of those that a cache has.
pub fn check(given: Vec<Setting>) -> Result<Vec<String>, Failure> {
    settings::check(convert(&given)).map_err(|e| errors::bad_setting(&e))?;
    let names = given.into_iter().map(|setting| setting.name);
    Ok(names.filter(|name| settings::is_of_cache(&snake(name))).collect())
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
