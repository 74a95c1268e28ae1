//! A server in this process: a cache, its listeners and its worker threads.
//!
//! Any number of servers run side by side. Each has its own threads. The background thread of the
//! caches is the only one that they share. A server that has stopped or was dropped leaves no
//! descriptor or socket file behind, and no thread unless a hook does not return.

mod persist;
mod threads;
mod view;

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

pub use self::persist::check_persistence;
pub use self::threads::STOP_PATIENCE;
use self::threads::{Others, Threads};
use self::view::View;

use crate::admin::{Metrics, ProxyStats, each_stat, metrics, proxy_stats};
use crate::base::error::{ReloadError, StartError, StopError};
use crate::base::histogram::Histogram;
use crate::base::stderr;
use crate::cache::{Cache, HotKeys};
use crate::config::ClusterNode;
use crate::config::{CacheConfig, Listen, ProxyConfig, ServerConfig};
use crate::net::address::BoundAddress;
use crate::net::deadline::Deadline;
pub use crate::net::handover::{FileId, Handover, Opener, PassedSocket};
use crate::net::handshake;
use crate::net::io_thread::IoThread;
use crate::net::limits::OpenFiles;
use crate::net::listener::{Acceptor, Listener};
use crate::net::mailbox::Mailbox;
use crate::net::names;
pub use crate::net::settle::Settler;
use crate::net::udp::Udp;
use crate::net::unstarted::Unstarted;
use crate::net::worker::Worker;
use crate::state::{CommandClass, ServerState, Stop};
use crate::tls::Tls;

/// Longest time for which a handle waits until a server has settled.
pub const SETTLE_TIME: Duration = Duration::from_secs(1);

/// A running server. Dropping it stops it and waits for its threads.
///
/// Any thread may call the methods, except a hook: hooks run on the server's threads, and `stop`
/// would wait for itself.
pub struct Server {
    context: Arc<ServerState>,
    addresses: Vec<BoundAddress>,
    handover: Arc<Handover>,
    deadline: Arc<Deadline>,
    settler: Arc<Settler>,
    threads: Arc<Threads>,
}

impl Server {
    /// Creates a cache and serves it. Returns when connections are accepted.
    ///
    /// # Errors
    /// A setting is invalid, an address cannot be used, or the system refuses memory or a
    /// thread. Nothing of the attempt stays behind.
    pub fn start(config: ServerConfig) -> Result<Self, StartError> {
        config.validate()?;
        let cache = Cache::new(cache_settings(&config))?;
        Self::with_cache(config, cache)
    }

    /// Like [`Server::start`], for a process that is a server. The caller has loaded the
    /// certificates and keys of `config.tls` before it dropped the right to read them. A listener
    /// whose address a passed socket has uses that socket.
    ///
    /// # Errors
    /// As [`Server::start`].
    #[doc(hidden)]
    pub fn start_process(
        config: ServerConfig,
        tls: Option<Tls>,
        passed: Vec<PassedSocket>,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let cache = Cache::new(cache_settings(&config))?;
        Self::serve(config, cache, tls, Some(passed))
    }

