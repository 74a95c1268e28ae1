//! The file of `--options-file`, in the form of Debian's `/etc/memcached.conf`.
//!
//! ```text
//!   # a comment
//!   -m 64              an option and its value; several on a line are allowed
//!   -l 127.0.0.1
//!   -d                 skipped: the service manager decides on that
//!   logfile /var/log   skipped: not an option
//! ```
//!
//! Lines mean what they mean to Debian's `systemd-memcached-wrapper`. Quotes and backslashes group
//! words as in a shell. The daemon runs no shell, so it takes `$`, `*` and `;` literally.

use std::path::Path;

use crate::failure::Failure;
use crate::file;

/// The words of one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the line, from 1.
    pub number: usize,
    /// At least one word.
    pub words: Vec<String>,
}

/// Reads the lines that have options.
pub fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let text = file::read_text(path)?;
    parse(&text).map_err(|number| {
        Failure::usage(format!("{}:{number}: a quote is not closed on this line", path.display()))
    })
}

/// Returns the lines that have options, or the number of a line whose quotes are not closed.
fn parse(text: &str) -> Result<Vec<Line>, usize> {
    let mut lines = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = without_comment(line).trim();
        // A long flag such as `--daemon` is not skipped: Debian's script passes it on.
        let is_skipped = line.starts_with("-d") || line.starts_with("-h");
        let is_directive = !line.starts_with('-') && line.contains(char::is_whitespace);
        if line.is_empty() || is_skipped || is_directive {
            continue;
        }
        let words = shell_words::split(line).map_err(|_| number)?;
        lines.push(Line { number, words });
    }
    Ok(lines)
}

/// Returns the part of `line` before its comment. `\#` does not begin one.
fn without_comment(line: &str) -> &str {
    let mut before = None;
    for (at, character) in line.char_indices() {
        if character == '#' && before != Some('\\') {
            return line.get(..at).unwrap_or(line);
        }
        before = Some(character);
    }
    line
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    #![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

    use std::fs;
    use std::process::Command;

    use super::*;

    const FILE: &str = r"# a comment
-d
-dv
logfile /var/log/memcached.log
  -m 64   # megabytes # twice
-c 10 -t 2

-h
--disable-cas
-l 127.0.0.1,::1
-s /tmp/a\#b
-o 'ssl_ciphers=A B'
-D \:
#-k
word
-P /run/memcached.pid
";

    fn words(text: &str) -> Vec<String> {
        parse(text).unwrap().into_iter().flat_map(|line| line.words).collect()
    }

    #[test]
    fn lines_are_options() {
        let expected = [
            "-m",
            "64",
            "-c",
            "10",
            "-t",
            "2",
            "--disable-cas",
            "-l",
            "127.0.0.1,::1",
            "-s",
            "/tmp/a#b",
            "-o",
            "ssl_ciphers=A B",
            "-D",
            ":",
            "word",
            "-P",
            "/run/memcached.pid",
        ];
        assert_eq!(words(FILE), expected);
        assert_eq!(parse(FILE).unwrap().first().map(|line| line.number), Some(5));
        assert_eq!(parse("-m 64\n-l 'a\n"), Err(2));
        assert_eq!(words("-l $HOME;*"), ["-l", "$HOME;*"]);
    }

    /// Runs Debian's script with a program that prints its arguments in place of memcached.
    #[test]
    fn words_are_those_of_debians_script() {
        let Ok(script) = fs::read_to_string("/usr/share/memcached/scripts/systemd-memcached-wrapper") else {
            eprintln!("skipped: Debian's memcached is not installed");
            return;
        };
        let place = std::env::temp_dir().join(format!("mcrs-options-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let (wrapper, conf, print) = (place.join("wrapper"), place.join("conf"), place.join("print"));
        let script = script.replace("/usr/bin/memcached", print.to_str().unwrap());
        // It runs only as root, because memcached needs that.
        fs::write(&wrapper, script.replace("if($> != 0 and $< != 0)", "if(0)")).unwrap();
        fs::write(&print, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&print).status().unwrap().success());
        for text in [FILE, include_str!("../../packaging/memcached.conf")] {
            fs::write(&conf, text).unwrap();
            let done = Command::new("perl").arg(&wrapper).arg(&conf).output().unwrap();
            let printed = String::from_utf8(done.stdout).unwrap();
            assert_eq!(printed.lines().collect::<Vec<_>>(), words(text), "{:?}", done.stderr);
        }
        fs::remove_dir_all(place).unwrap();
    }
}
