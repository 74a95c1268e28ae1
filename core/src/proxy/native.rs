//! The program of a configuration without Lua. All workers share what is loaded.
//!
//! A configuration is read and built completely before workers see it. A mistake changes nothing.
//! The backends of sources come from [`Names`]: if they change, pools are built again the same way.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::config::{ConfigFault, Configuration, MAX_BACKENDS, MAX_TEXT, read};
use super::engine::Host;
use super::loaded::{Loaded, Shared};
use super::name::{Name, Query};
use super::names::Names;
use super::pool::Pool;
use super::program::{AnyEngine, Program, Seat, ServerView, Statistics};
use super::relay::Relay;
use super::route::Routes;
use super::source::Source;
use crate::base::error::ProxyError;
use crate::base::file;
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::config::{ProxyConfig, SourceText};

/// Most bytes that requests and replies under way hold in a worker.
const HELD: usize = 256 * 1024 * 1024;

/// Longest time for the first look-ups of sources, at a start and at a reload.
const PATIENCE: Duration = Duration::from_secs(5);

/// The mistake of a text that was perhaps meant as the name of a file, or as an address.
const NO_TOML: &str = "must be a text in TOML, or the name of a file that ends in .toml";

/// The proxy of a file or a text.
pub struct Native {
    /// Held during a reload, so that the last one reads the file last.
    from: Mutex<ProxyConfig>,
    names: Arc<Names>,
    current: Mutex<Current>,
    loads: AtomicU64,
    fails: AtomicU64,
    shared: Arc<Shared>,
    seats: Mutex<Vec<Seat>>,
    server: OnceLock<Arc<dyn ServerView>>,
}

opaque_debug!(Native);

/// A configuration, and the names of its sources.
struct Current {
    configuration: Configuration,
    sources: Sources,
}

type Sources = Vec<(Source, Arc<Name>)>;

impl Native {
    /// Reads a configuration. Its sources are not looked up yet: see [`Program::ready`].
    ///
    /// # Errors
    /// The mistake.
    pub fn new(from: ProxyConfig, names: Arc<Names>) -> Result<Self, ProxyError> {
        let configuration = load(&from)?;
        let sources = hold(&configuration.routes, &names);
        let loaded = discover(&configuration, &sources, None).map_err(|e| fault(&from, None, &e))?;
        names.set_rules(configuration.names.clone());
        let shared = Arc::new(Shared::new(loaded));
        let current = Mutex::new(Current { configuration, sources });
        Ok(Self {
            from: Mutex::new(from),
            names,
            current,
            loads: AtomicU64::new(1),
            fails: AtomicU64::new(0),
            shared,
            seats: Mutex::default(),
            server: OnceLock::new(),
        })
    }

    /// Reads the configuration again, or another one, which later reloads then read.
    fn load_again(&self, other: Option<ProxyConfig>) -> Result<(), String> {
        let mut from = self.from.lock();
        self.reload_event("start");
        self.loads.fetch_add(1, Relaxed);
        let result = self.load_from(other.as_ref().unwrap_or(&from));
        match (&result, other) {
            (Ok(()), Some(other)) => *from = other,
            (Ok(()), None) => {}
            (Err(_), _) => {
                self.fails.fetch_add(1, Relaxed);
            }
        }
        self.reload_event(if result.is_ok() { "done" } else { "failed" });
        result
    }

    fn load_from(&self, from: &ProxyConfig) -> Result<(), String> {
        let configuration = load(from).map_err(|e| e.to_string())?;
        // New names are looked up by the new rules, which may name the servers that know them.
        let earlier = self.names.set_rules(configuration.names.clone());
        let result = self.take_over(configuration);
        if result.is_err() {
            self.names.set_rules(earlier);
        }
        result
    }

    fn take_over(&self, configuration: Configuration) -> Result<(), String> {
        let sources = hold(&configuration.routes, &self.names);
        wait(&self.names, &sources);
        // Backends that change from here on wait for this lock.
        let mut current = self.current.lock();
        let loaded = discover(&configuration, &sources, Some(&self.shared.get().1.routes))?;
        *current = Current { configuration, sources };
        self.publish(loaded);
        Ok(())
    }

    fn reload_event(&self, status: &str) {
        if let Some(server) = self.server.get() {
            server.reload_event(status);
        }
    }

    /// Hands a configuration to all workers.
    fn publish(&self, loaded: Loaded) {
        self.shared.set(loaded);
        for seat in &*self.seats.lock() {
            (seat.wake)();
        }
    }
}

impl Program for Native {
    fn name(&self) -> String {
        match &*self.from.lock() {
            ProxyConfig::File(path) => path.display().to_string(),
            ProxyConfig::Source(source) => source.file().display().to_string(),
            ProxyConfig::Text(_) | ProxyConfig::Program(_) => "a text".into(),
        }
    }

    fn start(&self, _: usize, server: Arc<dyn ServerView>) -> Result<(), String> {
        self.server.set(server).map_err(|_| "a proxy can be started once only".to_owned())
    }

