//! Turns signals into requests to the server: SIGINT and SIGTERM stop it at once, SIGUSR1 stops it
//! gracefully, SIGHUP reloads files, SIGUSR2 saves the snapshot, `RTMIN+1` starts the installed
//! version. (Rust's runtime ignores SIGPIPE from the start.)
//!
//! A reload and the check of the installed version take time. They have a thread of their own, so
//! that a signal that stops the process does not wait for them.
//!
//! A second SIGINT or SIGTERM interrupts the last save. While the server loads its snapshot, a
//! signal that stops it ends the process: nothing has changed yet. Other signals wait for the
//! server.

use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::thread;

use memcache_core::Stop;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::server::Handover;
use memcache_core::internal::state::{Persistence, ServerState};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator;

use crate::failure::{Failure, reason};
use crate::notify;
use crate::upgrade::{self, Upgrade};

/// The server that signals are for.
pub struct Served {
    /// The state of the server.
    pub context: Arc<ServerState>,
    /// The sockets for the next version.
    pub handover: Arc<Handover>,
    /// The command line of the next version.
    pub upgrade: Arc<Upgrade>,
}

/// The handler of signals. It works from its creation on, and knows the server once it has started.
pub struct Signals {
    server: Arc<OnceLock<Served>>,
    /// Signals that came before the server, such as during the load of its items.
    early: Arc<Mutex<Vec<i32>>>,
}

impl Signals {
    /// Handles signals on threads of their own, for the rest of the process.
    pub fn handle(farewell: Farewell) -> Result<Self, Failure> {
        let server = Arc::new(OnceLock::<Served>::new());
        let early = Arc::<Mutex<Vec<i32>>>::default();
        let (known, waiting) = (Arc::clone(&server), Arc::clone(&early));
        let on = Arc::new(move |signal| {
            // The lock is held until the signal is either carried out or noted.
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match known.get() {
                Some(known) => {
                    drop(waiting);
                    act(signal, known, &farewell);
                }
                None if [SIGINT, SIGTERM, SIGUSR1].contains(&signal) => process::exit(0),
                None if waiting.contains(&signal) => {}
                None => waiting.push(signal),
            }
        });
        let slow = [SIGHUP].into_iter().chain(upgrade::SIGNAL).collect();
        for (name, signals) in [("signals", vec![SIGINT, SIGTERM, SIGUSR1, SIGUSR2]), ("reload", slow)] {
            catch(name, &signals, Arc::clone(&on))?;
        }
        Ok(Self { server, early })
    }

    /// Names the server that signals are for.
    pub fn are_for(&self, served: Served) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.server.set(served);
        for signal in early.drain(..) {
            // It cannot fail: the handler of this signal is in place.
            let _ = signal_hook::low_level::raise(signal);
        }
    }
}

/// Calls `on` with each of these signals, on a thread of this name.
fn catch(name: &str, signals: &[i32], on: Arc<impl Fn(i32) + Send + Sync + 'static>) -> Result<(), Failure> {
    let mut caught = iterator::Signals::new(signals)
        .map_err(|e| Failure::system(format!("failed to catch signals: {}", reason(&e))))?;
    let work = move || {
        for signal in caught.forever() {
            // Without this thread, signals could not stop the process. The panic hook has
            // reported the panic.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| on(signal)));
        }
    };
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(drop)
        .map_err(|e| Failure::system(format!("failed to start: {}", reason(&e))))
}

/// Carries out the request of a signal.
fn act(signal: i32, served: &Served, farewell: &Farewell) {
    let Served { context, handover, upgrade } = served;
    let persistence = context.persistence.as_deref();
    match signal {
        SIGUSR1 => {
            notify::stopping();
            handover.cancel();
            context.control.request_stop(Stop::Graceful);
            farewell.gracefully();
        }
        SIGUSR2 => match persistence.map(Persistence::request) {
            None => context.log(1, || "SIGUSR2: no file to save to".into()),
            Some(true) => {}
            Some(false) => context.log(1, || "SIGUSR2: a save is under way".into()),
        },
        SIGHUP => match context.reload() {
            // A proxy may now send keys elsewhere.
            Ok(()) => context.log(u8::from(context.proxy.is_none()), || "SIGHUP: reloaded".into()),
            // As memcached, the process ends if the program of a proxy has failed.
            Err(line) if context.proxy.as_ref().is_some_and(|proxy| proxy.is_broken()) => {
                context.log(0, || line);
                process::exit(1);
            }
            Err(line) => context.log(0, || line),
        },
        _ if Some(signal) == upgrade::SIGNAL => match upgrade.check() {
            Ok(()) if handover.begin() => {
                notify::reloading();
                context.log(0, || "upgrading".into());
                context.control.request_stop(Stop::Graceful);
            }
            Ok(()) => {}
            Err(line) => context.log(0, || line),
        },
        _ if context.control.stopping() == Some(Stop::Now) => {
            persistence.into_iter().for_each(Persistence::abort);
        }
        _ => {
            notify::stopping();
            context.control.request_stop(Stop::Now);
        }
    }
}

/// The last messages of memcached, each printed once.
#[derive(Clone)]
pub struct Farewell {
    graceful: Arc<Once>,
}

impl Farewell {
    /// Returns a state in which no message is printed.
    pub fn new() -> Self {
        Self { graceful: Arc::new(Once::new()) }
    }

    /// Reports the begin of a graceful stop.
    pub fn gracefully(&self) {
        self.graceful.call_once(|| write_line("Gracefully stopping"));
    }

    /// Reports the end of the server. `how` is the kind of stop that was requested.
    pub fn ended(&self, how: Option<Stop>, verbosity: u8) {
        match how {
            Some(Stop::Graceful) => self.gracefully(),
            Some(Stop::Now) if verbosity > 0 => write_line("Exiting normally"),
            Some(Stop::Now) => {}
            None => write_line("Exiting on error"),
        }
    }
}
