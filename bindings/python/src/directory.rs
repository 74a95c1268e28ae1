//! A temporary directory of a server.

use std::ffi::OsString;
use std::path::PathBuf;

use memcache_embed::temp_dir::TempDir;
use pyo3::prelude::*;

use crate::errors::refused;

/// A directory that only this user can enter. It lasts as long as this process keeps it.
///
/// Making one removes those of this user whose processes have ended.
#[pyclass(frozen, weakref, module = "memcache_rs._native")]
pub struct Directory(TempDir);

#[pymethods]
impl Directory {
    #[new]
    fn new(parent: PathBuf) -> PyResult<Self> {
        TempDir::create(&parent).map(Self).map_err(|error| refused(&error, &parent))
    }

    /// Returns the path of a name in the directory.
    fn path(&self, name: &str) -> OsString {
        self.0.path().join(name).into_os_string()
    }

    /// Writes a file that only this user can read, and returns its path.
    fn write(&self, name: &str, text: &str) -> PyResult<OsString> {
        let written = self.0.write(name, text).map(PathBuf::into_os_string);
        written.map_err(|error| refused(&error, &self.0.path().join(name)))
    }

    /// Removes the directory with its files.
    fn remove(&self) {
        self.0.remove();
    }

    /// Releases the lock and leaves the directory as it is.
    fn leave(&self) {
        self.0.leave();
    }
}
