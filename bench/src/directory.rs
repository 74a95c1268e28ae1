//! A directory for the files of a run.

use std::path::{Path, PathBuf};
use std::{fs, process};

use crate::error::{Doing, Result};

/// A directory for the files of a run. Dropping the value removes it.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Creates the directory of this process.
    pub fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bench-{}", process::id()));
        fs::create_dir(&path).doing(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Files left behind do no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
