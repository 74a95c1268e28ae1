//! The proxy with a configuration in Lua (`-o proxy_config`, `-o proxy_arg`).

use memcache_core::ProxyConfig;
use memcache_core::internal::config::ProxySource;
use memcache_proxy_lua::{LuaProxy, Sources, routelib};

use crate::failure::Failure;

/// The name of the language whose configuration the argument names.
const ROUTELIB: &str = "routelib";

/// Returns the proxy of these files, which are separated by `:`.
pub fn proxy(files: &str, argument: Option<String>) -> Result<ProxyConfig, Failure> {
    if files == ROUTELIB {
        let needs = || Failure::usage("-o proxy_config=routelib needs -o proxy_arg=FILE");
        let file = std::path::PathBuf::from(argument.ok_or_else(needs)?);
        let file = std::path::absolute(&file).unwrap_or(file);
        return Ok(ProxyConfig::Source(ProxySource::new(file, routelib::load)));
    }
    // Detaching from the terminal changes the directory.
    let absolute = |name: &str| {
        std::path::absolute(name).map_or_else(|_| name.to_owned(), |path| path.display().to_string())
    };
    let files = files.split(':').filter(|name| !name.is_empty()).map(absolute).collect();
    Ok(LuaProxy::new(Sources { files, argument }).config())
}
