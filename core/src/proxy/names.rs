//! The names that a proxy looks up.
//!
//! A [`Name`] is looked up again as long as a pool or a connection holds it. One thread does the
//! work: it calls [`Names::next_work`] and [`Names::learn`]. This module knows neither that thread
//! nor a socket.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use super::name::{Answer, Lookups, Name, NameRules, Query};
use crate::base::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::base::sync::{Condvar, Mutex};

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
        let name = Arc::new(Name::new(query.clone()));
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
            name.reset();
        }
    }

    /// Looks a name up again as soon as the rules allow it, because a backend does not answer: it
    /// may have moved before the TTL has passed.
    pub fn hurry(&self, name: &Name) {
        let table = self.table.lock();
        if name.hurry(table.rules.min) {
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
        while !table.has_ended && !names.iter().all(|name| name.is_known()) {
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
            let next = held.iter().map(|name| name.due()).min();
            if next.is_some_and(|due| due <= now) {
                let names = held.into_iter().filter(|name| name.due() <= now).collect();
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

    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::source::{MAX_FOUND, Source};
    use super::*;
    use crate::config::{NameQuestion, NameRecords, ServiceRecord};

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
        assert_eq!(learn(&names, &[&name], vec![Ok(hosts(&[], 1))]), ["a: the host has no address"]);
        assert_eq!((names.version(), name.addresses()), (2, Some(ips(&["10.0.0.2", "10.0.0.1"]))));
        let counts = || names.lookups().iter().map(|(_, of)| (of.count, of.failures)).collect::<Vec<_>>();
        assert_eq!(counts(), [(5, 3)]);
        names.reset();
        assert_eq!(counts(), [(0, 0)]);
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
