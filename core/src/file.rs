//! Small files that settings name: certificates, keys, passwords.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What `strerror` says, without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    text
}

/// All of a file that has at most `most` bytes.
///
/// # Errors
/// Why it cannot be read, in a few words.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| reason(&e))?;
    // One more: a file may be without end.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| reason(&e))?;
    if bytes.len() as u64 > most { Err("too large".into()) } else { Ok(bytes) }
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
}
