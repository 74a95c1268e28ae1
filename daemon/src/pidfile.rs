//! The file that holds the process id (`-P`). A failure prints a warning and does not stop the
//! daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use memcache_core::internal::base::file::read_text;
use memcache_core::internal::base::stderr::write_line;

use crate::failure::reason;
use crate::number::whole;
use crate::process::is_running;

/// Most bytes of an older file.
const LONGEST: u64 = 1000;

/// A pid file of this process. Dropping it removes the file.
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the id of this process under a temporary name and renames the file, so that a reader
    /// never finds it empty. Returns `None` if that fails.
    pub fn write(path: &Path) -> Option<Self> {
        if let Some(pid) = running_owner(path) {
            write_line(&format!("WARNING: The pid file contained the following (running) pid: {pid}"));
        }
        let temporary = with_suffix(path, ".tmp");
        if let Err(e) = fs::write(&temporary, format!("{}\n", process::id())) {
            let name = temporary.display();
            write_line(&format!("Could not open the pid file {name} for writing: {}", reason(&e)));
            return None;
        }
        if let Err(e) = fs::rename(&temporary, path) {
            let (from, to) = (temporary.display(), path.display());
            write_line(&format!("Could not rename the pid file from {from} to {to}: {}", reason(&e)));
            return None;
        }
        Some(Self { path: path.to_owned() })
    }

    /// Leaves the file to the next program of this process.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_file(&self.path) {
            write_line(&format!("Could not remove the pid file {}: {}", self.path.display(), reason(&e)));
        }
    }
}

/// Returns the process id in an older file if that process still runs.
fn running_owner(path: &Path) -> Option<i32> {
    let text = read_text(path, LONGEST).ok()?;
    let pid = whole(text.lines().next()?)?;
    (pid != process::id() as i32 && is_running(pid)).then_some(pid)
}

/// Appends `suffix` to `path`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("memcached-rs-{}-{name}", process::id()))
    }

    #[test]
    fn written_and_removed() {
        let path = scratch("pid");
        let file = PidFile::write(&path);
        assert_eq!(fs::read_to_string(&path).ok(), Some(format!("{}\n", process::id())));
        // The process that continues as a newer version writes its own id again.
        assert_eq!(running_owner(&path), None);
        assert!(fs::write(&path, "1\n").is_ok());
        assert_eq!(running_owner(&path).is_some(), is_running(1));
        drop(file);
        assert!(!path.exists());
        assert!(!with_suffix(&path, ".tmp").exists());
    }

    #[test]
    fn stale_file_is_replaced() {
        let path = scratch("stale");
        assert!(fs::write(&path, "2147483647\n").is_ok());
        assert_eq!(running_owner(&path), None);
        drop(PidFile::write(&path));
        assert!(!path.exists());
    }

    #[test]
    fn unwritable_place_is_survived() {
        assert!(PidFile::write(Path::new("/nonexistent-directory/pid")).is_none());
    }
}
