//! Decides whether two lists of statistics are equal. A statistic is `NAME VALUE`. The names show
//! which list it is.

use std::collections::{BTreeMap, BTreeSet};

use memcache_compat::Outcome;

/// Counters of the general statistics that depend only on the commands.
const COUNTERS: &[&str] = &[
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "auth_cmds",
    "auth_errors",
    "total_items",
    "evictions",
    "accepting_conns",
    "rejected_connections",
    "limit_maxbytes",
    "threads",
];

/// Counters that memcached does not change in the binary protocol.
const TEXT_COUNTERS: &[&str] = &["store_too_large", "store_no_memory"];

/// Settings that name the server or a moment, or that a server is free to choose.
const OWN_SETTINGS: &[&str] = &["oldest", "reqs_per_event", "tcpport", "udpport", "inter", "domain_socket"];

/// Returns whether memcached reports this setting only if it is built with external storage. The
/// server under test is not. memcached ties `slab_automove_freeratio` to it as well
/// (`process_stat_settings`).
fn is_of_external_storage(setting: &str) -> bool {
    setting.starts_with("ext_") || setting == "slab_automove_freeratio"
}

/// Compares two lists of any kind.
///
/// # Errors
///
/// A description of the difference.
pub fn compare(left: &[String], right: &[String]) -> Outcome<()> {
    let first = left.first().or(right.first()).map_or("", |line| name(line));
    let found = match first {
        "pid" => general(left, right, true),
        "maxbytes" => settings(left, right),
        "detailed" => detailed(left, right),
        // Only one server lists classes with pages but without items.
        "active_slabs" | "total_malloced" => Vec::new(),
        name if name.contains(':') && (left.is_empty() || right.is_empty()) => Vec::new(),
        name if name.contains(':') => kinds(left, right),
        _ if left == right => Vec::new(),
        _ => vec!["the statistics differ".to_owned()],
    };
    if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
}

/// Compares the general statistics: their names, and values that depend only on the commands, which
/// may have been `binary`.
pub fn general(left: &[String], right: &[String], binary: bool) -> Vec<String> {
    let mut found = names(left, right);
    let (one, two) = (table(left), table(right));
    let differs = |name: &&&str| one.get(**name) != two.get(**name);
    let show = |name: &&str| format!("{name}: {:?} and {:?}", one.get(name), two.get(name));
    let told = |name: &&&str| !(binary && TEXT_COUNTERS.contains(*name));
    found.extend(COUNTERS.iter().filter(told).filter(differs).map(show));
    found
}

/// The settings: names and values. Settings of external storage may be missing on the right.
pub fn settings(left: &[String], right: &[String]) -> Vec<String> {
    let right_names: BTreeSet<&str> = right.iter().map(|line| name(line)).collect();
    let expected = |line: &&String| right_names.contains(name(line)) || !is_of_external_storage(name(line));
    let left: Vec<String> = left.iter().filter(expected).cloned().collect();
    let left = left.as_slice();
    let mut found = names(left, right);
    let right = table(right);
    for (name, value) in table(left) {
        if !OWN_SETTINGS.contains(&name) && right.get(name).is_some_and(|other| *other != value) {
            found.push(format!("{name}: {value} and {}", right[name]));
        }
    }
    found
}

/// Compares statistics of classes or connections by the kinds of their numbers, for any classes.
pub fn kinds(left: &[String], right: &[String]) -> Vec<String> {
    let kind = |line: &String| {
        let parts = name(line).split(':').filter(|part| part.parse::<u64>().is_err());
        parts.collect::<Vec<_>>().join(":")
    };
    let (one, two): (BTreeSet<_>, BTreeSet<_>) =
        (left.iter().map(kind).collect(), right.iter().map(kind).collect());
    one.symmetric_difference(&two).map(|name| format!("{name} stands in one reply alone")).collect()
}

/// Compares counters by prefix, in any order.
fn detailed(left: &[String], right: &[String]) -> Vec<String> {
    let lines = |list: &[String]| {
        list.iter()
            .flat_map(|text| text.trim_start_matches("detailed ").lines())
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let (one, two) = (lines(left), lines(right));
    one.symmetric_difference(&two).map(|line| format!("{line} stands in one reply alone")).collect()
}

/// Compares names in order. The right list may have additional ones.
fn names(left: &[String], right: &[String]) -> Vec<String> {
    let right: Vec<&str> = right.iter().map(|line| name(line)).collect();
    let (mut at, mut found) = (0, Vec::new());
    for wanted in left.iter().map(|line| name(line)) {
        match right[at..].iter().position(|other| *other == wanted) {
            Some(step) => at += step + 1,
            None if right.contains(&wanted) => found.push(format!("{wanted} stands at another place")),
            None => found.push(format!("{wanted} is missing")),
        }
    }
    found
}

fn table(lines: &[String]) -> BTreeMap<&str, &str> {
    lines.iter().filter_map(|line| line.split_once(' ')).collect()
}

fn name(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &[&str], right: &[&str]) -> bool {
        let lines = |list: &[&str]| list.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        compare(&lines(left), &lines(right)).is_ok()
    }

    #[test]
    fn each_list_by_its_own_rule() {
        assert!(same(&["pid 1", "cmd_get 5"], &["pid 2", "more 1", "cmd_get 5"]));
        assert!(!same(&["pid 1", "cmd_get 5"], &["pid 2", "cmd_get 6"]));
        assert!(!same(&["pid 1", "cmd_get 5"], &["pid 2"]));
        assert!(!same(&["maxbytes 1", "maxconns 2"], &["maxbytes 1", "maxconns 3"]));
        // A server without external storage lacks its settings, and no others.
        assert!(same(&["maxbytes 1", "ext_item_size 512", "maxconns 2"], &["maxbytes 1", "maxconns 2"]));
        assert!(same(&["maxbytes 1", "slab_automove_freeratio 0.010"], &["maxbytes 1"]));
        assert!(!same(&["maxbytes 1", "slab_automove_ratio 0.80"], &["maxbytes 1"]));
        assert!(!same(&["maxbytes 1", "ext_item_size 512"], &["maxbytes 1", "ext_item_size 1"]));
        assert!(same(&["items:1:number 5"], &["items:2:number 6"]));
        assert!(!same(&["items:1:number 5"], &["items:1:age 6"]));
        assert!(same(&["detailed PREFIX a\nPREFIX b"], &["detailed PREFIX b\nPREFIX a"]));
        assert!(!same(&["detailed PREFIX a"], &["detailed PREFIX b"]));
        assert!(!same(&["sizes_status disabled"], &["sizes_status enabled"]));
    }
}
