//! The proxy with a configuration in Lua (`-o proxy_config`, `-o proxy_arg`).

use memcache_core::ProxyConfig;
use memcache_proxy_lua::{LuaProxy, Sources};

use crate::failure::Failure;

/// The name of the configuration that is part of the program.
const ROUTELIB: &str = "routelib";

/// Returns the proxy of these files, which are separated by `:`.
#[expect(clippy::unnecessary_wraps, reason = "a build without Lua refuses them")]
pub fn proxy(files: &str, argument: Option<String>) -> Result<ProxyConfig, Failure> {
    // Detaching from the terminal changes the directory.
    let absolute = |name: &str| match std::path::absolute(name) {
        Ok(path) if name != ROUTELIB => path.display().to_string(),
        _ => name.to_owned(),
    };
    let files = files.split(':').filter(|name| !name.is_empty()).map(absolute).collect();
    Ok(LuaProxy::new(Sources { files, argument }).config())
}
