//! A name that a proxy looks up, and what is known about it.
//!
//! A look-up that fails changes nothing, nor does an answer without a backend.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::source::{MAX_FOUND, Source, of_addresses, of_nodes, of_records};
use crate::base::sync::Mutex;
use crate::config::{ClusterNode, NameQuestion, NameRecords};

/// The time for which an answer holds that does not say it.
const UNKNOWN_TTL: Duration = Duration::from_secs(30);

/// Addresses of a host at most.
const MAX_ADDRESSES: usize = 1000;

/// When names are looked up again, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRules {
    /// The shortest time between two look-ups of a name, and the time after one that failed.
    pub min: Duration,
    /// The longest time between two look-ups of a name.
    pub max: Duration,
    /// The time between two questions to an endpoint of `ElastiCache`.
    pub elasticache: Duration,
    /// The DNS servers. Those of the system if there are none.
    pub servers: Vec<SocketAddr>,
}

impl Default for NameRules {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(5),
            max: Duration::from_mins(5),
            elasticache: Duration::from_mins(1),
            servers: Vec::new(),
        }
    }
}

/// A question of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// A name in DNS.
    Dns(NameQuestion),
    /// The nodes that an endpoint of `ElastiCache` reports.
    Cluster(String, u16),
}

impl Query {
    /// Returns what has to be looked up for the backends of a source.
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Dns(host, _) => Self::Dns(NameQuestion::Host(host.clone())),
            Source::Srv(name) => Self::Dns(NameQuestion::Service(name.clone())),
            Source::ElastiCache(host, port) => Self::Cluster(host.clone(), *port),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(question) => question.fmt(f),
            Self::Cluster(host, port) => write!(f, "ElastiCache {host}:{port}"),
        }
    }
}

/// The result of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The records of a name, and the time for which they hold, if that is known.
    Dns(NameRecords, Option<Duration>),
    /// The nodes of a cluster, and the version of the list.
    Cluster(u64, Vec<ClusterNode>),
}

/// A name that is looked up, and what is known about it.
#[derive(Debug)]
pub struct Name {
    /// The question that is asked again and again.
    pub query: Query,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answer: Option<Answer>,
    /// Whether a look-up has ended.
    is_known: bool,
    /// Whether the last look-up failed.
    is_failing: bool,
    /// The time of the last look-up.
    last: Instant,
    /// The time of the last one that succeeded, or of the first use of the name.
    good: Instant,
    lookups: u64,
    failures: u64,
    /// The time of the next look-up.
    due: Instant,
}

/// The look-ups of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookups {
    /// Time since the last one that succeeded, or since the first use of the name if there is none.
    pub age: Duration,
    /// Look-ups that have ended.
    pub count: u64,
    /// Of these, those that failed, or whose answer cannot be used.
    pub failures: u64,
}

impl Name {
    /// Returns a name that is to be looked up at once.
    pub(super) fn new(query: Query) -> Self {
        let now = Instant::now();
        let state = State {
            answer: None,
            is_known: false,
            is_failing: false,
            last: now,
            good: now,
            lookups: 0,
            failures: 0,
            due: now,
        };
        Self { query, state: Mutex::new(state) }
    }

    /// Returns whether a look-up has ended.
    pub(super) fn is_known(&self) -> bool {
        self.state.lock().is_known
    }

    /// Returns the time of the next look-up.
    pub(super) fn due(&self) -> Instant {
        self.state.lock().due
    }

    /// Brings the next look-up forward, to the time `min` after the last one. Returns whether that
    /// is earlier.
    pub(super) fn hurry(&self, min: Duration) -> bool {
        let mut state = self.state.lock();
        let soonest = state.last.checked_add(min).unwrap_or(state.due);
        let is_earlier = state.is_known && soonest < state.due;
        if is_earlier {
            state.due = soonest;
        }
        is_earlier
    }

    /// Returns its look-ups.
    pub(super) fn lookups(&self) -> Lookups {
        let state = self.state.lock();
        Lookups { age: state.good.elapsed(), count: state.lookups, failures: state.failures }
    }

