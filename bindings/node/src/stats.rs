//! Statistics as an object. Whole numbers are numbers, and other values are strings.

use memcache_embed::stats::{StatValue, UnknownGroup};
use napi::Env;
use napi::bindgen_prelude::Object;

use crate::errors::{self, Failure};

/// A group of statistics, or the reason why there is none.
pub type Listed = Result<Vec<(String, StatValue)>, UnknownGroup>;

/// Makes an object of a group of statistics.
pub fn object(env: &Env, listed: Listed) -> Result<Object<'_>, Failure> {
    let listed = listed.map_err(|error| errors::bad_argument(error.to_string()))?;
    let fill = || {
        let mut object = Object::new(env)?;
        for (name, value) in listed {
            match value {
                StatValue::Number(number) => object.set(name, number as f64)?,
                StatValue::Text(text) => object.set(name, text)?,
            }
        }
        Ok(object)
    };
    fill().map_err(|_: napi::Error| errors::no_object())
}
