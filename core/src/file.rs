//! Small files that settings name: certificates, keys, passwords.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What `strerror` says, without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    text
}

/// All of a file that has at most `most` bytes. A pipe is not waited for without end:
/// without a writer it is an empty file, and its writer has five seconds.
///
/// # Errors
/// Why it cannot be read, in a few words.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|e| reason(&e))?;
    // One more: a file may be without end.
    let mut file = file.take(most + 1);
    for _ in 0..PIPE_LOOKS {
        match file.read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > most => return Err("too large".into()),
            Ok(_) => return Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(PIPE_LOOK),
            Err(e) => return Err(reason(&e)),
        }
    }
    Err(reason(&io::ErrorKind::TimedOut.into()))
}

/// How often and after what time a pipe is looked at that has nothing to read yet.
const PIPE_LOOKS: u32 = 500;
const PIPE_LOOK: Duration = Duration::from_millis(10);

/// How long ago a file was written that does not change within one tick of its clock.
const SETTLED: Duration = Duration::from_secs(1);

/// What tells one state of a file from the next: device, inode, length, and the times
/// of its contents and of its inode, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version([i64; 7]);

impl Version {
    /// That of the file at `path` now; `None` if there is none, or if it was written so
    /// lately that a second write could show the same times.
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
    fn reasons_carry_no_numbers() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::EADDRINUSE)), "Address already in use");
        assert_eq!(reason(&io::Error::other("odd")), "odd");
    }

    #[test]
    fn files_without_end_are_not_read_for_ever() {
        assert_eq!(read(Path::new("/dev/zero"), 1000), Err("too large".into()));
        assert_eq!(read(Path::new("/dev/null"), 0), Ok(Vec::new()));
        assert_eq!(read(Path::new("/nonexistent/file"), 1000), Err("No such file or directory".into()));
    }

    #[test]
    fn a_pipe_in_place_of_a_file_holds_no_worker() {
        let path = std::env::temp_dir().join(format!("mcrs-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        assert_eq!(read(&path, 1000), Ok(Vec::new()));
        assert!(std::fs::remove_file(&path).is_ok());
    }
}
