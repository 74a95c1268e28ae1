//! Rights of users: the commands and the keys that each may use.
//!
//! A text lists them, one user a line: the name, a space and words with commas between them. `;`
//! ends a line, too. Empty lines and those that begin with `#` are skipped.
//!
//! ```text
//!   ann all                        every command
//!   bob noadmin                    no command about the server, but plain `stats`
//!   eve ro                         commands that read
//!   shop ro,prefix=site1/          the same, only for keys that begin with site1/
//! ```
//!
//! A right to one prefix includes no command about the server, because these show or change the
//! items of other users.

use std::collections::HashMap;
use std::sync::Arc;

use super::size::KEY_MAX;

/// The right that a command needs. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// None: every client that may connect can send the command.
    Nothing,
    /// To read items or statistics.
    Read,
    /// To change items.
    Write,
    /// To change the server, or to see the keys of all users.
    Admin,
}

/// The rights of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The highest right.
    most: Need,
    /// The beginning of every key that the user may name.
    prefix: Box<[u8]>,
}

/// The rights of users by name.
pub type RightsByName = HashMap<Vec<u8>, Arc<Rights>>;

impl Rights {
    /// Returns the rights of a user that the list does not name.
    pub fn none() -> Self {
        Self { most: Need::Nothing, prefix: Box::default() }
    }

    /// Returns whether these rights allow everything.
    pub fn is_all(&self) -> bool {
        self.most == Need::Admin
    }

    /// Returns whether the user may send a command that needs `need` and names `key`.
    pub fn permit(&self, need: Need, key: Option<&[u8]>) -> bool {
        need <= self.most && key.is_none_or(|key| key.starts_with(&self.prefix))
    }

    /// Reads the words of a user. The error says what is wrong.
    fn of_words(words: &str) -> Result<Self, String> {
        let (mut most, mut prefix) = (None, None);
        for word in words.split(',') {
            let level = match word {
                "all" => Need::Admin,
                "noadmin" => Need::Write,
                "ro" => Need::Read,
                _ => match word.strip_prefix("prefix=") {
                    Some(text) if text.is_empty() || text.len() > KEY_MAX => {
                        return Err(format!("a prefix must have 1 to {KEY_MAX} bytes"));
                    }
                    Some(text) if prefix.is_none() => {
                        prefix = Some(text.as_bytes().into());
                        Need::Write
                    }
                    Some(_) => return Err("a user must have at most one prefix".into()),
                    None => {
                        return Err(format!("rights must be all, noadmin, ro or prefix=TEXT, got {word:?}"));
                    }
                },
            };
            if most.is_some() && (level == Need::Admin || most == Some(Need::Admin)) {
                return Err("all must be the only word".into());
            }
            most = most.min(Some(level)).or(Some(level));
        }
        Ok(Self { most: most.unwrap_or(Need::Nothing), prefix: prefix.unwrap_or_default() })
    }
}

/// Reads a list of rights.
///
/// # Errors
/// The number of the first line that is wrong, and the reason.
pub fn read_rights(text: &str) -> Result<RightsByName, String> {
    let mut all = RightsByName::new();
    for (index, line) in text.lines().enumerate() {
        for entry in line.split(';').map(str::trim).filter(|e| !e.is_empty() && !e.starts_with('#')) {
            let fail = |why: String| format!("line {}: {why}", index + 1);
            let Some((name, words)) = entry.rsplit_once([' ', '\t']) else {
                return Err(fail(format!("a line must be USER RIGHTS, got {entry:?}")));
            };
            let rights = Rights::of_words(words).map_err(fail)?;
            let name = name.trim_end();
            if all.insert(name.as_bytes().to_vec(), Arc::new(rights)).is_some() {
                return Err(fail(format!("user {name:?} is named twice")));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(words: &str) -> Rights {
        Rights::of_words(words).unwrap_or_else(|why| unreachable!("{words}: {why}"))
    }

    #[test]
    fn words_combine_to_the_least_right() {
        for (words, most) in [
            ("all", Need::Admin),
            ("noadmin", Need::Write),
            ("ro", Need::Read),
            ("noadmin,ro", Need::Read),
            ("ro,noadmin", Need::Read),
            ("prefix=a", Need::Write),
            ("prefix=a,ro", Need::Read),
        ] {
            for need in [Need::Nothing, Need::Read, Need::Write, Need::Admin] {
                assert_eq!(rights(words).permit(need, Some(b"a")), need <= most, "{words} {need:?}");
            }
        }
        assert!(rights("all").is_all() && !rights("noadmin").is_all());
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_key() {
        let rights = rights("prefix=site1/");
        for (key, allowed) in [("site1/", true), ("site1/a", true), ("site1", false), ("xsite1/", false)] {
            assert_eq!(rights.permit(Need::Read, Some(key.as_bytes())), allowed, "{key}");
        }
        assert!(rights.permit(Need::Read, None));
    }

    #[test]
    fn lists_have_one_user_a_line() {
        let text = "# users\r\n\nann all\r\n  Ann B. \t ro,prefix=b/\nx noadmin; y ro;\nspiffe://a:b ro";
        let all = read_rights(text).unwrap_or_else(|why| unreachable!("{why}"));
        let mut names: Vec<_> = all.keys().map(|name| String::from_utf8_lossy(name)).collect();
        names.sort();
        assert_eq!(names, ["Ann B.", "ann", "spiffe://a:b", "x", "y"]);
        assert_eq!(all.get(b"Ann B.".as_slice()).map(|r| (**r).clone()), Some(rights("ro,prefix=b/")));
    }

    #[test]
    fn lines_that_are_wrong_say_why() {
        for (text, why) in [
            ("ann", "line 1: a line must be USER RIGHTS, got \"ann\""),
            ("\nann rw", "line 2: rights must be all, noadmin, ro or prefix=TEXT, got \"rw\""),
            ("ann ro,", "line 1: rights must be all, noadmin, ro or prefix=TEXT, got \"\""),
            ("ann all,ro", "line 1: all must be the only word"),
            ("ann prefix=a,all", "line 1: all must be the only word"),
            ("ann prefix=", "line 1: a prefix must have 1 to 250 bytes"),
            ("ann prefix=a,prefix=b", "line 1: a user must have at most one prefix"),
            ("ann ro\nann ro", "line 2: user \"ann\" is named twice"),
        ] {
            assert_eq!(read_rights(text).err().as_deref(), Some(why), "{text:?}");
        }
    }
}
