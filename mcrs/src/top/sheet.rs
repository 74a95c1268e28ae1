//! The pages as tables of text: the model's numbers in a form to read. The screen and `--once` show
//! them.

use std::cmp::Ordering;
use std::time::Duration;

use super::model::{Model, Page, Rates, ServerModel, Sort, State, ratio};
use super::sample::{Latency, Sample};
use crate::text::Side::{self, Left, Right};
use crate::text::{Table, printable};

/// A table of a page.
#[derive(Debug)]
pub struct Sheet {
    /// Names and sides of the columns, the most important first.
    pub columns: Vec<(&'static str, Side)>,
    /// The rows, in order.
    pub rows: Vec<Vec<Cell>>,
    /// Sentences below the table.
    pub notes: Vec<String>,
    /// The column by which the rows are sorted.
    pub sort: Sort,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The text that is printed.
    pub text: String,
    /// The number by which rows are sorted, the greatest first. `None` sorts by text.
    rank: Option<f64>,
    /// Whether it is about a fault.
    pub fault: bool,
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), rank: None, fault: false }
    }

    fn number(rank: f64, text: String) -> Self {
        Self { text, rank: Some(rank), fault: false }
    }

    /// A number that may be unknown.
    fn maybe(number: Option<f64>, form: impl Fn(f64) -> String) -> Self {
        number.map_or_else(|| Self::number(-1.0, "-".into()), |number| Self::number(number, form(number)))
    }

    fn count(number: u64) -> Self {
        Self::number(number as f64, count(number as f64))
    }

    fn time(time: Duration) -> Self {
        Self::number(time.as_secs_f64(), duration(time))
    }
}

impl Sheet {
    /// Returns the page that is shown, and sorts it.
    pub fn new(model: &mut Model) -> Self {
        let mut sheet = match model.page {
            Page::Servers => servers(model),
            Page::HotKeys => hot_keys(model),
            Page::Latency => latency(model),
            Page::Slabs => slabs(model),
        };
        sheet.sort = model.sort(sheet.columns.len());
        let Sort { column, reverse } = sheet.sort;
        sheet.rows.sort_by(|a, b| {
            let order = a.get(column).zip(b.get(column)).map_or(Ordering::Equal, |(a, b)| compare(a, b));
            if reverse { order.reverse() } else { order }
        });
        model.scroll = model.scroll.min(sheet.rows.len().saturating_sub(1));
        sheet
    }

