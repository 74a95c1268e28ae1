//! Small files that settings name: certificates, keys, passwords, configurations.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::error::reason;

/// Reads a file of at most `most` bytes. It may be a pipe, as shells make for `<(command)`. The
/// read of a pipe ends after five seconds.
///
/// # Errors
/// The reason, in a few words. An empty pipe is refused: it was read before, or has no writer.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|e| reason(&e))?;
    // One more byte than allowed: a file may never end.
    let mut file = file.take(most.saturating_add(1));
    for _ in 0..PIPE_LOOKS {
        match file.read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > most => return Err(format!("it has more than {most} bytes")),
            Ok(_) if bytes.is_empty() && is_pipe(file.get_ref()) => {
                return Err("it is an empty pipe, not a regular file".into());
            }
            Ok(_) => return Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(PIPE_LOOK),
            Err(e) => return Err(reason(&e)),
        }
    }
    Err(reason(&io::ErrorKind::TimedOut.into()))
}

/// Like [`read`], for a text.
///
/// # Errors
/// As [`read`].
pub fn read_text(path: &Path, most: u64) -> Result<String, String> {
    String::from_utf8(read(path, most)?).map_err(|_| "it must be UTF-8".into())
}

fn is_pipe(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.file_type().is_fifo())
}

/// How often an empty pipe is polled, and how long between two polls.
const PIPE_LOOKS: u32 = 500;
const PIPE_LOOK: Duration = Duration::from_millis(10);

/// Age from which a file's times are distinct from those of a later write.
const SETTLED: Duration = Duration::from_secs(1);

/// A version of a file: device, inode, length, and the times of its contents and of its inode, in
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version([i64; 7]);

impl Version {
    /// Returns the version of the file at `path`. Returns `None` if there is no file, or if it was
    /// written so recently that another write could leave the same times.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let m = std::fs::metadata(path).ok()?;
        if m.modified().ok()?.elapsed().is_ok_and(|age| age < SETTLED) {
            return None;
        }
        let (device, inode, length) = (m.dev().cast_signed(), m.ino().cast_signed(), m.len().cast_signed());
        Some(Self([device, inode, length, m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_end_are_not_read_for_ever() {
        assert_eq!(read(Path::new("/dev/zero"), 1000), Err("it has more than 1000 bytes".into()));
        assert_eq!(read(Path::new("/dev/null"), 0), Ok(Vec::new()));
        assert_eq!(read(Path::new("/nonexistent/file"), 1000), Err("No such file or directory".into()));
    }

    #[test]
    fn a_pipe_in_place_of_a_file_holds_no_worker() {
        let path = std::env::temp_dir().join(format!("mcrs-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        assert_eq!(read(&path, 1000), Err("it is an empty pipe, not a regular file".into()));
        // As with `<(command)`, the pipe stays open for the program that reads it.
        let kept = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
        assert!(std::fs::write(&path, b"text").is_ok());
        assert_eq!(read_text(&path, 1000), Ok("text".into()));
        assert_eq!(read_text(&path, 1000), Err("it is an empty pipe, not a regular file".into()));
        drop(kept);
        assert!(std::fs::remove_file(&path).is_ok());
    }
}
