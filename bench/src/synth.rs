//! `bench synth`: traces of keys, sizes and times to live, drawn from a table of production caches.
//!
//! The table has only means, so the trace is only as true as they are:
//! - A request belongs to a cluster with the probability of the cluster's request rate.
//! - With probability once / frequency, the request is for a key that is never requested again. So
//!   the share of such keys is that of the table. Otherwise the key is one of the cluster's, by
//!   Zipf's law.
//! - The `--keys` keys are divided among the clusters by rate / frequency, that is, by the number
//!   of different keys that each cluster requests. Frequencies count as `MOST_FREQUENT` at most:
//!   some seconds of requests do not repeat a key as often as the days that the table was made of.
//! - A key has its cluster's mean length. The length of its value is the mean, or up to half as
//!   much shorter or longer.
//! - A time to live is drawn from the cluster's mix and divided by `--scale`, because one second of
//!   replay stands for that many seconds of production. It is at least 1 second, the resolution of
//!   servers.
//!
//! Size and time to live follow from the key's number and the seed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::ValueEnum;

use crate::clusters::{self, Cluster};
use crate::error::{Doing, Error, Result};
use crate::random::{Random, mix, unit};
use crate::trace::LONGEST_TTL;
use crate::zipf::Zipf;

/// Limit of a cluster's mean number of requests for a key. Higher means count as this.
const MOST_FREQUENT: f64 = 20.0;

/// Number of runs of keys that are requested once in a `scan` trace, and their share of its
/// requests.
const SCANS: u64 = 8;
const SCANNED: f64 = 0.2;

/// Parts of a `shift` trace: small, large, small, large and small values.
const PHASES: u64 = 5;

/// Mean length from which values count as large.
const LARGE: u32 = 512;

/// Factor for the rate of clusters in the phases of the others.
const FAINT: f64 = 0.1;

/// Write a synthetic trace: lines of key, size and time to live.
#[derive(Debug, clap::Args)]
pub struct Synth {
    #[arg(long, value_enum)]
    kind: Kind,
    /// Table of clusters: CSV with the columns `cluster`, `key_bytes`, `value_bytes`, `kqps`,
    /// `mean_freq`, `one_hit_wonder_pct`, `ttl_mix`.
    #[arg(long)]
    table: PathBuf,
    /// File to write. Compressed if its name ends in .zst.
    #[arg(long)]
    out: PathBuf,
    /// Use only these clusters of the table.
    #[arg(long, value_delimiter = ',')]
    clusters: Vec<String>,
    #[arg(long, default_value_t = 2_000_000)]
    requests: u64,
    /// Number of keys that may be requested more than once.
    #[arg(long, default_value_t = 650_000)]
    keys: u64,
    /// Skew of the popularity of a cluster's keys.
    #[arg(long, default_value_t = 0.9)]
    theta: f64,
    /// Seconds of production that one second of replay stands for. Times to live are divided by it.
    #[arg(long, default_value_t = 600.0)]
    scale: f64,
    /// Seed of the random numbers. Equal seeds give equal traces.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The property of a cache that a trace tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Clusters mixed by their rates, with items that expire.
    Ttl,
    /// The same, with long runs of keys that are requested once.
    Scan,
    /// The same, but small and large values alternate.
    Shift,
}

/// One line of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    /// Number of the key.
    key: u64,
    /// Bytes of the key.
    length: u32,
    /// Bytes of the value.
    size: u32,
    /// Time to live in seconds, or 0 to never expire.
    ttl: u32,
}

/// A cluster as a source of requests.
#[derive(Debug)]
struct Source<'a> {
    cluster: &'a Cluster,
    /// Number of its first key.
    first: u64,
    popularity: Zipf,
    /// Probability that a request is for a key that is requested once.
    once: f64,
}

/// Draws the lines of a trace, in order.
#[derive(Debug)]
struct Generator<'a> {
    kind: Kind,
    sources: Vec<Source<'a>>,
    /// For each phase, the running sums of the sources' weights.
    weights: Vec<Vec<f64>>,
    requests: u64,
    scale: f64,
    seed: u64,
    random: Random,
    /// Number of lines drawn.
    drawn: u64,
    /// Number of the next key that is requested once.
    fresh: u64,
}

/// Writes the trace and prints a summary of it.
pub fn run(synth: &Synth) -> Result<()> {
    synth.validate()?;
    let mut table = clusters::read(&synth.table)?;
    if let Some(unknown) = synth.clusters.iter().find(|name| !table.iter().any(|row| row.name == **name)) {
        return Err(Error::Usage(format!("the table has no cluster {unknown}")));
    }
    table.retain(|row| synth.clusters.is_empty() || synth.clusters.contains(&row.name));
    let name = synth.out.display();
    let doing = || format!("writing {name}");
    let mut out = BufWriter::new(File::create(&synth.out).doing(doing)?);
    let lines = Generator::new(synth, &table)?;
    let told = if synth.out.extension().is_some_and(|kind| kind == "zst") {
        let mut packed = zstd::Encoder::new(&mut out, 3).doing(doing)?;
        let told = write(lines, &mut packed).doing(doing)?;
        packed.finish().doing(doing)?;
        told
    } else {
        write(lines, &mut out).doing(doing)?
    };
    out.flush().doing(doing)?;
    println!("{name}: {} requests, {} keys, {} MiB of keys and values", synth.requests, told.0, told.1 >> 20);
    Ok(())
}

