//! Loading a configuration: its files, and its function `mcp_config_pools`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Value};

use crate::api::config::Settings;
use crate::api::errors::message;
use crate::loaded::{Chunk, Loaded, Sources};
use crate::tree::Tree;
use crate::vm;

/// Reads the files of a configuration, and runs them and `mcp_config_pools`. Counters go on with
/// the values of those of `before`.
///
/// # Errors
/// memcached's line that says what failed.
pub fn load(sources: &Sources, workers: usize, before: Option<&Loaded>) -> Result<Loaded, String> {
    let mut chunks = Vec::new();
    for name in &sources.files {
        let text = std::fs::read(name)
            .map_err(|e| format!("ERROR: Failed to load proxy_startfile: cannot open {name}: {e}"))?;
        chunks.push(Chunk { name: name.clone(), text });
    }
    let settings = Rc::new(RefCell::new(Settings::default()));
    let counters = Rc::new(RefCell::new(before.map(|before| before.counters.clone()).unwrap_or_default()));
    let lua =
        vm::configuration(sources.argument.as_deref(), &settings, &counters).map_err(|e| message(&e))?;
    for chunk in &chunks {
        let function = vm::compile(&lua, chunk)
            .map_err(|e| format!("ERROR: Failed to load proxy_startfile: {}", message(&e)))?;
        function
            .call::<()>(())
            .map_err(|e| format!("ERROR: Failed to load data into lua config state: {}", message(&e)))?;
    }
    let Ok(function) = lua.globals().get::<Function>("mcp_config_pools") else {
        return Err("ERROR: Configuration file missing 'mcp_config_pools' function".into());
    };
    let pools = function.call::<Value>(Value::Nil).and_then(|result| Tree::copy(&result));
    let pools = pools.map_err(|e| format!("ERROR: Failed to execute mcp_config_pools: {}", message(&e)))?;
    let settings = settings.borrow().clone();
    let counters = counters.borrow().clone();
    let functions = before.map(|before| Arc::clone(&before.functions)).unwrap_or_default();
    Ok(Loaded { chunks, argument: sources.argument.clone(), pools, settings, workers, counters, functions })
}
