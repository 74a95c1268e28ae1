//! Settings of authentication.

use std::path::PathBuf;

/// How clients authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// SASL PLAIN, in the binary protocol. The text protocols are refused (`-S`).
    Sasl,
    /// A `set` whose value is a name and a password, in the text protocols. The binary protocol is
    /// refused (`-Y`).
    Text,
}

/// The source of names and passwords.
#[derive(Clone, PartialEq, Eq)]
pub enum Passwords {
    /// A file of lines `user:password`.
    File(PathBuf),
    /// Pairs of name and password.
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

/// Settings of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// How clients authenticate.
    pub method: AuthMethod,
    /// The names and passwords.
    pub passwords: Passwords,
}
