//! A file of passwords against the simplest way to read it.
//!
//! ```text
//! | method 1 | length of the name 1 | length of the password 1 | both | file |
//! ```

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::state::Users;
use memcache_core::{AuthConfig, AuthMethod, Passwords};

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("mcrs-fuzz-passwords-{}", std::process::id())));

/// Returns the entries of a file. A line without a colon is skipped with SASL. Otherwise the result
/// is `None`.
fn lines(file: &[u8], sasl: bool) -> Option<Vec<&[u8]>> {
    let file = file.strip_suffix(b"\n").unwrap_or(file);
    if file.is_empty() {
        return Some(Vec::new());
    }
    file.split(|&byte| byte == b'\n')
        .map(|line| {
            line.split(|&byte| byte == b'\r' || byte == 0).next().filter(|entry| entry.contains(&b':'))
        })
        .filter(|entry| !sasl || entry.is_some())
        .collect()
}

fn is_entry(line: &[u8], user: &[u8], password: &[u8], sasl: bool) -> bool {
    let Some(rest) = line.strip_prefix([user, b":"].concat().as_slice()) else { return false };
    !user.contains(&b':') && (rest == password || sasl && rest.starts_with(&[password, b":"].concat()))
}

/// Removes the file after an input that passes.
struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = fs::remove_file(&*FILE);
    }
}

fuzz_target!(|input: &[u8]| {
    let [method, name, password, rest @ ..] = input else { return };
    let Some((user, rest)) = rest.split_at_checked(usize::from(name % 64)) else { return };
    let Some((password, file)) = rest.split_at_checked(usize::from(password % 64)) else { return };
    let sasl = method % 2 == 1;
    fs::write(&*FILE, file).expect("a file can be written");
    let _gone = Gone;
    let method = if sasl { AuthMethod::Sasl } else { AuthMethod::Text };
    let users = Users::new(AuthConfig { method, passwords: Passwords::File(FILE.clone()) });
    let expected = lines(file, sasl);
    assert_eq!(users.is_ok(), expected.is_some());
    let (Ok(users), Some(lines)) = (users, expected) else { return };
    let known = |user: &[u8], password: &[u8]| lines.iter().any(|line| is_entry(line, user, password, sasl));
    // A name without a realm may be listed with that of this machine.
    if known(user, password) || !sasl || user.contains(&b'@') {
        assert_eq!(users.admits(user, password), known(user, password));
    }
    for line in &lines {
        let colon = line.iter().position(|&byte| byte == b':').expect("every line has one");
        let (user, password) = (&line[..colon], &line[colon + 1..]);
        if !sasl || line.len() <= 252 {
            assert!(users.admits(user, password));
        }
    }
});