    fn with(columns: &[(&'static str, Side)]) -> Self {
        let sort = Sort { column: 0, reverse: false };
        Self { columns: columns.to_vec(), rows: Vec::new(), notes: Vec::new(), sort }
    }

    /// Returns the page as lines, with all columns.
    pub fn lines(&self) -> String {
        let columns = self.columns.iter().map(|(name, side)| ((*name).to_owned(), *side));
        let mut table = Table::new(columns);
        for row in &self.rows {
            table.push(row.iter().map(|cell| cell.text.clone()).collect());
        }
        let notes = self.notes.iter().flat_map(|note| [&note[..], "\n"]);
        table.lines() + &notes.collect::<String>()
    }
}

/// Compares two cells of a column: texts ascend, numbers descend.
fn compare(a: &Cell, b: &Cell) -> Ordering {
    match (a.rank, b.rank) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        _ => a.text.cmp(&b.text),
    }
}

const SERVERS: [(&str, Side); 17] = [
    ("SERVER", Left),
    ("STATE", Left),
    ("GET/s", Right),
    ("HIT%", Right),
    ("SET/s", Right),
    ("EVICT/s", Right),
    ("ITEMS", Right),
    ("MEM%", Right),
    ("CONNS", Right),
    ("RTT", Right),
    ("DEL/s", Right),
    ("MEMORY", Right),
    ("IN/s", Right),
    ("OUT/s", Right),
    ("CPU%", Right),
    ("UPTIME", Right),
    ("VERSION", Left),
];

fn servers(model: &Model) -> Sheet {
    let mut sheet = Sheet::with(&SERVERS);
    for (index, server) in model.servers.iter().enumerate() {
        let name = Cell { rank: Some(-(index as f64)), ..Cell::text(printable(server.name.as_bytes())) };
        let (state, fault) = match &server.state {
            State::Waiting => ("wait", false),
            State::Up => ("up", false),
            State::Down(reason) => {
                sheet.notes.push(format!("DOWN: {reason}"));
                ("DOWN", true)
            }
        };
        let mut row = vec![name, Cell { fault, ..Cell::text(state) }];
        row.extend(numbers(server));
        sheet.rows.push(row);
    }
    sheet
}

/// Returns the cells of a server behind its state.
fn numbers(server: &ServerModel) -> Vec<Cell> {
    let rates = server.rates.unwrap_or_default();
    let sample = server.sample.as_ref();
    let known = |get: &dyn Fn(&Sample) -> f64| sample.map(get);
    let number = |name: &'static str| known(&|sample| sample.number(name) as f64);
    let memory = known(&|sample| percent(sample.number("bytes"), sample.number("limit_maxbytes")));
    vec![
        Cell::maybe(rates.gets, count),
        Cell::maybe(rates.hit_ratio(), |ratio| format!("{:.1}", ratio * 100.0)),
        Cell::maybe(rates.sets, count),
        Cell::maybe(rates.evictions, count),
        Cell::maybe(number("curr_items"), count),
        Cell::maybe(memory, |percent| format!("{percent:.0}")),
        Cell::maybe(number("curr_connections"), count),
        Cell::maybe(known(&|sample| sample.round_trip.as_secs_f64()), |time| {
            duration(Duration::try_from_secs_f64(time).unwrap_or_default())
        }),
        Cell::maybe(rates.deletes, count),
        Cell::maybe(number("bytes"), bytes),
        Cell::maybe(rates.received, bytes),
        Cell::maybe(rates.sent, bytes),
        Cell::maybe(rates.cpu, |cpu| format!("{:.0}", cpu * 100.0)),
        Cell::maybe(number("uptime"), |uptime| age(uptime as u64)),
        Cell::text(
            sample
                .and_then(|sample| sample.stats.get("version"))
                .map_or_else(|| "-".into(), |version| printable(version.as_bytes())),
        ),
    ]
}

fn hot_keys(model: &Model) -> Sheet {
    let mut sheet = Sheet::with(&[("KEY", Left), ("READS/s", Right), ("WRITES/s", Right), ("SERVER", Left)]);
    for (name, sample) in samples(model) {
        let Some(hot) = &sample.hot else {
            sheet.notes.push(format!("{name} does not offer stats hotkeys"));
            continue;
        };
        if hot.keys.is_empty() {
            sheet.notes.push(format!("{name} has sampled no requests yet"));
        }
        for key in &hot.keys {
            let rate = |count| Cell::maybe(Some(hot.rate(count)), self::count);
            let (reads, writes) = (rate(key.reads), rate(key.writes));
            sheet.rows.push(vec![Cell::text(printable(&key.key)), reads, writes, Cell::text(name.clone())]);
        }
    }
    sheet
}

fn latency(model: &Model) -> Sheet {
    let columns = [
        ("SERVER", Left),
        ("COMMAND", Left),
        ("COUNT", Right),
        ("P50", Right),
        ("P99", Right),
        ("P99.9", Right),
    ];
    let mut sheet = Sheet::with(&columns);
    for server in &model.servers {
        let Some(sample) = &server.sample else { continue };
        let name = printable(server.name.as_bytes());
        if sample.latency.is_none() {
            sheet.notes.push(format!("{name} does not offer stats latency"));
        }
        let own = Latency::of("version (from here)", server.round_trips.iter().copied());
        for one in [&own].into_iter().chain(sample.latency.iter().flatten()) {
            let command = Cell::text(printable(one.command.as_bytes()));
            let times = [one.p50, one.p99, one.p999].map(Cell::time);
            let cells = [Cell::text(name.clone()), command, Cell::count(one.count)];
            sheet.rows.push(cells.into_iter().chain(times).collect());
        }
    }
    sheet
}

const SLABS: [(&str, &str); 6] = [
    ("CHUNK", "chunk_size"),
    ("PAGES", "total_pages"),
    ("ITEMS", "number"),
    ("BYTES", "mem_requested"),
    ("AGE", "age"),
    ("EVICTED", "evicted"),
];

fn slabs(model: &Model) -> Sheet {
    let numbers = SLABS.iter().map(|(name, _)| (*name, Right));
    let columns: Vec<_> =
        [("SERVER", Left), ("CLASS", Right)].into_iter().chain(numbers).chain([("FULL", Left)]).collect();
    let mut sheet = Sheet::with(&columns);
    for (name, sample) in samples(model) {
        for class in &sample.classes {
            let cell = |(head, field): &(&str, &str)| {
                let number = class.get(field);
                let text = match *head {
                    "CHUNK" | "BYTES" => bytes(number as f64),
                    "AGE" => age(number),
                    _ => count(number as f64),
                };
                Cell::number(number as f64, text)
            };
            let ends =
                [Cell::text(name.clone()), Cell::number(f64::from(class.number), class.number.to_string())];
            let full = Cell::text(if class.is_full() { "yes" } else { "no" });
            sheet.rows.push(ends.into_iter().chain(SLABS.iter().map(cell)).chain([full]).collect());
        }
    }
    sheet
}

/// Returns the servers that answer.
fn samples(model: &Model) -> impl Iterator<Item = (String, &Sample)> {
    let servers = model.servers.iter();
    servers.filter_map(|server| Some((printable(server.name.as_bytes()), server.sample.as_ref()?)))
}

/// Returns the totals of all servers, in two lines.
pub fn totals(model: &Model) -> [String; 2] {
    let rate = |get: &dyn Fn(&Rates) -> Option<f64>| {
        model.total(get).map_or_else(|| "-".into(), |rate| format!("{}/s", count(rate)))
    };
    let flow = |get: &dyn Fn(&Rates) -> Option<f64>| {
        model.total(get).map_or_else(|| "-".into(), |rate| format!("{}/s", bytes(rate)))
    };
    let hits = model.total(|rates| rates.hits).zip(model.total(|rates| rates.misses));
    let hits = hits.and_then(|(hits, misses)| ratio(hits, misses));
    let hits = hits.map_or_else(|| "-".into(), |ratio| format!("{:.1}%", ratio * 100.0));
    let (used, limit) = (model.sum("bytes"), model.sum("limit_maxbytes"));
    [
        format!(
            "gets {}  hits {hits}  sets {}  deletes {}  evictions {}",
            rate(&|rates| rates.gets),
            rate(&|rates| rates.sets),
            rate(&|rates| rates.deletes),
            rate(&|rates| rates.evictions),
        ),
        format!(
            "items {}  memory {} of {}  connections {}  in {}  out {}",
            count(model.sum("curr_items") as f64),
            bytes(used as f64),
            bytes(limit as f64),
            count(model.sum("curr_connections") as f64),
            flow(&|rates| rates.received),
            flow(&|rates| rates.sent),
        ),
    ]
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Returns a number in at most five characters, as `12.3k`.
pub fn count(number: f64) -> String {
    scaled(number, 1000.0, ["", "k", "M", "G", "T", "P", "E"])
}

/// Returns bytes in at most five characters. `K` is 1024.
pub fn bytes(number: f64) -> String {
    scaled(number, 1024.0, ["", "K", "M", "G", "T", "P", "E"])
}

fn scaled(mut number: f64, step: f64, units: [&str; 7]) -> String {
    let mut unit = "";
    for next in units {
        unit = next;
        // A number that would be rounded up to 1000 gets the next unit.
        if number < 999.5 {
            break;
        }
        number /= step;
    }
    let whole = number.fract().abs() < 0.05 && unit.is_empty();
    match number {
        number if whole || number >= 99.95 => format!("{number:.0}{unit}"),
        number if number >= 9.995 || unit.is_empty() => format!("{number:.1}{unit}"),
        number => format!("{number:.2}{unit}"),
    }
}

/// Returns a time in three digits or so.
pub fn duration(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        micros if micros < 9.95 => format!("{micros:.1}us"),
        micros if micros < 999.5 => format!("{micros:.0}us"),
        micros if micros < 999_500.0 => format!("{:.1}ms", micros / 1e3),
        micros => format!("{:.1}s", micros / 1e6),
    }
}

/// Returns seconds as `59s`, `59m`, `23h` or `100d`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{model, sample};
    use super::super::model::{Key, News};
    use super::super::sample::{HotKey, HotKeys};
    use super::*;

