//! `bench snapshots`: how fast caches are saved and loaded, and how long the files are.
//!
//! The library saves and loads in this process. A server is filled, stopped by a signal that makes
//! it save, and started again. CPU time is that of the whole process, so a start has more in it
//! than the load.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, process};

use memcache_core::{Cache, CacheConfig, LoadOptions, SaveOptions, SnapshotCodec, SnapshotError, Ttl};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::checker::Terms;
use crate::error::{Doing, Error, Result};
use crate::items::{Items, KEY_LENGTH};
use crate::lengths::Lengths;
use crate::load::fill;
use crate::results::Results;
use crate::server::{Settings, Spec};
use crate::wire::Protocol;

/// The word in the arguments of a server that stands for the file.
const FILE: &str = "FILE";

/// Longest time for a server to save and end, and to load all items.
const PATIENCE: Duration = Duration::from_mins(2);

/// Measure how fast caches are saved and loaded.
#[derive(Debug, clap::Args)]
pub struct Snapshots {
    /// A server, name=path:arguments. `FILE` in the arguments stands for its file, as in
    /// `ours=target/release/memcached-rs:--persist FILE`. Can be repeated.
    #[arg(long = "server")]
    servers: Vec<Spec>,
    /// Directory of the files. A tmpfs measures the program, a disk measures the disk.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Bytes of values, in MiB.
    #[arg(long, default_value_t = 512)]
    bytes: u64,
    /// Lengths of the values.
    #[arg(long, value_delimiter = ',', default_value = "50,1000,100000")]
    values: Vec<u32>,
    /// Threads of the library's saves and loads.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Number of repetitions. The one with the least CPU time counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// File to append results to, one line of JSON each.
    #[arg(long)]
    results: Option<PathBuf>,
}

/// Time of an operation.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
}

/// The result for one length of values.
#[derive(Debug, Serialize)]
struct Measured {
    kind: &'static str,
    name: String,
    value_bytes: u32,
    items: u64,
    item_bytes: u64,
    file_bytes: u64,
    save: Cost,
    load: Cost,
}

/// Runs the measurements and prints a table.
pub fn run(snapshots: &Snapshots) -> Result<()> {
    let mut results = Results::create(snapshots.results.as_ref())?;
    println!(
        "| value | cache | save GB/s | GB/s a core | M items/s a core | load GB/s | GB/s a core | M items/s a core | file bytes an item beyond key and value |"
    );
    println!("|--:|---|--:|--:|--:|--:|--:|--:|--:|");
    for &length in &snapshots.values {
        let count = ((snapshots.bytes << 20) / u64::from(length.max(1))).max(1);
        let batch = Batch {
            items: Items::new(count, Lengths::Fixed(KEY_LENGTH), Lengths::Fixed(length)),
            count,
            length,
        };
        let file = snapshots.directory.join(format!("bench-{}.mcrs", process::id()));
        let mut show = |measured: Measured| {
            println!("{}", measured.row());
            results.write(&measured)
        };
        let cache = batch.cache()?;
        for (codec, name) in [(SnapshotCodec::None, "none"), (SnapshotCodec::Lz4, "lz4")] {
            for &threads in &snapshots.threads {
                let name = format!("library, {name}, threads {threads}");
                show(batch.library(&cache, &file, &name, codec, threads, snapshots.rounds)?)?;
            }
        }
        drop(cache);
        let _ = fs::remove_file(&file);
        for spec in &snapshots.servers {
            let best =
                (0..snapshots.rounds).map(|_| batch.server(spec, &file)).collect::<Result<Vec<_>>>()?;
            best.into_iter().min_by(|a, b| a.cpu().total_cmp(&b.cpu())).map_or(Ok(()), &mut show)?;
        }
    }
    Ok(())
}

/// Items of one length.
struct Batch {
    items: Items,
    count: u64,
    length: u32,
}

impl Batch {
    fn empty(&self) -> Result<Arc<Cache>> {
        // Room for the items and what each of them costs.
        let memory_limit = (self.bytes() + self.count * 100) as usize + (256 << 20);
        let config = CacheConfig { memory_limit, ..CacheConfig::default() };
        Cache::new(config).map_err(|error| Error::Usage(error.to_string()))
    }

    fn bytes(&self) -> u64 {
        self.count * u64::from(KEY_LENGTH + self.length)
    }

    fn cache(&self) -> Result<Arc<Cache>> {
        let cache = self.empty()?;
        let mut key = Vec::new();
        for id in 0..self.count {
            key.clear();
            self.items.put_key(id, &mut key);
            cache
                .set(&key, self.items.value(id), Ttl::Never)
                .map_err(|error| Error::Usage(error.to_string()))?;
        }
        Ok(cache)
    }

