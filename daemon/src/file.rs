//! Files that flags name, and that are read at once.

use std::path::Path;

use memcache_core::internal::base::file;

use crate::failure::Failure;

/// Most bytes of such a file.
const MOST: u64 = 1 << 20;

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    file::read(path, MOST).map_err(|why| unread(path, &why))
}

/// Reads a text.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    file::read_text(path, MOST).map_err(|why| unread(path, &why))
}

fn unread(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("{}: cannot be read: {why}", path.display()))
}
