//! The thread that looks up the names of a proxy's backends. Workers never wait for DNS.
//!
//! Names go to the [`Resolver`] of the server, or to the system. Endpoints of `ElastiCache` are
//! asked over TCP.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use super::elasticache;
use crate::config::{NameAnswer, NameQuestion, NameRecords, Resolver};
use crate::proxy::names::{Answer, Names, Query, Work};
use crate::state::ServerState;

/// Longest time for a round of look-ups by the system. A server that stops waits for it.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Looks names up until they end.
pub(crate) fn run(names: &Names, context: &ServerState) {
    let resolver = context.config.hooks.resolver.clone().unwrap_or_else(|| Arc::new(System));
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
            Self::Cluster(Err(e)) => Err(e.to_string()),
        }
    }
}

fn ask_cluster(records: NameRecords, port: u16) -> Result<Answer, String> {
    let NameRecords::Host(ips) = records else { return Err("the resolver answered another question".into()) };
    let addresses: Vec<SocketAddr> = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    elasticache::ask(&addresses).map(|(version, nodes)| Answer::Cluster(version, nodes))
}

/// The resolver of the system. It tells no TTL and knows no SRV records.
struct System;

impl Resolver for System {
    fn look_up(&self, questions: &[NameQuestion], servers: &[SocketAddr]) -> Vec<Result<NameAnswer, String>> {
        let fail = |reason: &str| questions.iter().map(|_| Err(reason.to_owned())).collect();
        if !servers.is_empty() {
            return fail("this program has no resolver for own DNS servers");
        }
        // The system may take much longer. Its thread ends when it answers.
        let (send, receive) = mpsc::channel();
        let asked = questions.to_vec();
        let ask = move || drop(send.send(asked.iter().map(ask_system).collect()));
        match thread::Builder::new().name("mcrs-names".into()).spawn(ask) {
            Ok(_) => receive.recv_timeout(PATIENCE).unwrap_or_else(|_| fail("the system does not answer")),
            Err(e) => fail(&e.to_string()),
        }
    }
}

fn ask_system(question: &NameQuestion) -> Result<NameAnswer, String> {
    let NameQuestion::Host(name) = question else {
        return Err("this program has no resolver for SRV records".into());
    };
    let found = (name.as_str(), 0).to_socket_addrs().map_err(|e| e.to_string())?;
    Ok(NameAnswer { records: NameRecords::Host(found.map(|address| address.ip()).collect()), ttl: None })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn the_system_knows_localhost() {
        let questions = [NameQuestion::Host("localhost".into()), NameQuestion::Service("_a._tcp.b".into())];
        let answers = System.look_up(&questions, &[]);
        let is_loopback = |answer: &NameAnswer| matches!(&answer.records, NameRecords::Host(ips) if ips.iter().any(IpAddr::is_loopback));
        assert!(answers[0].as_ref().is_ok_and(is_loopback), "{answers:?}");
        assert!(answers[1].is_err());
    }
}
