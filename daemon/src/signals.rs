//! Signals become requests to the server: SIGINT and SIGTERM stop it at once,
//! SIGUSR1 lets it finish, SIGHUP reads files again. (SIGPIPE is ignored from the start
//! by Rust's runtime.)

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};
use std::thread;

use memcache_core::Stop;
use memcache_core::internal::context::ServerState;
use memcache_core::internal::stderr::write_line;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator;

use crate::failure::{Failure, reason};

/// Catches signals from its making on; they wait until someone watches.
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

    /// Passes them on from a thread of their own, for the rest of the process.
    pub fn watch(mut self, context: Arc<ServerState>, farewell: Farewell) -> Result<(), Failure> {
        let on = move |signal| match signal {
            SIGUSR1 => {
                context.request_stop(Stop::Graceful);
                farewell.gracefully();
            }
            SIGHUP => match context.reload() {
                Ok(()) => context.log(1, || "SIGHUP: reloaded".into()),
                Err(line) => context.log(0, || line),
            },
            _ => context.request_stop(Stop::Now),
        };
        let work = move || {
            for signal in self.caught.forever() {
                // Without this thread nothing could stop the process. The panic hook
                // has reported what happened.
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

/// memcached's last words, each said once.
#[derive(Clone)]
pub struct Farewell {
    graceful: Arc<Once>,
}

impl Farewell {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self { graceful: Arc::new(Once::new()) }
    }

    /// A graceful stop begins.
    pub fn gracefully(&self) {
        self.graceful.call_once(|| write_line("Gracefully stopping"));
    }

    /// The server has ended, and `how` was asked for.
    pub fn ended(&self, how: Option<Stop>, verbosity: u8) {
        match how {
            Some(Stop::Graceful) => self.gracefully(),
            Some(Stop::Now) if verbosity > 0 => write_line("Exiting normally"),
            Some(Stop::Now) => {}
            None => write_line("Exiting on error"),
        }
    }
}
