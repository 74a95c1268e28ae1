//! Errors, as enums. The encoders and the faces turn them into reply texts, errno values and
//! exceptions. The texts of [`ConfigError`] are memcached's if memcached has the rule.

use std::borrow::Cow;
use std::path::PathBuf;
use std::{fmt, io};

/// Returns the text of `strerror`, without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    text
}

/// A kind of rule that a setting breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigRule {
    /// There is no setting of that name.
    Name,
    /// The value has another type.
    Type,
    /// The value is out of the range of its setting.
    Range,
    /// Two settings contradict each other.
    Conflict,
}

/// The reason why a server has not taken over another configuration of its proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReloadError {
    /// The server has no proxy.
    NoProxy,
    /// The configuration, or a file that it names, cannot be read or used. The line says which.
    Configuration(String),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProxy => f.write_str("the server has no proxy"),
            Self::Configuration(line) => f.write_str(line),
        }
    }
}

impl std::error::Error for ReloadError {}

/// The mistake of a proxy's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyError {
    /// The file; `None` if the configuration is a text.
    pub file: Option<PathBuf>,
    /// The line of the mistake, from 1; `None` if the file cannot be read.
    pub line: Option<usize>,
    /// The name in the configuration, the mistake, and what is allowed.
    pub message: String,
}

impl ProxyError {
    /// Returns the mistake of a configuration that another crate of this workspace reads.
    #[doc(hidden)]
    pub fn new(file: PathBuf, line: Option<usize>, message: String) -> Self {
        Self { file: Some(file), line, message }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: {}", file.display(), self.message),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.message),
            (None, Some(line)) => write!(f, "proxy: line {line}: {}", self.message),
            (None, None) => write!(f, "proxy: {}", self.message),
        }
    }
}

impl std::error::Error for ProxyError {}

/// An invalid setting. Its text is the message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The name of the setting, or of the first if two contradict each other.
    pub setting: Cow<'static, str>,
    /// The rule that is broken.
    pub rule: ConfigRule,
    /// The message, which names the setting. It is memcached's if memcached has the rule.
    pub message: String,
}

impl ConfigError {
    /// Returns the error of a setting.
    pub(crate) fn new(
        setting: impl Into<Cow<'static, str>>,
        rule: ConfigRule,
        message: impl Into<String>,
    ) -> Self {
        Self { setting: setting.into(), rule, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A cache or a server could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Invalid settings.
    Config(ConfigError),
    /// Address space for the items could not be reserved.
    Memory(io::Error),
    /// A file that the settings name cannot be used: passwords, a certificate or a key. The text
    /// names it and the reason.
    File(String),
    /// The configuration of a proxy cannot be used.
    Proxy(ProxyError),
    /// The server could not listen on an address. The text names it.
    Listen(String, io::Error),
    /// The system allows the process fewer open files than
    /// [`crate::config::ServerConfig::max_connections`].
    Descriptors {
        /// `max_connections`.
        wanted: usize,
        /// Open files that are allowed (`ulimit -Hn`).
        allowed: usize,
    },
    /// The system refused a thread or an event queue.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(e) => e.fmt(f),
            Self::Memory(e) => write!(f, "failed to reserve memory for items: {e}"),
            Self::File(text) => f.write_str(text),
            Self::Proxy(e) => e.fmt(f),
            Self::Listen(what, e) => write!(f, "failed to listen on {what}: {e}"),
            Self::Descriptors { wanted, allowed } => {
                write!(
                    f,
                    "max_connections must be at most {allowed}, the open files that the system allows, got {wanted}"
                )
            }
            Self::System(e) => write!(f, "failed to start: {e}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(e) => Some(e),
            Self::Memory(e) | Self::Listen(_, e) | Self::System(e) => Some(e),
            Self::Proxy(e) => Some(e),
            Self::File(_) | Self::Descriptors { .. } => None,
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(e: ConfigError) -> Self {
        Self::Config(e)
    }
}

/// A server did not stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// These threads had not ended [`crate::server::STOP_PATIENCE`] after the stop. They are left
    /// behind, with the memory and callbacks they use.
    Stuck(Vec<String>),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck(threads) => {
                write!(f, "the server did not stop in time: threads left behind: {}", threads.join(", "))
            }
        }
    }
}

impl std::error::Error for StopError {}

/// Memory for an item was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// The item is larger than [`crate::config::CacheConfig::item_size_max`].
    TooLarge,
    /// There is no memory, and no item may be evicted.
    NoMemory,
}

/// An incr or decr failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaError {
    /// There is no such item.
    NotFound,
    /// The value is not a decimal number of 64 bits.
    NonNumeric,
    /// The item's CAS differs from the one given.
    CasMismatch,
    /// There is no memory for the new value.
    NoMemory,
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the item must be at most item_size_max",
            Self::NoMemory => "there is no memory for the item",
        })
    }
}

impl std::error::Error for AllocError {}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such item",
            Self::NonNumeric => "the value is not a decimal number",
            Self::CasMismatch => "the item's CAS is another",
            Self::NoMemory => "there is no memory for the new value",
        })
    }
}

impl std::error::Error for DeltaError {}

/// A value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The key does not have 1 to 250 bytes.
    BadKey,
    /// Larger than [`crate::config::CacheConfig::item_size_max`].
    TooLarge,
    /// No memory, and nothing may be evicted.
    NoMemory,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadKey => f.write_str("key must have 1 to 250 bytes"),
            Self::TooLarge => AllocError::TooLarge.fmt(f),
            Self::NoMemory => AllocError::NoMemory.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<AllocError> for StoreError {
    fn from(e: AllocError) -> Self {
        match e {
            AllocError::TooLarge => Self::TooLarge,
            AllocError::NoMemory => Self::NoMemory,
        }
    }
}
