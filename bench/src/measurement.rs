//! Counters of a run: requests, keys, hits, and the distribution of latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::checker::{Request, Sink};
use crate::error::{Error, Result};
use crate::items::Items;

/// Longest latency that is recorded exactly, to three digits.
const LONGEST: Duration = Duration::from_secs(100);

/// Percentiles that are reported besides the usual ones, to show the whole distribution.
const PERCENTS: [f64; 12] = [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99];

/// Counts replies as they arrive.
#[derive(Debug)]
pub struct Recorder<'a> {
    items: &'a Items,
    pub counts: Counts,
    latencies: Histogram<u64>,
    /// Longest time between two checks of an open loop's schedule.
    pause: Duration,
    /// Time at which the current replies were read: nanoseconds on the sender's clock.
    now: u64,
    /// Time at which the requests of the current run of equals were sent, and their number. The
    /// replies to one pipeline have equal latencies, and recording them together is cheap.
    sent: u64,
    run: u64,
}

/// Plain counts. The difference of two is the count between them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    pub requests: u64,
    pub hits: u64,
    pub misses: u64,
    pub refused: u64,
    /// Bytes of key and value of the hits.
    pub hit_bytes: u64,
}

/// The result of one measured run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measurement {
    pub seconds: f64,
    #[serde(flatten)]
    pub counts: Counts,
    pub requests_per_second: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub mean_us: f64,
    /// The distribution: pairs of a percentile and its latency.
    pub percentiles_us: [(f64, f64); PERCENTS.len()],
    /// Requests of an open loop that were due and never sent because the server was too far behind.
    pub unsent: u64,
    /// Longest time between two checks of an open loop's schedule. Latencies up to this may be the
    /// load's own.
    pub load_pause_us: f64,
    /// Share of the run in which the load's thread used its core.
    pub load_busy: f64,
}

impl<'a> Recorder<'a> {
    pub fn new(items: &'a Items) -> Result<Self> {
        let latencies = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3)
            .map_err(|error| Error::Usage(format!("histogram: {error}")))?;
        Ok(Self {
            items,
            counts: Counts::default(),
            latencies,
            pause: Duration::ZERO,
            now: 0,
            sent: 0,
            run: 0,
        })
    }

    /// Sets the time at which the following replies were read.
    #[inline]
    pub fn set_now(&mut self, now: u64) {
        self.settle();
        self.now = now;
    }

    /// Resets all counts and latencies.
    pub fn reset(&mut self) {
        self.run = 0;
        self.counts = Counts::default();
        self.latencies.reset();
        self.pause = Duration::ZERO;
    }

    /// Records the time since an open loop last checked its schedule.
    #[inline]
    pub fn set_pause(&mut self, pause: Duration) {
        self.pause = self.pause.max(pause);
    }

    /// Returns the results of a run of `seconds`.
    pub fn measurement(&mut self, seconds: f64, load_busy: f64, unsent: u64) -> Measurement {
        self.settle();
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(self.latencies.value_at_quantile(quantile));
        Measurement {
            seconds,
            counts: self.counts,
            requests_per_second: self.counts.requests as f64 / seconds,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(self.latencies.max()),
            mean_us: self.latencies.mean() / 1e3,
            percentiles_us: PERCENTS.map(|percent| (percent, at(percent / 100.0))),
            unsent,
            load_pause_us: self.pause.as_secs_f64() * 1e6,
            load_busy,
        }
    }

    /// Records the run of equal latencies.
    #[inline]
    fn settle(&mut self) {
        if self.run > 0 {
            self.latencies.saturating_record_n(self.now.saturating_sub(self.sent), self.run);
            self.run = 0;
        }
    }
}

impl Sink for Recorder<'_> {
    #[inline]
    fn hit(&mut self, id: u64) {
        self.counts.hits += 1;
        self.counts.hit_bytes += (self.items.key_length(id) + self.items.value_length(id)) as u64;
    }

    #[inline]
    fn miss(&mut self, _id: u64) {
        self.counts.misses += 1;
    }

    #[inline]
    fn refused(&mut self, _id: u64) {
        self.counts.refused += 1;
    }

    #[inline]
    fn done(&mut self, request: Request) {
        self.counts.requests += 1;
        if request.sent != self.sent {
            self.settle();
            self.sent = request.sent;
        }
        self.run += 1;
    }
}

impl Measurement {
    /// Returns the share of the requested keys that were found, or 1 if none was requested.
    pub fn hit_ratio(&self) -> f64 {
        let asked = self.counts.hits + self.counts.misses;
        if asked == 0 { 1.0 } else { self.counts.hits as f64 / asked as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::Recorder;
    use crate::checker::{Request, Sink, Verb};
    use crate::items::Items;
    use crate::lengths::Lengths;

    #[test]
    fn latencies_run_from_sent_to_read() {
        let items = Items::new(1, Lengths::Fixed(8), Lengths::Fixed(1));
        let Ok(mut recorder) = Recorder::new(&items) else { panic!("no histogram") };
        let done = |sent| Request { verb: Verb::Get, keys: 0, sent };
        recorder.set_now(10_000);
        (0..98).for_each(|_| recorder.done(done(9_000)));
        recorder.done(done(5_000));
        recorder.set_now(1_000_000);
        recorder.done(done(0));
        let told = recorder.measurement(1.0, 0.0, 0);
        let near = |got: f64, due: f64| (got - due).abs() / due < 0.002;
        assert_eq!(told.counts.requests, 100);
        assert!(near(told.p50_us, 1.0) && near(told.p99_us, 5.0) && near(told.max_us, 1_000.0), "{told:?}");
        let percentile =
            |due: f64| told.percentiles_us.iter().find(|(percent, _)| (percent - due).abs() < 1e-9);
        assert!(percentile(50.0).is_some_and(|(_, us)| near(*us, 1.0)), "{told:?}");
        assert!(percentile(99.99).is_some_and(|(_, us)| near(*us, 1_000.0)), "{told:?}");
    }
}
