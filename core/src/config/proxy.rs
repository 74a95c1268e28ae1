//! The configuration of a proxy.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The source of a proxy's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyConfig {
    /// A file with TOML. docs/proxy.md describes it.
    File(PathBuf),
    /// The text of such a file.
    Text(String),
    /// A proxy that another crate of this workspace makes.
    #[doc(hidden)]
    Program(ProxyProgram),
}

/// A proxy that another crate makes. The layer `proxy` knows its type.
#[derive(Clone)]
pub struct ProxyProgram(pub(crate) Arc<dyn Any + Send + Sync>);

impl fmt::Debug for ProxyProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyProgram")
    }
}

/// A program is equal to itself only.
impl PartialEq for ProxyProgram {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ProxyProgram {}
