//! Probes of the backends whose pools have rules of health.
//!
//! One worker carries them out for all workers of the process. Each probe has a connection of its
//! own: on the shared one it would wait behind large values, and a backend that accepts no more
//! connections would pass it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use mio::event::Event;
use mio::{Registry, Token};

use super::remote::Remote;
use super::tokens::{probe_index, probe_token};
use crate::base::watch::kind;
use crate::proxy::backend::{Address, Named};
use crate::proxy::bounds::Bounds;
use crate::proxy::connection::Connection;
use crate::proxy::failure::Reason;
use crate::proxy::health::{Health, Probe, Streak};
use crate::proxy::links::Place;
use crate::proxy::names::Names;
use crate::proxy::reply::Meaning;
use crate::proxy::route::Routes;
use crate::state::ServerState;

/// Longest value that a probe accepts.
const VALUE_MAX: usize = 1024 * 1024;

/// The probes of all pools.
#[derive(Default)]
pub(super) struct Probes {
    routes: Option<Arc<Routes>>,
    backends: Vec<Probed>,
    /// A time before the next start or end of a probe.
    wake: Option<Instant>,
    /// Backends with events.
    events: Vec<usize>,
}

/// A backend that is probed.
struct Probed {
    pool: usize,
    backend: usize,
    place: Place,
    rules: Health,
    remote: Remote,
    /// The connection of the probe under way, and the time at which it has failed.
    running: Option<(Connection<()>, Instant)>,
    /// The start of the next probe.
    next: Instant,
    streak: Streak,
}

impl Probes {
    /// Returns no probes. They begin with the first call of [`Self::serve`], which is due `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { wake: Some(now), ..Self::default() }
    }

    /// Probes the backends of these routes from now on. A backend that stays in its pool keeps its
    /// results, its probe under way and the time of its next one: routes may change more often than
    /// a backend is probed.
    fn follow(&mut self, routes: &Arc<Routes>, registry: &Registry, now: Instant) {
        let mut earlier: HashMap<(String, Address), Probed> = HashMap::new();
        for probed in std::mem::take(&mut self.backends) {
            let pool = self.routes.as_ref().and_then(|routes| routes.pools.get(probed.pool));
            let address = probed.place.address.clone();
            earlier.extend(pool.map(|pool| ((pool.name.clone(), address), probed)));
        }
        for (number, pool) in routes.pools.iter().enumerate() {
            let Some(health) = &pool.health else { continue };
            for (index, backend) in pool.backends.iter().enumerate().filter(|(_, backend)| !backend.is_down) {
                let token = probe_token(self.backends.len());
                let place = pool.place(backend);
                let kept = earlier.remove(&(pool.name.clone(), place.address.clone()));
                let kept = kept.filter(|kept| kept.place == place && kept.rules == health.rules);
                self.backends.push(match kept {
                    Some(mut kept) => {
                        kept.remote.set_token(registry, token);
                        Probed { pool: number, backend: index, place, ..kept }
                    }
                    None => Probed {
                        pool: number,
                        backend: index,
                        place,
                        rules: health.rules.clone(),
                        remote: Remote::default(),
                        running: None,
                        next: now.checked_add(health.rules.delay(index, pool.backends.len())).unwrap_or(now),
                        streak: Streak::default(),
                    },
                });
            }
        }
        self.routes = Some(Arc::clone(routes));
        self.events.clear();
        self.wake = Some(now);
    }

    /// Returns the number of backends that are probed.
    pub(super) fn count(&self) -> usize {
        self.backends.len()
    }

    /// Goes on where a name was waited for.
    pub(super) fn follow_names(&mut self) {
        self.events.extend(0..self.backends.len());
    }

    /// Returns the time at which [`Self::serve`] must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    /// Handles an event. Returns `false` if it is not of a probe.
    pub(super) fn on_event(&mut self, event: &Event) -> bool {
        let Some(index) = probe_index(event.token()) else { return false };
        let Some(probed) = self.backends.get_mut(index) else { return false };
        probed.remote.on_event(event);
        self.events.push(index);
        true
    }

    /// Goes on with the probes of these routes that have something to do.
    pub(super) fn serve(
        &mut self,
        routes: Option<&Arc<Routes>>,
        registry: &Registry,
        context: &ServerState,
        scratch: &mut [u8],
        now: Instant,
    ) {
        let Some(routes) = routes else {
            // An engine with routes always has some.
            self.wake = None;
            return;
        };
        if !self.routes.as_ref().is_some_and(|own| Arc::ptr_eq(own, routes)) {
            self.follow(routes, registry, now);
        }
        let mut due = std::mem::take(&mut self.events);
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            due.extend(0..self.backends.len());
        }
        for index in due {
            let Some(probed) = self.backends.get_mut(index) else { continue };
            let Some(pool) = routes.pools.get(probed.pool) else { continue };
            let Some(health) = &pool.health else { continue };
            let around = (&*context.names, registry, probe_token(index));
            if let Some(result) = probed.advance(around, scratch, now) {
                probed.running = None;
                let words = if result.is_ok() {
                    probed.remote.close(registry);
                    String::new()
                } else {
                    probed.remote.fail(registry)
                };
                let Some(condition) = health.conditions.get(probed.backend) else { continue };
                if probed.streak.count(result.is_ok(), &health.rules, condition) {
                    report(context, &pool.name, &probed.place, result, &words);
                }
            }
            let next = probed.running.as_ref().map_or(probed.next, |(_, end)| *end);
            self.wake = self.wake.into_iter().chain([next]).min();
        }
    }
}

