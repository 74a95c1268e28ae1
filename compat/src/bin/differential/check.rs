//! What must be equal when the same commands have run: counters, settings, names of statistics, the keys held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use memcache_compat::Outcome;
use memcache_compat::link::{Link, Received};

use crate::run::Pair;

const PATIENCE: Duration = Duration::from_secs(20);

/// Counters of `stats` that the commands determine.
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

/// Settings that name the server or a moment, or that a server is free to choose.
const OWN_SETTINGS: &[&str] = &["oldest", "reqs_per_event", "tcpport", "udpport", "inter", "domain_socket"];

/// Compares; gives a line for each difference.
pub fn compare_state(pair: &mut Pair) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let (mut left, mut right) = (pair.left.connect()?, pair.right.connect()?);

    let (one, two) = (ask(&mut left, "stats")?, ask(&mut right, "stats")?);
    compare_names("stats", &one, &two, &mut found);
    let (one, two) = (table(&one), table(&two));
    for name in COUNTERS {
        if one.get(*name) != two.get(*name) {
            found.push(format!("stats {name}: {:?} and {:?}", one.get(*name), two.get(*name)));
        }
    }

    let (one, two) = (ask(&mut left, "stats settings")?, ask(&mut right, "stats settings")?);
    compare_names("stats settings", &one, &two, &mut found);
    let (one, two) = (table(&one), table(&two));
    for (name, value) in &one {
        if !OWN_SETTINGS.contains(&name.as_str()) && two.get(name).is_some_and(|other| other != value) {
            found.push(format!("stats settings {name}: {value} and {}", two[name]));
        }
    }

    for command in ["stats items", "stats slabs", "stats conns"] {
        let (one, two) = (kinds(&ask(&mut left, command)?), kinds(&ask(&mut right, command)?));
        for name in one.symmetric_difference(&two) {
            found.push(format!("{command}: {name} stands in one reply alone"));
        }
    }

    let detail = |link: &mut Link| ask(link, "stats detail dump").map(BTreeSet::from_iter);
    let (one, two): (BTreeSet<String>, BTreeSet<String>) = (detail(&mut left)?, detail(&mut right)?);
    for line in one.symmetric_difference(&two) {
        found.push(format!("stats detail dump: {line} stands in one reply alone"));
    }

    for link in [&mut left, &mut right] {
        link.send(b"lru_crawler enable\r\nmn\r\n", &[], Duration::ZERO);
        link.read_until(b"MN\r\n", PATIENCE);
    }
    for command in ["lru_crawler metadump all", "lru_crawler mgdump hash"] {
        let (one, two) = (dump(&mut left, command)?, dump(&mut right, command)?);
        for line in one.symmetric_difference(&two) {
            found.push(format!("{command}: {line} stands in one reply alone"));
        }
    }
    Ok(found)
}

/// Names in order; the right server may have more behind the left one's last or between them.
fn compare_names(what: &str, left: &[String], right: &[String], found: &mut Vec<String>) {
    let name = |line: &String| line.split(' ').nth(1).unwrap_or_default().to_owned();
    let right: Vec<String> = right.iter().map(name).collect();
    let mut at = 0;
    // memcached has these only when it was built with TLS.
    for wanted in left.iter().map(name).filter(|name| !name.starts_with("ssl_")) {
        match right[at..].iter().position(|other| *other == wanted) {
            Some(step) => at += step + 1,
            None if right.contains(&wanted) => {
                found.push(format!("{what}: {wanted} stands at another place"));
            }
            None => found.push(format!("{what}: {wanted} is missing")),
        }
    }
}

fn table(lines: &[String]) -> BTreeMap<String, String> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The names with their numbers (of a class or a connection) left out.
fn kinds(lines: &[String]) -> BTreeSet<String> {
    let name = |line: &String| {
        let name = line.split(' ').nth(1).unwrap_or_default();
        name.split(':').filter(|part| part.parse::<u64>().is_err()).collect::<Vec<_>>().join(":")
    };
    lines.iter().map(name).collect()
}

/// The keys of a dump, each with what both servers must say of it.
fn dump(link: &mut Link, command: &str) -> Outcome<BTreeSet<String>> {
    for _ in 0..20 {
        let lines = ask(link, command)?;
        if lines.first().is_some_and(|line| line.starts_with("BUSY")) {
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        let keep = |word: &&str| {
            !["exp=", "la=", "cas=", "cls=", "size=", "ext_"].iter().any(|own| word.starts_with(own))
        };
        return Ok(lines
            .iter()
            .map(|line| line.split(' ').filter(keep).collect::<Vec<_>>().join(" "))
            .collect());
    }
    Err(format!("{command}: always busy"))
}

/// The lines of a reply up to `END`, `EN`, or an error.
fn ask(link: &mut Link, command: &str) -> Outcome<Vec<String>> {
    link.send(format!("{command}\r\n").as_bytes(), &[], Duration::ZERO);
    let mut lines = Vec::new();
    loop {
        let text = match link.read_until(b"\n", PATIENCE) {
            Received::Reply(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            other => return Err(format!("{command}: {other:?}")),
        };
        if text == "END" || text == "EN" {
            return Ok(lines);
        }
        let error = ["ERROR", "CLIENT_ERROR", "SERVER_ERROR", "BUSY", "NOTSTARTED"]
            .iter()
            .any(|word| text.starts_with(word));
        lines.push(text);
        if error {
            return Ok(lines);
        }
    }
}
