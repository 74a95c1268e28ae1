//! `bench inprocess`: the cost of the cache as a library, beside a `HashMap` behind a mutex, and a
//! `HashMap` that does not change.
//!
//! All measurements run in this process. Contenders take turns within each round. Costs are CPU
//! time of the measuring thread, the median over the rounds. So other work on the machine affects
//! them only through the processor's caches. Rates with several threads use the wall clock and are
//! the best of the rounds, because they measure waiting. `on cpu` is the share of that time in
//! which the threads ran. In the rest they wait for a lock, or for a core that other processes use.

mod contender;
mod growing;

use std::collections::HashMap;
use std::hint::black_box;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::items::Items;
use crate::lengths::Lengths;
use crate::random::Random;
use crate::results::Results;
use crate::usage;
use contender::{Contender, Frozen, KEY, Key, Map, Reader, Words, key};

/// Number of keys in the hot measurements.
const HOT: u64 = 10_000;

/// Length of the sequence of hot keys, which is drawn anew for each thread.
const HOT_ASKED: usize = 16 << 10;

/// Length of the sequence of cold keys. Their items exceed the processor's caches.
const COLD_ASKED: usize = 4 << 20;

/// The cold measurements.
const COLD: [&str; 2] = ["get_many cold", "get cold"];

/// Number of keys in one `get_many`.
const MANY: usize = 64;

/// Number of operations between two readings of the clock.
const STRETCH: usize = 1024;

/// Length of a measurement that looks for rare events, as a multiple of the others.
const GROWING: f64 = 10.0;

const EMPTY: &[Key] = &[];

/// Longest time for a hot get or set, or a key of a cold `get_many`, in nanoseconds.
const GOAL_NS: f64 = 60.0;

/// Least throughput of two threads on different keys, as a multiple of one thread's.
const GOAL_SCALING: f64 = 1.9;

/// Measure the cache in this process, beside a hash map behind a mutex.
#[derive(Debug, clap::Args)]
pub struct Inprocess {
    /// Number of items in the cold measurements. 0 skips them.
    #[arg(long, default_value_t = 10_000_000)]
    items: u32,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value_size: u32,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of each measurement in a round, in seconds.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Measure only the cache.
    #[arg(long)]
    alone: bool,
    /// Run only the measurements whose names begin with this text.
    #[arg(long, default_value = "")]
    only: String,
    /// Append the results to this file, one line of JSON each.
    #[arg(long)]
    results: Option<PathBuf>,
}

/// One line of the results.
#[derive(Debug, Serialize)]
struct Line {
    inprocess: &'static str,
    #[serde(rename = "subject")]
    contender: &'static str,
    threads: usize,
    /// CPU time of one operation, or of one key.
    cpu_ns: f64,
    /// Operations per second of all threads.
    rate: f64,
    /// Share of the time in which the threads ran.
    on_cpu: f64,
    /// For several threads: the rate as a multiple of one thread's.
    scaling: Option<f64>,
}

/// The work of a measurement, which it repeats.
type Work<'a> = dyn Fn(&[Key], &mut Vec<u8>) + Sync + 'a;

/// One turn of one measurement.
#[derive(Clone, Copy, Debug)]
struct Turn {
    done: u64,
    cpu: Duration,
    wall: Duration,
}

/// A measurement and its turns so far.
struct Case<'a> {
    name: &'static str,
    contender: &'static str,
    /// The sequence of keys for each thread.
    asked: Vec<&'a [Key]>,
    work: &'a Work<'a>,
    turns: Vec<Turn>,
}

/// Runs all measurements, prints a table and writes the results.
pub fn run(options: &Inprocess) -> Result<()> {
    if options.rounds == 0 || options.value_size == 0 || options.seconds <= 0.0 {
        return Err(Error::Usage(
            "--rounds and --value-size must be at least 1, and --seconds above 0".into(),
        ));
    }
    let mut results = Results::create(options.results.as_ref())?;
    let mut lines = hot(options)?;
    if options.items > 0 && COLD.iter().any(|name| name.starts_with(&options.only)) {
        lines.extend(cold(options)?);
    }
    println!(
        "{:<14} {:<14} {:>7} {:>8} {:>12} {:>7} {:>8}  goal",
        "measurement", "subject", "threads", "CPU ns", "ops/s", "on cpu", "scaling"
    );
    for line in &lines {
        let scaling = line.scaling.map_or(String::new(), |scaling| format!("{scaling:.2}"));
        println!(
            "{:<14} {:<14} {:>7} {:>8.1} {:>12.0} {:>6.0}% {:>8}  {}",
            line.inprocess,
            line.contender,
            line.threads,
            line.cpu_ns,
            line.rate,
            line.on_cpu * 100.0,
            scaling,
            line.goal().unwrap_or_default()
        );
        results.write(line)?;
    }
    if growing::NAME.starts_with(&options.only) {
        let items = Items::new(1 << 30, Lengths::Fixed(KEY as u32), Lengths::Fixed(options.value_size));
        for line in growing::measure(&items, Duration::from_secs_f64(options.seconds * GROWING))? {
            println!("{line}");
            results.write(&line)?;
        }
    }
    Ok(())
}

