//! Compares the state of both servers after the same commands: counters, settings, names of
//! statistics, and keys.

use std::collections::BTreeSet;
use std::time::Duration;

use memcache_compat::Outcome;
use memcache_compat::link::{Link, Received};

use crate::run::Pair;
use crate::statistics;

const PATIENCE: Duration = Duration::from_secs(20);

/// Compares after commands that may have been `binary`. Returns a line for each difference.
pub fn compare_state(pair: &mut Pair, binary: bool) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let (mut left, mut right) = (pair.left.server.connect()?, pair.right.server.connect()?);

    let (one, two) = (table(ask(&mut left, "stats")?), table(ask(&mut right, "stats")?));
    found.extend(statistics::general(&one, &two, binary).into_iter().map(|fault| format!("stats {fault}")));
    let settings = "stats settings";
    let (one, two) = (table(ask(&mut left, settings)?), table(ask(&mut right, settings)?));
    found.extend(statistics::settings(&one, &two).into_iter().map(|fault| format!("{settings} {fault}")));
    for command in ["stats items", "stats slabs", "stats conns"] {
        let (one, two) = (table(ask(&mut left, command)?), table(ask(&mut right, command)?));
        found.extend(statistics::kinds(&one, &two).into_iter().map(|fault| format!("{command}: {fault}")));
    }

    let detail = |link: &mut Link| ask(link, "stats detail dump").map(BTreeSet::from_iter);
    let (one, two): (BTreeSet<String>, BTreeSet<String>) = (detail(&mut left)?, detail(&mut right)?);
    for line in one.symmetric_difference(&two) {
        found.push(format!("stats detail dump: {line} stands in one reply alone"));
    }

    found.extend(compare_keys(&mut left, &mut right)?);
    Ok(found)
}

/// Compares the keys of the backends of two proxies. Returns a line for each difference.
pub fn compare_backends(pair: &mut Pair) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for (at, (left, right)) in pair.left.backends.iter_mut().zip(&mut pair.right.backends).enumerate() {
        for server in [&mut *left, &mut *right] {
            if server.ended().is_some() {
                server.revive()?;
            }
        }
        let faults = compare_keys(&mut left.connect()?, &mut right.connect()?)?;
        found.extend(faults.into_iter().map(|fault| format!("backend {at}: {fault}")));
    }
    Ok(found)
}

fn compare_keys(left: &mut Link, right: &mut Link) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for link in [&mut *left, &mut *right] {
        link.send(b"lru_crawler enable\r\nmn\r\n", &[], Duration::ZERO);
        link.read_until(b"MN\r\n", PATIENCE);
    }
    for command in ["lru_crawler metadump all", "lru_crawler mgdump hash"] {
        let (one, two) = (dump(left, command)?, dump(right, command)?);
        for line in one.symmetric_difference(&two) {
            found.push(format!("{command}: {line} stands in one reply alone"));
        }
    }
    Ok(found)
}

/// Returns the statistics of a reply as `NAME VALUE`.
fn table(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| line.strip_prefix("STAT ").map_or(line.clone(), str::to_owned)).collect()
}

/// Returns the keys of a dump, each with the metadata that must be equal on both servers.
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

/// Returns the lines of a reply up to `END`, `EN`, or an error.
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
