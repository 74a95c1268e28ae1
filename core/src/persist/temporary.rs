//! Operations on the temporary file of a save, for Unix and for Windows.
//!
//! One save at a time has the file. Each system ensures that in its own way.

#[cfg(unix)]
pub(super) use unix::{is_directory, restrict, sync_directory, take};
#[cfg(windows)]
pub(super) use windows::{is_directory, restrict, sync_directory, take};

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
    use std::io;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use crate::persist::error::SnapshotError;

    /// Opens the file `temporary` for a save to `path`, and locks it.
    ///
    /// # Errors
    /// [`SnapshotError::Busy`] if another save has it, or the system's.
    pub fn take(temporary: &Path, path: &Path) -> Result<File, SnapshotError> {
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
            let file = options.open(temporary).map_err(SnapshotError::at(temporary, "create"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(SnapshotError::Busy(path.to_path_buf())),
                Err(TryLockError::Error(e)) => return Err(SnapshotError::at(temporary, "lock")(e)),
            }
            // The save that had the lock before may have renamed this file.
            let is_same = |named: fs::Metadata| {
                file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (named.dev(), named.ino()))
            };
            if fs::symlink_metadata(temporary).is_ok_and(is_same) {
                return Ok(file);
            }
        }
    }

    /// Lets only the user read a file. One that a killed process left may have any mode.
    pub fn restrict(file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(0o600))
    }

    /// Writes the names in a directory to the disk. Some file systems cannot do that.
    pub fn sync_directory(directory: &Path) -> io::Result<()> {
        match File::open(directory).and_then(|directory| directory.sync_all()) {
            Err(e) if e.kind() != io::ErrorKind::InvalidInput => Err(e),
            _ => Ok(()),
        }
    }

    /// Returns the error for a directory in place of a file.
    pub fn is_directory() -> io::Error {
        io::Error::from_raw_os_error(libc::EISDIR)
    }
}

#[cfg(windows)]
mod windows {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    use crate::persist::error::SnapshotError;

    /// Others may rename and delete the file, but not open it: `FILE_SHARE_DELETE`.
    const SHARE_DELETE: u32 = 4;
    /// Another handle does not share the file: `ERROR_SHARING_VIOLATION`.
    const SHARING_VIOLATION: i32 = 32;

    /// Opens the file `temporary` for a save to `path`. No other save can open it then, and a
    /// file that another save has renamed is not opened by this name.
    ///
    /// # Errors
    /// [`SnapshotError::Busy`] if another save has it, or the system's.
    pub fn take(temporary: &Path, path: &Path) -> Result<File, SnapshotError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).share_mode(SHARE_DELETE);
        options.open(temporary).map_err(|e| match e.raw_os_error() {
            Some(SHARING_VIOLATION) => SnapshotError::Busy(path.to_path_buf()),
            _ => SnapshotError::at(temporary, "create")(e),
        })
    }

    /// Does nothing: a new file has the rights of its directory.
    #[expect(clippy::unnecessary_wraps, reason = "the function of Unix can fail")]
    pub fn restrict(_: &File) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: directories cannot be written to the disk.
    #[expect(clippy::unnecessary_wraps, reason = "the function of Unix can fail")]
    pub fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Returns the error for a directory in place of a file.
    pub fn is_directory() -> io::Error {
        io::ErrorKind::IsADirectory.into()
    }
}
