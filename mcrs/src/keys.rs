//! `mcrs keys`: the keys of servers, all or some, or counted by prefix.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::client::{Patience, Server};
use crate::failure::{Failure, SERVER};
use crate::metadump::{self, Item};
use crate::print;
use crate::servers::{self, Reach};
use crate::text::{Side, Table, json, key_json, printable, url};

/// Most rows of a sorted list, if the user names no number.
const SORTED: usize = 1000;

/// Most prefixes that are counted by name.
const PREFIXES: usize = 65_536;

/// Keys that a list may have beyond twice the number of items: they may be stored while it runs.
const LATE: u64 = 1_000_000;

/// Bytes of lines that are printed together.
const CHUNK: usize = 64 * 1024;

/// Lists the keys of servers
///
/// The server is 127.0.0.1:11211 if none is named. Keys are in the form of a URL. SIZE is the whole
/// item in bytes, TTL and IDLE (since the last access) are in seconds. The server's crawler makes
/// the list, and reads of it do not count as accesses.
#[derive(Args, Debug)]
pub struct KeysArguments {
    /// The servers
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// List only keys that begin with this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// List at most this number of keys, or prefixes
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Sort: the largest, the longest idle, the soonest to expire, or by key. Lists 1000 keys
    /// unless --limit says otherwise
    #[arg(long, value_name = "COLUMN")]
    sort: Option<Sort>,
    /// Sort in the other direction
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// Count keys, bytes and keys that were fetched, by prefix
    #[arg(long, conflicts_with = "sort")]
    by_prefix: bool,
    /// The text at which a prefix ends
    #[arg(long, value_name = "TEXT", default_value = ":", requires = "by_prefix")]
    delimiter: String,
    /// Print keys as text instead of in the form of a URL. Control characters are escaped
    #[arg(long, conflicts_with = "json")]
    decode: bool,
    /// Print an object of JSON for each key or prefix, one a line
    #[arg(long)]
    json: bool,
    /// Wait as long for another dump or crawl of the server to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    #[command(flatten)]
    reach: Reach,
}

/// An order of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Size,
    #[value(alias = "age")]
    Idle,
    Ttl,
    Key,
}

/// Runs `mcrs keys`.
///
/// # Errors
/// A server does not list its keys.
pub fn run(arguments: KeysArguments) -> Result<(), Failure> {
    let KeysArguments { prefix, limit, sort, reverse, by_prefix, delimiter, decode, json, wait, .. } =
        arguments;
    let servers = arguments.reach.open(&arguments.servers, Patience::Each)?;
    let wait = Duration::from_secs(wait);
    let widest = servers.iter().map(|server| server.name().chars().count()).max().unwrap_or_default();
    let form = Form { json, decode, widest: if servers.len() > 1 { widest } else { 0 } };
    let mut answers = Vec::new();
    let mut each = |take: &mut dyn FnMut(Row) -> Result<bool, Failure>| {
        for server in &servers {
            let done = list(server, wait, prefix.as_bytes(), take);
            // Without a line, the reader of the output wants no more.
            let stopped = match &done {
                Ok(all) => !all,
                Err(failure) => failure.line.is_empty(),
            };
            answers.push((server.name(), done));
            if stopped {
                break;
            }
        }
        servers::part(std::mem::take(&mut answers)).1
    };
    if by_prefix {
        let mut counts = Counts::default();
        let end = each(&mut |row| {
            counts.add(&row, delimiter.as_bytes());
            Ok(true)
        });
        print(&counts.text(limit, &form))?;
        return end;
    }
    if let Some(sort) = sort {
        let mut top = Top { rows: Vec::new(), most: limit.unwrap_or(SORTED), sort, reverse };
        let end = each(&mut |row| {
            top.push(row);
            Ok(true)
        });
        let rows: String = top.finish().iter().map(|row| form.row(row)).collect();
        print(&(form.head() + &rows))?;
        return end;
    }
    let (mut left, mut lines) = (limit.unwrap_or(usize::MAX), form.head());
    let end = each(&mut |row| {
        if left > 0 {
            left -= 1;
            lines += &form.row(&row);
        }
        if lines.len() >= CHUNK {
            print(&std::mem::take(&mut lines))?;
        }
        Ok(left > 0)
    });
    print(&lines)?;
    end
}

/// A key of the list.
struct Row {
    server: String,
    /// Seconds that the item has left, or `None` if it never expires.
    ttl: Option<i64>,
    /// Seconds since the last access.
    idle: i64,
    item: Item,
}

