//! A temporary directory for a server's own files.
//!
//! The directory is removed with its server. If a signal ends the process, the next server that
//! makes a directory removes it. Each directory holds a file `lock`, which its process keeps
//! locked. The system releases the lock when the process ends, so an unlocked file marks a
//! leftover.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memcache_core::internal::base::fork::ForkMark;
use memcache_core::internal::base::sync::Mutex;

const PREFIX: &str = "memcache-rs-";
const LOCK: &str = "lock";

/// Most bytes in the path of a Unix socket: `sun_path` has 108, with the NUL.
const PATH_MAX: usize = 107;

/// Bytes below the parent directory: the name of a directory, and the longest file name in it.
const NAMES: usize = 40;

/// A directory that only its owner can enter.
///
/// A child of `fork` does not remove it. The child calls [`TempDir::leave`], because it shares the
/// lock.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    /// Locked, until the directory is removed or left.
    lock: Mutex<Option<File>>,
    mark: ForkMark,
}

impl TempDir {
    /// Creates a directory, and removes those that ended processes of this user have left.
    ///
    /// `usual` is the language's directory for temporary files. If its path is too long for a Unix
    /// socket, the directory is created elsewhere.
    ///
    /// # Errors
    /// The system refused to create the directory or its lock.
    pub fn create(usual: &Path) -> io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default();
        let others = [runtime.as_os_str(), OsStr::new("/tmp"), OsStr::new("/var/tmp")];
        if !is_short(usual)
            && let Some(made) = others
                .into_iter()
                .map(Path::new)
                .filter(|place| place.is_absolute() && is_short(place))
                .find_map(|place| Self::create_in(place).ok())
        {
            return Ok(made);
        }
        Self::create_in(usual)
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        loop {
            let number = RandomState::new().build_hasher().finish() as u32;
            let path = parent.join(format!("{PREFIX}{number:08x}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            }
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join(LOCK)) {
                // Another process may have removed it before it was locked.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    let _ = fs::remove_dir(&path);
                    return Err(e);
                }
                Ok(lock) if is_locked(&lock, &path) => {
                    remove_leftovers(parent, &path);
                    let lock = Mutex::new(Some(lock));
                    return Ok(Self { path, lock, mark: ForkMark::of_this_process() });
                }
                Ok(_) => {}
            }
        }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only the owner can read, and returns its path.
    ///
    /// # Errors
    /// The system refused to write it, or there is a file of this name.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// Releases the lock, and leaves the directory as it is.
    pub fn leave(&self) {
        *self.lock.lock() = None;
    }

    /// Removes the directory with its files, unless it was left.
    pub fn remove(&self) {
        if !self.mark.holds() {
            return;
        }
        let lock = self.lock.lock().take();
        if lock.is_some() {
            // A later server removes a directory that cannot be removed now.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Returns whether the path of a socket below this directory fits in its address.
fn is_short(parent: &Path) -> bool {
    parent.as_os_str().as_bytes().len() + NAMES <= PATH_MAX
}

/// Locks a directory by its open file. Returns `false` if another process holds the lock, or has
/// removed the file.
fn is_locked(lock: &File, directory: &Path) -> bool {
    let same = || Ok::<_, io::Error>(lock.metadata()?.ino() == fs::metadata(directory.join(LOCK))?.ino());
    lock.try_lock().is_ok() && same().unwrap_or(false)
}

/// Removes the directories of ended processes, as far as the system allows it. `own` is a directory
/// of this user.
fn remove_leftovers(parent: &Path, own: &Path) {
    let Ok(user) = fs::metadata(own).map(|found| found.uid()) else { return };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || path == own {
            continue;
        }
        // Not a link, and not a directory of another user.
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == user) {
            continue;
        }
        if let Ok(lock) = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path.join(LOCK))
            && is_locked(&lock, &path)
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<PathBuf> {
        fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_directory_is_removed_with_its_owner_or_by_the_next() {
        let parent = TempDir::create(&std::env::temp_dir()).unwrap();
        let inside = parent.path().join("inside");
        fs::create_dir(&inside).unwrap();
        let first = TempDir::create_in(&inside).unwrap();
        let file = first.write("key.pem", "secret").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(first.path()).unwrap().mode() & 0o777, 0o700);
        // The directory of a running process stays.
        drop(TempDir::create_in(&inside).unwrap());
        assert_eq!(names(&inside), [first.path()]);
        // A directory without a lock is a leftover.
        first.leave();
        let second = TempDir::create_in(&inside).unwrap();
        assert_eq!(names(&inside), [second.path()]);
        drop((first, second));
        assert!(names(&inside).is_empty());
    }

    #[test]
    fn links_and_other_files_are_not_removed() {
        let parent = TempDir::create(&std::env::temp_dir()).unwrap();
        let inside = parent.path().join("inside");
        let target = parent.path().join("target");
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(&target, inside.join(format!("{PREFIX}link"))).unwrap();
        fs::create_dir(inside.join("another")).unwrap();
        drop(TempDir::create_in(&inside).unwrap());
        assert_eq!(names(&inside).len(), 2);
        assert!(target.join(LOCK).exists());
    }

    #[test]
    fn a_deep_directory_is_replaced_by_a_shorter_one() {
        let parent = TempDir::create(&std::env::temp_dir()).unwrap();
        let deep = parent.path().join("d".repeat(100));
        fs::create_dir(&deep).unwrap();
        let made = TempDir::create(&deep).unwrap();
        assert!(made.path().join("memcached.sock").as_os_str().len() <= PATH_MAX);
    }
}
