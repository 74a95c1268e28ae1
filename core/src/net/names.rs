//! The thread that looks up the names of a proxy's backends. Workers never wait for DNS.
//!
//! Names go to the [`Resolver`] of the server, or to the system. Endpoints of `ElastiCache` are
//! asked over TCP.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::elasticache;
use crate::base::error::reason;
use crate::base::sync::{Condvar, Mutex};
use crate::config::{NameAnswer, NameQuestion, NameRecords, Resolver};
use crate::proxy::name::{Answer, Query};
use crate::proxy::names::{Names, Work};
use crate::state::ServerState;

/// Longest time for a round of look-ups by the system. A server in a program waits for it when it
/// stops, the daemon does not.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Time for which an answer of the system counts that came too late for its round.
const LATE: Duration = Duration::from_mins(1);

/// Looks names up until they end.
pub(crate) fn run(names: &Names, context: &ServerState) {
    let resolver =
        context.config.hooks.resolver.clone().unwrap_or_else(|| Arc::new(System::new(ask_system, PATIENCE)));
    while let Some(work) = names.next_work() {
        let results = look_up(&work, &*resolver);
        for (name, reason) in names.learn(&work, results) {
            context.log(0, || format!("proxy: cannot look up {}: {reason}", name.query));
        }
    }
}

/// Returns the results of all look-ups, in their order.
fn look_up(work: &Work, resolver: &dyn Resolver) -> Vec<Result<Answer, String>> {
    let question = |query: &Query| match query {
        Query::Dns(question) => question.clone(),
        Query::Cluster(host, _) => NameQuestion::Host(host.clone()),
    };
    let questions: Vec<NameQuestion> = work.names.iter().map(|name| question(&name.query)).collect();
    let mut answers = resolver.look_up(&questions, &work.rules.servers).into_iter();
    thread::scope(|scope| {
        let mut begin = |query: &Query| {
            let answer = answers.next().unwrap_or_else(|| Err("the resolver gave no answer".into()));
            match (query, answer) {
                (Query::Cluster(_, port), Ok(answer)) => {
                    // Clusters that do not answer must not hold up each other.
                    let port = *port;
                    let ask = move || ask_cluster(answer.records, port);
                    Begun::Cluster(thread::Builder::new().spawn_scoped(scope, ask))
                }
                (_, answer) => Begun::Done(answer.map(|answer| Answer::Dns(answer.records, answer.ttl))),
            }
        };
        let under_way: Vec<Begun<'_>> = work.names.iter().map(|name| begin(&name.query)).collect();
        under_way.into_iter().map(Begun::end).collect()
    })
}

/// A look-up that is under way, or done.
enum Begun<'a> {
    Done(Result<Answer, String>),
    Cluster(io::Result<ScopedJoinHandle<'a, Result<Answer, String>>>),
}

impl Begun<'_> {
    fn end(self) -> Result<Answer, String> {
        match self {
            Self::Done(result) => result,
            // The panic hook has reported what happened.
            Self::Cluster(Ok(thread)) => thread.join().unwrap_or_else(|_| Err("internal error".into())),
            Self::Cluster(Err(e)) => Err(reason(&e)),
        }
    }
}

fn ask_cluster(records: NameRecords, port: u16) -> Result<Answer, String> {
    let NameRecords::Host(ips) = records else { return Err("the resolver answered another question".into()) };
    let addresses: Vec<SocketAddr> = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    elasticache::ask(&addresses).map(|(version, nodes)| Answer::Cluster(version, nodes))
}

/// The resolver of the system. It tells no TTL and knows no SRV records.
///
/// The system may take long, so that one thread asks it for one name after another. An answer that
/// comes too late for its round counts in the next one.
struct System {
    ask: fn(&NameQuestion) -> Found,
    patience: Duration,
    asking: Arc<(Mutex<Asking>, Condvar)>,
}

type Found = Result<NameAnswer, String>;

#[derive(Default)]
struct Asking {
    /// Questions without an answer. The thread asks the first one.
    questions: VecDeque<NameQuestion>,
    /// Answers that no round has taken, and their times.
    answers: HashMap<NameQuestion, (Found, Instant)>,
    has_thread: bool,
}

impl System {
    fn new(ask: fn(&NameQuestion) -> Found, patience: Duration) -> Self {
        Self { ask, patience, asking: Arc::default() }
    }