    #[test]
    fn numbers_are_short() {
        let counts = [0.0, 0.25, 7.0, 9.96, 99.96, 999.4, 999.6, 1000.0, 12_345.0, 999_999.0, 1e6, 1e30];
        let expected = ["0", "0.2", "7", "10.0", "100", "999", "1.00k", "1.00k", "12.3k", "1.00M", "1.00M"];
        assert_eq!(counts.map(count)[..11], expected);
        assert!(count(1e30).ends_with('E'));
        assert_eq!([1023.0, 1024.0, 1.5 * 1024.0 * 1024.0].map(bytes), ["1.00K", "1.00K", "1.50M"]);
        assert_eq!(
            [5, 999, 1000, 2_500_000].map(|us| duration(Duration::from_micros(us))),
            ["5.0us", "999us", "1.0ms", "2.5s"]
        );
        assert_eq!([59, 60, 7200, 200_000].map(age), ["59s", "1m", "2h", "2d"]);
    }

    /// Two servers that answered twice, and one that is down.
    fn three() -> Model {
        let mut model = model(&["a:1", "b:1", "c:1"]);
        for (index, gets) in [(0, 100), (1, 5000)] {
            for second in 1..3 {
                let stats = format!(
                    "pid=1 uptime={second} version=1.6.45 cmd_get={0} get_hits={0} get_misses=0 cmd_set=0 \
                     evictions=0 curr_items=1234 bytes=512 limit_maxbytes=1024 curr_connections=3",
                    gets * second
                );
                let mut sample = sample(second, &stats);
                if index == 1 {
                    let key = HotKey { key: b"hot\x1b".to_vec(), reads: 600, writes: 5 };
                    sample.hot = Some(HotKeys { window: 10, keys: vec![key] });
                }
                model.take(index, News::Sample(Box::new(sample)));
            }
        }
        model.take(2, News::Down("refused".into()));
        model
    }