/// Passes on the keys of a server, until `take` returns `false` or fails. Returns whether it
/// returned `true` each time.
fn list(
    server: &Server,
    wait: Duration,
    prefix: &[u8],
    take: &mut dyn FnMut(Row) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let mut first = server.connect()?;
    let stats = metadump::statistics(&mut first, &server.name())?;
    let now = stats.number("time").and_then(|time| i64::try_from(time).ok()).unwrap_or_default();
    let most = stats.number("curr_items").unwrap_or_default().saturating_mul(2).saturating_add(LATE);
    drop(first);
    let Some(mut connection) = metadump::begin(server, wait)? else { return Ok(true) };
    let mut count = 0;
    while connection.last_line() != b"END" {
        let Some(item) = Item::read(connection.last_line()) else { return Err(connection.unexpected()) };
        count += 1;
        if count > most {
            let line = format!("{} lists more keys than it has items", server.name());
            return Err(Failure::new(SERVER, line));
        }
        if item.key.starts_with(prefix) {
            let ttl = item.expires_at.map(|at| at.saturating_sub(now).max(0));
            let idle = now.saturating_sub(item.accessed_at).max(0);
            if !take(Row { server: server.name(), ttl, idle, item })? {
                return Ok(false);
            }
        }
        connection.line()?;
    }
    Ok(true)
}

/// The rows that are first in an order.
struct Top {
    rows: Vec<Row>,
    most: usize,
    sort: Sort,
    reverse: bool,
}

impl Top {
    fn push(&mut self, row: Row) {
        self.rows.push(row);
        // Sorting a full list once for as many new rows costs each row a few comparisons.
        if self.rows.len() > self.most.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let (sort, reverse) = (self.sort, self.reverse);
        self.rows.sort_by(|a, b| {
            let order = compare(a, b, sort);
            let order = if reverse { order.reverse() } else { order };
            order.then_with(|| a.item.key.cmp(&b.item.key))
        });
        self.rows.truncate(self.most);
    }

    fn finish(mut self) -> Vec<Row> {
        self.cut();
        self.rows
    }
}

fn compare(a: &Row, b: &Row, sort: Sort) -> Ordering {
    match sort {
        Sort::Size => b.item.size.cmp(&a.item.size),
        Sort::Idle => b.idle.cmp(&a.idle),
        Sort::Ttl => a.ttl.unwrap_or(i64::MAX).cmp(&b.ttl.unwrap_or(i64::MAX)),
        Sort::Key => a.item.key.cmp(&b.item.key),
    }
}

/// The form of the output.
struct Form {
    json: bool,
    decode: bool,
    /// Characters of the longest name of a server, or 0 if there is one server.
    widest: usize,
}

impl Form {
    fn key(&self, key: &[u8]) -> String {
        if self.decode { printable(key) } else { url(key) }
    }

    /// Returns the head of the list of keys. The key is last, because lengths are not known before.
    fn head(&self) -> String {
        if self.json { String::new() } else { self.line("SERVER", ["SIZE", "TTL", "IDLE", "FETCHED"], "KEY") }
    }

    fn row(&self, row: &Row) -> String {
        let Row { server, ttl, idle, item } = row;
        if self.json {
            let (name, key) = key_json(&item.key);
            return json(&json!({
                "server": server,
                name: key,
                "size": item.size,
                "ttl": ttl,
                "idle": idle,
                "fetched": item.fetched,
                "class": item.class,
                "cas": item.cas,
                "flags": item.flags,
            }));
        }
        let ttl = ttl.map_or_else(|| "-".into(), |ttl| ttl.to_string());
        let (size, idle) = (item.size.to_string(), idle.to_string());
        let fetched = if item.fetched { "yes" } else { "no" };
        self.line(server, [&size, &ttl, &idle, fetched], &self.key(&item.key))
    }

    fn line(&self, server: &str, [size, ttl, idle, fetched]: [&str; 4], key: &str) -> String {
        let width = self.widest;
        let server = if width > 0 { format!("{server:<width$}  ") } else { String::new() };
        format!("{server}{size:>10}  {ttl:>10}  {idle:>10}  {fetched:<7}  {key}\n")
    }
}

/// The keys with one prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    keys: u64,
    bytes: u64,
    fetched: u64,
}

impl Count {
    fn add(&mut self, item: &Item) {
        self.keys += 1;
        self.bytes = self.bytes.saturating_add(item.size);
        self.fetched += u64::from(item.fetched);
    }
}

/// The keys by prefix.
#[derive(Default)]
struct Counts {
    prefixes: HashMap<Vec<u8>, Count>,
    /// Keys without a delimiter.
    none: Count,
    /// Keys whose prefixes came after [`PREFIXES`] others.
    others: Count,
}

