//! The thread of the configuration. It has a virtual machine of its own, whose globals outlive a
//! reload, and calls its timed functions.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};

use memcache_core::internal::base::file::read;
use memcache_core::internal::base::watch::kind;
use memcache_core::internal::config::hint_of_toml;
use memcache_core::internal::proxy::links::Links;
use memcache_core::internal::proxy::program::ServerView;
use mlua::{Function, Lua, Value};

use crate::api::config::Settings;
use crate::api::cron::Crons;
use crate::api::errors::{message, summary};
use crate::counters::Counters;
use crate::fault::LoadFault;
use crate::line;
use crate::loaded::{Chunk, Loaded, Sources};
use crate::reload::Reloads;
use crate::routelib;
use crate::tree::Tree;
use crate::vm::{self, Budget};

/// Bytes of a file at most. memcached has no limit.
const MAX_FILE: u64 = 64 << 20;

/// A load, or a reload, whose result the sender receives.
struct Job {
    is_reload: bool,
    reply: Sender<Result<(), LoadFault>>,
}

/// Counts loads and of timed functions.
#[derive(Debug, Default)]
pub struct Runs {
    /// Loads, the first one included.
    pub loads: AtomicU64,
    /// Loads that failed.
    pub load_fails: AtomicU64,
    /// Runs of timed functions.
    pub crons: AtomicU64,
    /// Of these, runs that failed.
    pub cron_fails: AtomicU64,
}

/// The thread of the configuration. Dropping it ends the thread.
#[derive(Debug)]
pub struct Configurator {
    jobs: Mutex<Sender<Job>>,
}

impl Configurator {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(
        sources: Sources,
        workers: usize,
        reloads: Arc<Reloads>,
        runs: Arc<Runs>,
        server: Arc<dyn ServerView>,
    ) -> io::Result<Self> {
        let (sender, jobs) = channel::<Job>();
        let body = move || match Machine::new(sources, workers, reloads, runs, server) {
            Ok(machine) => machine.run(&jobs),
            Err(fault) => {
                while let Ok(job) = jobs.recv() {
                    // A caller that has gone does not wait for the result.
                    let _ = job.reply.send(Err(LoadFault::fatal(message(&fault))));
                }
            }
        };
        thread::Builder::new().name("mcrs-lua".into()).spawn(body)?;
        Ok(Self { jobs: Mutex::new(sender) })
    }

    /// Loads the configuration, and returns when all workers use it.
    ///
    /// # Errors
    /// The configuration is wrong. Workers keep the one that they have.
    pub fn load(&self) -> Result<(), LoadFault> {
        self.send(false)
    }

    /// Loads the configuration again. Watchers see that.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(&self) -> Result<(), LoadFault> {
        self.send(true)
    }

    fn send(&self, is_reload: bool) -> Result<(), LoadFault> {
        let (reply, result) = channel();
        let job = Job { is_reload, reply };
        let sent = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
        let ended = || LoadFault::fatal("the thread of the configuration has ended");
        sent.map_err(|_| ended())?;
        result.recv().unwrap_or_else(|_| Err(ended()))
    }
}

/// Loads a configuration, and runs it as the first of `workers` does, without a server.
///
/// # Errors
/// The configuration is wrong.
pub fn check(sources: &Sources, workers: usize, links: &mut Links) -> Result<(), LoadFault> {
    let server = Arc::new(NoServer);
    let machine = Machine::new(sources.clone(), workers, Arc::default(), Arc::default(), server);
    let machine = machine.map_err(|fault| LoadFault::fatal(message(&fault)))?;
    vm::worker(&machine.read()?, links).map(drop).map_err(LoadFault::of_worker)
}

/// The server of a configuration that is only checked.
struct NoServer;

impl ServerView for NoServer {
    fn statistics(&self, _: &str, _: &mut dyn FnMut(&str, &str)) -> bool {
        true
    }

    fn event(&self, _: u32, _: &str) {}

    fn log(&self, _: &str) {}
}

/// The virtual machine of a configuration.
struct Machine {
    sources: Sources,
    workers: usize,
    reloads: Arc<Reloads>,
    runs: Arc<Runs>,
    server: Arc<dyn ServerView>,
    lua: Lua,
    /// Steps of the function that runs.
    budget: Budget,
    settings: Rc<RefCell<Settings>>,
    counters: Rc<RefCell<Counters>>,
    crons: Rc<RefCell<Crons>>,
}