impl Probed {
    /// Starts a probe if it is time, and goes on with it. Returns its result once.
    fn advance(
        &mut self,
        (names, registry, token): (&Names, &Registry, Token),
        scratch: &mut [u8],
        now: Instant,
    ) -> Option<Result<(), Reason>> {
        let rules = &self.rules;
        if self.running.is_none() {
            if now < self.next {
                return None;
            }
            self.next = now.checked_add(rules.every)?;
            self.running = Some((start(rules, now), now.checked_add(rules.timeout)?));
        }
        if let Err(reason) = self.remote.open(&self.place, names, registry, token) {
            return Some(Err(reason));
        }
        let (connection, end) = self.running.as_mut()?;
        self.remote.try_again(*end <= now);
        match go_on(&mut self.remote, connection, rules, scratch, now) {
            // A reply that has come counts, even if this worker was late to read it.
            Ok(false) if now < *end => None,
            Ok(false) => Some(Err(Reason::Timeout)),
            Ok(true) => Some(Ok(())),
            Err(reason) => Some(Err(reason)),
        }
    }
}

/// Returns the connection of a new probe.
fn start(rules: &Health, now: Instant) -> Connection<()> {
    let bounds = Bounds {
        connect_timeout: rules.timeout,
        read_timeout: rules.timeout,
        value_max: VALUE_MAX,
        ..Bounds::default()
    };
    let mut connection = Connection::new(bounds);
    if let Probe::Get(key) = &rules.probe {
        let push = |out: &mut Vec<u8>| out.extend_from_slice(format!("get {key}\r\n").as_bytes());
        // A new connection takes it.
        let _ = connection.submit((), false, now, push);
    }
    connection.connecting(now);
    connection
}

/// Moves the bytes of a probe. Returns whether it has succeeded.
fn go_on(
    remote: &mut Remote,
    connection: &mut Connection<()>,
    rules: &Health,
    scratch: &mut [u8],
    now: Instant,
) -> Result<bool, Reason> {
    if !remote.is_open(connection, now)? {
        return Ok(false);
    }
    while let Some(n) = remote.read(scratch)? {
        let mut input = connection.take_input();
        input.extend_from_slice(scratch.get(..n).unwrap_or_default());
        if let Some(((), _, meaning)) = connection.next_reply(&input, now)? {
            let is_item = matches!(meaning, Meaning::Value | Meaning::Miss);
            return if is_item { Ok(true) } else { Err(Reason::Unexpected) };
        }
        connection.keep_input(input, 0, now);
        if connection.is_open() && rules.probe == Probe::Version {
            return Ok(true);
        }
    }
    remote.write(connection)?;
    Ok(false)
}

/// Reports that a backend is down, with the reason, or up.
fn report(context: &ServerState, pool: &str, place: &Place, result: Result<(), Reason>, words: &str) {
    let backend = place;
    // Each line is a change, not a probe, so there are few.
    context.log(0, || match result {
        Ok(()) => format!("proxy: pool {pool}: backend {backend} is up"),
        Err(reason) => format!("proxy: pool {pool}: backend {backend} is down: {}{words}", reason.word()),
    });
    let hub = context.cache.watch_hub();
    if hub.wants(kind::PROXYEVENTS) {
        hub.event(kind::PROXYEVENTS, |line| {
            let (status, error) = match result {
                Ok(()) => ("up", ""),
                Err(reason) => ("down", reason.word()),
            };
            let named = Named(&place.address);
            // Writing to a String cannot fail.
            let _ = write!(
                line,
                "type=proxy_health status={status} {named} label={backend} error={error} pool={pool}"
            );
        });
    }
}
