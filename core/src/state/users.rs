//! Authentication: the users of a server, their passwords and rights, and how passwords are
//! compared.
//!
//! Files have lines `user:password`.
//!
//! With SASL (`MEMCACHED_SASL_PWDB`) a password ends at the next colon or at the line's end. An
//! attempt reads the file again if it has changed. A user may be `name@realm`; the realm of a
//! client that names none is this machine.
//!
//! With text authentication (`-Y`) a password ends at the line's end. The file is read at start and
//! by [`Users::reload`].
//!
//! A session calls [`Users::log_in`]. Without a list of rights, every user has all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq as _};

use crate::base::error::StartError;
use crate::base::file::{self, Version};
use crate::base::sync::Mutex;
use crate::config::{AuthConfig, AuthMethod, Passwords, Rights, RightsByName, ServerConfig, read_rights};

/// Largest file of passwords in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Most bytes of a name and its password together (memcached's rule for SASL).
const SASL_ENTRY_MAX: usize = 252;

/// The users of a server. All methods may be called from any thread.
#[derive(Debug)]
pub struct Users {
    /// `None` if only certificates name users.
    config: Option<AuthConfig>,
    /// Entries `user:password`. Attempts share them and hold no lock while they compare.
    entries: Mutex<Arc<Vec<Vec<u8>>>>,
    /// The version of the file that was read or tried last. Locked during a read.
    read: Mutex<Option<Version>>,
    /// The name of this machine.
    host: String,
    /// The file of rights.
    rights_file: Option<PathBuf>,
    /// The rights of users; `None` gives all of them all rights.
    rights: Option<Mutex<Arc<RightsByName>>>,
}

/// The rights of a client that has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// All rights.
    All,
    /// These only.
    Limited(Arc<Rights>),
}

impl Access {
    fn of(rights: &Arc<Rights>) -> Self {
        if rights.is_all() { Self::All } else { Self::Limited(Arc::clone(rights)) }
    }
}

impl Users {
    /// Reads the passwords.
    ///
    /// # Errors
    /// The file cannot be read. For text authentication, also: a line has no colon.
    pub fn new(config: AuthConfig) -> Result<Self, StartError> {
        Self::with_passwords(Some(config))
    }

    fn with_passwords(config: Option<AuthConfig>) -> Result<Self, StartError> {
        // Taken before the file is read: the next attempt notices a change in between.
        let version = match config.as_ref().map(|config| &config.passwords) {
            Some(Passwords::File(path)) => Version::of(path),
            Some(Passwords::List(_)) | None => None,
        };
        let entries = match config.as_ref().map(|config| (&config.passwords, config.method)) {
            Some((Passwords::File(path), method)) => read(path, method).map_err(StartError::File)?,
            Some((Passwords::List(pairs), _)) => {
                pairs.iter().map(|(user, password)| [user, b":".as_slice(), password].concat()).collect()
            }
            None => Vec::new(),
        };
        Ok(Self {
            config,
            entries: Mutex::new(Arc::new(entries)),
            read: Mutex::new(version),
            host: host_name(),
            rights_file: None,
            rights: None,
        })
    }

    /// Reads the passwords and rights that the settings name. Returns `None` if every client has
    /// all rights.
    ///
    /// # Errors
    /// As [`Users::new`]. The file of rights cannot be read, or has a line that is wrong.
    pub fn of(config: &ServerConfig) -> Result<Option<Self>, StartError> {
        if config.auth.is_none() && !config.names_users_by_certificate() {
            return Ok(None);
        }
        let rights = match (&config.rights_file, &config.rights) {
            (Some(path), _) => Some(read_rights_file(path)),
            (None, Some(text)) => Some(read_rights(text).map_err(|why| format!("rights: {why}"))),
            (None, None) => None,
        };
        let rights = rights.transpose().map_err(StartError::File)?;
        Ok(Some(Self {
            rights_file: config.rights_file.clone(),
            rights: rights.map(|rights| Mutex::new(Arc::new(rights))),
            ..Self::with_passwords(config.auth.clone())?
        }))
    }

    /// Returns how clients log in by a password. `None` means that they cannot.
    pub fn method(&self) -> Option<AuthMethod> {
        self.config.as_ref().map(|config| config.method)
    }

