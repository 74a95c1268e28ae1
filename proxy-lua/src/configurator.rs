//! The thread of the configuration. It has a virtual machine of its own, whose globals outlive a
//! reload, and calls its timed functions.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};

use mlua::{Function, Lua, Value};

use crate::api::config::Settings;
use crate::api::cron::Crons;
use crate::api::errors::message;
use crate::counters::Counters;
use crate::fault::LoadFault;
use crate::loaded::{Chunk, Loaded, Sources};
use crate::reload::Reloads;
use crate::tree::Tree;
use crate::vm;

/// Receives the result of a load.
type Reply = Sender<Result<(), LoadFault>>;

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
    jobs: Mutex<Sender<Reply>>,
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
    ) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let body = move || match Machine::new(sources, workers, reloads, runs) {
            Ok(machine) => machine.run(&jobs),
            Err(fault) => {
                while let Ok(reply) = jobs.recv() {
                    // A caller that has gone does not wait for the result.
                    let _ = reply.send(Err(LoadFault::fatal(message(&fault))));
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
        let (reply, result) = channel();
        let sent = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(reply);
        let ended = || LoadFault::fatal("the thread of the configuration has ended");
        sent.map_err(|_| ended())?;
        result.recv().unwrap_or_else(|_| Err(ended()))
    }
}

/// The virtual machine of a configuration.
struct Machine {
    sources: Sources,
    workers: usize,
    reloads: Arc<Reloads>,
    runs: Arc<Runs>,
    lua: Lua,
    settings: Rc<RefCell<Settings>>,
    counters: Rc<RefCell<Counters>>,
    crons: Rc<RefCell<Crons>>,
}

impl Machine {
    fn new(sources: Sources, workers: usize, reloads: Arc<Reloads>, runs: Arc<Runs>) -> mlua::Result<Self> {
        let (settings, counters, crons) = (Rc::default(), Rc::default(), Rc::default());
        let lua = vm::configuration(sources.argument.as_deref(), &settings, &counters, &crons)?;
        Ok(Self { sources, workers, reloads, runs, lua, settings, counters, crons })
    }

    /// Loads when it is asked to, and runs timed functions, until no caller is left.
    fn run(mut self, jobs: &Receiver<Reply>) {
        loop {
            let next = self.crons.borrow().next();
            let job = match next {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(next) => jobs.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match job {
                // A caller that has gone does not wait for the result.
                Ok(reply) => {
                    let _ = reply.send(self.load());
                }
                Err(RecvTimeoutError::Timeout) => self.run_crons(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while std::mem::take(&mut self.settings.borrow_mut().wants_reload) {
                self.reloads.post("type=proxy_conf status=start".into());
                let status = if self.load().is_ok() { "done" } else { "failed" };
                self.reloads.post(format!("type=proxy_conf status={status}"));
            }
        }
    }

    /// Calls the timed functions that are due.
    fn run_crons(&self) {
        loop {
            let due = self.crons.borrow_mut().take_due(Instant::now());
            let Some(function) = due else { return };
            self.runs.crons.fetch_add(1, Relaxed);
            if let Err(fault) = function.call::<()>(()) {
                self.runs.cron_fails.fetch_add(1, Relaxed);
                self.reloads.post(format!("type=proxy_error msg={}", message(&fault)));
            }
        }
    }

    /// Loads the configuration, and lets all workers load it.
    fn load(&mut self) -> Result<(), LoadFault> {
        self.runs.loads.fetch_add(1, Relaxed);
        let result = self.read().and_then(|loaded| {
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
            let text = std::fs::read(name).map_err(|e| unread(format!("cannot open {name}: {e}")))?;
            let chunk = Chunk { name: name.clone(), text };
            functions.push(vm::compile(&self.lua, &chunk).map_err(|e| unread(message(&e)))?);
            chunks.push(chunk);
        }
        self.crons.borrow_mut().begin();
        for function in functions {
            let ran = function.call::<()>(());
            ran.map_err(|e| fault("Failed to load data into lua config state", &e))?;
        }
        let function: Option<Function> = self.lua.globals().get("mcp_config_pools").ok();
        let missing = || LoadFault::fatal("ERROR: Configuration file missing 'mcp_config_pools' function");
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
