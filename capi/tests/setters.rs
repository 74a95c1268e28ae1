//! The functions of one setting agree with the core's table: name, type, range and default.
//!
//! cbindgen reads functions, and expands macros only with an unstable compiler. So the functions
//! are written out, and this test compares each with its row.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use memcache_core::internal::config::{Kind, Row};
use memcache_core::{ServerConfig, Value};

/// The sources with functions of one setting.
const SOURCES: [&str; 3] = [
    include_str!("../src/config/cache.rs"),
    include_str!("../src/config/server.rs"),
    include_str!("../src/config/tls.rs"),
];

/// Settings that no function sets by their name: `mcrs_config_set` does. Paths of TLS have
/// functions, which take paths of any bytes.
const BY_NAME: &[&str] = &[
    "conns_per_ip",
    "hash_algorithm",
    "initial_malloced",
    "memory_file",
    "persist",
    "persist_codec",
    "persist_interval",
    "persist_keep",
    "persist_lazy",
    "persist_rate",
    "persist_strict",
    "persist_threads",
    "read_buf_mem_limit",
    "rights",
    "rights_file",
    "sample_rate",
    "tls_ca_cert",
    "tls_chain_cert",
    "tls_kernel_tls",
    "tls_key",
    "tls_user",
];

/// A function that sets a setting.
struct Setter<'a> {
    name: &'a str,
    setting: &'a str,
    /// The parameter after the settings, and its type in Rust.
    parameter: (&'a str, &'a str),
    comment: String,
}

/// Returns the functions of a source that set a setting by its name.
fn setters(source: &str) -> Vec<Setter<'_>> {
    let mut found = Vec::new();
    let parts: Vec<&str> = source.split("#[unsafe(no_mangle)]\n").collect();
    for pair in parts.windows(2) {
        let function = pair[1].split("\n}\n").next().unwrap();
        let Some((_, rest)) = function.split_once(".set(\"") else { continue };
        let name = function.split_once("fn ").unwrap().1.split_once('(').unwrap().0;
        let parameters = function.split_once("mut mcrs_config,").unwrap().1;
        let (parameter, rest_of_type) = parameters.trim_start().split_once(": ").unwrap();
        let comment = pair[0].rsplit("\n\n").next().unwrap();
        found.push(Setter {
            name,
            setting: rest.split_once('"').unwrap().0,
            parameter: (parameter, rest_of_type.split([',', ')']).next().unwrap()),
            comment: comment
                .lines()
                .map(|line| line.trim_start_matches("///").trim())
                .collect::<Vec<_>>()
                .join(" "),
        });
    }
    found
}

impl Setter<'_> {
    /// Returns what differs from the row.
    fn mistakes(&self, row: &Row, default: &Value) -> Vec<String> {
        let mut mistakes = Vec::new();
        let kind = self.parameter.1;
        let fits = match row.kind {
            Kind::Bool => kind == "bool",
            Kind::Bytes { .. } => kind == "usize",
            Kind::Integer { least, .. } if least < 0 => kind == "c_int",
            Kind::Integer { most, .. } => kind == "usize" || kind == "u32" && most <= u32::MAX.into(),
            Kind::Float { .. } => kind == "f64",
            Kind::Byte => kind == "u8",
            Kind::Sizes { .. } => kind == "*const usize",
            Kind::Word(_) => kind.starts_with("mcrs_") || kind == "u32" || kind == "bool",
            _ => kind == "*const c_char",
        };
        if !fits {
            mistakes.push(format!("the type {kind} does not fit {:?}", row.kind));
        }
        let refuses = probes(kind, row).iter().any(|value| row.accept(value).is_err());
        if refuses
            && !self.comment.contains("MCRS_INVALID_ARGUMENT if")
            && !self.comment.contains("MCRS_INVALID_ARGUMENT for")
        {
            mistakes.push("@return does not name MCRS_INVALID_ARGUMENT".into());
        }
        for bound in bounds(kind, row) {
            let mut texts = spellings(bound);
            texts.extend((bound == 1).then(|| "above 0".to_owned()));
            if !texts.iter().any(|text| self.says(text)) {
                mistakes.push(format!("the comment does not name the bound {bound}"));
            }
        }
        let named = match default {
            Value::Integer(58) if row.kind == Kind::Byte => vec!["':'".to_owned()],
            Value::Integer(number) => spellings(*number),
            Value::Bool(_) | Value::Float(_) => vec![default.to_string()],
            _ => vec![String::new()],
        };
        let comment = self.comment.to_lowercase();
        let states = |value: &String| {
            comment.contains(&format!("default {value}"))
                || comment.contains(&format!("{value}, the default"))
        };
        let is_stated = if named == [""] { comment.contains("default") } else { named.iter().any(states) };
        if !is_stated {
            mistakes.push(format!("the comment does not name the default {default}"));
        }
        mistakes
    }

    /// Returns whether the comment has `text` as a word of its own.
    fn says(&self, text: &str) -> bool {
        let inside = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
        self.comment.match_indices(text).any(|(at, _)| {
            !inside(self.comment[..at].chars().next_back())
                && !inside(self.comment[at + text.len()..].chars().next())
        })
    }
}

