//! A file that replaces another one when it is complete, and never before.
//!
//! The bytes go to `NAME.tmp` in the same directory. The lock on that file belongs to one save at a
//! time. A process that is killed leaves at most this file, and the next save uses it again.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::SnapshotError;
use super::temporary;

/// The new contents of a file. Dropping it without [`NewFile::commit`] removes them.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

impl NewFile {
    /// Begins the new contents of `path`. Only the user may read them.
    ///
    /// # Errors
    /// The directory does not allow it, or another save is under way.
    pub fn create(path: &Path) -> Result<Self, SnapshotError> {
        let path = target(path)?;
        let name = suffixed(&path, ".tmp");
        let file = temporary::take(&name, &path)?;
        let new = Self { file, path, temporary: name, committed: false };
        temporary::restrict(&new.file)
            .and_then(|()| new.file.set_len(0))
            .map_err(SnapshotError::at(&new.temporary, "truncate"))?;
        Ok(new)
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// The system's.
    pub fn restart(&mut self) -> Result<(), SnapshotError> {
        let restarted = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.set_len(0));
        restarted.map_err(SnapshotError::at(&self.temporary, "truncate"))
    }

    /// Writes everything to the disk, then gives the file its name. The `keep` latest older files
    /// stay, with a number behind their names.
    ///
    /// # Errors
    /// The system's. The old file stays.
    pub fn commit(mut self, keep: u32) -> Result<(), SnapshotError> {
        self.file.sync_all().map_err(SnapshotError::at(&self.temporary, "write"))?;
        rotate(&self.path, keep)?;
        fs::rename(&self.temporary, &self.path).map_err(SnapshotError::at(&self.path, "replace"))?;
        self.committed = true;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // The name must be on the disk, too.
        temporary::sync_directory(directory).map_err(SnapshotError::at(directory, "write"))
    }

    /// Returns an error of [`Write`] with the name of the file.
    pub fn error(&self, e: io::Error) -> SnapshotError {
        SnapshotError::at(&self.temporary, "write")(e)
    }
}

/// Gives each older file of `path` the next number, and the file itself the number 1. The file
/// keeps its name, too, so that there is one at every moment.
fn rotate(path: &Path, keep: u32) -> Result<(), SnapshotError> {
    let numbered = |number: u32| suffixed(path, &format!(".{number}"));
    for number in (1..keep).rev() {
        rename_if_there(&numbered(number), &numbered(number + 1))?;
    }
    if keep > 0 {
        keep_as(path, &numbered(1)).or_else(|e| match e.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(SnapshotError::at(&numbered(1), "replace")(e)),
        })?;
    }
    Ok(())
}

fn rename_if_there(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    match fs::rename(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(SnapshotError::at(to, "replace")(e)),
        _ => Ok(()),
    }
}

/// Returns `path` with `suffix` behind its name.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Gives the file `path` the name `other` as well, which another file may have had. A file system
/// without links makes a copy.
pub(crate) fn keep_as(path: &Path, other: &Path) -> io::Result<()> {
    match fs::remove_file(other) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    match fs::hard_link(path, other) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(e),
        Err(_) => fs::copy(path, other).map(drop),
        Ok(()) => Ok(()),
    }
}

/// Returns the file that a save to `path` replaces.
fn target(path: &Path) -> Result<PathBuf, SnapshotError> {
    // A link stays a link, and the file it points to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if path.file_name().is_none() || path.is_dir() {
        return Err(SnapshotError::at(&path, "save")(temporary::is_directory()));
    }
    // Root could replace a device, such as /dev/null.
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        let refused = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        return Err(SnapshotError::at(&path, "save")(refused));
    }
    Ok(path)
}

/// Checks that there is a place for a save to `path`. Unlike [`check`], it writes nothing, so it
/// cannot meet a save of another process.
///
/// # Errors
/// There is no directory, or no regular file.
#[cfg(feature = "server")]
pub(crate) fn check_place(path: &Path) -> Result<(), SnapshotError> {
    let path = target(path)?;
    // A file has no such entry.
    let found = fs::metadata(path.with_file_name("."));
    found.map(drop).map_err(SnapshotError::at(&suffixed(&path, ".tmp"), "create"))
}

/// Checks that a save to `path` could begin.
///
/// # Errors
/// The directory or the file does not allow it.
#[cfg(feature = "server")]
pub(crate) fn check(path: &Path) -> Result<(), SnapshotError> {
    match NewFile::create(path) {
        // Another process saves to it now, perhaps the one that this one replaces.
        Ok(_) | Err(SnapshotError::Busy(_)) => Ok(()),
        Err(e) => Err(e),
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.committed {
            // There is nothing left to do if this fails.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
