//! Writes recorded pools and routes as a configuration in TOML.

use std::path::Path;

use memcache_core::internal::config::SourceText;

use super::fault::{Found, fail};
use super::pools;
use super::routes::Routes;
use super::text::{Text, quote};
use super::vm::Recorded;

/// Writes a configuration.
pub(super) fn emit(recorded: &Recorded, file: &Path) -> Found<SourceText> {
    let mut text = Text::default();
    let pools = pools::emit(recorded, &mut text)?;
    text.push("[routes]", 1);
    if recorded.routes.is_empty() {
        return fail(1, "there is no routes{ … }: it says which route a request takes");
    }
    let mut root = None;
    let mut listeners: Vec<(String, String, usize)> = Vec::new();
    let mut routes = Routes::new(recorded, &pools, &mut text);
    for call in &recorded.routes {
        let (tag, route) = routes.root(call)?;
        let is_taken = match &tag {
            Some(tag) => listeners.iter().any(|(own, ..)| own == tag),
            None => root.is_some(),
        };
        match tag {
            _ if is_taken => return fail(call.line, "routes{ … } must be called once for each tag"),
            Some(tag) => listeners.push((tag, route, call.line)),
            None => root = Some((route, call.line)),
        }
    }
    if !listeners.is_empty() {
        text.push("[listeners]", 1);
    }
    for (tag, route, line) in listeners {
        text.push(format!("{} = {route}", quote(&tag)), line);
    }
    // Without a route of its own, a listener without a tag is answered by the cache of the proxy.
    let (route, line) = root.unwrap_or_else(|| (quote("local"), 1));
    // Tables come last in TOML.
    text.push_first(format!("route = {route}"), line);
    Ok(text.finish(file))
}
