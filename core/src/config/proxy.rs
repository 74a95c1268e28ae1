//! The configuration of a proxy.

use std::path::PathBuf;

/// The source of a proxy's configuration, as TOML. docs/proxy.md describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyConfig {
    /// A file.
    File(PathBuf),
    /// The text itself.
    Text(String),
}