/// Writes lines. Returns the number of different keys, and the bytes of these keys and their
/// values.
fn write(lines: impl Iterator<Item = Line>, out: &mut impl Write) -> std::io::Result<(usize, u64)> {
    let mut seen = std::collections::HashSet::new();
    let mut bytes = 0;
    for line in lines {
        // A number that is longer than the key makes the key longer.
        let width = line.length.saturating_sub(1) as usize;
        writeln!(out, "k{:0width$} {} {}", line.key, line.size, line.ttl)?;
        if seen.insert(line.key) {
            bytes += u64::from(line.length + line.size);
        }
    }
    Ok((seen.len(), bytes))
}

impl Synth {
    fn validate(&self) -> Result<()> {
        let usage = |what: &str| Err(Error::Usage(what.to_owned()));
        match () {
            () if self.requests == 0 || self.keys == 0 => usage("--requests and --keys must be at least 1"),
            () if !(0.01..10.0).contains(&self.theta) => usage("--theta must be at least 0.01 and below 10"),
            () if !(self.scale > 0.0 && self.scale < 1e9) => usage("--scale must be above 0 and below 1e9"),
            () => Ok(()),
        }
    }
}

impl<'a> Generator<'a> {
    fn new(synth: &Synth, table: &'a [Cluster]) -> Result<Self> {
        let asked = |cluster: &Cluster| cluster.kqps / cluster.frequency.min(MOST_FREQUENT);
        let all: f64 = table.iter().map(asked).sum();
        let mut fresh = 0;
        let sources: Vec<_> = table
            .iter()
            .map(|cluster| {
                let keys = ((synth.keys as f64 * asked(cluster) / all) as u64).max(1);
                fresh += keys;
                Source {
                    cluster,
                    first: fresh - keys,
                    popularity: Zipf::new(keys, synth.theta),
                    once: cluster.once / cluster.frequency,
                }
            })
            .collect();
        let phases = if synth.kind == Kind::Shift { PHASES } else { 1 };
        let weights = (0..phases).map(|phase| {
            let weight = |cluster: &Cluster| {
                let faint = synth.kind == Kind::Shift && (cluster.value >= LARGE) != (phase % 2 == 1);
                if faint { cluster.kqps * FAINT } else { cluster.kqps }
            };
            let sums = table.iter().scan(0.0, |sum, cluster| {
                *sum += weight(cluster);
                Some(*sum)
            });
            sums.collect()
        });
        let weights: Vec<Vec<f64>> = weights.collect();
        if !weights.iter().all(|sums| sums.last().is_some_and(|sum| *sum > 0.0)) {
            return Err(Error::Usage("at least one cluster must have a rate".to_owned()));
        }
        Ok(Self {
            kind: synth.kind,
            sources,
            weights,
            requests: synth.requests,
            scale: synth.scale,
            seed: synth.seed,
            random: Random::new(synth.seed),
            drawn: 0,
            fresh,
        })
    }

    /// Returns whether the next line belongs to a run of keys that are requested once. The runs are
    /// at the end of equal parts.
    fn scans(&self) -> bool {
        let place = (self.drawn * SCANS) as f64 / self.requests as f64;
        self.kind == Kind::Scan && place.fract() >= 1.0 - SCANNED
    }
}

impl Iterator for Generator<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.drawn == self.requests {
            return None;
        }
        let phase =
            (u128::from(self.drawn) * self.weights.len() as u128 / u128::from(self.requests)) as usize;
        let scans = self.scans();
        self.drawn += 1;
        let sums = self.weights.get(phase)?;
        let place = self.random.unit() * sums.last()?;
        let source = self.sources.get(sums.partition_point(|sum| *sum < place))?;
        let key = if scans || self.random.unit() < source.once {
            self.fresh += 1;
            self.fresh - 1
        } else {
            source.first + source.popularity.draw(&mut self.random)
        };
        // Properties of the key must not depend on when it is drawn.
        let own = mix(self.seed ^ mix(key));
        Some(Line {
            key,
            length: source.cluster.key,
            size: (f64::from(source.cluster.value) * (0.5 + unit(own))).round().max(1.0) as u32,
            ttl: ttl(&source.cluster.ttls, self.scale, unit(mix(own))),
        })
    }
}

