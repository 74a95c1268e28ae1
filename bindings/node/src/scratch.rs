//! A directory for a server's own files. It goes with its server, or, where a
//! signal ended the process, when the next server makes one.
//!
//! Each directory holds a file `lock`, which its process locks as long as it
//! uses the directory. The system releases the lock when the process ends, so an
//! unlocked one marks a leftover.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "memcache-rs-";
const LOCK: &str = "lock";

/// A directory that only its owner may look into.
pub struct Scratch {
    path: PathBuf,
    /// Locked. Closed after the directory is gone.
    _lock: File,
}

impl Scratch {
    /// Makes a new one among the temporary files, and removes those that ended
    /// processes of this user have left there.
    pub fn make() -> io::Result<Self> {
        let place = std::env::temp_dir();
        sweep(&place);
        loop {
            let number = RandomState::new().build_hasher().finish();
            let path = place.join(format!("{PREFIX}{number:016x}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let name = path.join(LOCK);
            let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name);
            match lock {
                // Another process may have swept it before it was locked.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is swept later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories of ended processes. Directories that cannot be
/// removed stay.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
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

/// The user whose files these are.
fn user() -> u32 {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: it has no arguments and cannot fail.
    unsafe {
        libc::geteuid()
    }
}