impl Counts {
    fn add(&mut self, row: &Row, delimiter: &[u8]) {
        let key = &row.item.key[..];
        let end = if delimiter.is_empty() {
            None
        } else {
            key.windows(delimiter.len()).position(|window| window == delimiter)
        };
        let Some(prefix) = end.and_then(|end| key.get(..end)) else { return self.none.add(&row.item) };
        let full = self.prefixes.len() >= PREFIXES;
        match self.prefixes.get_mut(prefix) {
            Some(count) => count.add(&row.item),
            None if full => self.others.add(&row.item),
            None => self.prefixes.entry(prefix.to_vec()).or_default().add(&row.item),
        }
    }

    /// Returns the rows, those with the most keys first.
    fn text(&self, limit: Option<usize>, form: &Form) -> String {
        let mut rows: Vec<_> = self.prefixes.iter().collect();
        rows.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        rows.truncate(limit.unwrap_or(usize::MAX));
        let rest = [("(none)", self.none), ("(others)", self.others)];
        let rest = rest.into_iter().filter(|(_, count)| count.keys > 0);
        if form.json {
            let line = |name: &str, prefix: Value, count: &Count| {
                let Count { keys, bytes, fetched } = count;
                json(&json!({ name: prefix, "keys": keys, "bytes": bytes, "fetched": fetched }))
            };
            let named = rows.iter().map(|(prefix, count)| {
                let (name, prefix) = key_json(prefix);
                line(if name == "key" { "prefix" } else { "prefix_base64" }, prefix.into(), count)
            });
            let rest = rest.map(|(name, count)| match name {
                "(none)" => line("prefix", Value::Null, &count),
                _ => line("others", true.into(), &count),
            });
            return named.chain(rest).collect();
        }
        let heads =
            [("KEYS", Side::Right), ("BYTES", Side::Right), ("FETCHED", Side::Right), ("PREFIX", Side::Left)];
        let mut table = Table::new(heads.map(|(head, side)| (head.into(), side)));
        let mut push = |prefix: String, Count { keys, bytes, fetched }: &Count| {
            table.push(vec![keys.to_string(), bytes.to_string(), fetched.to_string(), prefix]);
        };
        rows.iter().for_each(|(prefix, count)| push(form.key(prefix), count));
        rest.for_each(|(name, count)| push(name.into(), &count));
        table.lines()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &[u8], size: u64, ttl: Option<i64>, idle: i64) -> Row {
        let item = Item { key: key.to_vec(), size, fetched: size > 50, ..Item::default() };
        Row { server: "a:1".into(), ttl, idle, item }
    }

    fn sorted(most: usize, sort: Sort, reverse: bool) -> String {
        let mut top = Top { rows: Vec::new(), most, sort, reverse };
        for row in [
            row(b"c", 10, None, 5),
            row(b"a", 90, Some(7), 1),
            row(b"b", 60, Some(3), 9),
            row(b"d", 10, None, 0),
        ] {
            top.push(row);
        }
        top.finish().iter().map(|row| char::from(row.item.key[0])).collect()
    }

    #[test]
    fn the_first_rows_of_an_order_stay() {
        assert_eq!(sorted(9, Sort::Size, false), "abcd");
        assert_eq!(sorted(1, Sort::Size, false), "a");
        assert_eq!(sorted(2, Sort::Size, true), "cd");
        assert_eq!(sorted(2, Sort::Idle, false), "bc");
        assert_eq!(sorted(3, Sort::Ttl, false), "bac");
        assert_eq!(sorted(4, Sort::Key, true), "dcba");
        assert_eq!(sorted(0, Sort::Key, true), "");
    }

    #[test]
    fn keys_are_counted_by_prefix() {
        let mut counts = Counts::default();
        for key in [&b"a:1"[..], b"a:2:3", b"\x1b:1", b"plain"] {
            counts.add(&row(key, 60, None, 0), b":");
        }
        let form = |json| Form { json, decode: true, widest: 0 };
        let expected = "KEYS  BYTES  FETCHED  PREFIX\n   2    120        2  a\n   1     60        1  \\u{1b}\n   1     60        1  (none)\n";
        assert_eq!(counts.text(None, &form(false)), expected);
        assert_eq!(counts.text(Some(1), &form(true)).lines().count(), 2);
        for number in 0..PREFIXES {
            counts.add(&row(format!("{number}:").as_bytes(), 1, None, 0), b":");
        }
        assert_eq!((counts.prefixes.len(), counts.others.keys), (PREFIXES, 2));
        assert!(counts.text(Some(0), &form(true)).contains("\"others\":true"));
    }
}
