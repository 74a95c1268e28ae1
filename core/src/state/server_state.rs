//! The state of a server: the cache, switches that commands change, and counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::{
    Cluster, ConnectionTable, Control, Latency, ListenerStats, Persistence, Stop, Users, WorkerStats,
};
use crate::base::error::{ReloadError, StartError};
use crate::base::sampler::Sampler;
use crate::base::sync::Mutex;
use crate::cache::Cache;
use crate::config::{Listen, ProxyConfig, Reported, ServerConfig, Tag};
use crate::proxy::links::Links;
use crate::proxy::names::Names;
use crate::proxy::native::Native;
use crate::proxy::program::Program;
use crate::tls::Tls;

/// The state that the listener, the workers and their sessions share.
pub struct ServerState {
    /// The cache that is served.
    pub cache: Arc<Cache>,
    /// The settings at start.
    pub config: ServerConfig,
    /// Users that may log in; `None` allows every client.
    pub users: Option<Users>,
    /// Level of the log, 0 to 3. The command `verbosity` changes it.
    pub verbosity: AtomicU8,
    /// Counters of each worker, by worker number.
    pub workers: Vec<Arc<WorkerStats>>,
    /// Counters of the thread that has the shared connections to backends.
    pub io_thread: Arc<WorkerStats>,
    /// Counters of the listener.
    pub listener: ListenerStats,
    /// Durations of sampled requests.
    pub latency: Latency,
    /// An entry for each open file descriptor of this server.
    pub connections: ConnectionTable,
    /// Values that are only reported. Commands change them.
    pub reported: Mutex<Reported>,
    /// The list that `config get cluster` reports.
    pub cluster: Cluster,
    /// Whether and why the server stops.
    pub control: Control,
    /// The state of the snapshot, if the server keeps one.
    pub persistence: Option<Arc<Persistence>>,
    /// The proxy. The clients' commands with keys go there.
    pub proxy: Option<Arc<dyn Program>>,
    /// The names of the proxy's backends.
    pub names: Arc<Names>,
    /// Certificates and counters of TLS, if it is used.
    pub tls: Option<Arc<Tls>>,
}

opaque_debug!(ServerState);

impl ServerState {
    /// Returns the state of a server with `config.threads` workers and without TLS.
    ///
    /// # Errors
    /// The file of passwords or rights cannot be read.
    pub fn new(cache: Arc<Cache>, config: ServerConfig) -> Result<Self, StartError> {
        Self::with_tls(cache, config, None)
    }

    /// Like [`ServerState::new`], with certificates and keys.
    ///
    /// # Errors
    /// As [`ServerState::new`].
    pub fn with_tls(cache: Arc<Cache>, config: ServerConfig, tls: Option<Tls>) -> Result<Self, StartError> {
        let users = Users::of(&config)?;
        let mut state = Self::build(cache, config, users, tls);
        if let Some(config) = &state.config.proxy {
            state.proxy = Some(program(config, &state.names)?);
        }
        Ok(state)
    }

    /// Returns the state for the statistics of a cache without a server.
    pub fn of_cache(cache: Arc<Cache>) -> Self {
        let config = ServerConfig { cache: cache.config().clone(), threads: 0, ..ServerConfig::default() };
        Self::build(cache, config, None, None)
    }

    fn build(cache: Arc<Cache>, config: ServerConfig, users: Option<Users>, tls: Option<Tls>) -> Self {
        if config.read_buf_mem_limit > 0 {
            cache.store().beside().set_limit(config.read_buf_mem_limit);
        }
        if let Some(tls) = &tls {
            tls.loaded_at(cache.clock().now());
        }
        Self {
            verbosity: AtomicU8::new(config.verbosity),
            workers: (0..config.threads.max(1)).map(|_| Arc::default()).collect(),
            io_thread: Arc::default(),
            listener: ListenerStats::default(),
            latency: Latency::default(),
            connections: ConnectionTable::default(),
            reported: Mutex::new(config.reported.clone()),
            cluster: Cluster::new(&config.cluster),
            control: Control::default(),
            persistence: Persistence::new(&config).map(Arc::new),
            proxy: None,
            names: Arc::default(),
            tls: tls.map(Arc::new),
            users,
            cache,
            config,
        }
    }

