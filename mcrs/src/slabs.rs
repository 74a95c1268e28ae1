//! `mcrs slabs`: the slab classes of servers. The data is for `mcrs top`, too.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::client::{Connection, Patience};
use crate::failure::Failure;
use crate::print;
use crate::reply::{Stats, value};
use crate::servers::{self, Answers, Reach};
use crate::text::{Side, Table, json, printable};

/// Prints the slab classes of servers that have pages
///
/// The server is 127.0.0.1:11211 if none is named. AGE is that of the oldest item of the class, and
/// EVICT-AGE that of the last evicted item since its last use, in seconds.
#[derive(Args, Debug)]
pub struct SlabsArguments {
    /// The servers
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// Print an object of JSON for each server, one a line, with all fields of its classes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs `mcrs slabs`.
///
/// # Errors
/// A server does not answer.
pub fn run(arguments: SlabsArguments) -> Result<(), Failure> {
    let servers = arguments.reach.open(&arguments.servers, Patience::Whole)?;
    let answers = servers::ask(&servers, |server| classes(&mut server.connect()?));
    let text = if arguments.json { lines(&answers) } else { String::new() };
    let (good, end) = servers::part(answers);
    print(&if arguments.json { text } else { table(&good, servers.len() > 1) })?;
    end
}

/// A slab class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Its number.
    pub number: u32,
    /// The values of `stats items` and `stats slabs` that are about it.
    fields: BTreeMap<String, String>,
}

impl Class {
    /// Returns a number of the class, or 0 if the server does not tell it.
    pub fn get(&self, name: &str) -> u64 {
        self.fields.get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Returns whether all chunks are used.
    pub fn is_full(&self) -> bool {
        self.get("used_chunks") >= self.get("total_chunks")
    }
}

/// Asks a server for its classes.
///
/// # Errors
/// The connection is broken, or the server has no classes.
pub fn classes(connection: &mut Connection) -> Result<Vec<Class>, Failure> {
    let items = connection.need_stats("items")?;
    Ok(read(&items, &connection.need_stats("slabs")?))
}

/// Joins the rows `items:NUMBER:NAME` and `NUMBER:NAME` of the two groups.
fn read(items: &Stats, slabs: &Stats) -> Vec<Class> {
    let mut classes: BTreeMap<u32, Class> = BTreeMap::new();
    let items = items.iter().filter_map(|(name, text)| Some((name.strip_prefix("items:")?, text)));
    for (name, text) in items.chain(slabs.iter()) {
        let Some((number, name)) = name.split_once(':') else { continue };
        let Ok(number) = number.parse() else { continue };
        let class = classes.entry(number).or_insert_with(|| Class { number, ..Class::default() });
        class.fields.insert(name.into(), text.into());
    }
    classes.into_values().filter(|class| class.get("total_pages") > 0).collect()
}

fn lines(answers: &Answers<Vec<Class>>) -> String {
    let object = |class: &Class| {
        let fields = class.fields.iter().map(|(name, text)| (name.clone(), value(name, text)));
        let number = ("class".to_owned(), class.number.into());
        Value::Object(std::iter::once(number).chain(fields).collect::<Map<_, _>>())
    };
    let line = |(name, answer): &(String, Result<Vec<Class>, Failure>)| match answer {
        Ok(classes) => {
            json(&json!({ "server": name, "classes": classes.iter().map(object).collect::<Vec<_>>() }))
        }
        Err(failure) => json(&json!({ "server": name, "error": failure.line })),
    };
    answers.iter().map(line).collect()
}

/// The columns of numbers, and where they come from.
const COLUMNS: [(&str, &str); 8] = [
    ("CHUNK", "chunk_size"),
    ("AGE", "age"),
    ("PAGES", "total_pages"),
    ("ITEMS", "number"),
    ("BYTES", "mem_requested"),
    ("EVICTED", "evicted"),
    ("EVICT-AGE", "evicted_time"),
    ("OOM", "outofmemory"),
];

fn table(answers: &[(String, Vec<Class>)], many: bool) -> String {
    let server = many.then(|| ("SERVER".into(), Side::Left));
    let numbers = COLUMNS.iter().map(|(head, _)| ((*head).into(), Side::Right));
    let ends = [("CLASS".into(), Side::Right)].into_iter().chain(numbers);
    let mut table = Table::new(server.into_iter().chain(ends).chain([("FULL".into(), Side::Left)]));
    for (name, classes) in answers {
        for class in classes {
            let server = many.then(|| printable(name.as_bytes()));
            let numbers = COLUMNS.iter().map(|(_, field)| class.get(field).to_string());
            let full = if class.is_full() { "yes" } else { "no" };
            let cells = [class.number.to_string()].into_iter().chain(numbers).chain([full.into()]);
            table.push(server.into_iter().chain(cells).collect());
        }
    }
    if answers.is_empty() { String::new() } else { table.lines() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_groups_make_a_class() {
        let stats = |text: &str| {
            let mut stats = Stats::default();
            assert!(text.lines().all(|line| stats.push(line.as_bytes())));
            stats
        };
        let items = stats("STAT items:1:number 2\nSTAT items:x:number 2\nSTAT items:7:number 1");
        let slabs = stats("STAT 1:total_pages 1\nSTAT 1:chunk_size 96\nSTAT active_slabs 1");
        let classes = read(&items, &slabs);
        let [class] = &classes[..] else { panic!("{classes:?}") };
        assert_eq!(
            (class.number, class.get("number"), class.get("chunk_size"), class.get("no")),
            (1, 2, 96, 0)
        );
        let text = table(&[("a".into(), classes)], true);
        assert_eq!(
            text,
            "SERVER  CLASS  CHUNK  AGE  PAGES  ITEMS  BYTES  EVICTED  EVICT-AGE  OOM  FULL\n\
             a           1     96    0      1      2      0        0          0    0  yes\n"
        );
    }
}
