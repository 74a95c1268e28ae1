//! Where the configuration of a proxy is.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::setting::{Field, Value};
use crate::base::error::ProxyError;

/// The end of the name of a file.
const FILE: &str = ".toml";

/// Returns whether a file of this name is a configuration in TOML. Any other one is in Lua.
pub fn is_toml(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().ends_with(FILE.as_bytes())
}

/// Returns what to add to the message about a text that is not Lua: a hint if it has a table of a
/// configuration in TOML.
pub fn hint_of_toml(text: &[u8]) -> &'static str {
    const TABLES: [&[u8]; 4] = [b"[pools", b"[routes", b"[listeners", b"[names"];
    let is_table = |line: &[u8]| TABLES.iter().any(|table| line.trim_ascii_start().starts_with(table));
    if text.split(|byte| *byte == b'\n').any(is_table) {
        "; the name of a configuration in TOML ends in .toml"
    } else {
        ""
    }
}

/// The source of a proxy's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyConfig {
    /// A file with TOML. docs/proxy.md describes it.
    File(PathBuf),
    /// The text of such a file.
    Text(String),
    /// A text that another crate of this workspace makes, each time it is read.
    #[doc(hidden)]
    Source(ProxySource),
    /// A proxy that another crate of this workspace makes.
    #[doc(hidden)]
    Program(ProxyProgram),
}

type Make = dyn Fn(&Path) -> Result<SourceText, ProxyError> + Send + Sync;

/// The maker of a text.
#[derive(Clone)]
pub struct ProxySource {
    file: PathBuf,
    make: Arc<Make>,
}

/// A text that was made from another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The text.
    pub text: String,
    /// The other file.
    pub file: PathBuf,
    /// For each line of the text, that of the other file.
    pub lines: Vec<usize>,
}

impl ProxySource {
    /// Returns the source of the texts that `make` makes from `file`.
    pub fn new(
        file: PathBuf,
        make: impl Fn(&Path) -> Result<SourceText, ProxyError> + Send + Sync + 'static,
    ) -> Self {
        Self { file, make: Arc::new(make) }
    }

    /// Returns the other file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Makes the text.
    ///
    /// # Errors
    /// The mistake in the other file.
    pub fn make(&self) -> Result<SourceText, ProxyError> {
        (self.make)(&self.file)
    }
}

impl fmt::Debug for ProxySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxySource")
    }
}

/// A source is equal to itself only.
impl PartialEq for ProxySource {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.make, &other.make)
    }
}

impl Eq for ProxySource {}

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
        if is_toml(Path::new(text)) { Self::File(text.into()) } else { Self::Text(text.into()) }
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
            Self::Source(_) | Self::Program(_) => Value::None,
        }
    }
    fn put(&mut self, value: &Value) {
        if let Value::Text(text) = value {
            *self = text.as_str().into();
        }
    }
}