    /// Returns the file of passwords, if there is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.config.as_ref()?.passwords {
            Passwords::File(path) => Some(path),
            Passwords::List(_) => None,
        }
    }

    /// Reads the files again. If one of them is wrong, both keep their entries from before.
    /// Clients that have logged in keep their rights.
    ///
    /// # Errors
    /// As [`Users::of`], as one line of text.
    pub fn reload(&self) -> Result<(), String> {
        let rights = self.rights_file.as_deref().map(read_rights_file).transpose()?;
        if let Some(path) = self.file() {
            self.read_again(&mut self.read.lock(), path, Version::of(path))?;
        }
        if let (Some(rights), Some(current)) = (rights, &self.rights) {
            *current.lock() = Arc::new(rights);
        }
        Ok(())
    }

    /// Returns the rights of the user with this name and password, or `None` if there is none.
    pub fn log_in(&self, user: &[u8], password: &[u8]) -> Option<Access> {
        self.admits(user, password).then(|| self.access(user))
    }

    /// Returns the rights of the first of `names`, from a valid certificate, that has rights.
    pub fn identify(&self, names: &[String]) -> Option<Access> {
        let rights = Arc::clone(&self.rights.as_ref()?.lock());
        names.iter().find_map(|name| rights.get(name.as_bytes())).map(Access::of)
    }

    /// Returns the rights of a user that has logged in.
    fn access(&self, user: &[u8]) -> Access {
        let Some(rights) = &self.rights else { return Access::All };
        match rights.lock().get(user) {
            Some(rights) => Access::of(rights),
            None => Access::Limited(Arc::new(Rights::none())),
        }
    }

    fn read_again(
        &self,
        last: &mut Option<Version>,
        path: &Path,
        version: Option<Version>,
    ) -> Result<(), String> {
        *last = version;
        let Some(method) = self.method() else { return Ok(()) };
        let entries = read(path, method)?;
        *self.entries.lock() = Arc::new(entries);
        Ok(())
    }

    /// Returns the entries, read again if the file has changed. Without a file there are none, as
    /// in memcached, which reads it for each attempt.
    fn current(&self, path: &Path) -> Arc<Vec<Vec<u8>>> {
        let version = Version::of(path);
        let mut last = self.read.lock();
        if (version.is_none() || *last != version) && self.read_again(&mut last, path, version).is_err() {
            *self.entries.lock() = Arc::default();
        }
        Arc::clone(&self.entries.lock())
    }

    /// Returns whether there is a user with this name and password. The time taken depends on their
    /// lengths only, not on which part is wrong.
    pub fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        let Some(method) = self.method() else { return false };
        if method == AuthMethod::Text {
            let entries = Arc::clone(&self.entries.lock());
            return any(&entries, |entry| matches(entry, user, password, false));
        }
        if user.len() + password.len() > SASL_ENTRY_MAX {
            return false;
        }
        // Cyrus SASL adds this machine as the realm to a name without one, and so do files made for
        // it.
        let full = [user, b"@", self.host.as_bytes()].concat();
        let is_bare = !user.contains(&b'@');
        let named = |entry: &[u8]| {
            let plain = matches(entry, user, password, true);
            if is_bare { plain | matches(entry, &full, password, true) } else { plain }
        };
        let entries = match self.file() {
            Some(path) => self.current(path),
            None => Arc::clone(&self.entries.lock()),
        };
        any(&entries, named)
    }
}

/// Returns whether one of `entries` matches. Compares all of them.
fn any(entries: &[Vec<u8>], mut matches: impl FnMut(&[u8]) -> Choice) -> bool {
    entries.iter().fold(Choice::from(0), |found, entry| found | matches(entry)).into()
}

/// Returns the name of this machine, or an empty string.
fn host_name() -> String {
    let mut name = [0u8; 256];
    #[expect(unsafe_code, reason = "a system call that fills a buffer")]
    // SAFETY: gethostname writes at most the given number of bytes. That is one less than the
    // buffer has, so the last one stays a NUL.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
    if failed {
        String::new()
    } else {
        String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned()
    }
}

/// Returns whether `entry` is `user:password`. With `colons`, more may follow after another colon.
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