    fn engine(&self, seat: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String> {
        let seed = seat.worker as u64 + 1;
        self.seats.lock().push(seat);
        Ok(AnyEngine::Native(Box::new(Relay::new(Arc::clone(&self.shared), HELD, seed, host.links))))
    }

    fn routes(&self) -> Option<Arc<Routes>> {
        Some(Arc::clone(&self.shared.get().1.routes))
    }

    fn ready(&self) {
        let sources = self.current.lock().sources.clone();
        wait(&self.names, &sources);
        // Too many backends are reported when the names change.
        let _ = self.names_changed();
    }

    fn reload(&self) -> Result<(), String> {
        self.load_again(None)
    }

    fn replace(&self, config: ProxyConfig) -> Result<(), String> {
        self.load_again(Some(config))
    }

    fn statistics(&self) -> Statistics {
        let loaded = self.shared.get().1;
        let counters = loaded.routes.counters.iter();
        Statistics {
            user: counters.map(|counter| (counter.name.clone(), counter.get())).collect(),
            reloads: self.loads.load(Relaxed),
            reload_fails: self.fails.load(Relaxed),
            held_limit: HELD as u64,
            ..Statistics::default()
        }
    }

    fn names_changed(&self) -> Result<(), String> {
        let current = self.current.lock();
        let earlier = &self.shared.get().1.routes;
        let loaded = discover(&current.configuration, &current.sources, Some(earlier))?;
        let backends =
            |routes: &Routes| routes.pools.iter().map(|pool| pool.backends.clone()).collect::<Vec<_>>();
        if backends(&loaded.routes) != backends(earlier) {
            self.publish(loaded);
        }
        Ok(())
    }
}

/// Holds the names of all sources, so that they are looked up.
fn hold(routes: &Routes, names: &Names) -> Sources {
    let sources = routes.pools.iter().flat_map(Pool::sources);
    sources.map(|source| (source.clone(), names.name(Query::of(source)))).collect()
}

/// Waits for the first look-up of each source.
fn wait(names: &Names, sources: &Sources) {
    let until = Instant::now() + PATIENCE;
    let held: Vec<_> = sources.iter().map(|(_, name)| Arc::clone(name)).collect();
    names.wait(&held, until);
}

/// Builds a configuration with the backends that its sources have now. Those that are in an earlier
/// one, too, keep their conditions.
fn discover(
    configuration: &Configuration,
    sources: &Sources,
    earlier: Option<&Routes>,
) -> Result<Loaded, String> {
    let mut routes = configuration.routes.clone();
    for pool in &mut routes.pools {
        pool.discover(|source| {
            let name = sources.iter().find(|(own, _)| own == source).map(|(_, name)| name);
            name.map(|name| name.backends(source)).unwrap_or_default()
        });
    }
    let backends: usize = routes.pools.iter().map(|pool| pool.backends.len()).sum();
    if backends > MAX_BACKENDS {
        return Err(format!("all pools together must have at most {MAX_BACKENDS} backends, got {backends}"));
    }
    earlier.into_iter().for_each(|earlier| routes.keep_conditions(earlier));
    Ok(Loaded::new(routes))
}

/// Reads a configuration, and the files that it names.
fn load(from: &ProxyConfig) -> Result<Configuration, ProxyError> {
    let unread = |reason: &dyn Display| fault(from, None, reason);
    let of_file;
    let (text, directory) = match from {
        // Each line of a configuration has the sign.
        ProxyConfig::Text(text) if !text.contains('=') => return Err(unread(&NO_TOML)),
        ProxyConfig::Text(text) => (text, Path::new("")),
        ProxyConfig::File(path) => {
            let text = file::read_text(path, MAX_TEXT as u64);
            of_file = text.map_err(|why| unread(&format!("cannot be read: {why}")))?;
            (&of_file, path.parent().unwrap_or(Path::new("")))
        }
        ProxyConfig::Source(source) => return load_made(&source.make()?),
        ProxyConfig::Program(_) => return Err(unread(&"a program has no file")),
    };
    read_with_certificates(text, directory).map_err(|e| fault(from, Some(e.line), &e.message))
}

/// Reads a configuration that was made from another file. Mistakes name that file.
fn load_made(made: &SourceText) -> Result<Configuration, ProxyError> {
    read_with_certificates(&made.text, Path::new("")).map_err(|e| ProxyError {
        file: Some(made.file.clone()),
        line: e.line.checked_sub(1).and_then(|at| made.lines.get(at)).copied(),
        message: e.message,
    })
}

fn read_with_certificates(text: &str, directory: &Path) -> Result<Configuration, ConfigFault> {
    let mut configuration = read(text)?;
    configuration.routes.read_certificates(directory)?;
    Ok(configuration)
}

/// Returns a mistake of a configuration.
fn fault(from: &ProxyConfig, line: Option<usize>, reason: &dyn Display) -> ProxyError {
    let file = match from {
        ProxyConfig::File(path) => Some(path.clone()),
        ProxyConfig::Text(_) | ProxyConfig::Source(_) | ProxyConfig::Program(_) => None,
    };
    ProxyError { file, line, message: reason.to_string() }
}
