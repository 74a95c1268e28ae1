//! HTTP for operators and tests, beside the listeners of memcached.
//!
//! ```text
//!   bind    before privileges are dropped, or a socket of the version before
//!   start   before the server, or once it serves: a thread, mcrs-http, with a tokio runtime of its own
//!   stop    after the server: 250 ms for requests under way, then every connection is closed
//! ```
//!
//! No worker of the server runs HTTP, and no hook waits for it. Each service has an address, a
//! [`Router`] and its own bounds (see [`connection`]). A service knows nothing of the others.

mod address;
mod connection;
mod error;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use futures_util::future;
use memcache_core::internal::base::stderr::write_line;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::time;

pub use self::address::{Address, FORMS, Named};
pub use self::connection::BODY;
use self::connection::Bounds;
pub use self::error::{Error, wrong_method};
use crate::failure::{Failure, reason};
use crate::listen::DESCRIPTORS_A_LISTENER;

/// Time that requests under way have when the daemon stops.
const GRACE: Duration = Duration::from_millis(250);

/// Threads for work that blocks, such as settling a server. They end when they are idle.
const BLOCKING_THREADS: usize = 4;

/// The sockets of a service, which listen and accept nothing yet.
#[derive(Debug)]
pub struct Sockets {
    /// Name of the service, such as `control`.
    pub name: &'static str,
    sockets: Vec<TcpListener>,
}

impl Sockets {
    /// Opens the sockets of a service, or takes those of its addresses from `passed`.
    pub fn bind(
        name: &'static str,
        addresses: &[SocketAddr],
        passed: &mut Vec<Named>,
    ) -> Result<Self, Failure> {
        let mut sockets = Vec::new();
        for &at in addresses {
            let socket = match address::take(passed, name, at) {
                Some(socket) => Ok(socket),
                None => address::open(at),
            };
            sockets.push(
                socket.map_err(|e| Failure::system(format!("failed to listen on {at}: {}", reason(&e))))?,
            );
        }
        Ok(Self { name, sockets })
    }

    /// Returns the number of descriptors that the service uses at most.
    pub fn descriptors(&self) -> usize {
        self.sockets.len() * (Bounds::DAEMON.connections + DESCRIPTORS_A_LISTENER)
    }

    /// Returns the addresses at which the service is reached.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok())
    }
}

/// The running services.
#[derive(Debug)]
pub struct Http {
    services: Vec<Sockets>,
    /// A thread for each start.
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Http {
    /// Serves each router at its sockets.
    pub fn start(services: Vec<(Sockets, Router)>) -> Result<Self, Failure> {
        Self::start_within(services, Bounds::DAEMON)
    }

    fn start_within(services: Vec<(Sockets, Router)>, bounds: Bounds) -> Result<Self, Failure> {
        let refused = |e: &io::Error| Failure::system(format!("failed to start HTTP: {}", reason(e)));
        let mut served = Vec::new();
        for (of, router) in &services {
            for socket in &of.sockets {
                served.push((socket.try_clone().map_err(|e| refused(&e))?, router.clone()));
            }
        }
        let services: Vec<Sockets> = services.into_iter().map(|(sockets, _)| sockets).collect();
        if served.is_empty() {
            return Ok(Self { services, running: Vec::new() });
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("mcrs-http-wait")
            .build()
            .map_err(|e| refused(&e))?;
        let (stop, stopping) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("mcrs-http".into())
            .spawn(move || run(runtime, served, bounds, &stopping))
            .map_err(|e| refused(&e))?;
        Ok(Self { services, running: vec![Running { stop, thread }] })
    }

    /// Adds services that were started at another time.
    pub fn add(&mut self, mut other: Self) {
        self.services.append(&mut other.services);
        self.running.append(&mut other.running);
    }

    /// Returns the sockets of each service.
    pub fn services(&self) -> &[Sockets] {
        &self.services
    }

    /// Stops serving, and returns the sockets, for a next version of this process.
    pub fn stop(mut self) -> Vec<Named> {
        self.end();
        let named = |Sockets { name, sockets }| sockets.into_iter().map(move |one| (String::from(name), one));
        std::mem::take(&mut self.services).into_iter().flat_map(named).collect()
    }

    fn end(&mut self) {
        for Running { stop, .. } in &self.running {
            let _ = stop.send(true);
        }
        for Running { thread, .. } in self.running.drain(..) {
            // The panic hook has reported a panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.end();
    }
}

/// Serves until `stopping` has a change.
fn run(
    runtime: Runtime,
    served: Vec<(TcpListener, Router)>,
    bounds: Bounds,
    stopping: &watch::Receiver<bool>,
) {
    runtime.block_on(async {
        let services: Vec<_> = served
            .into_iter()
            .map(|(socket, router)| {
                tokio::spawn(connection::accept(socket, router, bounds, stopping.clone()))
            })
            .collect();
        let mut stop = stopping.clone();
        // An error is an end: the sender is gone.
        let _ = stop.wait_for(|stop| *stop).await;
        for ended in time::timeout(GRACE, future::join_all(services)).await.into_iter().flatten() {
            if let Ok(Err(e)) = ended {
                write_line(&format!("HTTP ended early: {}", reason(&e)));
            }
        }
    });
    // Work that blocks is bounded, but may take longer than the stop.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests;