    /// Reads the files that the settings name again (SIGHUP).
    ///
    /// # Errors
    /// A line that names the file and the reason. The contents from before stay in use.
    pub fn reload(&self) -> Result<(), String> {
        let users = self.users.as_ref().map_or(Ok(()), Users::reload);
        let certificates = match self.reload_certificates() {
            Some(Err(e)) => Err(format!("Could not reload TLS certificates: {e}")),
            Some(Ok(())) | None => Ok(()),
        };
        let proxy = self.proxy.as_ref().map_or(Ok(()), |proxy| {
            let native = proxy.routes().is_some();
            let named = |line| format!("proxy: reload failed, the earlier configuration stays: {line}");
            // The lines of a program are memcached's.
            proxy.reload().map_err(|line| if native { named(line) } else { line })
        });
        if proxy.is_ok() {
            self.log_tags();
        }
        let lines: Vec<String> = [users, certificates, proxy].into_iter().filter_map(Result::err).collect();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("; ")) }
    }

    /// Reads the configuration of the proxy again, or `config` in its place.
    ///
    /// # Errors
    /// [`ReloadError`]. Nothing has changed then.
    pub fn reload_proxy(&self, config: Option<ProxyConfig>) -> Result<(), ReloadError> {
        let proxy = self.proxy.as_ref().ok_or(ReloadError::NoProxy)?;
        let result = config.map_or_else(|| proxy.reload(), |config| proxy.replace(config));
        result.map_err(ReloadError::Configuration)?;
        self.log_tags();
        Ok(())
    }

    /// Logs each tag that only a listener or only the configuration of the proxy has. A program in
    /// Lua may give a tag to any listener.
    pub(crate) fn log_tags(&self) {
        let Some(ProxyConfig::File(_) | ProxyConfig::Text(_)) = self.config.proxy else { return };
        let Some(routes) = self.proxy.as_ref().and_then(|proxy| proxy.routes()) else { return };
        let of_listeners = self.config.listen.iter().filter_map(Listen::tag);
        let of_listeners: Vec<Tag> = of_listeners.collect();
        let of_routes: Vec<Tag> = routes.listeners.iter().map(|(tag, _)| *tag).collect();
        for (at, tag) in of_listeners.iter().enumerate() {
            if !of_routes.contains(tag) && !of_listeners.iter().take(at).any(|earlier| earlier == tag) {
                let what = "[listeners] has no route for it, so its clients get route";
                self.log(0, || format!("WARNING: proxy: a listener has the tag {tag}, but {what}"));
            }
        }
        for tag in of_routes.iter().filter(|tag| !of_listeners.contains(tag)) {
            let what = "no listener has this tag, so the route is not used";
            self.log(0, || format!("WARNING: proxy: listeners.{tag}: {what}"));
        }
    }

    /// Reads the files of TLS again (`refresh_certs`). Returns `None` without TLS.
    pub fn reload_certificates(&self) -> Option<Result<(), String>> {
        self.tls.as_ref().map(|tls| tls.reload(self.cache.clock().now()))
    }

    /// Logs `line` and stops the server, because a part of it has failed.
    pub(crate) fn fail(&self, line: String) {
        self.config.hooks.log(0, &line);
        self.control.set_failure(line);
        self.control.request_stop(Stop::Now);
    }

    /// Returns whether lines of this level are logged.
    #[inline]
    pub fn logs(&self, level: u8) -> bool {
        self.verbosity.load(Relaxed) >= level
    }

    /// Writes a line to the log if `verbosity` is at least `level`.
    pub fn log(&self, level: u8, line: impl FnOnce() -> String) {
        if self.logs(level) {
            self.config.hooks.log(level, &line());
        }
    }
}

/// Reads the files of a proxy, to see whether a server could start with it.
///
/// # Errors
/// The mistake.
pub fn check_proxy(config: &ServerConfig) -> Result<(), StartError> {
    let Some(proxy) = &config.proxy else { return Ok(()) };
    let mut links = Links::new(Arc::default(), Sampler::new(config.cache.sample_rate));
    program(proxy, &Arc::default())?.check(config.threads, &mut links).map_err(StartError::File)
}

/// Returns the proxy of a configuration. Reads the files that it names.
fn program(config: &ProxyConfig, names: &Arc<Names>) -> Result<Arc<dyn Program>, StartError> {
    match config {
        ProxyConfig::Text(_) | ProxyConfig::File(_) | ProxyConfig::Source(_) => {
            let native = Native::new(config.clone(), Arc::clone(names)).map_err(StartError::Proxy)?;
            Ok(Arc::new(native))
        }
        ProxyConfig::Program(program) => {
            let unknown = || StartError::File("proxy configuration: unknown program".into());
            program.program().ok_or_else(unknown)
        }
    }
}
