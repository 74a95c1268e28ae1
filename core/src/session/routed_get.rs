//! A get for backends whose keys have not all arrived.

use crate::proxy::request::ClientRequest;

/// A get of any number of keys, which were not all received.
pub(super) struct RoutedGet {
    pub(super) command: &'static str,
    pub(super) exptime: Option<i32>,
    pub(super) requests: Vec<ClientRequest>,
}

impl RoutedGet {
    /// Returns a get without keys.
    pub(super) fn new(with_cas: bool, exptime: Option<i32>) -> Self {
        let command = match (exptime.is_some(), with_cas) {
            (false, false) => "get",
            (false, true) => "gets",
            (true, false) => "gat",
            (true, true) => "gats",
        };
        Self { command, exptime, requests: Vec::new() }
    }

    /// Returns the bytes of its keys.
    pub(super) fn held(&self) -> usize {
        self.requests.iter().map(ClientRequest::held).sum()
    }
}
