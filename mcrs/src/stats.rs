//! `mcrs stats` and `mcrs settings`: the statistics of servers, beside each other.

use std::collections::HashMap;
use std::net::ToSocketAddrs as _;

use clap::Args;
use memcache_core::internal::admin::{PROXY_STAT_GROUPS, STAT_GROUPS};
use serde_json::{Value, json};

use crate::client::Patience;
use crate::failure::{Failure, USAGE};
use crate::print;
use crate::reply::{Stats, value};
use crate::servers::{self, Answers, Reach};
use crate::text::{Side, Table, json, printable};

/// The groups of `stats` that other servers have, or that are about the text protocol.
const OTHERS: [&str; 3] = ["detail", "threads", "extstore"];

/// Prints the statistics of servers
///
/// Without a group these are the general ones. The server is 127.0.0.1:11211 if none is named. The
/// groups are items, slabs, sizes, quotas, settings, conns, latency, hotkeys, detail, threads,
/// extstore, proxy, proxyfuncs, proxybe and proxypools. Not every server has each of them.
#[derive(Args, Debug)]
#[command(override_usage = "mcrs stats [OPTIONS] [SERVER]... [GROUP]")]
pub struct StatsArguments {
    /// The servers, and behind them a group
    #[arg(value_name = "SERVER")]
    words: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Prints the settings of servers
///
/// The server is 127.0.0.1:11211 if none is named.
#[derive(Args, Debug)]
pub struct SettingsArguments {
    /// The servers
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Debug)]
struct Output {
    /// Print an object of JSON for each server, one a line
    #[arg(long)]
    json: bool,
    /// Print only the rows in which servers differ
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs `mcrs stats`.
///
/// # Errors
/// A server does not answer, or does not have the group.
pub fn run(arguments: StatsArguments) -> Result<(), Failure> {
    let known = known();
    let (servers, groups) = servers::split(&arguments.words, &known);
    let group = match groups {
        [] => "",
        [group] => group,
        [first, second, ..] => {
            let line =
                format!("one group is allowed, got {first} and {second}; mcrs stats --help tells more");
            return Err(Failure::new(USAGE, line));
        }
    };
    show(servers, if group == "detail" { "detail dump" } else { group }, arguments.output)
}

/// Returns the groups. A word of the command line that is none of them is a server.
fn known() -> Vec<&'static str> {
    [&STAT_GROUPS[..], &OTHERS, &PROXY_STAT_GROUPS].concat()
}

/// Runs `mcrs settings`.
///
/// # Errors
/// A server does not answer.
pub fn settings(arguments: SettingsArguments) -> Result<(), Failure> {
    show(&arguments.servers, "settings", arguments.output)
}

fn show(addresses: &[String], group: &str, output: Output) -> Result<(), Failure> {
    let servers = output.reach.open(addresses, Patience::Whole)?;
    let mut answers = servers::ask(&servers, |server| server.connect()?.need_stats(group));
    // A last word that is not the name of a host was perhaps to be a group.
    let last = addresses.last().filter(|word| group.is_empty() && !word.contains([':', '.', '/']));
    if let (Some(word), Some((_, Err(failure)))) = (last, answers.last_mut())
        && (&word[..], 0).to_socket_addrs().is_err()
    {
        failure.line += "; the groups are ";
        failure.line += &known().join(", ");
    }
    let text = if output.json { lines(&answers) } else { String::new() };
    let (good, end) = servers::part(answers);
    print(&if output.json { text } else { table(&good, output.diff) })?;
    end
}

fn lines(answers: &Answers<Stats>) -> String {
    let object = |stats: &Stats| stats.iter().map(|(name, text)| (name.into(), value(name, text))).collect();
    let line = |(name, answer): &(String, Result<Stats, Failure>)| match answer {
        Ok(stats) => json(&json!({ "server": name, "stats": Value::Object(object(stats)) })),
        Err(failure) => json(&json!({ "server": name, "error": failure.line })),
    };
    answers.iter().map(line).collect()
}

/// Returns a table with a row for each name and a column for each server.
fn table(answers: &[(String, Stats)], diff: bool) -> String {
    let servers = answers.iter().map(|(name, _)| (printable(name.as_bytes()), Side::Right));
    let mut table = Table::new(std::iter::once(("NAME".into(), Side::Left)).chain(servers));
    // The names of the first server, then those that only later ones have.
    let mut rows: HashMap<&str, usize> = HashMap::new();
    let mut order: Vec<(&str, Vec<Option<&str>>)> = Vec::new();
    for (column, (_, stats)) in answers.iter().enumerate() {
        for (name, text) in stats.iter() {
            let row = *rows.entry(name).or_insert(order.len());
            if row == order.len() {
                order.push((name, vec![None; answers.len()]));
            }
            if let Some(cell) = order.get_mut(row).and_then(|(_, cells)| cells.get_mut(column)) {
                *cell = Some(text);
            }
        }
    }
    for (name, cells) in order {
        if diff && cells.windows(2).all(|pair| pair.first() == pair.last()) {
            continue;
        }
        let cells =
            cells.iter().map(|cell| cell.map_or_else(|| "-".into(), |cell| printable(cell.as_bytes())));
        table.push(std::iter::once(printable(name.as_bytes())).chain(cells).collect());
    }
    if answers.is_empty() { String::new() } else { table.lines() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_stand_beside_each_other() {
        let stats = |lines: &[&str]| {
            let mut stats = Stats::default();
            assert!(lines.iter().all(|line| stats.push(line.as_bytes())));
            stats
        };
        let answers = [
            ("a:1".to_owned(), stats(&["STAT pid 7", "STAT threads 4"])),
            ("b:1".to_owned(), stats(&["STAT threads 4", "STAT own x\x1by"])),
        ];
        let all = "NAME     a:1       b:1\n\
                   pid        7         -\n\
                   threads    4         4\n\
                   own        -  x\\u{1b}y\n";
        assert_eq!(table(&answers, false), all);
        assert_eq!(table(&answers, true), "NAME  a:1       b:1\npid     7         -\nown     -  x\\u{1b}y\n");
        assert_eq!(table(&[], false), "");
    }
}