    fn first(sheet: &Sheet) -> Vec<&str> {
        sheet.rows.iter().map(|row| &row[0].text[..]).collect()
    }

    #[test]
    fn rows_are_sorted_by_a_column() {
        let mut model = three();
        let sheet = Sheet::new(&mut model);
        assert_eq!(
            (first(&sheet), &sheet.notes[..]),
            (vec!["a:1", "b:1", "c:1"], &["DOWN: refused".to_owned()][..])
        );
        let row: Vec<_> = sheet.rows[1].iter().map(|cell| &cell.text[..]).collect();
        assert_eq!(row[..10], ["b:1", "up", "5.00k", "100.0", "0", "0", "1.23k", "50", "3", "80us"]);
        assert!(sheet.rows[2][1].fault && sheet.rows[2][2].text == "-");
        model.press(Key::NextSort);
        model.press(Key::NextSort);
        assert_eq!(first(&Sheet::new(&mut model)), ["b:1", "a:1", "c:1"]);
        model.press(Key::Reverse);
        assert_eq!(first(&Sheet::new(&mut model)), ["c:1", "a:1", "b:1"]);
        assert_eq!(totals(&model)[0], "gets 5.10k/s  hits 100.0%  sets 0/s  deletes -  evictions 0/s");
        assert!(totals(&model)[1].starts_with("items 2.47k  memory 1.00K of 2.00K  connections 6"));
    }

    #[test]
    fn other_pages_tell_what_a_server_does_not_have() {
        let mut model = three();
        model.page = Page::HotKeys;
        let sheet = Sheet::new(&mut model);
        let row: Vec<_> = sheet.rows[0].iter().map(|cell| &cell.text[..]).collect();
        assert_eq!(row, ["hot\\u{1b}", "60", "0.5", "b:1"]);
        assert_eq!(sheet.notes, ["a:1 does not offer stats hotkeys"]);
        model.page = Page::Latency;
        let sheet = Sheet::new(&mut model);
        let row: Vec<_> = sheet.rows[0].iter().map(|cell| &cell.text[..]).collect();
        assert_eq!(row, ["a:1", "version (from here)", "2", "80us", "80us", "80us"]);
        assert_eq!(sheet.notes[1], "b:1 does not offer stats latency");
        model.page = Page::Slabs;
        assert_eq!(Sheet::new(&mut model).rows.len(), 0);
    }
}
