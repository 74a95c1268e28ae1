//! The results file: one JSON object per line, appended to the existing lines.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Doing, Error, Result};

/// A results file, or none.
#[derive(Debug)]
pub struct Results(Option<(PathBuf, File)>);

impl Results {
    /// Opens the file at `path` for appending. Without a path, results are discarded.
    pub fn create(path: Option<&PathBuf>) -> Result<Self> {
        let open = |path: &PathBuf| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map(|file| (path.clone(), file)).doing(|| format!("opening {}", path.display()))
        };
        path.map(open).transpose().map(Self)
    }

    /// Appends one line.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let Some((path, file)) = &mut self.0 else { return Ok(()) };
        let mut text = to_json(line, path)?;
        text.push('\n');
        file.write_all(text.as_bytes()).doing(|| format!("writing {}", path.display()))
    }
}

fn to_json(line: &impl Serialize, path: &Path) -> Result<String> {
    serde_json::to_string(line).map_err(|error| Error::Malformed(format!("{}: {error}", path.display())))
}
