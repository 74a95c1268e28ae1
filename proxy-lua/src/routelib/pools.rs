//! Settings and pools: `settings{ … }` and `pools{ … }`.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};

use mlua::{Table, Value};

use super::fault::{Found, fail};
use super::text::{Text, pool_name, quote, show};
use super::vm::{Call, Recorded};

/// The key of TOML for a setting, how its value is written, and the names that it has: in
/// `settings` without `backend_`, and in the table of a backend.
const BOUNDS: [(&str, Unit, &[&str]); 9] = [
    ("connect_timeout_ms", Unit::Seconds, &["connect_timeout", "connecttimeout"]),
    ("retry_ms", Unit::Seconds, &["retry_waittime", "retry_timeout", "retrywaittime", "retrytimeout"]),
    ("read_timeout_ms", Unit::Seconds, &["read_timeout", "readtimeout"]),
    ("failure_limit", Unit::Whole, &["failure_limit", "failurelimit"]),
    ("depth_limit", Unit::Whole, &["depth_limit", "depthlimit"]),
    ("flap_time_ms", Unit::Seconds, &["flap_time", "flaptime"]),
    ("flap_ramp", Unit::Number, &["flap_backoff_ramp", "flapbackofframp"]),
    ("flap_max_ms", Unit::Seconds, &["flap_backoff_max", "flapbackoffmax"]),
    ("connections", Unit::Whole, &["connections"]),
];

#[derive(Clone, Copy)]
enum Unit {
    /// Seconds, written as milliseconds.
    Seconds,
    Whole,
    Number,
}

/// The names of pools and sets.
#[derive(Debug, Default)]
pub(super) struct PoolNames {
    /// Pools with their lines.
    pub pools: HashMap<String, usize>,
    /// The zones of sets, in the order of their names.
    pub sets: BTreeMap<String, Vec<String>>,
}

/// Keys of TOML about connections, with their values.
type Bounds = BTreeMap<&'static str, String>;

/// The settings of all pools.
#[derive(Default)]
struct Defaults {
    bounds: Bounds,
    pool_options: Option<Table>,
}

/// Writes all pools. Returns their names.
pub(super) fn emit(recorded: &Recorded, text: &mut Text) -> Found<PoolNames> {
    let mut defaults = Defaults::default();
    for call in &recorded.settings {
        settings(call, recorded, &mut defaults)?;
    }
    let mut names = PoolNames::default();
    text.push("[pools]", 1);
    for call in &recorded.pools {
        for (name, value) in entries(&call.table, call.line)? {
            let Value::Table(table) = value else {
                return fail(call.line, format!("pools.{name} must be a table, got {}", show(&value)));
            };
            if name == "internal" {
                return fail(call.line, "pools.internal: this name is that of the local cache");
            }
            if name.starts_with("set_") {
                let mut zones = Vec::new();
                for (zone, value) in entries(&table, call.line)? {
                    let Value::Table(table) = value else {
                        let message = format!("pools.{name}.{zone} must be a table, got {}", show(&value));
                        return fail(call.line, message);
                    };
                    pool(&format!("{name}_{zone}"), &table, call.line, &defaults, &mut names, text)?;
                    zones.push(zone);
                }
                names.sets.insert(name, zones);
            } else {
                pool(&name, &table, call.line, &defaults, &mut names, text)?;
            }
        }
    }
    Ok(names)
}

/// Returns the pools that a name in the place of a child stands for: one, or those of a set.
pub(super) fn expand<'a>(names: &'a PoolNames, name: &str) -> Option<Vec<(&'a str, String)>> {
    match names.sets.get(name) {
        Some(zones) => {
            Some(zones.iter().map(|zone| (zone.as_str(), pool_name(&format!("{name}_{zone}")))).collect())
        }
        None => names.pools.get_key_value(name).map(|(own, _)| vec![(own.as_str(), pool_name(name))]),
    }
}

