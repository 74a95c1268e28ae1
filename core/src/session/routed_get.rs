//! A get for backends whose keys have not all arrived.

use std::sync::Arc;

use super::env::Env;
use crate::config::{Need, Rights};
use crate::proxy::request::{ClientRequest, Requests};

/// Room for keys behind the first one.
const MORE: usize = 16;

/// A get of any number of keys, which were not all received.
pub(super) struct RoutedGet {
    pub(super) command: &'static str,
    pub(super) exptime: Option<i32>,
    pub(super) requests: Requests,
    /// The rights of the client, if it does not have all of them.
    pub(super) rights: Option<Arc<Rights>>,
    /// Whether the get is sampled.
    pub(super) is_sampled: bool,
}

impl RoutedGet {
    /// Returns a get without keys: the command under way.
    pub(super) fn new(
        env: &Env<'_>,
        with_cas: bool,
        exptime: Option<i32>,
        rights: Option<Arc<Rights>>,
    ) -> Self {
        let command = word_of_get(with_cas, exptime.is_some());
        Self { command, exptime, requests: Requests::new(), rights, is_sampled: env.sampled.is_some() }
    }

    /// Adds a key.
    pub(super) fn take(&mut self, key: &[u8]) {
        if self.requests.len() == 1 {
            self.requests.reserve(MORE);
        }
        self.requests.extend(ClientRequest::part(self.command, self.exptime, key));
    }

    /// Returns whether the client may read a key.
    pub(super) fn permits(&self, key: &[u8]) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.permit(Need::Read, Some(key)))
    }

    /// Returns the bytes of its keys.
    pub(super) fn held(&self) -> usize {
        self.requests.iter().map(ClientRequest::held).sum()
    }
}

/// Returns the word of a get.
pub(super) fn word_of_get(with_cas: bool, touches: bool) -> &'static str {
    match (touches, with_cas) {
        (false, false) => "get",
        (false, true) => "gets",
        (true, false) => "gat",
        (true, true) => "gats",
    }
}