/// Measures few items, from one thread and from two.
fn hot(options: &Inprocess) -> Result<Vec<Line>> {
    let items = Items::new(HOT, Lengths::Fixed(KEY as u32), Lengths::Fixed(options.value_size));
    let value = items.value(1);
    let mine = contender::cache(HOT as usize, value.len())?;
    let map = Map::new(HashMap::new());
    fill(&mine, &items, HOT);
    fill(&map, &items, HOT);
    let asked = [ask(&items, HOT, HOT_ASKED, 1), ask(&items, HOT, HOT_ASKED, 2)];
    let single = vec![key(&items, 7); HOT_ASKED];
    let one = || vec![&*asked[0]];
    let two = || vec![&*asked[0], &*asked[1]];
    let mut cases = Vec::new();
    let frozen: Frozen = map.lock().clone();
    let (mine, map) = (Works::new(&mine, value), Works::new(&map, value));
    for works in [&mine, &map].into_iter().take(if options.alone { 1 } else { 2 }) {
        cases.push(works.case("get hot", one(), &*works.get));
        cases.push(works.case("set hot", one(), &*works.set));
        cases.push(works.case("get_many hot", one(), &*works.many));
        cases.push(works.case("get uniform", one(), &*works.get));
        cases.push(works.case("get uniform", two(), &*works.get));
        cases.push(works.case("set uniform", one(), &*works.set));
        cases.push(works.case("set uniform", two(), &*works.set));
        cases.push(works.case("get one key", vec![&single], &*works.get));
        cases.push(works.case("get one key", vec![&single; 2], &*works.get));
    }
    let frozen = Reads::new(&frozen, value.len());
    let words = Words::new(HOT);
    let write = |keys: &[Key], _: &mut Vec<u8>| keys.iter().for_each(|key| words.set(key, value));
    if !options.alone {
        for asked in [one(), two()] {
            let (name, contender) = ("set uniform", Words::NAME);
            cases.push(Case { name, contender, asked, work: &write, turns: Vec::new() });
        }
        for asked in [one(), two()] {
            cases.push(frozen.case("get uniform", asked, &*frozen.get));
        }
        for count in 1..=2 {
            cases.push(frozen.case("get one key", vec![&single; count], &*frozen.get));
        }
    }
    Ok(measure(options, cases))
}

/// Measures so large a number of items that each get has to wait for memory.
fn cold(options: &Inprocess) -> Result<Vec<Line>> {
    let count = u64::from(options.items);
    let items = Items::new(count, Lengths::Fixed(KEY as u32), Lengths::Fixed(options.value_size));
    let mine = contender::cache(options.items as usize, options.value_size as usize)?;
    let map = Map::new(HashMap::new());
    fill(&mine, &items, count);
    if !options.alone {
        fill(&map, &items, count);
    }
    let asked = [ask(&items, count, COLD_ASKED, 1), ask(&items, count, COLD_ASKED, 2)];
    let one = || vec![&*asked[0]];
    let two = || vec![&*asked[0], &*asked[1]];
    let mut cases = Vec::new();
    let (mine, map) = (Works::new(&mine, items.value(1)), Works::new(&map, items.value(1)));
    for works in [&mine, &map].into_iter().take(if options.alone { 1 } else { 2 }) {
        cases.push(works.case(COLD[0], one(), &*works.many));
        cases.push(works.case(COLD[1], one(), &*works.get));
        cases.push(works.case(COLD[1], two(), &*works.get));
    }
    Ok(measure(options, cases))
}

/// The reads of a contender.
struct Reads<'a> {
    name: &'static str,
    get: Box<Work<'a>>,
    many: Box<Work<'a>>,
}

/// All operations on a contender.
struct Works<'a> {
    reads: Reads<'a>,
    set: Box<Work<'a>>,
}

impl<'a> Reads<'a> {
    fn new<R: Reader>(contender: &'a R, length: usize) -> Self {
        Self {
            name: R::NAME,
            get: Box::new(move |keys, to| {
                for key in keys {
                    to.clear();
                    assert!(contender.get(key, to) && to.len() == length, "an item is missing");
                }
                black_box(to);
            }),
            many: Box::new(move |keys, _| {
                for keys in keys.chunks(MANY) {
                    assert_eq!(contender.get_many(keys), keys.len() * length, "an item is missing");
                }
            }),
        }
    }

    fn case(&'a self, name: &'static str, asked: Vec<&'a [Key]>, work: &'a Work<'a>) -> Case<'a> {
        Case { name, contender: self.name, asked, work, turns: Vec::new() }
    }
}

impl<'a> Works<'a> {
    fn new<S: Contender>(contender: &'a S, value: &'a [u8]) -> Self {
        let set = move |keys: &[Key], _: &mut Vec<u8>| {
            for key in keys {
                contender.set(key, value);
            }
        };
        Self { reads: Reads::new(contender, value.len()), set: Box::new(set) }
    }
}

impl<'a> Deref for Works<'a> {
    type Target = Reads<'a>;