/// Returns the entries of a table by their names, sorted. A number is a name, too.
pub(super) fn entries(table: &Table, line: usize) -> Found<Vec<(String, Value)>> {
    let mut entries = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        match pair {
            Ok((Value::String(key), value)) => match key.to_str() {
                Ok(key) => entries.push((key.to_owned(), value)),
                Err(_) => return fail(line, "a name must be UTF-8"),
            },
            Ok((key @ (Value::Integer(_) | Value::Number(_)), value)) => entries.push((show(&key), value)),
            Ok((key, _)) => return fail(line, format!("a name must be a text, got {}", show(&key))),
            Err(e) => return fail(line, e.to_string()),
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

fn settings(call: &Call, recorded: &Recorded, defaults: &mut Defaults) -> Found<()> {
    for (name, value) in entries(&call.table, call.line)? {
        let what = format!("settings.{name}");
        let bound = name.strip_prefix("backend_").and_then(|rest| BOUNDS.iter().find(|row| row.2[0] == rest));
        match (bound, name.as_str(), &value) {
            (Some(row), ..) => bound_of(row, &value, &what, call.line, &mut defaults.bounds)?,
            (None, "backend_use_tls", Value::Boolean(on)) => tls(*on, &mut defaults.bounds),
            (None, "backend_options", Value::Table(table)) => {
                bounds_of(table, &what, call.line, &mut defaults.bounds)?;
            }
            (None, "pool_options", Value::Table(table)) => defaults.pool_options = Some(table.clone()),
            // As in memcached, this fails nothing.
            _ => {
                let _ = writeln!(
                    io::stderr(),
                    "{}:{}: {what} has no effect in a native proxy",
                    recorded.name,
                    call.line
                );
            }
        }
    }
    Ok(())
}

/// Reads the keys of a backend's table that are about connections.
fn bounds_of(table: &Table, what: &str, line: usize, bounds: &mut Bounds) -> Found<()> {
    for (name, value) in entries(table, line)? {
        if let Some(row) = BOUNDS.iter().find(|row| row.2.contains(&name.as_str())) {
            bound_of(row, &value, &format!("{what}.{name}"), line, bounds)?;
        } else if let ("tls", Value::Boolean(on)) = (name.as_str(), &value) {
            tls(*on, bounds);
        }
    }
    Ok(())
}

/// memcached's proxy does not verify backends.
fn tls(on: bool, bounds: &mut Bounds) {
    if on {
        bounds.insert("tls", "{ verify = false }".into());
    } else {
        bounds.remove("tls");
    }
}

fn bound_of(
    row: &(&'static str, Unit, &[&str]),
    value: &Value,
    what: &str,
    line: usize,
    bounds: &mut Bounds,
) -> Found<()> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => text.to_str().ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    let Some(number) = number.filter(|number| (0.0..1e9).contains(number)) else {
        return fail(line, format!("{what} must be a number from 0, got {}", show(value)));
    };
    // No time is the same as no limit, which a key that is missing says.
    if row.0 == "flap_time_ms" && number == 0.0 {
        bounds.remove(row.0);
        return Ok(());
    }
    let text = match row.1 {
        Unit::Seconds => format!("{:.0}", (number * 1000.0).max(1.0)),
        Unit::Whole => format!("{number:.0}"),
        Unit::Number => format!("{number:?}"),
    };
    bounds.insert(row.0, text);
    Ok(())
}

fn pool(
    name: &str,
    table: &Table,
    line: usize,
    defaults: &Defaults,
    names: &mut PoolNames,
    text: &mut Text,
) -> Found<()> {
    let what = format!("pools.{name}");
    let field = |key: &str| match table.raw_get::<Value>(key) {
        Ok(Value::Table(table)) => Ok(Some(table)),
        Ok(Value::Nil) => Ok(None),
        Ok(other) => fail(line, format!("{what}.{key} must be a table, got {}", show(&other))),
        Err(e) => fail(line, e.to_string()),
    };
    let Some(list) = field("backends")? else { return fail(line, format!("{what}: backends is missing")) };
    let mut bounds = defaults.bounds.clone();
    if let Some(options) = field("backend_options")? {
        bounds_of(&options, &format!("{what}.backend_options"), line, &mut bounds)?;
    }
    let (mut backends, mut of_backends) = (Vec::new(), None);
    for value in list.sequence_values::<Value>() {
        let value = value.or_else(|e| fail(line, e.to_string()))?;
        let (backend, own) = backend(&value, &format!("{what}.backends"), line, &bounds)?;
        if of_backends.get_or_insert_with(|| own.clone()) != &own {
            return fail(line, format!("{what}: all backends of a pool must agree about connections"));
        }
        backends.push(backend);
    }
    let mut keys = vec![format!("backends = [{}]", backends.join(", "))];
    keys.extend(of_backends.unwrap_or(bounds).iter().map(|(key, value)| format!("{key} = {value}")));
    let options = field("options")?;
    for options in [options.as_ref(), defaults.pool_options.as_ref()].into_iter().flatten().take(1) {
        keys.extend(pool_options(options, &what, line)?);
    }
    if names.pools.insert(name.to_owned(), line).is_some() {
        return fail(line, format!("{what}: this name is taken"));
    }
    text.push(format!("{} = {{ {} }}", pool_name(name), keys.join(", ")), line);
    Ok(())
}

/// Returns a backend, and the keys about its connections.
fn backend(value: &Value, what: &str, line: usize, bounds: &Bounds) -> Found<(String, Bounds)> {
    let mut own = bounds.clone();
    let address = |address: &str, is_down: bool| {
        let address = quote(address);
        if is_down { format!("{{ address = {address}, down = true }}") } else { address }
    };
    match value {
        Value::String(text) => {
            let text = text.to_string_lossy();
            let mut words = text.split_whitespace();
            let (place, label) = (words.next().unwrap_or_default(), words.next());
            if words.next().is_some() {
                return fail(line, format!("{what} must be HOST:PORT and a label, got {}", quote(&text)));
            }
            Ok((address(place, label == Some("_down_")), own))
        }
        Value::Table(table) => {
            bounds_of(table, what, line, &mut own)?;
            let field = |key: &str| match table.raw_get::<Value>(key) {
                Ok(Value::String(text)) => Ok(Some(text.to_string_lossy())),
                Ok(Value::Integer(number)) => Ok(Some(number.to_string())),
                Ok(Value::Nil) => Ok(None),
                Ok(other) => fail(line, format!("{what}.{key} must be a text, got {}", show(&other))),
                Err(e) => fail(line, e.to_string()),
            };
            let Some(host) = field("host")? else { return fail(line, format!("{what}: host is missing")) };
            let port = field("port")?.unwrap_or_else(|| "11211".into());
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            let is_down = matches!(table.raw_get::<Value>("down"), Ok(Value::Boolean(true)));
            Ok((address(&format!("{host}:{port}"), is_down), own))
        }
        other => fail(line, format!("{what} must be a text or a table, got {}", show(other))),
    }
}

/// Returns the keys for the options of a pool.
fn pool_options(options: &Table, what: &str, line: usize) -> Found<Vec<String>> {
    let (mut keys, mut mode, mut is_ring) = (Vec::new(), None, false);
    let (mut filter, mut filter_text, mut points) = (None, None, None);
    for (name, value) in entries(options, line)? {
        let what = format!("{what}.options.{name}");
        match (name.as_str(), &value) {
            ("dist", Value::Table(table)) => match table.raw_get::<String>("distribution") {
                Ok(distribution) => is_ring = distribution == "ring",
                Err(_) => {
                    return fail(line, format!("{what} must be mcp.dist_jump_hash or mcp.dist_ring_hash"));
                }
            },
            ("hash", Value::String(hash)) => {
                keys.push(format!("key_hash = {}", quote(&hash.to_string_lossy())));
            }
            ("seed", Value::String(seed)) => {
                keys.push(format!("seed = {}", quote(&seed.to_string_lossy())));
            }
            ("omode", Value::String(text)) => mode = Some(text.to_string_lossy()),
            ("filter", Value::String(text)) => filter = Some(text.to_string_lossy()),
            ("filter_conf", Value::String(text)) => filter_text = Some(text.to_string_lossy()),
            ("iothread", Value::Boolean(shared)) => keys.push(format!("shared = {shared}")),
            // A name of connections: nothing that a request shows.
            ("beprefix", _) => {}
            ("obuckets", Value::Integer(count)) => points = Some(*count),
            _ => return fail(line, format!("{what} = {}: a native proxy does not have it", show(&value))),
        }
    }
    match (filter.as_deref(), filter_text) {
        (None, _) => {}
        (Some("stop"), Some(text)) => keys.push(format!("hash_stop = {}", quote(&text))),
        (Some("tags"), Some(text)) => keys.push(format!("hash_tag = {}", quote(&text))),
        (Some(_), None) => return fail(line, format!("{what}.options: filter needs filter_conf")),
        (Some(other), _) => {
            return fail(line, format!("{what}.options.filter: must be stop or tags, got {other}"));
        }
    }
    if is_ring {
        let distribution = match mode.as_deref() {
            None | Some("default") => "ring",
            Some("ketama") => "ketama_port",
            Some("twemproxy") => "ketama",
            Some("evcache") => "evcache",
            Some(other) => return fail(line, format!("{what}.options.omode: unknown mode {}", quote(other))),
        };
        keys.push(format!("distribution = {}", quote(distribution)));
        keys.extend(points.map(|points| format!("points = {points}")));
        // The default of these distributions is another hash.
        if !keys.iter().any(|key| key.starts_with("key_hash")) {
            keys.push("key_hash = \"xxh3\"".into());
        }
    }
    Ok(keys)
}
