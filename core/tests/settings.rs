//! The table of settings: the answers of `set`, and docs/settings.md.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::{env, fs};

use memcache_rs::internal::config::{Row, Scope};
use memcache_rs::{ConfigRule, ServerConfig, Value};

const CASES: &str = include_str!("settings.txt");

/// The document that lists the settings.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");

#[test]
fn every_value_is_answered_as_the_cases_say() {
    let mut seen = 0;
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
        let [name, value, answer] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let mut config = ServerConfig::default();
        let done = config.set(name, value).map_err(|error| error.message);
        assert_eq!(done.as_ref().map_or_else(String::as_str, |()| "ok"), answer, "{line}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn defaults_are_accepted_and_read_back() {
    let mut config = ServerConfig::default();
    for row in ServerConfig::rows() {
        let value = config.get(row.name).unwrap();
        assert_eq!(config.set(row.name, value.clone()), Ok(()), "{}", row.name);
        assert_eq!(config.get(row.name), Some(value), "{}", row.name);
    }
}

#[test]
fn errors_name_the_setting_and_the_rule() {
    let mut config = ServerConfig::default();
    let cases = [
        ("nothing", Value::from(1), ConfigRule::Name),
        ("threads", Value::from("x"), ConfigRule::Type),
        ("threads", Value::from(0), ConfigRule::Range),
        ("evictions", Value::from(1), ConfigRule::Type),
    ];
    for (name, value, rule) in cases {
        let error = config.set(name, value).unwrap_err();
        assert_eq!((&*error.setting, error.rule), (name, rule));
    }
    config.cache.memory_limit = 1024;
    let error = config.validate().unwrap_err();
    assert_eq!((&*error.setting, error.rule), ("item_size_max", ConfigRule::Conflict));
}

#[test]
fn typed_values_fit_as_texts_do() {
    let mut config = ServerConfig::default();
    config.set("threads", 2.0).unwrap();
    config.set("growth_factor", 2).unwrap();
    config.set("slab_sizes", &[100, 200][..]).unwrap();
    config.set("temporary_ttl", Some(61)).unwrap();
    config.set("prefix_delimiter", 0xFF_u8).unwrap();
    let cache = &config.cache;
    assert_eq!((config.threads, cache.growth_factor.to_bits()), (2, 2f64.to_bits()));
    assert_eq!((cache.slab_sizes.as_deref(), cache.temporary_ttl), (Some(&[100, 200][..]), Some(61)));
    assert_eq!(cache.prefix_delimiter, 0xFF);
    for value in [Value::from(2.5), Value::from(f64::NAN), Value::from(1e300)] {
        assert!(config.set("threads", value).is_err());
    }
}

#[test]
fn a_refused_setting_of_tls_turned_tls_on() {
    let mut config = ServerConfig::default();
    assert!(config.set("tls_min_version", "1.1").is_err());
    assert_eq!(config.tls, None);
    config.set("tls_min_version", "1.3").unwrap();
    assert_eq!(config.get("tls_min_version"), Some("1.3".into()));
    assert_eq!(config.validate().unwrap_err().setting, "tls");
}

/// Writes docs/settings.md anew if `WRITE_SETTINGS` is set, and else compares it with the table.
#[test]
fn the_document_lists_the_table() {
    let defaults = ServerConfig::default();
    let mut text = String::from(
        "# Settings\n\nThe settings of a cache and of a server, from the table in `core/src/config`. \
         `ServerConfig::set`,\n`mcrs_config_set`, the argument `settings` of Python and the option \
         `settings` of Node take these\nnames; Node writes them in camel case. The range and its message are \
         the same everywhere.\nA file of the daemon's `--config` has these names, too.\n\
         Options of the daemon have memcached's units: `-m` takes mebibytes.\n\
         `WRITE_SETTINGS=1 cargo test -p memcache-rs --test settings` writes this file.\n",
    );
    for (scope, title) in [
        (Scope::Cache, "A cache"),
        (Scope::Server, "A server"),
        (Scope::Tls, "Listeners with TLS"),
        (Scope::Reported, "Only reported"),
    ] {
        write!(text, "\n## {title}\n\n").unwrap();
        text +=
            "| name | values | default | daemon | `stats settings` | meaning |\n|---|---|---|---|---|---|\n";
        for row in ServerConfig::rows().filter(|row| row.scope == scope) {
            let code = |name: Option<&str>| name.map_or(String::new(), |name| format!("`{name}`"));
            let default = match defaults.get(row.name) {
                Some(Value::Integer(byte)) if row.name == "prefix_delimiter" => {
                    char::from(byte as u8).to_string()
                }
                Some(Value::Text(word)) => word,
                Some(value) => value.to_string(),
                None => panic!("{}", row.name),
            };
            let none = if row.optional { ", or none" } else { "" };
            let range = row.range();
            let (option, stat) = (code(row.option), code(row.stat));
            let meaning = meaning(row);
            assert!(!meaning.is_empty() && !meaning.contains(['|', '[']), "{}: {meaning}", row.name);
            writeln!(text, "| `{}` | {range}{none} | {default} | {option} | {stat} | {meaning} |", row.name)
                .unwrap();
        }
    }
    if env::var_os("WRITE_SETTINGS").is_some() {
        fs::write(DOCUMENT, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(DOCUMENT).unwrap(), text, "run with WRITE_SETTINGS=1");
}

/// Returns the documentation of a setting without its links, and without the daemon's option.
fn meaning(row: &Row) -> String {
    let mut text = row.documentation.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(option) = row.option {
        for named in [format!(" (`{option}`)"), format!(" (`-o {option}`)")] {
            text = text.replace(&named, "");
        }
    }
    // [`Settings::name`] and [`Settings::name`](path) become `name`.
    while let Some((before, rest)) = text.split_once("[`") {
        let (path, behind) = rest.split_once("`]").unwrap();
        let (owner, name) = path.rsplit_once("::").unwrap();
        let owner = owner.rsplit("::").next().unwrap();
        let name = if owner.ends_with("Config") { name.to_owned() } else { format!("{owner}::{name}") };
        let after = behind.strip_prefix('(').map_or(behind, |target| target.split_once(')').unwrap().1);
        text = format!("{before}`{name}`{after}");
    }
    text
}
