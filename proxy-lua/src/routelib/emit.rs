//! Writes recorded pools and routes as a configuration in TOML.

use std::path::Path;

use memcache_core::internal::config::SourceText;

use super::fault::{Found, fail};
use super::pools;
use super::routes::Routes;
use super::text::Text;
use super::vm::Recorded;

/// Writes a configuration.
pub(super) fn emit(recorded: &Recorded, file: &Path) -> Found<SourceText> {
    let mut text = Text::default();
    let pools = pools::emit(recorded, &mut text)?;
    text.push("[routes]", 1);
    let Some(call) = recorded.routes.last() else {
        return fail(1, "there is no routes{ … }: it says which route a request takes");
    };
    if let [_, second, ..] = &recorded.routes[..] {
        return fail(second.line, "routes{ … } must be called once");
    }
    let root = Routes::new(recorded, &pools, &mut text).root(call)?;
    // Tables come last in TOML.
    text.push_first(format!("route = {root}"), call.line);
    Ok(text.finish(file))
}