    /// Starts the thread, which ends when no question is left.
    fn start(&self) -> io::Result<()> {
        let (ask, shared) = (self.ask, Arc::clone(&self.asking));
        let work = move || {
            let (asking, answered) = &*shared;
            let mut own = asking.lock();
            while let Some(question) = own.questions.front().cloned() {
                drop(own);
                let answer = ask(&question);
                own = asking.lock();
                own.questions.pop_front();
                own.answers.insert(question, (answer, Instant::now()));
                answered.notify_all();
            }
            own.has_thread = false;
        };
        thread::Builder::new().name("mcrs-system-dns".into()).spawn(work).map(drop)
    }
}

impl Resolver for System {
    fn look_up(&self, questions: &[NameQuestion], servers: &[SocketAddr]) -> Vec<Found> {
        let fail = |reason: &str| questions.iter().map(|_| Err(reason.to_owned())).collect();
        if !servers.is_empty() {
            return fail("this program has no resolver for own DNS servers");
        }
        let until = Instant::now() + self.patience;
        let (asking, answered) = &*self.asking;
        let mut own = asking.lock();
        own.answers.retain(|_, (_, time)| time.elapsed() < LATE);
        for question in questions {
            if !own.questions.contains(question) && !own.answers.contains_key(question) {
                own.questions.push_back(question.clone());
            }
        }
        if !own.has_thread && !own.questions.is_empty() {
            if let Err(e) = self.start() {
                own.questions.clear();
                return fail(&reason(&e));
            }
            own.has_thread = true;
        }
        while questions.iter().any(|question| !own.answers.contains_key(question)) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            own = answered.wait_for(own, left);
        }
        let answer = |question| own.answers.get(question).map(|(answer, _)| answer.clone());
        let late = || Err("the system does not answer".into());
        let found = questions.iter().map(|question| answer(question).unwrap_or_else(late)).collect();
        questions.iter().for_each(|question| drop(own.answers.remove(question)));
        found
    }
}

impl Drop for System {
    /// Ends the thread after the name that it asks for.
    fn drop(&mut self) {
        self.asking.0.lock().questions.clear();
    }
}

fn ask_system(question: &NameQuestion) -> Found {
    let NameQuestion::Host(name) = question else {
        return Err("this program has no resolver for SRV records".into());
    };
    let found = (name.as_str(), 0).to_socket_addrs().map_err(|e| reason(&e))?;
    Ok(NameAnswer { records: NameRecords::Host(found.map(|address| address.ip()).collect()), ttl: None })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::LazyLock;

    use super::*;
    use crate::base::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn the_system_knows_localhost() {
        let questions = [NameQuestion::Host("localhost".into()), NameQuestion::Service("_a._tcp.b".into())];
        let answers = System::new(ask_system, PATIENCE).look_up(&questions, &[]);
        let is_loopback = |answer: &NameAnswer| matches!(&answer.records, NameRecords::Host(ips) if ips.iter().any(IpAddr::is_loopback));
        assert!(answers[0].as_ref().is_ok_and(is_loopback), "{answers:?}");
        assert!(answers[1].is_err());
    }

    /// Questions for the slow name so far.
    static ASKED: LazyLock<AtomicUsize> = LazyLock::new(AtomicUsize::default);

    /// Held while the system does not answer for the slow name.
    static HOLD: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

    fn ask_slowly(question: &NameQuestion) -> Found {
        let NameQuestion::Host(name) = question else { return Err("it is no host".into()) };
        if name == "slow" {
            ASKED.fetch_add(1, Relaxed);
            drop(HOLD.lock());
        }
        Ok(NameAnswer { records: NameRecords::Host(vec![[127, 0, 0, 1].into()]), ttl: None })
    }

    #[test]
    fn a_slow_name_fails_alone_and_occupies_one_thread() {
        let system = System::new(ask_slowly, Duration::from_millis(20));
        let questions = ["a", "slow", "b"].map(|name| NameQuestion::Host(name.into()));
        let found = || system.look_up(&questions, &[]).iter().map(Result::is_ok).collect::<Vec<_>>();
        let hold = HOLD.lock();
        while found() != [true, false, false] {}
        // The thread still asks for the slow name.
        assert!(!found()[1] && !found()[1]);
        assert_eq!(ASKED.load(Relaxed), 1);
        drop(hold);
        let mut has = [false; 3];
        while has != [true; 3] {
            found().iter().zip(&mut has).for_each(|(found, has)| *has |= found);
        }
    }
}