    fn library(
        &self,
        cache: &Cache,
        file: &Path,
        name: &str,
        codec: SnapshotCodec,
        threads: usize,
        rounds: usize,
    ) -> Result<Measured> {
        let mut best: Option<Measured> = None;
        for _ in 0..rounds.max(1) {
            // The next save does not free the pages of the last one.
            let _ = fs::remove_file(file);
            let (saved, save) =
                timed(|| cache.save(file, SaveOptions { codec, threads, ..SaveOptions::default() }));
            let (saved, warm) = (failed(saved)?, self.empty()?);
            let (loaded, load) = timed(|| warm.load(file, LoadOptions { threads, ..LoadOptions::default() }));
            let loaded = failed(loaded)?;
            if loaded.items != self.count {
                return Err(Error::Malformed(format!(
                    "{} of {} items were loaded",
                    loaded.items, self.count
                )));
            }
            let measured = self.measured(name.to_owned(), saved.file_bytes, save, load);
            let best_cpu = best.as_ref().map_or(f64::INFINITY, Measured::cpu);
            if measured.cpu() < best_cpu {
                best = Some(measured);
            }
        }
        best.ok_or_else(|| Error::Usage("--rounds must be at least 1, got 0".to_owned()))
    }

    fn server(&self, spec: &Spec, file: &Path) -> Result<Measured> {
        let path = file.display().to_string();
        let spec = spec.replacing(FILE, &path);
        // Room for all items in any server.
        let memory = ((self.bytes() + self.count * 100) >> 20) as u32 * 5 / 4 + 256;
        let settings = Settings {
            memory,
            threads: 1,
            connections: 10,
            core: None,
            nice: None,
            unix: false,
            value_size: 0,
            verbose: false,
        };
        let terms = Terms { items: &self.items, protocol: Protocol::Classic, check: spec.check() };
        let server = spec.start(&settings)?;
        let refused = fill(&server.address, &terms, self.count, 0)?.counts.refused;
        if refused > 0 {
            return Err(Error::Refused(refused));
        }
        let signal = if spec.has("-e") { Signal::USR1 } else { Signal::TERM };
        let save = server.stop(signal, PATIENCE)?;
        let beside = file.with_extension("mcrs.meta");
        let file_bytes =
            [file, &beside].iter().filter_map(|path| fs::metadata(path).ok()).map(|m| m.len()).sum();
        // memcached drops all items if it starts in the second in which it stopped.
        std::thread::sleep(Duration::from_millis(1100));
        let began = Instant::now();
        let server = spec.start(&settings)?;
        while server.stat("curr_items")?.is_some_and(|items| items < self.count) {
            if began.elapsed() > PATIENCE {
                let what = format!("has not loaded {} items", self.count);
                return Err(Error::Server { name: spec.name.clone(), what });
            }
        }
        let load = (began.elapsed(), server.cpu_of_all()?);
        drop(server);
        for path in [file, &beside] {
            let _ = fs::remove_file(path);
        }
        Ok(self.measured(spec.name.clone(), file_bytes, save, load))
    }

    fn measured(
        &self,
        name: String,
        file_bytes: u64,
        save: (Duration, Duration),
        load: (Duration, Duration),
    ) -> Measured {
        let cost = |(wall, cpu): (Duration, Duration)| Cost {
            seconds: wall.as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
        };
        Measured {
            kind: "snapshot",
            name,
            value_bytes: self.length,
            items: self.count,
            item_bytes: self.bytes(),
            file_bytes,
            save: cost(save),
            load: cost(load),
        }
    }
}

impl Measured {
    fn cpu(&self) -> f64 {
        self.save.cpu_seconds + self.load.cpu_seconds
    }

    fn row(&self) -> String {
        let rates = |cost: &Cost| {
            let (bytes, items) = (self.item_bytes as f64 / 1e9, self.items as f64 / 1e6);
            let (wall, cpu) = (cost.seconds, cost.cpu_seconds);
            format!("{:.2} | {:.2} | {:.3}", bytes / wall, bytes / cpu, items / cpu)
        };
        let beyond = (self.file_bytes as f64 - self.item_bytes as f64) / self.items as f64;
        format!(
            "| {} | {} | {} | {} | {beyond:.1} |",
            self.value_bytes,
            self.name,
            rates(&self.save),
            rates(&self.load)
        )
    }
}

/// Returns a result, the time, and the CPU time of this process in it.
fn timed<T>(act: impl FnOnce() -> T) -> (T, (Duration, Duration)) {
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (began, before) = (Instant::now(), cpu());
    let result = act();
    (result, (began.elapsed(), cpu().saturating_sub(before)))
}

fn failed<T>(result: std::result::Result<T, SnapshotError>) -> Result<T> {
    result.map_err(std::io::Error::other).doing(|| "saving or loading a snapshot".to_owned())
}
