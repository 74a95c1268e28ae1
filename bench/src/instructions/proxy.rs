//! The operations of a proxy: from the request of a client to the reply, through a session, routes,
//! and connections to backends. There are no sockets, and the replies of the backends are made in
//! advance.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use memcache_core::internal::protocol::output::{Output, SlotId};
use memcache_core::internal::proxy::engine::{self, Answers, Engine, Host, Surroundings};
use memcache_core::internal::proxy::failure::Reason;
use memcache_core::internal::proxy::links::Links;
use memcache_core::internal::proxy::program::{AnyEngine, Seat, ServerView};
use memcache_core::internal::session::slots::{Deferred, Work};
use memcache_core::internal::session::{Env, Next, Session, Step};
use memcache_core::internal::state::{ServerState, WorkerStats};
use memcache_core::{Cache, Protocol, ProxyConfig, ServerConfig};
use memcache_proxy_lua::{LuaProxy, Sources};

use super::sizes::{GROUP, VALUE};
use crate::directory::Directory;
use crate::error::{Doing, Error, Result};
use crate::proxy::configuration::{self, Plan};

/// Number of keys in a get of several keys.
const MANY: usize = 20;

/// The backend of the pool `spare`.
const SPARE: &str = "127.0.0.1:4";

/// Failures of a backend after which it is certainly left alone.
const FAILURES: usize = 10;

/// The routes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Routes {
    /// To three backends.
    Direct,
    /// The same, and to another one if they are down. They are.
    Failover,
}

/// The language of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Toml,
    Lua,
}

/// An operation: its name, its configuration, the number of keys in one read, and the bytes of that
/// read.
type Operation = (&'static str, Language, Routes, usize, fn(&[String]) -> Vec<u8>);

const OPERATIONS: [Operation; 9] = [
    ("proxy get", Language::Toml, Routes::Direct, 1, gets),
    ("proxy get, pipelined", Language::Toml, Routes::Direct, GROUP, gets),
    ("proxy set", Language::Toml, Routes::Direct, 1, sets),
    ("proxy set, pipelined", Language::Toml, Routes::Direct, GROUP, sets),
    ("proxy get of 20, a key", Language::Toml, Routes::Direct, MANY, get_of_many),
    ("proxy failover get", Language::Toml, Routes::Failover, 1, gets),
    ("lua get", Language::Lua, Routes::Direct, 1, gets),
    ("lua set", Language::Lua, Routes::Direct, 1, sets),
    ("lua failover get", Language::Lua, Routes::Failover, 1, gets),
];

fn gets(keys: &[String]) -> Vec<u8> {
    keys.iter().flat_map(|key| format!("get {key}\r\n").into_bytes()).collect()
}

fn get_of_many(keys: &[String]) -> Vec<u8> {
    format!("get {}\r\n", keys.join(" ")).into_bytes()
}

fn sets(keys: &[String]) -> Vec<u8> {
    let value = "v".repeat(VALUE);
    keys.iter().flat_map(|key| format!("set {key} 0 0 {VALUE}\r\n{value}\r\n").into_bytes()).collect()
}

/// Returns the replies of a backend to requests of these operations.
fn replies(requests: &[u8]) -> Vec<u8> {
    let value = "v".repeat(VALUE);
    let mut replies = Vec::new();
    for line in String::from_utf8_lossy(requests).lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["version"] => replies.extend(b"VERSION 1.6.45\r\n"),
            ["get", ref keys @ ..] => {
                for key in keys {
                    replies.extend(format!("VALUE {key} 0 {VALUE}\r\n{value}\r\n").bytes());
                }
                replies.extend(b"END\r\n");
            }
            ["set", ..] => replies.extend(b"STORED\r\n"),
            // A value.
            _ => {}
        }
    }
    replies
}

/// Returns the names of all operations.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|(name, ..)| *name)
}

/// Runs an operation for this number of keys. Returns `false` if no operation has this name.
///
/// # Errors
/// If a request is not answered.
pub fn run(operation: &str, count: usize, cache: &Arc<Cache>, keys: &[String]) -> Result<bool> {
    let found = OPERATIONS.iter().find(|(name, ..)| *name == operation);
    let Some(&(_, language, routes, many, request)) = found else { return Ok(false) };
    let directory = Directory::create()?;
    let proxy = Some(configuration(language, routes, &directory)?);
    let config = ServerConfig { threads: 1, proxy, ..ServerConfig::default() };
    let state = ServerState::new(Arc::clone(cache), config).map_err(|error| malformed(&error))?;
    let Some(worker) = state.workers.first() else { return Ok(false) };
    let mut proxy = Proxy::new(&state, worker)?;
    proxy.connect(routes)?;
    let mut inputs: Vec<(Vec<u8>, Vec<Vec<u8>>)> =
        keys.chunks_exact(many).map(|keys| (request(keys), Vec::new())).collect();
    // The first answer to each input makes the replies of its backends.
    for number in 0..inputs.len() + count / many {
        let next = number % inputs.len();
        let Some((input, replies)) = inputs.get_mut(next) else { return Ok(false) };
        if !proxy.answer(input, replies)? {
            return Err(Error::Malformed(format!("{operation} was not answered")));
        }
    }
    Ok(true)
}

