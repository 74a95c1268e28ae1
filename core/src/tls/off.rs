//! Stands for this module without the feature `tls`: types without values, so that no code for TLS
//! is compiled in.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{ConfigError, ConfigRule, StartError};
use crate::config::{TlsConfig, TlsMode};

mod client_files;
mod stats;

pub use self::client_files::ClientFiles;
pub use self::stats::TlsStats;

/// Stands for the rules of a connection; has no values.
pub(crate) type Rules = Infallible;

/// Stands for the rules of connections to servers; has no values.
pub type ClientRules = Infallible;

/// Refuses the files.
///
/// # Errors
/// Always.
pub fn client_rules(_: &ClientFiles, _: &Path) -> Result<Arc<ClientRules>, String> {
    Err("this build is without the feature tls".into())
}

/// Stands for certificates and keys; has no values.
#[derive(Debug)]
pub struct Tls {
    never: Infallible,
    /// Counters.
    pub stats: TlsStats,
}

impl Tls {
    /// Refuses the settings.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &TlsConfig) -> Result<Self, StartError> {
        let message = "tls must not be set: this build is without the feature tls";
        Err(ConfigError::new("tls", ConfigRule::Range, message).into())
    }

    /// Is never called.
    pub fn notes(&self) -> &[String] {
        match self.never {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// Never.
    pub fn reload(&self, _: u32) -> Result<(), String> {
        match self.never {}
    }

    /// Is never called.
    pub fn refreshed(&self) -> u32 {
        match self.never {}
    }

    pub(crate) fn loaded_at(&self, _: u32) {
        match self.never {}
    }

    pub(crate) fn rules(&self, _: TlsMode) -> Option<Arc<Rules>> {
        match self.never {}
    }
}