    /// Serves an existing cache. The server ignores `config.cache`, but `stats settings` reports
    /// it.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn with_cache(config: ServerConfig, cache: Arc<Cache>) -> Result<Self, StartError> {
        config.validate()?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        Self::serve(config, cache, tls, None)
    }

    fn serve(
        config: ServerConfig,
        cache: Arc<Cache>,
        tls: Option<Tls>,
        passed: Option<Vec<PassedSocket>>,
    ) -> Result<Self, StartError> {
        let context = Arc::new(ServerState::with_tls(cache, config, tls)?);
        let config = &context.config;
        persist::load_at_start(&context)?;
        let clients = if config.listen.is_empty() { 0 } else { config.max_connections };
        let files = Arc::new(OpenFiles::allow(clients)?);
        let is_process = passed.is_some();
        let Sockets { listeners, datagrams, addresses, handover } = Sockets::bind(config, passed)?;

        log_classes(&context);
        context.log_tags();
        let (mut acceptor, limit) =
            Acceptor::new(Arc::clone(&context), listeners).map_err(StartError::System)?;
        let deadline = Arc::new(Deadline::default());
        let (handshakes, jobs) = context.tls.as_ref().map(|_| mpsc::channel()).unzip();
        let mut workers = Vec::with_capacity(context.workers.len());
        let mut mailboxes = Vec::with_capacity(context.workers.len());
        for (number, stats) in context.workers.iter().enumerate() {
            let worker = Unstarted::new(
                number,
                Arc::clone(stats),
                Arc::clone(&context),
                Arc::clone(&limit),
                Arc::clone(&files),
                Arc::clone(&deadline),
                handshakes.clone(),
            )
            .map_err(StartError::System)?;
            mailboxes.push(Arc::clone(worker.mailbox()));
            workers.push(worker);
        }
        for (number, socket) in datagrams.into_iter().enumerate() {
            if let Some(worker) = workers.get_mut(number % context.workers.len()) {
                worker.add_udp(socket).map_err(StartError::System)?;
            }
        }
        let io_thread =
            context.proxy.as_ref().map(|_| IoThread::new(Arc::clone(&context), &files, &mut workers));
        let io_thread = io_thread.transpose().map_err(StartError::System)?;
        let mut all = mailboxes.clone();
        all.extend(io_thread.iter().map(|thread| Arc::clone(thread.mailbox())));
        let (bells, readers) = (all.clone(), all.clone());
        let settler = Arc::new(Settler::new(Arc::clone(&limit), all));
        let listener = Arc::clone(&limit);
        let threads = Arc::<Threads>::default();
        let (end, latest) = (threads.ender(), Arc::clone(&deadline));
        let (persistence, names) = (context.persistence.clone(), Arc::clone(&context.names));
        let kept = Arc::clone(&handover);
        context.control.on_stop(move |how| {
            if how == Stop::Now || !kept.is_wanted() {
                kept.cancel();
            }
            let from = if how == Stop::Graceful { latest.get() } else { Instant::now() };
            end(from);
            names.end();
            listener.waker.wake();
            for mailbox in &bells {
                mailbox.wake();
            }
            persistence.iter().for_each(|persistence| persistence.end());
        });
        acceptor.serve_by(mailboxes);

        // From here on dropping the server stops what was started.
        let server = Self { context, addresses, handover, deadline, settler, threads };
        server.settle_its_cache();
        server.look_up_names(readers, is_process);
        if let Some(thread) = io_thread {
            server.spawn("mcrs-proxy-io".into(), || thread.run())?;
        }
        server.start_workers(workers, &files)?;
        // The workers alone have it now: the thread ends with the last of them.
        drop(handshakes);
        if let Some(jobs) = jobs {
            let context = Arc::clone(&server.context);
            server.spawn("mcrs-tls".into(), move || handshake::run(&jobs, &context))?;
        }
        server.spawn("mcrs-listen".into(), || acceptor.run())?;
        if let Some(persistence) = server.context.persistence.clone() {
            let context = Arc::clone(&server.context);
            let body = move |others: &Others| persist::run(&context, &persistence, others);
            server.spawn_last("mcrs-persist", body)?;
        }
        server.threads.when_all_ended(server.context.config.hooks.stopped.clone());
        Ok(server)
    }

    /// Lets the methods of the cache settle the server first, if the settings say so.
    fn settle_its_cache(&self) {
        if self.context.config.settles {
            let settler = Arc::clone(&self.settler);
            self.context.cache.settle_by(Arc::new(move || {
                settler.settle(SETTLE_TIME);
            }));
        }
    }

    /// Prepares the look-ups of names, and waits for the first ones that the proxy needs. A thread
    /// is started when there is a name. A process that stops does not wait for a look-up.
    fn look_up_names(&self, workers: Vec<Arc<Mailbox>>, is_process: bool) {
        let Some(proxy) = &self.context.proxy else { return };
        let names = &self.context.names;
        // The state has the names, which must not keep the state.
        let context = Arc::downgrade(&self.context);
        names.on_change(move || {
            let Some(context) = context.upgrade() else { return };
            if let Some(Err(line)) = context.proxy.as_ref().map(|proxy| proxy.names_changed()) {
                context.log(0, || line);
            }
            workers.iter().for_each(|worker| worker.wake());
        });
        let (context, threads) = (Arc::downgrade(&self.context), Arc::downgrade(&self.threads));
        names.start_by(move || {
            let (Some(context), Some(threads)) = (context.upgrade(), threads.upgrade()) else { return };
            let own = Arc::clone(&context);
            let body = move || guard(&own, "mcrs-names", || names::run(&own.names, &own));
            let name = "mcrs-names".to_owned();
            let started =
                if is_process { Threads::spawn_unawaited(name, body) } else { threads.spawn(name, body) };
            if let Err(e) = started {
                context.fail(format!("failed to start the thread of names: {e}"));
            }
        });
        proxy.ready();
    }

    /// Starts the threads of the workers. Returns when all are ready, and the process may open the
    /// files of their connections to backends.
    fn start_workers(&self, workers: Vec<Unstarted>, files: &OpenFiles) -> Result<(), StartError> {
        if let Some(program) = &self.context.proxy {
            let view = Arc::new(View(Arc::downgrade(&self.context)));
            program.start(self.context.workers.len(), view).map_err(StartError::File)?;
        }
        let (started, starts) = mpsc::channel();
        for (number, worker) in workers.into_iter().enumerate() {
            let started = started.clone();
            self.spawn(format!("mcrs-worker-{number}"), move || Worker::run(worker, started))?;
        }
        drop(started);
        // Clients come once all workers are ready. A worker that panics says nothing.
        let mut backends = 0;
        for start in starts {
            backends += start.map_err(StartError::File)?;
        }
        files.add_backends(backends).map_err(StartError::File)
    }

    /// Starts a thread of the server. If it panics, the server stops.
    fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let (context, named) = (Arc::clone(&self.context), name.clone());
        let started = self.threads.spawn(name, move || guard(&context, &named, body));
        started.map_err(StartError::System)
    }

    /// Like [`Server::spawn`], for the thread that ends after all others.
    fn spawn_last(&self, name: &str, body: impl FnOnce(&Others) + Send + 'static) -> Result<(), StartError> {
        let (context, named) = (Arc::clone(&self.context), name.to_owned());
        let started = (self.threads)
            .spawn_last(name.to_owned(), move |others| guard(&context, &named, || body(others)));
        started.map_err(StartError::System)
    }

    /// Returns the addresses of the server, in the order of `config.listen`.
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// Returns the sockets that outlive the server after a handover.
    #[doc(hidden)]
    pub fn handover(&self) -> &Arc<Handover> {
        &self.handover
    }

    /// Returns the state: counters, switches and connections.
    #[doc(hidden)]
    pub fn context(&self) -> &Arc<ServerState> {
        &self.context
    }

    /// Returns the cache that is served. Settles the server first (see [`Server::settle`]), unless
    /// [`ServerConfig::settles`] is off.
    ///
    /// A caller that keeps the cache may use it after the server has stopped. Its methods do not
    /// settle.
    pub fn cache(&self) -> &Arc<Cache> {
        if self.context.config.settles {
            self.settle(SETTLE_TIME);
        }
        &self.context.cache
    }

    /// Returns the statistics of `group`, as the command `stats` reports them: name and value.
    ///
    /// The groups are `""` (general), `items`, `slabs`, `sizes`, `quotas`, `settings`, `conns`,
    /// `latency` and `hotkeys`, which a space and a number of keys may follow. A proxy also has
    /// `proxy`, `proxyfuncs`, `proxybe` and `proxypools`. Returns `None` for any other group.
    /// Settles the server first, as [`Server::cache`] does.
    pub fn stats(&self, group: &str) -> Option<Vec<(String, String)>> {
        if self.context.config.settles {
            self.settle(SETTLE_TIME);
        }
        let mut stats = Vec::new();
        let is_group =
            each_stat(&self.context, group, &mut |name, value| stats.push((name.into(), value.into())));
        is_group.then_some(stats)
    }

    /// Returns the metrics of the server and its cache, for a monitoring system. Settles the server
    /// first, as [`Server::cache`] does.
    ///
    /// The names are those of Prometheus' memcached exporter, and further ones that begin with
    /// `memcache_rs_`. [`Metrics::text`] writes them as text.
    pub fn metrics(&self) -> Metrics {
        if self.context.config.settles {
            self.settle(SETTLE_TIME);
        }
        metrics(&self.context)
    }

    /// Returns the statistics of the proxy, or `None` if the server is none. Settles the server
    /// first, as [`Server::cache`] does.
    pub fn proxy_stats(&self) -> Option<ProxyStats> {
        if self.context.config.settles {
            self.settle(SETTLE_TIME);
        }
        proxy_stats(&self.context)
    }

    /// Returns the `most` keys with the most requests in the last seconds, as [`Cache::hot_keys`]
    /// does. Settles the server first, as [`Server::cache`] does.
    pub fn hot_keys(&self, most: usize) -> HotKeys {
        self.cache().hot_keys(most)
    }

    /// Returns the durations of sampled requests by class of command, in nanoseconds.
    ///
    /// The time of a request begins when its command is parsed, or when the last part of it has
    /// arrived. It ends when its reply is encoded. One of
    /// [`CacheConfig::sample_rate`](crate::CacheConfig::sample_rate) requests is measured. Settles
    /// the server first, as [`Server::cache`] does.
    pub fn latency(&self) -> Vec<(CommandClass, Histogram)> {
        if self.context.config.settles {
            self.settle(SETTLE_TIME);
        }
        CommandClass::ALL.into_iter().map(|class| (class, self.context.latency.of(class))).collect()
    }

    /// Waits, for at most `within`, until the commands that clients of this machine sent before
    /// this call are carried out. Commands without replies, datagrams and connections that are not
    /// accepted yet count. Takes some microseconds if there is nothing to do.
    ///
    /// Returns `false` if that takes longer. Does not wait for a client that does not read its
    /// replies, or that meets an injected delay. Waits for a reply that comes later
    /// ([`Fault::DelayReply`](crate::Fault::DelayReply)).
    pub fn settle(&self, within: Duration) -> bool {
        self.settler.settle(within)
    }

    /// Has a proxy try its backends again at once. It forgets their failures, and later requests
    /// wait for their connections. A test calls it after it has started a backend again.
    ///
    /// Returns `false` if a worker takes more than a second.
    pub fn retry_backends(&self) -> bool {
        self.settler.retry_backends(SETTLE_TIME)
    }

    /// Has the handles of the cache settle `first`, then this server. So the handles of a backend
    /// see what clients have sent to the proxy before it.
    #[doc(hidden)]
    pub fn settle_after(&self, first: &Self) {
        if self.context.config.settles {
            let settlers = [Arc::clone(&first.settler), Arc::clone(&self.settler)];
            self.context.cache.settle_by(Arc::new(move || {
                for settler in &settlers {
                    settler.settle(SETTLE_TIME);
                }
            }));
        }
    }

    /// Returns the function that settles this server, for a handle that may outlive it.
    #[doc(hidden)]
    pub fn settler(&self) -> &Arc<Settler> {
        &self.settler
    }

    /// Replaces the nodes that are reported to auto-discovery clients. An empty list turns the
    /// command off. Returns the version of the new list.
    pub fn set_cluster_nodes(&self, nodes: &[ClusterNode]) -> u64 {
        self.context.cluster.set_nodes(nodes)
    }

    /// Reads the configuration of the proxy again, with the files that it names, and hands it to
    /// all workers. Requests that come after this call follow it, and earlier ones the one before.
    ///
    /// Backends that stay keep their connections. The others lose theirs after their last reply.
    ///
    /// # Errors
    /// [`ReloadError`]. Nothing has changed then.
    pub fn reload_proxy(&self) -> Result<(), ReloadError> {
        self.context.reload_proxy(None)
    }

    /// Replaces the configuration of the proxy, as [`Server::reload_proxy`] does. Later reloads
    /// read the new one.
    ///
    /// # Errors
    /// [`ReloadError`]. Nothing has changed then.
    pub fn set_proxy(&self, config: ProxyConfig) -> Result<(), ReloadError> {
        self.context.reload_proxy(Some(config))
    }

    /// Returns whether a thread of the server still runs.
    pub fn is_running(&self) -> bool {
        self.threads.running() > 0
    }

    /// Stops the server and returns when it has stopped.
    ///
    /// [`Stop::Graceful`] closes the listeners, then each connection when its requests are answered
    /// and its replies are sent. After `deadline` it closes the rest. [`Stop::Now`] closes
    /// everything at once and ignores `deadline`. A second stop has no effect.
    ///
    /// # Errors
    /// [`StopError::Stuck`] if a thread has not ended after [`STOP_PATIENCE`], for example
    /// in a callback that does not return. The thread is left behind, so its callbacks and their
    /// data must stay valid.
    pub fn stop(&self, how: Stop, deadline: Duration) -> Result<(), StopError> {
        let until = Instant::now().checked_add(deadline);
        if how == Stop::Graceful {
            self.begin_stop(deadline);
            if self.threads.wait_until(until)? {
                return Ok(());
            }
        }
        self.context.control.request_stop(Stop::Now);
        self.wait()
    }

    /// Begins a graceful stop and returns at once. At `deadline` the workers close the remaining
    /// connections.
    pub fn begin_stop(&self, deadline: Duration) {
        self.deadline.set(Instant::now().checked_add(deadline));
        self.context.control.request_stop(Stop::Graceful);
    }

    /// Blocks until the server has stopped, by [`Server::stop`], by the
    /// `shutdown` command or by [`crate::state::Control::request_stop`].
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub fn wait(&self) -> Result<(), StopError> {
        self.threads.wait_until(None).map(drop)
    }

    /// Like [`Server::wait`], for at most `time`. Returns whether the server has stopped.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub fn wait_for(&self, time: Duration) -> Result<bool, StopError> {
        self.threads.wait_until(Instant::now().checked_add(time))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let told = self.threads.reported_stuck();
        if let (Err(e), false) = (self.stop(Stop::Now, Duration::ZERO), told) {
            // Not to the log: its hook may be the callback that does not return.
            stderr::write_line(&format!("memcache-rs: {e}"));
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

/// The sockets of a server before it serves, and their addresses in the order of the settings.
struct Sockets {
    listeners: Vec<Listener>,
    datagrams: Vec<Udp>,
    addresses: Vec<BoundAddress>,
    handover: Arc<Handover>,
}

impl Sockets {
    /// Opens the sockets, or uses those that were passed to a process. Closes a passed socket
    /// without a listener.
    fn bind(config: &ServerConfig, passed: Option<Vec<PassedSocket>>) -> Result<Self, StartError> {
        let handover = Arc::new(Handover::new(passed.is_some()));
        let mut sockets =
            Self { listeners: Vec::new(), datagrams: Vec::new(), addresses: Vec::new(), handover };
        let mut passed = passed.unwrap_or_default();
        for listen in &config.listen {
            let passed = PassedSocket::take(&mut passed, listen);
            let handover = &sockets.handover;
            if let Listen::Udp { addr } = listen {
                let socket = Udp::bind(*addr, passed, handover)
                    .map_err(|e| StartError::Listen(addr.to_string(), e))?;
                sockets.addresses.push(BoundAddress::Udp(socket.address));
                sockets.datagrams.push(socket);
            } else {
                let listener = Listener::bind(listen, config.backlog, passed, handover)?;
                sockets.addresses.push(listener.address.clone());
                sockets.listeners.push(listener);
            }
        }
        passed.into_iter().for_each(PassedSocket::discard);
        Ok(sockets)
    }
}

/// Runs the body of a thread. If it panics, the server stops.
fn guard(context: &ServerState, name: &str, body: impl FnOnce()) {
    // The panic hook has reported what happened.
    if panic::catch_unwind(AssertUnwindSafe(body)).is_err() {
        context.fail(format!("thread {name} died of an internal error, the server stops"));
    }
}

/// Returns the settings of the cache behind a server.
fn cache_settings(config: &ServerConfig) -> CacheConfig {
    let concurrency = config.cache.concurrency.max(config.threads);
    let hashpower_init = config.cache.hashpower_init.max(persist::level_of_index(config));
    CacheConfig { hashpower_init, concurrency, ..config.cache.clone() }
}

/// Logs the slab classes at -vv, as memcached does.
fn log_classes(context: &ServerState) {
    for (number, (size, per_page)) in context.cache.store().class_sizes().into_iter().enumerate().skip(1) {
        context.log(2, || format!("slab class {number:3}: chunk size {size:9} perslab {per_page:7}"));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::base::sync::Mutex;

    #[test]
    fn a_thread_that_dies_ends_the_server_with_a_message() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let log = move |_: u8, line: &str| kept.lock().push(line.to_owned());
        let hooks = crate::config::Hooks { log: Some(Arc::new(log)), ..crate::config::Hooks::default() };
        let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
        let file = std::env::temp_dir().join(format!("mcrs-dies-{}.mcrs", std::process::id()));
        let persist = Some(file.clone());
        let server =
            Server::start(ServerConfig { persist, listen, hooks, ..ServerConfig::default() }).unwrap();
        server.spawn("mcrs-test".into(), || panic!("the test says so here")).unwrap();
        assert_eq!(server.wait(), Ok(()));
        let line = "thread mcrs-test died of an internal error, the server stops";
        let stays = format!("the server did not stop as it should; {} stays as it is", file.display());
        assert_eq!(*lines.lock(), [line, &stays]);
        assert!(!file.exists());
        assert_eq!(server.context().control.failure(), Some(line));
    }
}
