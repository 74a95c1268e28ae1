//! Turns signals into requests to the server: SIGINT and SIGTERM stop it at once, SIGUSR1 stops it
//! gracefully, SIGHUP reloads files. (Rust's runtime ignores SIGPIPE from the start.)

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};
use std::thread;

use memcache_core::Stop;
use memcache_core::internal::base::stderr::write_line;
use memcache_core::internal::state::ServerState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator;

use crate::failure::{Failure, reason};

/// Catches signals from its creation on. They wait until [`Signals::watch`].
pub struct Signals {
    caught: iterator::Signals,
}

impl Signals {
    /// Installs the handlers.
    pub fn catch() -> Result<Self, Failure> {
        let caught = iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGHUP])
            .map_err(|e| Failure::system(format!("failed to catch signals: {}", reason(&e))))?;
        Ok(Self { caught })
    }

    /// Handles signals on a thread of its own, for the rest of the process.
    pub fn watch(mut self, context: Arc<ServerState>, farewell: Farewell) -> Result<(), Failure> {
        let on = move |signal| match signal {
            SIGUSR1 => {
                context.control.request_stop(Stop::Graceful);
                farewell.gracefully();
            }
            SIGHUP => match context.reload() {
                Ok(()) => context.log(1, || "SIGHUP: reloaded".into()),
                Err(line) => context.log(0, || line),
            },
            _ => context.control.request_stop(Stop::Now),
        };
        let work = move || {
            for signal in self.caught.forever() {
                // Without this thread, signals could not stop the process. The panic hook has
                // reported the panic.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| on(signal)));
            }
        };
        thread::Builder::new()
            .name("signals".into())
            .spawn(work)
            .map(drop)
            .map_err(|e| Failure::system(format!("failed to start: {}", reason(&e))))
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
