//! The answers of a server at one moment. It knows no connection.

use std::time::Duration;

use crate::metadump::decode;
use crate::reply::Stats;
use crate::slabs::Class;

/// The answers of a server at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The moment, since the start of this program.
    pub taken: Duration,
    /// The time between a request of `version` and its answer.
    pub round_trip: Duration,
    /// The answer to `stats`.
    pub stats: Stats,
    /// The answer to `stats proxy`, or `None` if the server is not a proxy.
    pub proxy: Option<Stats>,
    /// The slab classes that have pages.
    pub classes: Vec<Class>,
    /// The answer to `stats hotkeys`, or `None` if the server does not have it.
    pub hot: Option<HotKeys>,
    /// The answer to `stats latency`, or `None` if the server does not have it.
    pub latency: Option<Vec<Latency>>,
}

impl Sample {
    /// Returns a number of `stats`, or 0.
    pub fn number(&self, name: &str) -> u64 {
        self.stats.number(name).unwrap_or_default()
    }
}

/// The keys that clients use most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotKeys {
    /// Seconds over which the server counted.
    pub window: u64,
    /// The keys, by rank.
    pub keys: Vec<HotKey>,
}

/// A key that clients use much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotKey {
    /// The key.
    pub key: Vec<u8>,
    /// Reads within the window.
    pub reads: u64,
    /// Writes within the window.
    pub writes: u64,
}

impl HotKeys {
    /// Reads the rows `RANK:key`, `RANK:reads` and `RANK:writes`, of which `key` is the first.
    pub fn read(stats: &Stats) -> Self {
        let mut hot = Self { window: stats.number("window_seconds").unwrap_or_default(), keys: Vec::new() };
        for (name, text) in stats.iter() {
            match (name.split_once(':').map(|(_, field)| field), hot.keys.last_mut()) {
                (Some("key"), _) => {
                    // A key that is not encoded is shown as it is.
                    let key = decode(text.as_bytes()).unwrap_or_else(|| text.into());
                    hot.keys.push(HotKey { key, ..HotKey::default() });
                }
                (Some("reads"), Some(last)) => last.reads = text.parse().unwrap_or_default(),
                (Some("writes"), Some(last)) => last.writes = text.parse().unwrap_or_default(),
                _ => {}
            }
        }
        hot
    }

    /// Returns how often a second something happened that was counted in the window.
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.window.max(1) as f64
    }
}

/// The latency of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The command.
    pub command: String,
    /// Requests that were measured: the server measures some.
    pub count: u64,
    /// Time within which half of the requests were answered.
    pub p50: Duration,
    /// Time within which 99% of the requests were answered.
    pub p99: Duration,
    /// Time within which 99.9% of the requests were answered.
    pub p999: Duration,
}

impl Latency {
    /// Reads the rows `COMMAND:FIELD`. Those of a command follow each other.
    pub fn read(stats: &Stats) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (name, text) in stats.iter() {
            let (Some((command, field)), Ok(number)) = (name.split_once(':'), text.parse()) else { continue };
            if all.last().is_none_or(|last| last.command != command) {
                all.push(Self { command: command.into(), ..Self::default() });
            }
            let Some(last) = all.last_mut() else { continue };
            match field {
                "count" => last.count = number,
                "p50_ns" => last.p50 = Duration::from_nanos(number),
                "p99_ns" => last.p99 = Duration::from_nanos(number),
                "p999_ns" => last.p999 = Duration::from_nanos(number),
                _ => {}
            }
        }
        all
    }

    /// Returns the latency of requests that took these times. There must be one at least.
    pub fn of(command: &str, times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        let at = |share: usize| {
            let rank = (times.len() * share).div_ceil(1000).saturating_sub(1);
            times.get(rank).copied().unwrap_or_default()
        };
        let count = times.len() as u64;
        Self { command: command.into(), count, p50: at(500), p99: at(990), p999: at(999) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_keys_come_by_rank() {
        let mut stats = Stats::default();
        let text = "STAT window_seconds 10\nSTAT sample_rate 64\nSTAT 1:key a%20b\nSTAT 1:reads 640\n\
                    STAT 1:writes 64\nSTAT 2:key %zz\nSTAT 2:reads x";
        assert!(text.lines().all(|line| stats.push(line.as_bytes())));
        let hot = HotKeys::read(&stats);
        let keys = [
            HotKey { key: b"a b".to_vec(), reads: 640, writes: 64 },
            HotKey { key: b"%zz".to_vec(), ..HotKey::default() },
        ];
        assert_eq!(hot, HotKeys { window: 10, keys: keys.into() });
        assert!((hot.rate(640) - 64.0).abs() < f64::EPSILON);
        assert_eq!(HotKeys::read(&Stats::default()), HotKeys::default());
    }

    #[test]
    fn latency_comes_by_command() {
        let mut stats = Stats::default();
        let text = "STAT sample_rate 128\nSTAT get:count 7\nSTAT get:p50_ns 900\nSTAT get:p99_ns 1500\n\
                    STAT get:p999_ns 2001\nSTAT get:le_100 1\nSTAT set:count 3\nSTAT set:p50_ns x";
        assert!(text.lines().all(|line| stats.push(line.as_bytes())));
        let get = Latency {
            command: "get".into(),
            count: 7,
            p50: Duration::from_nanos(900),
            p99: Duration::from_nanos(1500),
            p999: Duration::from_nanos(2001),
        };
        assert_eq!(
            Latency::read(&stats),
            [get, Latency { command: "set".into(), count: 3, ..Latency::default() }]
        );
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let latency = Latency::of("version", (1..=200).map(Duration::from_micros));
        assert_eq!((latency.count, latency.p50.as_micros(), latency.p99.as_micros()), (200, 100, 198));
        assert_eq!(latency.p999.as_micros(), 200);
        let one = Latency::of("version", [Duration::from_micros(7)]);
        assert_eq!((one.p50, one.p99, one.p999), (one.p999, one.p999, Duration::from_micros(7)));
    }
}
