//! The log as JSON (`--log-format json`): one object a line.
//!
//! ```text
//!   {"connection":26,"message":"<26 get key","time":"2026-11-29T20:15:00.123Z","verbosity":2}
//! ```
//!
//! `message` is the line that the form `text` has. `connection` is there if the line is a request
//! or a reply of a connection.

use std::panic;
use std::time::SystemTime;

use memcache_core::internal::base::stderr::{self, write_line};
use serde_json::{Map, Value};

/// Writes the log as JSON from now on, panics included.
pub fn log_as_json() {
    stderr::set_form(|verbosity, line| form(SystemTime::now(), verbosity, line));
    panic::set_hook(Box::new(|panic| write_line(&panic.to_string())));
}

fn form(time: SystemTime, verbosity: u8, line: &str) -> String {
    let mut fields = Map::new();
    fields.insert("time".into(), humantime::format_rfc3339_millis(time).to_string().into());
    fields.insert("verbosity".into(), verbosity.into());
    if let Some(connection) = connection(line) {
        fields.insert("connection".into(), connection.into());
    }
    fields.insert("message".into(), line.into());
    Value::Object(fields).to_string()
}

/// Returns the connection of a line in memcached's form: `<26 get key`, `>26 END`.
fn connection(line: &str) -> Option<u32> {
    let rest = line.strip_prefix(['<', '>'])?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object() {
        let line = |verbosity, line| form(SystemTime::UNIX_EPOCH, verbosity, line);
        let time = r#"{"message":"#;
        assert_eq!(
            line(0, "it \"is\"\n so"),
            format!(r#"{time}"it \"is\"\n so","time":"1970-01-01T00:00:00.000Z","verbosity":0}}"#)
        );
        for (text, number) in [("<26 get key", Some(26)), (">7 END", Some(7)), ("< 7", None), ("x", None)] {
            assert_eq!(connection(text), number, "{text}");
        }
    }
}