/// Returns the configuration of an operation.
fn configuration(language: Language, routes: Routes, directory: &Directory) -> Result<ProxyConfig> {
    let plan = Plan {
        listen: String::new(),
        main: (1..=3).map(|port| format!("127.0.0.1:{port}")).collect(),
        spare: vec![SPARE.to_owned()],
        failover: routes == Routes::Failover,
    };
    if language == Language::Toml {
        return Ok(ProxyConfig::Text(configuration::toml(&plan)));
    }
    let path = directory.path().join("proxy.lua");
    fs::write(&path, configuration::lua(&plan)).doing(|| format!("writing {}", path.display()))?;
    let files = vec![path.display().to_string()];
    Ok(LuaProxy::new(Sources { files, argument: None }).config())
}

/// A server of which nothing but its cache is used.
struct Around<'a>(&'a Cache);

impl Surroundings for Around<'_> {
    fn cache(&self) -> &Cache {
        self.0
    }

    fn carry_out(&self, _request: &[u8], _fd: i32) -> Vec<u8> {
        Vec::new()
    }

    fn log(&self, _level: u8, _line: &dyn Fn() -> String) {}
}

/// A server without statistics, watchers and a log.
struct Nothing;

impl ServerView for Nothing {
    fn statistics(&self, _group: &str, _each: &mut dyn FnMut(&str, &str)) -> bool {
        false
    }

    fn event(&self, _kind: u32, _line: &str) {}

    fn log(&self, _line: &str) {}
}

/// The output for the client.
struct Replies(Output);

impl Answers for Replies {
    fn answer(&mut self, slot: SlotId, answer: &[u8]) {
        self.0.fill_from(slot, answer);
    }
}

/// A worker with one client, without sockets.
struct Proxy<'a> {
    state: &'a ServerState,
    worker: &'a WorkerStats,
    around: Around<'a>,
    engine: AnyEngine,
    links: Links,
    session: Session,
    deferred: Deferred,
    replies: Replies,
    now: Instant,
}

impl<'a> Proxy<'a> {
    fn new(state: &'a ServerState, worker: &'a WorkerStats) -> Result<Self> {
        let Some(program) = &state.proxy else { return Err(malformed(&"there is no proxy")) };
        program.start(1, Arc::new(Nothing)).map_err(|error| malformed(&error))?;
        let mut links = Links::default();
        let now = Instant::now();
        let around = Around(&state.cache);
        let seat = Seat { worker: 0, wake: Arc::new(|| ()) };
        let host = &mut Host { links: &mut links, now, millis: 0, server: &around, answers: &mut () };
        let engine = program.engine(seat, host).map_err(|error| malformed(&error))?;
        let mut deferred = Deferred::default();
        deferred.hooks = engine.hooks();
        let (session, replies) = (Session::new(Protocol::Ascii), Replies(Output::new()));
        Ok(Self { state, worker, around, engine, links, session, deferred, replies, now })
    }

    /// Opens the connections to all backends that are up.
    fn connect(&mut self, routes: Routes) -> Result<()> {
        let host = &mut Host {
            links: &mut self.links,
            now: self.now,
            millis: 0,
            server: &self.around,
            answers: &mut (),
        };
        for number in 0..host.links.end() {
            let Some(link) = host.links.get_mut(number) else { continue };
            if routes == Routes::Failover && link.place.address.to_string() != SPARE {
                for _ in 0..FAILURES {
                    engine::fail(&mut self.engine, number, Reason::Connecting, host);
                }
                continue;
            }
            link.connection.connecting(self.now);
            link.connection.connected(self.now);
            let hello = link.connection.unwritten().to_vec();
            link.connection.wrote(hello.len(), || self.now);
            engine::receive(&mut self.engine, number, replies(&hello), host)
                .map_err(|reason| malformed(&reason.word()))?;
        }
        Ok(())
    }

    /// Answers the input of the client. `known` has the bytes that backends send, one for each
    /// write. Those that are missing are added. Returns whether all requests are answered.
    fn answer(&mut self, input: &[u8], known: &mut Vec<Vec<u8>>) -> Result<bool> {
        let step = self.advance(input);
        let host = &mut Host {
            links: &mut self.links,
            now: self.now,
            millis: 0,
            server: &self.around,
            answers: &mut self.replies,
        };
        for work in self.deferred.work.drain(..) {
            if let Work::Route { client, requests } = work {
                self.engine.begin(client, requests, host);
            }
        }
        if self.engine.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.engine.expire(self.now, host);
        }
        let mut writes = 0;
        while let Some(number) = host.links.take_changed() {
            let Some(link) = host.links.get_mut(number) else { continue };
            let requests = link.connection.unwritten();
            if requests.is_empty() {
                continue;
            }
            if writes == known.len() {
                known.push(replies(requests));
            }
            let written = requests.len();
            link.connection.wrote(written, || self.now);
            let mut received = link.connection.take_input();
            received.extend_from_slice(known.get(writes).map(Vec::as_slice).unwrap_or_default());
            writes += 1;
            engine::receive(&mut self.engine, number, received, host)
                .map_err(|reason| malformed(&reason.word()))?;
        }
        let answered = step.consumed == input.len()
            && self.advance(&[]).next == Next::Input
            && self.replies.0.open_slots() == 0
            && !self.replies.0.is_empty();
        self.replies.0.clear(usize::MAX);
        Ok(answered)
    }

    fn advance(&mut self, input: &[u8]) -> Step {
        let mut env = Env::new(self.state, self.worker, 9, 64);
        env.deferred = Some(&mut self.deferred);
        self.session.advance(&mut env, input, &mut self.replies.0)
    }
}

fn malformed(error: &impl ToString) -> Error {
    Error::Malformed(error.to_string())
}