/// Returns values of a type of C: its limits, and small numbers.
fn probes(kind: &str, row: &Row) -> Vec<Value> {
    match kind {
        "usize" if row.optional => vec![3.into()],
        "usize" => vec![0.into(), 1.into(), usize::MAX.into()],
        "u32" if !matches!(row.kind, Kind::Word(_)) => vec![0.into(), 1.into(), u32::MAX.into()],
        "c_int" => vec![i32::MIN.into(), i32::MAX.into()],
        "u8" => vec![0_u8.into(), u8::MAX.into()],
        "f64" => vec![f64::NAN.into()],
        "bool" => vec![],
        "*const c_char" => vec!["\n".into()],
        // A number or a text without a meaning.
        _ => vec!["?".into()],
    }
}

/// Returns the limits of a row that values of the type can exceed.
fn bounds(kind: &str, row: &Row) -> Vec<i128> {
    let (Kind::Integer { least, most } | Kind::Bytes { least, most }) = row.kind else { return Vec::new() };
    let (smallest, largest) = match kind {
        "usize" => (0, usize::MAX as i128),
        "u32" => (0, u32::MAX.into()),
        _ => (i32::MIN.into(), i32::MAX.into()),
    };
    let mut bounds = Vec::new();
    if least > smallest && !row.optional {
        bounds.push(least);
    }
    if most < largest {
        bounds.push(most);
    }
    bounds
}

/// Returns a number as comments write it: in digits, and in the largest unit of bytes.
fn spellings(number: i128) -> Vec<String> {
    let mut all = vec![number.to_string()];
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter();
    let exact = |&(_, shift): &(&str, u32)| number > 0 && number % (1 << shift) == 0;
    all.extend(unit.filter(exact).map(|(name, shift)| format!("{} {name}", number >> shift)));
    // The comments are compared in lower case, too.
    all.extend(all.clone().iter().map(|text| text.to_lowercase()));
    all
}

#[test]
fn every_function_of_a_setting_agrees_with_its_row() {
    let defaults = ServerConfig::default();
    let setters: Vec<Setter<'_>> = SOURCES.into_iter().flat_map(setters).collect();
    let mut mistakes = Vec::new();
    for setter in &setters {
        let row = ServerConfig::rows().find(|row| row.name == setter.setting);
        let Some(row) = row else { panic!("{}: there is no setting {}", setter.name, setter.setting) };
        let found = setter.mistakes(row, &defaults.get(row.name).unwrap());
        mistakes.extend(found.into_iter().map(|mistake| format!("{}: {mistake}", setter.name)));
    }
    let bare = ServerConfig::rows().map(|row| row.name);
    let bare = bare.filter(|name| !setters.iter().any(|setter| setter.setting == *name));
    let mut bare: Vec<&str> = bare.collect();
    bare.sort_unstable();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!(bare, BY_NAME);
}

#[test]
fn a_function_that_differs_from_its_row_is_found() {
    let source = "/// Sets it.\n///\n/// @param count  1 to 1024; default 4.\n/// @return MCRS_OK; \
                  MCRS_INVALID_ARGUMENT if `count` is out of range.\n#[unsafe(no_mangle)]\npub unsafe extern \"C\" \
                  fn mcrs_config_set_threads(config: *mut mcrs_config, count: usize) -> mcrs_status {\n    \
                  entry!(mut config, {}, { Ok(config.settings.set(\"threads\", count)?) })\n}\n";
    let row = ServerConfig::rows().find(|row| row.name == "threads").unwrap();
    let mistakes = |source: &str| setters(source)[0].mistakes(row, &4.into()).len();
    assert_eq!(mistakes(source), 0);
    assert_eq!(mistakes(&source.replace("default 4", "default 8")), 1);
    assert_eq!(mistakes(&source.replace("1 to 1024", "at least 1")), 1);
    assert_eq!(mistakes(&source.replace("MCRS_INVALID_ARGUMENT if", "not if")), 1);
    assert_eq!(mistakes(&source.replace("count: usize", "count: bool")), 1);
}
