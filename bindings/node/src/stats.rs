//! Statistics as an object. Whole numbers are numbers, and other values are strings. Metrics as
//! text and as objects.

use memcache_core::internal::admin::{bound_text, metrics};
use memcache_core::internal::state::ServerState;
use memcache_core::{MetricFamily, MetricKind};
use memcache_embed::metrics::text;
use memcache_embed::stats::{StatValue, UnknownGroup};
use napi::Env;
use napi::bindgen_prelude::{Array, Object};

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

/// Returns metrics as text.
pub fn metrics_text(of: &ServerState, format: &str) -> Result<String, Failure> {
    text(of, format).map_err(|error| errors::bad_argument(error.to_string()))
}

/// Returns metrics as a list of families, in the form of `prom-client`.
pub fn metric_families<'e>(env: &'e Env, of: &ServerState) -> Result<Vec<Object<'e>>, Failure> {
    let families = metrics(of).families;
    families
        .iter()
        .map(|family| family_object(env, family))
        .collect::<napi::Result<_>>()
        .map_err(|_: napi::Error| errors::no_object())
}

fn family_object<'e>(env: &'e Env, family: &MetricFamily) -> napi::Result<Object<'e>> {
    let mut object = Object::new(env)?;
    object.set("name", family.name)?;
    object.set("help", family.help)?;
    object.set(
        "type",
        match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
            _ => "gauge",
        },
    )?;
    let mut values: Array<'e> = env.create_array(0)?;
    let mut filled = Ok(());
    family.numbers(|suffix, labels, bound, number| {
        let mut push = || {
            let mut of_sample = Object::new(env)?;
            for (name, value) in labels {
                of_sample.set(*name, value)?;
            }
            if let Some(bound) = bound {
                of_sample.set("le", bound_text(bound))?;
            }
            let mut value = Object::new(env)?;
            if !suffix.is_empty() {
                value.set("metricName", format!("{}{suffix}", family.name))?;
            }
            value.set("labels", of_sample)?;
            value.set("value", number)?;
            values.insert(value)
        };
        if filled.is_ok() {
            filled = push();
        }
    });
    filled?;
    object.set("values", values)?;
    Ok(object)
}