/// Returns the scaled time to live at `place`, from 0 to 1, of a mix. Returns 0 if the mix is
/// empty, or the result exceeds `LONGEST_TTL`.
fn ttl(mix: &[(f64, f64)], scale: f64, place: f64) -> u32 {
    let mut left = place * mix.iter().map(|(_, share)| share).sum::<f64>();
    let found = mix.iter().find(|(_, share)| {
        left -= share;
        left <= 0.0
    });
    let Some((seconds, _)) = found.or(mix.last()) else { return 0 };
    let scaled = (seconds / scale).round().max(1.0);
    if scaled > f64::from(LONGEST_TTL) { 0 } else { scaled as u32 }
}

#[cfg(test)]
mod tests {
    use super::{Generator, Kind, Line, Synth, ttl, write};
    use crate::clusters::{Cluster, parse};
    use std::collections::{HashMap, HashSet};

    const TABLE: &str = "cluster,key_bytes,value_bytes,kqps,mean_freq,one_hit_wonder_pct,ttl_mix\n\
                         small,30,100,3.0,10,0,1200s:1.00\n\
                         large,20,4000,1.0,2,50,\"600s:0.75, 2d:0.25\"\n";

    fn table() -> Vec<Cluster> {
        parse(TABLE).unwrap_or_default()
    }

    fn lines(kind: Kind, seed: u64) -> Vec<Line> {
        let synth = Synth {
            kind,
            table: "".into(),
            out: "".into(),
            clusters: Vec::new(),
            requests: 100_000,
            keys: 10_000,
            theta: 0.9,
            scale: 600.0,
            seed,
        };
        Generator::new(&synth, &table()).map(Iterator::collect).unwrap_or_default()
    }

    fn large(lines: &[Line]) -> f64 {
        lines.iter().filter(|line| line.length == 20).count() as f64 / lines.len() as f64
    }

    #[test]
    fn equal_seeds_equal_traces() {
        for kind in [Kind::Ttl, Kind::Scan, Kind::Shift] {
            assert_eq!(lines(kind, 1), lines(kind, 1));
            assert_ne!(lines(kind, 1), lines(kind, 2));
        }
    }

    #[test]
    fn a_key_keeps_its_size_and_time_to_live() {
        let mut known = HashMap::new();
        for line in lines(Kind::Scan, 1) {
            assert_eq!(*known.entry(line.key).or_insert(line), line);
        }
    }

    #[test]
    fn lines_follow_the_table() {
        let all = lines(Kind::Ttl, 1);
        assert_eq!(all.len(), 100_000);
        assert!((large(&all) - 0.25).abs() < 0.01);
        for line in &all {
            let (mean, ttls) = if line.length == 20 { (4000, &[1, 288][..]) } else { (100, &[2][..]) };
            assert!((mean / 2..=mean * 3 / 2).contains(&line.size) && ttls.contains(&line.ttl), "{line:?}");
        }
        let brief = all.iter().filter(|line| line.ttl == 1).count() as f64;
        assert!((brief / all.len() as f64 / large(&all) - 0.75).abs() < 0.05);
        // With a mean of two requests for a key and half of the keys requested once:
        let fresh = all.iter().filter(|line| line.key >= 10_000).count() as f64;
        assert!((fresh / all.len() as f64 - 0.25 * 0.25).abs() < 0.01, "{fresh}");
    }

    #[test]
    fn scans_ask_for_new_keys_in_runs() {
        let all = lines(Kind::Scan, 1);
        let run = &all[10_000..12_500];
        assert!(run.iter().all(|line| line.key >= 9_999));
        assert_eq!(run.iter().map(|line| line.key).collect::<HashSet<_>>().len(), run.len());
        assert!(all[12_500..22_500].iter().filter(|line| line.key < 9_999).count() > 8_000);
    }

    #[test]
    fn small_and_large_values_take_turns() {
        let all = lines(Kind::Shift, 1);
        let shares: Vec<f64> = all.chunks(20_000).map(large).collect();
        assert!(shares.iter().step_by(2).all(|share| *share < 0.05), "{shares:?}");
        assert!(shares.iter().skip(1).step_by(2).all(|share| *share > 0.7), "{shares:?}");
    }

    #[test]
    fn times_to_live_are_scaled() {
        assert_eq!(ttl(&[], 1.0, 0.5), 0);
        assert_eq!(ttl(&[(10.0, 0.5), (3600.0, 0.5)], 600.0, 0.2), 1);
        assert_eq!(ttl(&[(10.0, 0.5), (3600.0, 0.5)], 600.0, 0.8), 6);
        // memcached takes times to live of more than 30 days for dates.
        assert_eq!(ttl(&[(5_184_000.0, 1.0)], 1.0, 0.5), 0);
    }

    #[test]
    fn lines_are_written_as_they_are_read() {
        let line = Line { key: 42, length: 6, size: 7, ttl: 8 };
        let mut out = Vec::new();
        let told = write([line, line].into_iter(), &mut out).unwrap_or_default();
        assert_eq!((told, out.as_slice()), ((1, 13), &b"k00042 7 8\nk00042 7 8\n"[..]));
    }
}
