//! The text of a configuration in TOML.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use memcache_core::internal::config::SourceText;
use mlua::Value;

/// Names that routes have in TOML, so that no pool can.
const TAKEN: [&str; 2] = ["null", "local"];

/// Lines of TOML, each with its line in the file.
#[derive(Debug, Default)]
pub(super) struct Text {
    lines: Vec<(String, usize)>,
    /// The number of routes of each line.
    names: HashMap<usize, usize>,
}

impl Text {
    pub fn push(&mut self, line: impl Into<String>, place: usize) {
        self.lines.push((line.into(), place));
    }

    /// Adds the first line.
    pub fn push_first(&mut self, line: String, place: usize) {
        self.lines.insert(0, (line, place));
    }

    /// Returns a name for a route of this line.
    pub fn name(&mut self, line: usize) -> String {
        let count = self.names.entry(line).or_default();
        *count += 1;
        if *count == 1 { format!("line {line}") } else { format!("line {line} ({count})") }
    }

    pub fn finish(self, file: &Path) -> SourceText {
        let lines: Vec<&str> = self.lines.iter().map(|(line, _)| line.as_str()).collect();
        let text = lines.join("\n") + "\n";
        let lines = self.lines.iter().map(|(_, line)| *line).collect();
        SourceText { text, file: file.to_owned(), lines }
    }
}

/// Returns a text in quotes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// Returns the name of a pool in TOML, in quotes.
pub(super) fn pool_name(name: &str) -> String {
    if TAKEN.contains(&name) { quote(&format!("pool {name}")) } else { quote(name) }
}

/// Describes a value for a message.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => quote(&text.to_string_lossy()),
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {
            value.to_string().unwrap_or_else(|_| value.type_name().to_owned())
        }
        other => format!("a {}", other.type_name()),
    }
}
