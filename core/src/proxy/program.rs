//! The program of a server, which makes the engine of each worker.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::engine::{Client, Engine, Host};
use super::exchange::Wake;
use super::failure::Reason;
use super::hooks::Hooks;
use super::links::{Ask, Links};
use super::relay::Relay;
use super::reply::Meaning;
use super::request::Requests;
use super::route::Routes;
use crate::base::watch::kind;
use crate::config::{ProxyConfig, ProxyProgram};

/// An engine: the native one, without a dynamic call, or another one.
pub enum AnyEngine {
    /// Routes as data.
    Native(Box<Relay>),
    /// An engine of another crate.
    Other(Box<dyn Engine>),
}

opaque_debug!(AnyEngine);

impl Engine for AnyEngine {
    fn routes(&self) -> Option<&Arc<Routes>> {
        match self {
            Self::Native(relay) => Some(relay.routes()),
            Self::Other(_) => None,
        }
    }

    fn hooks(&self) -> Hooks {
        match self {
            Self::Native(relay) => relay.hooks(),
            Self::Other(engine) => engine.hooks(),
        }
    }

    fn begin(&mut self, client: Client, requests: Requests, host: &mut Host<'_>) {
        match self {
            Self::Native(relay) => relay.begin(client, requests, host),
            Self::Other(engine) => engine.begin(client, requests, host),
        }
    }

    fn reply(&mut self, ask: Ask, reply: Option<(&[u8], Meaning)>, host: &mut Host<'_>) {
        match self {
            Self::Native(relay) => relay.reply(ask, reply, host),
            Self::Other(engine) => engine.reply(ask, reply, host),
        }
    }

    fn check_reply(&self, ask: Ask, reply: &[u8], meaning: Meaning) -> Result<(), Reason> {
        match self {
            Self::Native(relay) => relay.check_reply(ask, reply, meaning),
            Self::Other(engine) => engine.check_reply(ask, reply, meaning),
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Native(relay) => relay.held(),
            Self::Other(engine) => engine.held(),
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        match self {
            Self::Native(relay) => relay.deadline(),
            Self::Other(engine) => engine.deadline(),
        }
    }

    fn expire(&mut self, until: Instant, host: &mut Host<'_>) {
        match self {
            Self::Native(relay) => relay.expire(until, host),
            Self::Other(engine) => engine.expire(until, host),
        }
    }

    fn woken(&mut self, host: &mut Host<'_>) {
        match self {
            Self::Native(relay) => relay.woken(host),
            Self::Other(engine) => engine.woken(host),
        }
    }
}

/// The worker of an engine.
#[derive(Clone)]
pub struct Seat {
    /// The number of the worker, from 0.
    pub worker: usize,
    /// Wakes the worker, which then calls [`Engine::woken`].
    pub wake: Wake,
}

opaque_debug!(Seat);

/// The server of a program, as threads of the program see it. Once the server has stopped, it has
/// no statistics, and lines are lost.
pub trait ServerView: Send + Sync {
    /// Calls `each` with the names and values of a group of statistics, as `stats` has them.
    /// Returns `false` for an unknown group.
    fn statistics(&self, group: &str, each: &mut dyn FnMut(&str, &str)) -> bool;

    /// Hands a line to the watchers of a kind.
    fn event(&self, kind: u32, line: &str);

    /// Writes a line to the log.
    fn log(&self, line: &str);
}

impl dyn ServerView {
    /// Hands a line about a reload to watchers. `status` is `start`, `done` or `failed`.
    pub fn reload_event(&self, status: &str) {
        self.event(kind::PROXYEVENTS, &format!("type=proxy_conf status={status}"));
    }
}

/// The proxy of a server. Its workers share it.
pub trait Program: Send + Sync {
    /// Returns the name of the configuration, such as that of its file.
    fn name(&self) -> String {
        "a program".into()
    }

    /// Loads the configuration as a server with this many workers does, and runs nothing of it
    /// afterwards. `links` are those of a worker.
    ///
    /// # Errors
    /// The line that says why no server could start.
    fn check(&self, workers: usize, links: &mut Links) -> Result<(), String> {
        let _ = (workers, links);
        Ok(())
    }

    /// Prepares the proxy of a server with this many workers, before there are any.
    ///
    /// # Errors
    /// The line that says why the server cannot start.
    fn start(&self, workers: usize, server: Arc<dyn ServerView>) -> Result<(), String> {
        let _ = (workers, server);
        Ok(())
    }

    /// Makes the engine of a worker, on the thread of that worker.
    ///
    /// # Errors
    /// The line that says why the server cannot start.
    fn engine(&self, seat: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String>;

    /// Returns the routes, if it is the native program.
    fn routes(&self) -> Option<Arc<Routes>> {
        None
    }

    /// Waits for what the engines need, for some seconds at most. Called once, before them.
    fn ready(&self) {}

    /// Reads the configuration again, and hands it to all engines. Calls
    /// [`reload_event`](ServerView#method.reload_event) at the start and at the end.
    ///
    /// # Errors
    /// The line that says why nothing has changed.
    fn reload(&self) -> Result<(), String> {
        Err("this proxy has no configuration that can be read again".into())
    }

    /// Reads another configuration in place of the one so far, as [`Program::reload`] does.
    ///
    /// # Errors
    /// The line that says why nothing has changed.
    fn replace(&self, config: ProxyConfig) -> Result<(), String> {
        let _ = config;
        Err("no configuration can replace the program of this proxy".into())
    }

    /// Returns whether a reload has failed so that memcached would end. A process that is a server
    /// ends then.
    fn is_broken(&self) -> bool {
        false
    }

    /// Handles a change of names, on the thread that looks them up.
    ///
    /// # Errors
    /// The line that says why it changes nothing.
    fn names_changed(&self) -> Result<(), String> {
        Ok(())
    }

    /// Returns the statistics of the program as a whole.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// The statistics of a program, beside the counters of its workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Configurations loaded, that of the start included.
    pub reloads: u64,
    /// Configurations that could not be loaded.
    pub reload_fails: u64,
    /// Runs of timed functions.
    pub cron_runs: u64,
    /// Of these, runs that failed.
    pub cron_fails: u64,
    /// Most requests under way in each worker. 0 for no limit.
    pub active_limit: u64,
    /// Most bytes of requests and replies under way in each worker. 0 for no limit.
    pub held_limit: u64,
    /// Counters of the program's own, with their names, in their order.
    pub user: Vec<(String, u64)>,
    /// Functions by name, each with its number of functions and of slots.
    pub functions: Vec<(String, u64, u64)>,
}

impl ProxyProgram {
    /// Returns the setting for a server that runs this program.
    pub fn new(program: Arc<dyn Program>) -> Self {
        Self(Arc::new(program))
    }

    /// Returns the program.
    pub fn program(&self) -> Option<Arc<dyn Program>> {
        self.0.downcast_ref::<Arc<dyn Program>>().cloned()
    }
}

impl fmt::Debug for dyn Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}

impl From<Arc<dyn Program>> for ProxyConfig {
    fn from(program: Arc<dyn Program>) -> Self {
        Self::Program(ProxyProgram::new(program))
    }
}
