//! A temporary directory for a server's own files.
//!
//! The directory is removed with its server. If a signal ends the process, the next server that
//! makes a directory removes it. Each directory holds a file `lock`, which its process keeps
//! locked. The system releases the lock when the process ends, so an unlocked file marks a
//! leftover.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "memcache-rs-";
const LOCK: &str = "lock";

/// A directory that only its owner can access.
pub struct TempDir {
    path: PathBuf,
    /// Locked. Closed after the directory was removed.
    _lock: File,
}

impl TempDir {
    /// Creates a directory, and removes those that ended processes of this user have left.
    pub fn create() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        remove_leftovers(&parent);
        loop {
            let number = RandomState::new().build_hasher().finish();
            let path = parent.join(format!("{PREFIX}{number:016x}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            }
            let name = path.join(LOCK);
            let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name);
            match lock {
                // Another process may have removed it before it was locked.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    let _ = fs::remove_dir(&path);
                    return Err(e);
                }
                Ok(lock) if lock.try_lock().is_ok() && name.exists() => {
                    return Ok(Self { path, _lock: lock });
                }
                Ok(_) => {}
            }
        }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A later server removes a directory that cannot be removed now.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories of ended processes, as far as the system allows it.
fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        // Not a link, and not a directory of another user.
        let own = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == user());
        if !own {
            continue;
        }
        if let Ok(lock) = File::open(path.join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Returns the effective user of this process.
fn user() -> u32 {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: it has no arguments and cannot fail.
    unsafe {
        libc::geteuid()
    }
}
