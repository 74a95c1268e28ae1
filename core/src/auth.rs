//! Who may use a server: the names and passwords, and how they are compared.
//!
//! Two kinds of files are read, both of lines `user:password`. With SASL
//! (`MEMCACHED_SASL_PWDB`) a password ends at the next colon or at the line's
//! end, and the file is read again for each attempt; a user may be
//! `name@realm`, where the realm of a client that names none is this machine. With text authentication
//! (`-Y`) it ends at the line's end, and the file is read at start and by
//! [`Users::reload`]. A session asks [`Users::admits`] and nothing else.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq as _};

use crate::error::StartError;

/// Largest file of passwords in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Most bytes of a name and its password together (memcached's rule for SASL).
const SASL_ENTRY_MAX: usize = 252;

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SASL PLAIN, in the binary protocol; the text protocols are refused (`-S`).
    Sasl,
    /// A `set` whose value is name and password, in the text protocols; the
    /// binary protocol is refused (`-Y`).
    Text,
}

/// Where names and passwords come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Passwords {
    /// A file of lines `user:password`.
    File(PathBuf),
    /// These pairs.
    List(Vec<(Vec<u8>, Vec<u8>)>),
}

/// Shows no password.
impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::List(pairs) => write!(f, "List({} users)", pairs.len()),
        }
    }
}

/// Authentication as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// How clients prove who they are.
    pub method: Method,
    /// What they must know.
    pub passwords: Passwords,
}

/// The users of a server. All methods may be called from any thread.
#[derive(Debug)]
pub struct Users {
    config: AuthConfig,
    /// Lines `user:password`.
    entries: Mutex<Vec<Vec<u8>>>,
    /// The name of this machine.
    host: String,
}

impl Users {
    /// Reads the passwords.
    ///
    /// # Errors
    /// A file that cannot be read, or a line of it that has no colon.
    pub fn new(config: AuthConfig) -> Result<Self, StartError> {
        let entries = match &config.passwords {
            Passwords::File(path) => read(path).map_err(StartError::Passwords)?,
            Passwords::List(pairs) => {
                pairs.iter().map(|(user, password)| [user, b":".as_slice(), password].concat()).collect()
            }
        };
        Ok(Self { config, entries: Mutex::new(entries), host: host_name() })
    }

    /// How clients prove who they are.
    pub fn method(&self) -> Method {
        self.config.method
    }

    /// The file that was read, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.config.passwords {
            Passwords::File(path) => Some(path),
            Passwords::List(_) => None,
        }
    }

    /// Reads the file again; what was read before stays if that fails.
    ///
    /// # Errors
    /// As [`Users::new`], in one line.
    pub fn reload(&self) -> Result<(), String> {
        if let Some(path) = self.file() {
            *self.entries.lock() = read(path)?;
        }
        Ok(())
    }

    /// Whether there is such a user with such a password. Takes the same time
    /// whatever part of them is wrong, lengths apart.
    pub fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        let sasl = self.config.method == Method::Sasl;
        if sasl && (user.len() + password.len() > SASL_ENTRY_MAX || self.reload().is_err()) {
            return false;
        }
        // Cyrus SASL gives a name without a realm that of this machine, and so do
        // files that were made for it.
        let full = [user, b"@", self.host.as_bytes()].concat();
        let mut found = Choice::from(0);
        for entry in self.entries.lock().iter() {
            found |= matches(entry, user, password, sasl);
            if sasl && !user.contains(&b'@') {
                found |= matches(entry, &full, password, true);
            }
        }
        found.into()
    }
}

/// The name of this machine; empty if it has none.
fn host_name() -> String {
    let mut name = [0u8; 256];
    #[expect(unsafe_code, reason = "a system call that fills a buffer")]
    // SAFETY: gethostname writes at most as many bytes as it is told the buffer
    // has, which is one fewer: the last one stays a NUL.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
    if failed {
        String::new()
    } else {
        String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned()
    }
}

/// Whether `entry` is `user:password`; with `colons` something more may follow
/// behind a further colon.
fn matches(entry: &[u8], user: &[u8], password: &[u8], colons: bool) -> Choice {
    let length = user.len() + 1 + password.len();
    let ends = match entry.get(length) {
        None => entry.len() == length,
        Some(next) => colons && *next == b':',
    };
    if !ends || user.contains(&b':') {
        return Choice::from(0);
    }
    let parts = (entry.get(..user.len()), entry.get(user.len()), entry.get(user.len() + 1..length));
    let (Some(name), Some(b':'), Some(rest)) = parts else { return Choice::from(0) };
    name.ct_eq(user) & rest.ct_eq(password)
}

/// The entries of a file. A line ends at `\n`, `\r` or a NUL.
fn read(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = file {
        let text = error.to_string();
        // Without the number that Rust adds.
        let reason = text.split(" (os error ").next().unwrap_or_default();
        return Err(format!("Could not open authfile [{}] for reading, error {reason}", path.display()));
    }
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("Authfile [{}] is larger than {FILE_MAX} bytes", path.display()));
    }
    let malformed =
        || format!("Authfile [{}] has a malformed entry. Should be 'user:password'", path.display());
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    bytes
        .split(|&byte| byte == b'\n')
        .map(|line| {
            let end = line.iter().position(|byte| matches!(byte, b'\r' | 0)).unwrap_or(line.len());
            let entry = line.get(..end).filter(|entry| entry.contains(&b':')).ok_or_else(malformed)?;
            Ok(entry.to_vec())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(method: Method, list: &[(&str, &str)]) -> Users {
        let pairs = list.iter().map(|(user, password)| (user.as_bytes().into(), password.as_bytes().into()));
        let passwords = Passwords::List(pairs.collect());
        Users::new(AuthConfig { method, passwords }).unwrap_or_else(|e| unreachable!("{e}"))
    }

    #[test]
    fn names_and_passwords_must_be_whole() {
        for method in [Method::Sasl, Method::Text] {
            let users = users(method, &[("ann", "secret"), ("bob", "")]);
            assert!(users.admits(b"ann", b"secret"));
            assert!(users.admits(b"bob", b""));
            for (user, password) in [
                ("ann", "secre"),
                ("ann", "secrets"),
                ("ann", ""),
                ("an", "secret"),
                ("ann:secret", ""),
                ("ann:", "secret"),
                ("", "ann:secret"),
                ("", ""),
                ("bob", "secret"),
            ] {
                assert!(!users.admits(user.as_bytes(), password.as_bytes()), "{user} {password} {method:?}");
            }
        }
    }

    #[test]
    fn sasl_names_have_the_realm_of_this_machine() {
        let entry = format!("ann@{}", host_name());
        let list = [(entry.as_str(), "secret"), ("bob@elsewhere", "secret")];
        assert!(users(Method::Sasl, &list).admits(b"ann", b"secret"));
        assert!(users(Method::Sasl, &list).admits(entry.as_bytes(), b"secret"));
        assert!(users(Method::Sasl, &list).admits(b"bob@elsewhere", b"secret"));
        assert!(!users(Method::Sasl, &list).admits(b"bob", b"secret"));
        assert!(!users(Method::Text, &list).admits(b"ann", b"secret"));
    }

    #[test]
    fn sasl_passwords_end_at_a_colon() {
        let list = [("ann", "secret:Ann A.")];
        assert!(users(Method::Sasl, &list).admits(b"ann", b"secret"));
        assert!(!users(Method::Text, &list).admits(b"ann", b"secret"));
        assert!(users(Method::Text, &list).admits(b"ann", b"secret:Ann A."));
        assert!(!users(Method::Sasl, &list).admits(b"ann", b"secret:Ann"));
    }
}
