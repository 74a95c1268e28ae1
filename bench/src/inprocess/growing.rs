//! Measures how long sets take while the store grows.
//!
//! New keys arrive at a rate that leaves nearly all of the time free. So a set that waits was
//! delayed by the store or by the machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use memcache_core::{Cache, CacheConfig};
use serde::Serialize;

use super::contender::{Contender, Key, Map, Reader, key};
use crate::error::{Error, Result};
use crate::items::Items;

/// Sets per second.
const RATE: u64 = 100_000;

/// The name of this measurement in the results.
pub const NAME: &str = "set growing";

/// One line of the results. Times are wall-clock times in microseconds.
#[derive(Debug, Serialize)]
pub struct Line {
    inprocess: &'static str,
    #[serde(rename = "subject")]
    contender: &'static str,
    sets: usize,
    p99_us: f64,
    p9999_us: f64,
    longest_us: f64,
    /// Sets that took at least half a millisecond.
    slow: usize,
}

/// Stores new items in each contender for `time`. The first contender stores nothing. It shows how
/// much the machine delays a thread that only reads the clock.
pub fn measure(items: &Items, time: Duration) -> Result<Vec<Line>> {
    let config = CacheConfig { memory_limit: 1 << 30, ..CacheConfig::default() };
    let cache = Cache::new(config).map_err(|error| Error::Usage(error.to_string()))?;
    let map = Map::default();
    Ok(vec![
        line("nothing", &pace(items, time, |_, _| ())),
        line(<Arc<Cache> as Reader>::NAME, &pace(items, time, |key, value| cache.set(key, value))),
        line(Map::NAME, &pace(items, time, |key, value| map.set(key, value))),
    ])
}

/// Returns the times of all sets in ascending order.
fn pace(items: &Items, time: Duration, set: impl Fn(&Key, &[u8])) -> Vec<Duration> {
    let count = (RATE as f64 * time.as_secs_f64()) as u64;
    let mut times = vec![Duration::ZERO; count as usize];
    let began = Instant::now();
    for (id, took) in (0..count).zip(&mut times) {
        let key = key(items, id);
        let due = Duration::from_nanos(id * (1_000_000_000 / RATE));
        while began.elapsed() < due {
            std::hint::spin_loop();
        }
        let set_at = Instant::now();
        set(&key, items.value(id));
        *took = set_at.elapsed();
    }
    times.sort_unstable();
    times
}

fn line(contender: &'static str, times: &[Duration]) -> Line {
    let micros = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_nanos() as f64 / 1000.0);
    let at = |share: f64| micros(times.get((times.len() as f64 * share) as usize));
    Line {
        inprocess: NAME,
        contender,
        sets: times.len(),
        p99_us: at(0.99),
        p9999_us: at(0.9999),
        longest_us: micros(times.last()),
        slow: times.iter().filter(|&&time| time >= Duration::from_micros(500)).count(),
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<14} {:<14} p99 {:.1} us, p99.99 {:.0}, longest {:.0}; {} of {} took 0.5 ms or more",
            self.inprocess, self.contender, self.p99_us, self.p9999_us, self.longest_us, self.slow, self.sets
        )
    }
}