    /// Sets its counters to 0.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        (state.lookups, state.failures) = (0, 0);
    }

    /// Returns the addresses of a host, or `None` before the first look-up has ended. A host that
    /// was not found has none.
    pub fn addresses(&self) -> Option<Vec<IpAddr>> {
        let state = self.state.lock();
        match &state.answer {
            Some(Answer::Dns(NameRecords::Host(addresses), _)) => Some(addresses.clone()),
            _ => state.is_known.then(Vec::new),
        }
    }

    /// Returns the backends that are known for a source of this query.
    pub fn backends(&self, source: &Source) -> Vec<Backend> {
        let state = self.state.lock();
        match (&state.answer, source) {
            (Some(Answer::Dns(NameRecords::Host(addresses), _)), Source::Dns(host, port)) => {
                of_addresses(host, addresses, *port)
            }
            // Both were checked when they were learnt.
            (Some(Answer::Dns(NameRecords::Service(records), _)), _) => {
                of_records(records).unwrap_or_default()
            }
            (Some(Answer::Cluster(_, nodes)), _) => of_nodes(nodes).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Takes the result of a look-up. Returns whether something has changed, and a new failure.
    pub(super) fn learn(
        &self,
        result: Result<Answer, String>,
        rules: &NameRules,
        now: Instant,
    ) -> (bool, Option<String>) {
        let mut state = self.state.lock();
        let is_first = !std::mem::replace(&mut state.is_known, true);
        let result = result.and_then(|answer| {
            check(&self.query, &answer, state.answer.as_ref())?;
            Ok(answer)
        });
        let was_failing = std::mem::replace(&mut state.is_failing, result.is_err());
        let wait = match &result {
            Err(_) => rules.min,
            Ok(Answer::Cluster(..)) => rules.elasticache,
            Ok(Answer::Dns(_, ttl)) => ttl.unwrap_or(UNKNOWN_TTL).clamp(rules.min, rules.max.max(rules.min)),
        };
        state.lookups += 1;
        if result.is_ok() {
            state.good = now;
        } else {
            state.failures += 1;
        }
        state.last = now;
        // The rules bound it.
        state.due = now.checked_add(wait).unwrap_or(now);
        match result {
            // Each failure is reported once.
            Err(reason) => (is_first, (!was_failing).then_some(reason)),
            Ok(answer) => {
                let is_new = !state.answer.as_ref().is_some_and(|known| is_same(known, &answer));
                // Servers turn the order of addresses, so that it is kept as long as they are the
                // same.
                if is_new {
                    state.answer = Some(answer);
                }
                (is_new || is_first, None)
            }
        }
    }
}

/// Refuses an answer that cannot be used.
fn check(query: &Query, answer: &Answer, known: Option<&Answer>) -> Result<(), String> {
    let count = match (query, answer) {
        (Query::Dns(NameQuestion::Host(_)), Answer::Dns(NameRecords::Host(addresses), _)) => {
            if addresses.len() > MAX_ADDRESSES {
                return Err(format!("more than {MAX_ADDRESSES} addresses"));
            }
            addresses.len()
        }
        (Query::Dns(NameQuestion::Service(_)), Answer::Dns(NameRecords::Service(records), _)) => {
            of_records(records)?.len()
        }
        (Query::Cluster(..), Answer::Cluster(version, nodes)) => {
            if let Some(Answer::Cluster(known, _)) = known
                && version < known
            {
                return Err(format!("version {version} is older than {known}"));
            }
            of_nodes(nodes)?.len()
        }
        _ => return Err("the resolver answered another question".into()),
    };
    match count {
        0 => Err(match query {
            Query::Dns(NameQuestion::Host(_)) => "the host has no address".into(),
            Query::Dns(_) => "there is no SRV record".into(),
            Query::Cluster(..) => "the cluster has no node".into(),
        }),
        1..=MAX_FOUND => Ok(()),
        _ => Err(format!("more than {MAX_FOUND} backends")),
    }
}

fn is_same(known: &Answer, new: &Answer) -> bool {
    match (known, new) {
        (Answer::Dns(NameRecords::Host(known), _), Answer::Dns(NameRecords::Host(new), _)) => {
            let sorted = |addresses: &[IpAddr]| {
                let mut sorted = addresses.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                sorted
            };
            sorted(known) == sorted(new)
        }
        (Answer::Dns(NameRecords::Service(known), _), Answer::Dns(NameRecords::Service(new), _)) => {
            of_records(known) == of_records(new)
        }
        // A list counts if its version is higher.
        (Answer::Cluster(known, _), Answer::Cluster(new, _)) => known == new,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn name() -> Name {
        Name::new(Query::Dns(NameQuestion::Host("a".into())))
    }

    fn hosts(texts: &[&str], ttl: u64) -> Answer {
        let ips = texts.iter().map(|text| text.parse().unwrap()).collect();
        Answer::Dns(NameRecords::Host(ips), Some(Duration::from_secs(ttl)))
    }

    /// An answer that cannot be used does not make a name younger.
    #[test]
    fn the_age_of_a_name_is_that_of_its_last_good_answer() {
        let (name, rules) = (name(), NameRules::default());
        let good = || name.state.lock().good;
        let first = good();
        for result in [Err("no".into()), Ok(hosts(&[], 1))] {
            name.learn(result, &rules, Instant::now());
            assert_eq!(good(), first);
        }
        name.learn(Ok(hosts(&["::1"], 1)), &rules, first + Duration::from_secs(1));
        assert!(good() > first);
    }

    #[test]
    fn a_time_to_live_has_a_floor_and_a_ceiling() {
        let rules =
            NameRules { min: Duration::from_secs(10), max: Duration::from_secs(20), ..NameRules::default() };
        let (name, now) = (name(), Instant::now());
        for (ttl, expected) in [(0, 10), (9, 10), (15, 15), (1000, 20)] {
            name.learn(Ok(hosts(&["::1"], ttl)), &rules, now);
            assert_eq!(name.due() - now, Duration::from_secs(expected), "{ttl}");
        }
    }

    #[test]
    fn a_backend_that_fails_is_looked_up_early() {
        let (name, rules, now) = (name(), NameRules::default(), Instant::now());
        assert!(!name.hurry(rules.min), "the first look-up is due");
        name.learn(Ok(hosts(&["::1"], 1000)), &rules, now);
        assert!(name.hurry(rules.min));
        assert_eq!(name.due() - now, rules.min);
        assert!(!name.hurry(rules.min));
    }
}
