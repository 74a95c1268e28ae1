//! Where the configuration of a proxy is.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::setting::{Field, Value};

/// The end of the name of a file.
const FILE: &str = ".toml";

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

/// Takes the name of a file, which ends in `.toml`, or else the text of a configuration.
impl From<&str> for ProxyConfig {
    fn from(text: &str) -> Self {
        if text.ends_with(FILE) { Self::File(text.into()) } else { Self::Text(text.into()) }
    }
}

impl Default for ProxyConfig {
    /// Returns an empty text, with which no proxy starts.
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Field for ProxyConfig {
    fn get(&self) -> Value {
        match self {
            Self::File(path) => path.get(),
            Self::Text(text) => text.get(),
            Self::Program(_) => Value::None,
        }
    }
    fn put(&mut self, value: &Value) {
        if let Value::Text(text) = value {
            *self = text.as_str().into();
        }
    }
}
