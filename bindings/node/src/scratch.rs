//! A directory for a server's own files: made with it, gone with it, however
//! its environment ends.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory that only its owner may look into.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one among the temporary files.
    pub fn make() -> io::Result<Self> {
        loop {
            let number = RandomState::new().build_hasher().finish();
            let path = std::env::temp_dir().join(format!("memcache-rs-{number:016x}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(path)),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
