//! `FILE.meta`, which memcached writes beside its memory file (`-e FILE`) when it is stopped: the
//! sign that the memory file is whole.
//!
//! ```text
//!  Tmain
//!  Khashpower 17
//! ```
//!
//! A line with `T` names a part of the program, a line with `K` a key and its value. Of the keys of
//! memcached only `hashpower` has an effect here, because a snapshot fits other settings.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::SnapshotError;
use super::file::{NewFile, suffixed};
use crate::base::error::reason;
use crate::base::file::read;

/// Most bytes of the file.
const MOST: u64 = 64 * 1024;

/// The highest level, as in the setting `hashpower_init`.
const HASHPOWER_MOST: u32 = 32;

/// The keys of memcached.
const KEYS: &[&str] = &[
    "slab_config",
    "maxbytes",
    "chunk_size",
    "item_size_max",
    "slab_chunk_size_max",
    "slab_page_size",
    "use_cas",
    "slab_reassign",
    "current_time",
    "process_started",
    "stop_time",
    "current_cas",
    "logger_gid",
    "hashpower",
    "oldest_live",
    "mmap_oldbase",
];

/// The contents of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The level that the index had reached (`hash_power_level`).
    pub(crate) hashpower: u32,
    /// Keys that memcached does not have.
    pub(crate) unknown: Vec<String>,
}

/// Returns the name of the file that belongs to a memory file.
pub(crate) fn beside(file: &Path) -> PathBuf {
    suffixed(file, ".meta")
}

impl Meta {
    /// Reads the file that belongs to `file`, or returns `None` if there is none.
    ///
    /// # Errors
    /// The system refuses it, or it is damaged. The text is memcached's, which ends there, too.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, String> {
        let path = beside(file);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read(&path, MOST).map_err(|e| format!("failed to read {}: {e}", path.display()))?;
        Self::parse(&String::from_utf8_lossy(&bytes)).map(Some)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut meta = Self::default();
        let mut lines = text.lines();
        match lines.next() {
            None => return Err("[restart] Failed to read a tag from metadata file".into()),
            Some("Tmain") => {}
            Some(_) => return Err("[restart] corrupt metadata file".into()),
        }
        for line in lines {
            let Some((key, value)) = line.strip_prefix('K').and_then(|line| line.split_once(' ')) else {
                return Err("[restart] corrupt metadata file".into());
            };
            if key == "hashpower" {
                let level = value.parse().ok().filter(|&level| level <= HASHPOWER_MOST);
                meta.hashpower = level.ok_or("[restart] corrupt metadata file")?;
            } else if !KEYS.contains(&key) {
                meta.unknown.push(key.to_owned());
            }
        }
        Ok(meta)
    }

    /// Writes the file that belongs to `file`.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write(&self, file: &Path) -> Result<(), SnapshotError> {
        let mut new = NewFile::create(&beside(file))?;
        let written = write!(new, "Tmain\nKhashpower {}\n", self.hashpower);
        written.map_err(|e| new.error(e))?;
        new.commit(0)
    }
}

/// Removes the file that belongs to `file`: from now on the memory file is old.
///
/// # Errors
/// The reason, in a few words.
pub(crate) fn remove(file: &Path) -> Result<(), String> {
    let path = beside(file);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(format!("failed to remove {}: {}", path.display(), reason(&e)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_gets_memcacheds_lines() {
        let tag = "[restart] Failed to read a tag from metadata file";
        let corrupt = "[restart] corrupt metadata file";
        let cases = [
            ("", tag),
            ("\n", corrupt),
            ("Khashpower 17\n", corrupt),
            ("Tother\n", corrupt),
            ("Tmain\nhashpower\n", corrupt),
            ("Tmain\nKhashpower\n", corrupt),
            ("Tmain\nKhashpower -1\n", corrupt),
            ("Tmain\nKhashpower 33\n", corrupt),
        ];
        for (text, line) in cases {
            assert_eq!(Meta::parse(text), Err(line.into()), "{text:?}");
        }
    }

    #[test]
    fn keys_of_memcached_are_known() {
        let text = "Tmain\nKmaxbytes 1\nKhashpower 17\nKmmap_oldbase 0x7f\nKmine 3\n";
        assert_eq!(Meta::parse(text), Ok(Meta { hashpower: 17, unknown: vec!["mine".into()] }));
    }
}