/// Reads a file of rights.
fn read_rights_file(path: &Path) -> Result<RightsByName, String> {
    let name = path.display();
    let bytes = file::read(path, FILE_MAX)
        .map_err(|why| format!("Could not open rights_file [{name}] for reading: {why}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("rights_file [{name}] must be UTF-8"))?;
    read_rights(text).map_err(|why| format!("rights_file [{name}] {why}"))
}

/// Reads the entries of a file. A line ends at `\n`, `\r` or a NUL. With SASL a malformed line is
/// skipped, as in memcached; otherwise it is an error.
fn read(path: &Path, method: AuthMethod) -> Result<Vec<Vec<u8>>, String> {
    let bytes = file::read(path, FILE_MAX)
        .map_err(|why| format!("Could not open authfile [{}] for reading, error {why}", path.display()))?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let mut entries = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n').filter(|_| !bytes.is_empty()) {
        let end = line.iter().position(|byte| matches!(byte, b'\r' | 0)).unwrap_or(line.len());
        match line.get(..end) {
            Some(entry) if entry.contains(&b':') => entries.push(entry.to_vec()),
            _ if method == AuthMethod::Sasl => {}
            _ => {
                let path = path.display();
                return Err(format!("Authfile [{path}] has a malformed entry. Should be 'user:password'"));
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(method: AuthMethod, list: &[(&str, &str)]) -> Users {
        let pairs = list.iter().map(|(user, password)| (user.as_bytes().into(), password.as_bytes().into()));
        let passwords = Passwords::List(pairs.collect());
        Users::new(AuthConfig { method, passwords }).unwrap_or_else(|e| unreachable!("{e}"))
    }

    #[test]
    fn names_and_passwords_must_be_whole() {
        for method in [AuthMethod::Sasl, AuthMethod::Text] {
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
        assert!(users(AuthMethod::Sasl, &list).admits(b"ann", b"secret"));
        assert!(users(AuthMethod::Sasl, &list).admits(entry.as_bytes(), b"secret"));
        assert!(users(AuthMethod::Sasl, &list).admits(b"bob@elsewhere", b"secret"));
        assert!(!users(AuthMethod::Sasl, &list).admits(b"bob", b"secret"));
        assert!(!users(AuthMethod::Text, &list).admits(b"ann", b"secret"));
    }

    #[test]
    fn an_attempt_reads_the_file_only_if_it_has_changed() {
        let path = std::env::temp_dir().join(format!("mcrs-auth-{}", std::process::id()));
        let write = |text: &str| std::fs::write(&path, text).unwrap_or_else(|e| unreachable!("{e}"));
        write("ann:secret\n");
        let config = AuthConfig { method: AuthMethod::Sasl, passwords: Passwords::File(path.clone()) };
        let users = Users::new(config).unwrap_or_else(|e| unreachable!("{e}"));
        let hour = std::time::Duration::from_hours(1);
        let file = std::fs::File::options().write(true).open(&path);
        assert!(file.and_then(|file| file.set_modified(std::time::SystemTime::now() - hour)).is_ok());
        let first = users.current(&path);
        assert!(users.admits(b"ann", b"secret") && Arc::ptr_eq(&first, &users.current(&path)));
        write("bob:another\n");
        assert!(users.admits(b"bob", b"another") && !users.admits(b"ann", b"secret"));
        // Another file of the same name and length.
        let next = path.with_extension("next");
        std::fs::write(&next, "eve:another\n").unwrap_or_else(|e| unreachable!("{e}"));
        std::fs::rename(&next, &path).unwrap_or_else(|e| unreachable!("{e}"));
        assert!(users.admits(b"eve", b"another"));
        std::fs::remove_file(&path).unwrap_or_else(|e| unreachable!("{e}"));
        assert!(!users.admits(b"eve", b"another"));
        write("ann:secret\n");
        assert!(users.admits(b"ann", b"secret"));
        assert!(std::fs::remove_file(&path).is_ok());
    }

    #[test]
    fn sasl_passwords_end_at_a_colon() {
        let list = [("ann", "secret:Ann A.")];
        assert!(users(AuthMethod::Sasl, &list).admits(b"ann", b"secret"));
        assert!(!users(AuthMethod::Text, &list).admits(b"ann", b"secret"));
        assert!(users(AuthMethod::Text, &list).admits(b"ann", b"secret:Ann A."));
        assert!(!users(AuthMethod::Sasl, &list).admits(b"ann", b"secret:Ann"));
    }
}
