//! Several servers: their arguments, questions to all at once, and their failures.

use std::thread;
use std::time::Duration;

use clap::Args;
use memcache_core::internal::base::stderr::write_line;

use crate::address::Address;
use crate::client::{Access, Patience, Server};
use crate::failure::{Failure, SERVER, USAGE};

/// The server of a command line without one.
pub const HERE: &str = "127.0.0.1:11211";

/// The arguments about servers, beside their addresses.
#[derive(Args, Debug)]
pub struct Reach {
    #[command(flatten)]
    access: Access,
    /// Time in which a server must answer
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

impl Reach {
    /// Returns the servers at these addresses, or that of [`HERE`] if there is none. The time that
    /// the user allows is for a whole answer, or for each part of it.
    ///
    /// # Errors
    /// An address is malformed, or a file of the arguments cannot be used.
    pub fn open(
        self,
        addresses: &[String],
        patience: impl Fn(Duration) -> Patience,
    ) -> Result<Vec<Server>, Failure> {
        let here = [HERE.to_owned()];
        let addresses = if addresses.is_empty() { &here } else { addresses };
        let parse = |text: &String| {
            let wrong = |e| Failure::new(USAGE, format!("invalid server {text:?}: {e}"));
            text.parse::<Address>().map_err(wrong)
        };
        let addresses = addresses.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut addresses = addresses.into_iter();
        // `HERE` takes the place of an empty list.
        let Some(first) = addresses.next() else { return Ok(Vec::new()) };
        let first = self.access.open(first)?.with_patience(patience(self.timeout));
        let others: Vec<_> = addresses.map(|address| first.at(address)).collect();
        Ok(std::iter::once(first).chain(others).collect())
    }
}

/// Parses a number of seconds, which may have a fraction.
///
/// # Errors
/// The text is not such a number, or the time is out of range.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| format!("a number of seconds is expected, got {text:?}"))?;
    if (0.05..=86_400.0).contains(&number) {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err(format!("seconds must be 0.05 to 86400, got {text}"))
    }
}

/// Splits the words of a command line into servers and the words of `known` at its end.
pub fn split<'a>(words: &'a [String], known: &[&str]) -> (&'a [String], &'a [String]) {
    let tail = words.iter().rev().take_while(|word| known.contains(&&word[..])).count();
    words.split_at(words.len() - tail)
}

/// An answer, or the failure to get it, with the name of the server.
pub type Answers<T> = Vec<(String, Result<T, Failure>)>;

/// Asks all servers at the same time. Returns the answers in the order of the servers.
pub fn ask<T: Send>(servers: &[Server], ask: impl Fn(&Server) -> Result<T, Failure> + Sync) -> Answers<T> {
    thread::scope(|scope| {
        let ask = &ask;
        let start = |server| thread::Builder::new().spawn_scoped(scope, move || ask(server));
        let threads: Vec<_> = servers.iter().map(start).collect();
        let answers = threads.into_iter().map(|thread| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(Failure::new(SERVER, "a thread has failed"))),
            Err(e) => Err(Failure::new(SERVER, format!("failed to start a thread: {e}"))),
        });
        servers.iter().map(Server::name).zip(answers).collect()
    })
}

/// Returns the answers, and the end of the program: the failure of the first server that failed.
/// Writes the lines of the other failures.
pub fn part<T>(answers: Answers<T>) -> (Vec<(String, T)>, Result<(), Failure>) {
    let (mut good, mut end) = (Vec::new(), Ok(()));
    for (name, answer) in answers {
        match answer {
            Ok(answer) => good.push((name, answer)),
            Err(failure) if end.is_ok() => end = Err(failure),
            Err(failure) if failure.line.is_empty() => {}
            Err(failure) => write_line(&format!("mcrs: {}", failure.line)),
        }
    }
    (good, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_behind_servers() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let all = words("a:1 items items");
        assert_eq!(split(&all, &["items"]), (&all[..1], &all[1..]));
        let all = words("items a:1");
        assert_eq!(split(&all, &["items"]), (&all[..], &all[2..]));
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "x", "0", "-1", "1e9", "inf", "NaN"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