    fn deref(&self) -> &Reads<'a> {
        &self.reads
    }
}

fn fill(contender: &impl Contender, items: &Items, count: u64) {
    for id in 0..count {
        contender.set(&key(items, id), items.value(id));
    }
}

/// Returns `count` random keys of the items below `below`.
fn ask(items: &Items, below: u64, count: usize, seed: u64) -> Vec<Key> {
    let mut random = Random::new(seed);
    (0..count).map(|_| key(items, random.below(below))).collect()
}

/// Gives every case one turn in every round. The first round is a warm-up.
fn measure(options: &Inprocess, mut cases: Vec<Case<'_>>) -> Vec<Line> {
    cases.retain(|case| case.name.starts_with(&options.only));
    let time = Duration::from_secs_f64(options.seconds);
    for round in 0..=options.rounds {
        for case in &mut cases {
            let turn = case.turn(if round == 0 { time / 4 } else { time });
            if round > 0 {
                case.turns.push(turn);
            }
        }
    }
    let rate_of_one = |case: &Case<'_>| {
        let same = |other: &&Case<'_>| {
            (other.name, other.contender) == (case.name, case.contender) && other.asked.len() == 1
        };
        cases.iter().find(same).map(Case::rate)
    };
    let line = |case: &Case<'_>| case.line(rate_of_one(case));
    cases.iter().map(line).collect()
}

impl Case<'_> {
    /// Does the work for `time`, in one thread for each list of keys.
    fn turn(&self, time: Duration) -> Turn {
        let barrier = Barrier::new(self.asked.len());
        let work = |keys: &[Key]| {
            let mut buffer = Vec::with_capacity(1024);
            let mut done = 0;
            barrier.wait();
            let (began, cpu) = (Instant::now(), usage::own_cpu());
            for keys in keys.chunks(STRETCH).cycle() {
                (self.work)(keys, &mut buffer);
                done += keys.len() as u64;
                if began.elapsed() >= time {
                    break;
                }
            }
            Turn { done, cpu: usage::own_cpu().saturating_sub(cpu), wall: began.elapsed() }
        };
        let work = &work;
        thread::scope(|scope| {
            let (first, others) = self.asked.split_first().unwrap_or((&EMPTY, &[]));
            let others: Vec<_> = others.iter().map(|&keys| scope.spawn(move || work(keys))).collect();
            let mut sum = work(first);
            for other in others {
                let Ok(turn) = other.join() else { continue };
                sum = Turn {
                    done: sum.done + turn.done,
                    cpu: sum.cpu + turn.cpu,
                    wall: sum.wall.max(turn.wall),
                };
            }
            sum
        })
    }

    /// Returns the best rate of all turns.
    fn rate(&self) -> f64 {
        self.turns.iter().map(|turn| turn.done as f64 / turn.wall.as_secs_f64()).fold(0.0, f64::max)
    }

    fn line(&self, rate_of_one: Option<f64>) -> Line {
        let threads = self.asked.len();
        let cpu = |turn: &Turn| turn.cpu.as_nanos() as f64 / turn.done as f64;
        let on_cpu = |turn: &Turn| turn.cpu.as_secs_f64() / turn.wall.as_secs_f64() / threads as f64;
        Line {
            inprocess: self.name,
            contender: self.contender,
            threads,
            cpu_ns: median(self.turns.iter().map(cpu)),
            rate: self.rate(),
            on_cpu: median(self.turns.iter().map(on_cpu)),
            scaling: rate_of_one.filter(|_| threads > 1).map(|one| self.rate() / one),
        }
    }
}

impl Line {
    /// Compares the line with the project's goals. Returns `None` if it has none.
    fn goal(&self) -> Option<String> {
        if self.contender != <std::sync::Arc<memcache_core::Cache> as Reader>::NAME {
            return None;
        }
        let (goal, holds) = match (self.inprocess, self.scaling) {
            ("get hot" | "set hot" | "get_many cold", _) => (GOAL_NS, self.cpu_ns <= GOAL_NS),
            ("get uniform" | "set uniform", Some(scaling)) => (GOAL_SCALING, scaling >= GOAL_SCALING),
            _ => return None,
        };
        Some(format!("{goal} {}", if holds { "met" } else { "MISSED" }))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{Inprocess, hot, median};

    #[test]
    fn everything_is_measured_once() {
        let options = Inprocess {
            items: 0,
            value_size: 100,
            rounds: 1,
            seconds: 0.001,
            alone: false,
            only: String::new(),
            results: None,
        };
        let lines = hot(&options).unwrap_or_default();
        assert_eq!(lines.len(), 24);
        assert!(lines.iter().all(|line| line.cpu_ns > 0.0 && line.rate > 0.0));
        assert_eq!(lines.iter().filter(|line| line.scaling.is_some()).count(), 9);
        assert!((1.9..2.1).contains(&median([3.0, 1.0, 2.0].into_iter())));
    }
}
