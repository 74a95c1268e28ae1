//! Asks a server for samples, again and again, in a thread of its own. So a server that does not
//! answer delays no other.

use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::model::News;
use super::sample::{HotKeys, Latency, Sample};
use crate::client::{Connection, Server};
use crate::failure::{Failure, INCOMPLETE, SERVER};
use crate::slabs;

/// Starts a thread that asks a server each `interval`. It ends when the receiver is gone. `event`
/// makes the news fit for the channel.
///
/// # Errors
/// The system starts no thread.
pub fn start<E: Send + 'static>(
    server: Server,
    interval: Duration,
    begun: Instant,
    send: SyncSender<E>,
    event: impl Fn(News) -> E + Send + 'static,
) -> Result<(), Failure> {
    let body = move || {
        let mut probe = Probe { server, begun, connected: None };
        loop {
            let asked = Instant::now();
            let news = match probe.sample() {
                Ok(sample) => News::Sample(Box::new(sample)),
                Err(failure) => News::Down(failure.line),
            };
            if send.send(event(news)).is_err() {
                return;
            }
            // Rates of two samples that are close to each other would be wrong.
            thread::sleep(interval.saturating_sub(asked.elapsed()).max(interval / 2));
        }
    };
    let started = thread::Builder::new().name("mcrs-probe".into()).spawn(body);
    started.map(drop).map_err(|e| Failure::new(SERVER, format!("failed to start a thread: {e}")))
}

struct Probe {
    server: Server,
    begun: Instant,
    connected: Option<Connected>,
}

/// A connection, and the groups of statistics that its server has as far as is known.
struct Connected {
    connection: Connection,
    has_hot: bool,
    has_latency: bool,
}

impl Probe {
    /// Takes a sample. Connects first if the last sample failed.
    fn sample(&mut self) -> Result<Sample, Failure> {
        let mut connected = match self.connected.take() {
            Some(connected) => connected,
            None => Connected { connection: self.server.connect()?, has_hot: true, has_latency: true },
        };
        let sample = connected.sample(self.begun)?;
        self.connected = Some(connected);
        Ok(sample)
    }
}

impl Connected {
    fn sample(&mut self, begun: Instant) -> Result<Sample, Failure> {
        let connection = &mut self.connection;
        let asked = Instant::now();
        connection.ask(b"version\r\n")?;
        let round_trip = asked.elapsed();
        let asked = begun.elapsed();
        let stats = connection.need_stats("")?;
        // The server has counted at some moment between its request and its answer.
        let taken = (asked + begun.elapsed()) / 2;
        let proxy = if stats.is_proxy() { connection.stats("proxy")? } else { None };
        let classes = match slabs::classes(connection) {
            // Other servers may have no slabs.
            Err(failure) if failure.status == INCOMPLETE => Vec::new(),
            classes => classes?,
        };
        let mut group = |name, has: &mut bool| {
            let stats = if *has { connection.stats(name)? } else { None };
            *has = stats.is_some();
            Ok::<_, Failure>(stats)
        };
        let hot = group("hotkeys", &mut self.has_hot)?.map(|stats| HotKeys::read(&stats));
        let latency = group("latency", &mut self.has_latency)?.map(|stats| Latency::read(&stats));
        Ok(Sample { taken, round_trip, stats, proxy, classes, hot, latency })
    }
}
