//! The names that a proxy looks up, and what is known about them.
//!
//! A [`Name`] is looked up again as long as a pool or a connection holds it. One thread does the
//! work: it calls [`Names::next_work`] and [`Names::learn`]. This module knows neither that thread
//! nor a socket.
//!
//! A look-up that fails changes nothing, nor does an answer without a backend.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::source::{MAX_FOUND, Source, of_addresses, of_nodes, of_records};
use crate::base::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::base::sync::{Condvar, Mutex};
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
    fn lookups(&self) -> Lookups {
        let state = self.state.lock();
        Lookups { age: state.good.elapsed(), count: state.lookups, failures: state.failures }
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
    fn learn(
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
        0 => Err("the answer is empty".into()),
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

/// Work for the thread that looks names up.
#[derive(Debug)]
pub struct Work {
    /// Names to look up now.
    pub names: Vec<Arc<Name>>,
    /// The rules.
    pub rules: NameRules,
}

/// Runs after an answer has changed.
type OnChange = dyn Fn() + Send + Sync;

/// The names of a server. Any thread may call the methods.
#[derive(Default)]
pub struct Names {
    table: Mutex<Table>,
    changed: Condvar,
    /// Rises with each answer that has changed, and with each first one.
    version: AtomicU64,
    /// Starts the thread when the first name comes.
    start: OnceLock<Box<OnChange>>,
    on_change: OnceLock<Box<OnChange>>,
}

opaque_debug!(Names);

#[derive(Default)]
struct Table {
    known: HashMap<Query, Weak<Name>>,
    rules: NameRules,
    is_started: bool,
    has_ended: bool,
}

impl Names {
    /// Sets what starts the thread, and calls it if there are names already. It is called once.
    pub fn start_by(&self, start: impl Fn() + Send + Sync + 'static) {
        // A second one would be a mistake of the caller, and is not used.
        let _ = self.start.set(Box::new(start));
        let table = self.table.lock();
        let wanted = !table.known.is_empty();
        drop(table);
        if wanted {
            self.start();
        }
    }

    fn start(&self) {
        let Some(start) = self.start.get() else { return };
        let mut table = self.table.lock();
        let was_started = table.has_ended || std::mem::replace(&mut table.is_started, true);
        drop(table);
        if !was_started {
            start();
        }
    }

    /// Sets what runs after an answer has changed, on the thread that looks up. It is called once.
    pub fn on_change(&self, run: impl Fn() + Send + Sync + 'static) {
        // A second one would be a mistake of the caller, and is not used.
        let _ = self.on_change.set(Box::new(run));
    }

    /// Replaces the rules, and returns the earlier ones. Names wait as those say until their next
    /// look-up.
    pub fn set_rules(&self, rules: NameRules) -> NameRules {
        std::mem::replace(&mut self.table.lock().rules, rules)
    }

    /// Returns the name of a query. It is looked up as long as the caller holds it.
    pub fn name(&self, query: Query) -> Arc<Name> {
        let mut table = self.table.lock();
        if let Some(name) = table.known.get(&query).and_then(Weak::upgrade) {
            return name;
        }
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
        let name = Arc::new(Name { query: query.clone(), state: Mutex::new(state) });
        table.known.insert(query, Arc::downgrade(&name));
        drop(table);
        self.changed.notify_all();
        self.start();
        name
    }

    /// Returns the look-ups of each name that is held, in the order of the names.
    pub fn lookups(&self) -> Vec<(String, Lookups)> {
        let held: Vec<Arc<Name>> = self.table.lock().known.values().filter_map(Weak::upgrade).collect();
        let mut all: Vec<_> = held.iter().map(|name| (name.query.to_string(), name.lookups())).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Sets the counters of all names to 0.
    pub fn reset(&self) {
        for name in self.table.lock().known.values().filter_map(Weak::upgrade) {
            let mut state = name.state.lock();
            (state.lookups, state.failures) = (0, 0);
        }
    }

    /// Looks a name up again as soon as the rules allow it, because a backend does not answer: it
    /// may have moved before the TTL has passed.
    pub fn hurry(&self, name: &Name) {
        let table = self.table.lock();
        let mut state = name.state.lock();
        let soonest = state.last.checked_add(table.rules.min).unwrap_or(state.due);
        if state.is_known && soonest < state.due {
            state.due = soonest;
            self.changed.notify_all();
        }
    }

    /// Returns a number that rises with each answer that has changed, and with each first one. A
    /// first one may be a failure.
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// Waits until the first look-up of each of these names has ended, or until `until`.
    pub fn wait(&self, names: &[Arc<Name>], until: Instant) {
        let mut table = self.table.lock();
        while !table.has_ended && !names.iter().all(|name| name.state.lock().is_known) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            table = self.changed.wait_for(table, left);
        }
    }

    /// Waits for work. Forgets names that are not held any more. Returns `None` after
    /// [`Self::end`].
    pub fn next_work(&self) -> Option<Work> {
        let mut table = self.table.lock();
        loop {
            if table.has_ended {
                return None;
            }
            table.known.retain(|_, name| name.strong_count() > 0);
            let held: Vec<Arc<Name>> = table.known.values().filter_map(Weak::upgrade).collect();
            let now = Instant::now();
            let next = held.iter().map(|name| name.state.lock().due).min();
            if next.is_some_and(|due| due <= now) {
                let names = held.into_iter().filter(|name| name.state.lock().due <= now).collect();
                return Some(Work { names, rules: table.rules.clone() });
            }
            drop(held);
            table = match next {
                None => self.changed.wait(table),
                Some(due) => self.changed.wait_for(table, due.saturating_duration_since(now)),
            };
        }
    }

    /// Takes the results of look-ups. Returns each new failure with its name.
    pub fn learn(&self, work: &Work, results: Vec<Result<Answer, String>>) -> Vec<(Arc<Name>, String)> {
        let now = Instant::now();
        let (mut is_new, mut failures) = (false, Vec::new());
        for (name, result) in work.names.iter().zip(results) {
            let (new, failure) = name.learn(result, &work.rules, now);
            is_new |= new;
            failures.extend(failure.map(|reason| (Arc::clone(name), reason)));
        }
        if is_new {
            self.version.fetch_add(1, Relaxed);
            self.on_change.get().into_iter().for_each(|run| run());
        }
        // Callers wait with the lock of the table, so that they see either the result or this.
        drop(self.table.lock());
        self.changed.notify_all();
        failures
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.table.lock().has_ended = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::ServiceRecord;

    fn host(name: &str) -> Query {
        Query::Dns(NameQuestion::Host(name.into()))
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn hosts(texts: &[&str], ttl: u64) -> Answer {
        Answer::Dns(NameRecords::Host(ips(texts)), Some(Duration::from_secs(ttl)))
    }

    /// Hands results to the names in their order, as the thread does.
    fn learn(names: &Names, of: &[&Arc<Name>], results: Vec<Result<Answer, String>>) -> Vec<String> {
        let rules = names.table.lock().rules.clone();
        let work = Work { names: of.iter().map(|name| Arc::clone(name)).collect(), rules };
        names
            .learn(&work, results)
            .into_iter()
            .map(|(name, reason)| format!("{}: {reason}", name.query))
            .collect()
    }

    #[test]
    fn a_failure_keeps_the_answer_and_is_reported_once() {
        let names = Names::default();
        let name = names.name(host("a"));
        assert_eq!(name.addresses(), None);
        assert_eq!(learn(&names, &[&name], vec![Err("no".into())]), ["a: no"]);
        assert_eq!(name.addresses(), Some(Vec::new()));
        assert_eq!(learn(&names, &[&name], vec![Err("no".into())]), [""; 0]);
        assert_eq!(names.version(), 1);
        assert_eq!(learn(&names, &[&name], vec![Ok(hosts(&["10.0.0.2", "10.0.0.1"], 1))]), [""; 0]);
        assert_eq!((names.version(), name.addresses()), (2, Some(ips(&["10.0.0.2", "10.0.0.1"]))));
        // Another order changes nothing, and an empty answer is a failure.
        assert_eq!(learn(&names, &[&name], vec![Ok(hosts(&["10.0.0.1", "10.0.0.2"], 1))]), [""; 0]);
        assert_eq!(learn(&names, &[&name], vec![Ok(hosts(&[], 1))]), ["a: the answer is empty"]);
        assert_eq!((names.version(), name.addresses()), (2, Some(ips(&["10.0.0.2", "10.0.0.1"]))));
        let counts = || names.lookups().iter().map(|(_, of)| (of.count, of.failures)).collect::<Vec<_>>();
        assert_eq!(counts(), [(5, 3)]);
        names.reset();
        assert_eq!(counts(), [(0, 0)]);
    }

    /// An answer that cannot be used does not make a name younger.
    #[test]
    fn the_age_of_a_name_is_that_of_its_last_good_answer() {
        let names = Names::default();
        let name = names.name(host("a"));
        let good = || name.state.lock().good;
        let first = good();
        for result in [Err("no".into()), Ok(hosts(&[], 1))] {
            learn(&names, &[&name], vec![result]);
            assert_eq!(good(), first);
        }
        learn(&names, &[&name], vec![Ok(hosts(&["::1"], 1))]);
        assert!(good() > first);
    }

    #[test]
    fn a_time_to_live_has_a_floor_and_a_ceiling() {
        let names = Names::default();
        names.set_rules(NameRules {
            min: Duration::from_secs(10),
            max: Duration::from_secs(20),
            ..NameRules::default()
        });
        let name = names.name(host("a"));
        for (ttl, expected) in [(0, 10), (9, 10), (15, 15), (1000, 20)] {
            let before = Instant::now();
            learn(&names, &[&name], vec![Ok(hosts(&["::1"], ttl))]);
            let waits = name.state.lock().due - before;
            assert!(waits >= Duration::from_secs(expected), "{ttl}: {waits:?}");
            assert!(waits < Duration::from_secs(expected + 5), "{ttl}: {waits:?}");
        }
    }

    #[test]
    fn a_backend_that_fails_is_looked_up_early() {
        let names = Names::default();
        let name = names.name(host("a"));
        learn(&names, &[&name], vec![Ok(hosts(&["::1"], 1000))]);
        let times = || {
            let state = name.state.lock();
            (state.last, state.due)
        };
        let (last, late) = times();
        names.hurry(&name);
        let early = times().1;
        assert_eq!((early - last, early < late), (NameRules::default().min, true));
        names.hurry(&name);
        assert_eq!(times(), (last, early));
    }

    #[test]
    fn names_that_are_not_held_are_forgotten() {
        let names = Names::default();
        let (a, b) = (names.name(host("a")), names.name(host("b")));
        assert!(Arc::ptr_eq(&a, &names.name(host("a"))));
        assert_eq!(names.next_work().map(|work| work.names.len()), Some(2));
        drop(b);
        assert_eq!(names.next_work().map(|work| work.names.len()), Some(1));
        assert_eq!(names.table.lock().known.len(), 1);
        names.end();
        assert!(names.next_work().is_none());
    }

    #[test]
    fn a_version_that_goes_back_changes_nothing() {
        let names = Names::default();
        let source = Source::ElastiCache("c".into(), 1);
        let name = names.name(Query::of(&source));
        let nodes = |version, text: &str| {
            Ok(Answer::Cluster(version, text.split(' ').map(|node| node.parse().unwrap()).collect()))
        };
        let known = |name: &Name| name.backends(&source).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(learn(&names, &[&name], vec![nodes(7, "b||1 a||1")]), [""; 0]);
        assert_eq!(known(&name), ["a:1", "b:1"]);
        assert_eq!(
            learn(&names, &[&name], vec![nodes(6, "c||1")]),
            ["ElastiCache c:1: version 6 is older than 7"]
        );
        assert_eq!(learn(&names, &[&name], vec![nodes(7, "c||1")]), [""; 0]);
        assert_eq!(known(&name), ["a:1", "b:1"]);
        assert_eq!(learn(&names, &[&name], vec![nodes(8, "c||1")]), [""; 0]);
        assert_eq!((known(&name), names.version()), (vec!["c:1".to_owned()], 2));
    }

    #[test]
    fn a_bad_record_changes_nothing() {
        let names = Names::default();
        let source = Source::Srv("s".into());
        let name = names.name(Query::of(&source));
        let record = |host: &str| ServiceRecord { priority: 0, host: host.into(), port: 1 };
        let answer = |hosts: &[&str]| {
            Ok(Answer::Dns(NameRecords::Service(hosts.iter().map(|host| record(host)).collect()), None))
        };
        learn(&names, &[&name], vec![answer(&["b", "a"])]);
        assert_eq!(learn(&names, &[&name], vec![answer(&["a", "x\ny"])]).len(), 1);
        assert_eq!(name.backends(&source).len(), 2);
        let many: Vec<String> = (0..=MAX_FOUND).map(|number| format!("h{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        learn(&names, &[&name], vec![answer(&["a", "b"])]);
        assert_eq!(learn(&names, &[&name], vec![answer(&many)]), ["SRV s: more than 1000 backends"]);
    }

    #[test]
    fn a_thread_is_started_for_the_first_name() {
        let starts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&starts);
        let names = Names::default();
        names.start_by(move || {
            counted.fetch_add(1, Relaxed);
        });
        assert_eq!(starts.load(Relaxed), 0);
        let _held = (names.name(host("a")), names.name(host("b")));
        assert_eq!(starts.load(Relaxed), 1);
    }
}
