//! A build without Lua.

use memcache_core::ProxyConfig;

use crate::failure::Failure;

/// Refuses a configuration in Lua.
pub fn proxy(_files: &str, _argument: Option<String>) -> Result<ProxyConfig, Failure> {
    Err(Failure::usage("-o proxy_config: FILE must end in .toml, Lua is not built in"))
}
