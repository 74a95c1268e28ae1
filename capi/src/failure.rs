//! Failures: a status, and where it helps a text of their own.

use memcache_core::internal::base::error::AllocError;
use memcache_core::{ConfigError, DeltaError, StartError, StopError};

use crate::status::mcrs_status;

/// Why a call does not return MCRS_OK.
pub(crate) enum Failure {
    /// The status says it all.
    Plain(mcrs_status),
    /// A status and a text of its own.
    Text(mcrs_status, String),
}

/// How a body ends.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Adds the name of the argument that was refused.
    #[cold]
    pub(crate) fn named(self, argument: &str) -> Self {
        match self {
            Self::Plain(status @ mcrs_status::MCRS_NULL_ARGUMENT) => {
                Self::Text(status, format!("{argument} must not be NULL"))
            }
            Self::Text(status, text) => Self::Text(status, format!("{argument} {text}")),
            other @ Self::Plain(_) => other,
        }
    }
}

impl From<mcrs_status> for Failure {
    fn from(status: mcrs_status) -> Self {
        Self::Plain(status)
    }
}

impl From<AllocError> for Failure {
    fn from(error: AllocError) -> Self {
        Self::Plain(match error {
            AllocError::TooLarge => mcrs_status::MCRS_TOO_LARGE,
            AllocError::NoMemory => mcrs_status::MCRS_NO_MEMORY,
        })
    }
}

impl From<DeltaError> for Failure {
    fn from(error: DeltaError) -> Self {
        Self::Plain(match error {
            DeltaError::NotFound => mcrs_status::MCRS_NOT_FOUND,
            DeltaError::NonNumeric => mcrs_status::MCRS_NOT_A_NUMBER,
            DeltaError::CasMismatch => mcrs_status::MCRS_EXISTS,
            // Out of memory, and kinds that a later version may add.
            _ => mcrs_status::MCRS_NO_MEMORY,
        })
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Text(mcrs_status::MCRS_INVALID_ARGUMENT, error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let status = match &error {
            StartError::Config(_) => mcrs_status::MCRS_INVALID_ARGUMENT,
            StartError::Proxy(mistake) if mistake.file.is_none() => mcrs_status::MCRS_INVALID_ARGUMENT,
            StartError::File(_) | StartError::Proxy(_) => mcrs_status::MCRS_BAD_FILE,
            StartError::Listen(..) => mcrs_status::MCRS_LISTEN_FAILED,
            // The system refused memory, descriptors or a thread.
            _ => mcrs_status::MCRS_SYSTEM_ERROR,
        };
        Self::Text(status, error.to_string())
    }
}

impl From<StopError> for Failure {
    fn from(error: StopError) -> Self {
        Self::Text(mcrs_status::MCRS_TIMED_OUT, error.to_string())
    }
}

/// An argument that is not allowed.
pub(crate) fn invalid(text: impl Into<String>) -> Failure {
    Failure::Text(mcrs_status::MCRS_INVALID_ARGUMENT, text.into())
}