impl Machine {
    fn new(
        sources: Sources,
        workers: usize,
        reloads: Arc<Reloads>,
        runs: Arc<Runs>,
        server: Arc<dyn ServerView>,
    ) -> mlua::Result<Self> {
        let (settings, counters, crons) = (Rc::default(), Rc::default(), Rc::default());
        let (lua, budget) =
            vm::configuration(sources.argument.as_deref(), &settings, &counters, &crons, &server)?;
        Ok(Self { sources, workers, reloads, runs, server, lua, budget, settings, counters, crons })
    }

    /// Loads when it is asked to, and runs timed functions, until no caller is left.
    fn run(self, jobs: &Receiver<Job>) {
        loop {
            let next = self.crons.borrow().next();
            let job = match next {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(next) => jobs.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match job {
                // A caller that has gone does not wait for the result.
                Ok(Job { is_reload, reply }) => {
                    let _ = reply.send(if is_reload { self.reload() } else { self.finish(self.read()) });
                }
                Err(RecvTimeoutError::Timeout) => self.run_crons(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while std::mem::take(&mut self.settings.borrow_mut().wants_reload) {
                // Watchers see the result.
                let _ = self.reload();
            }
        }
    }

    /// Calls the timed functions that are due.
    fn run_crons(&self) {
        loop {
            let due = self.crons.borrow_mut().take_due(Instant::now());
            let Some(function) = due else { return };
            self.runs.crons.fetch_add(1, Relaxed);
            self.budget.set(0);
            if let Err(fault) = function.call::<()>(()) {
                self.runs.cron_fails.fetch_add(1, Relaxed);
                self.server.event(kind::PROXYEVENTS, &line::fault(&summary(&fault)));
            }
        }
    }

    /// Loads the configuration again, and tells watchers. As in memcached, they see no start of a
    /// reload that ends the process.
    fn reload(&self) -> Result<(), LoadFault> {
        let read = self.read();
        if !read.as_ref().is_err_and(|fault| fault.is_fatal) {
            self.server.reload_event("start");
        }
        let result = self.finish(read);
        self.server.reload_event(if result.is_ok() { "done" } else { "failed" });
        result
    }

    /// Lets all workers load a configuration that was read.
    fn finish(&self, read: Result<Loaded, LoadFault>) -> Result<(), LoadFault> {
        self.runs.loads.fetch_add(1, Relaxed);
        let result = read.and_then(|loaded| {
            let loaded = self.reloads.reload(loaded);
            loaded.map_err(LoadFault::of_worker)
        });
        self.runs.load_fails.fetch_add(u64::from(result.is_err()), Relaxed);
        result
    }

    /// Reads the files, and runs them and `mcp_config_pools`.
    fn read(&self) -> Result<Loaded, LoadFault> {
        let fault = |text: &str, e: &mlua::Error| LoadFault::fatal(format!("ERROR: {text}: {}", message(e)));
        let unread =
            |reason: String| LoadFault::unread(format!("ERROR: Failed to load proxy_startfile: {reason}"));
        let mut chunks = Vec::new();
        let mut functions = Vec::new();
        for name in &self.sources.files {
            let text = read(Path::new(name), MAX_FILE);
            let text = text.map_err(|why| unread(format!("cannot open {name}: {why}")))?;
            let chunk = Chunk { name: name.clone(), text };
            let compiled = vm::compile(&self.lua, &chunk);
            functions.push(compiled.map_err(|e| unread(message(&e) + hint_of_toml(&chunk.text)))?);
            chunks.push(chunk);
        }
        self.crons.borrow_mut().begin();
        for function in functions {
            self.budget.set(0);
            let ran = function.call::<()>(());
            ran.map_err(|e| LoadFault::fatal(unloaded(&message(&e))))?;
        }
        let function: Option<Function> = self.lua.globals().get("mcp_config_pools").ok();
        let missing = || LoadFault::fatal("ERROR: Configuration file missing 'mcp_config_pools' function");
        self.budget.set(0);
        let pools = function.ok_or_else(missing)?.call::<Value>(Value::Nil);
        let pools = pools.and_then(|result| Tree::copy(&result));
        let pools = pools.map_err(|e| fault("Failed to execute mcp_config_pools", &e))?;
        self.crons.borrow_mut().end();
        Ok(Loaded {
            chunks,
            argument: self.sources.argument.clone(),
            pools,
            settings: self.settings.borrow().clone(),
            workers: self.workers,
            counters: self.counters.borrow().clone(),
            functions: Arc::clone(self.reloads.functions()),
        })
    }
}

/// Returns memcached's line for a file that failed with this text. The text may have a traceback
/// below its first line.
fn unloaded(text: &str) -> String {
    let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    let hint = if routelib::misses_function(first) {
        " (-o proxy_config=routelib,proxy_arg=FILE reads a configuration of routelib)"
    } else {
        ""
    };
    format!("ERROR: Failed to load data into lua config state: {first}{hint}{rest}")
}
