//! A list of nodes that a client uploads by `config set cluster`.

use crate::protocol::text;
use crate::state::Cluster;

/// A text that a client is uploading.
#[derive(Debug)]
pub struct NodesUpload {
    flags: u32,
    /// At most [`crate::state::cluster::TEXT_MAX`].
    length: usize,
    /// The part of the text and its line end that has arrived. The buffer has room for all of it.
    bytes: Vec<u8>,
}

impl NodesUpload {
    /// Returns an upload of `length` bytes. `bytes` has room for them and a line end.
    pub(super) fn new(flags: u32, length: usize, bytes: Vec<u8>) -> Self {
        Self { flags, length, bytes }
    }

    /// Takes bytes of the text. Returns the number of bytes used.
    pub fn take(&mut self, rest: &[u8]) -> usize {
        let missing = self.length + 2 - self.bytes.len();
        let used = rest.get(..missing).unwrap_or(rest);
        self.bytes.extend_from_slice(used);
        used.len()
    }

    /// Stores the text if it is complete, and replies.
    pub fn finish(&mut self, cluster: &Cluster) -> Option<&'static str> {
        let (_, end) = self.bytes.split_at_checked(self.length)?;
        if end.len() < 2 {
            return None;
        }
        if end != b"\r\n" {
            return Some(text::BAD_CHUNK);
        }
        let mut text = std::mem::take(&mut self.bytes);
        text.truncate(self.length);
        cluster.set_text(self.flags, text);
        Some("STORED")
    }
}
