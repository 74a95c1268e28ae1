//! A server in this process.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use memcache_core::{Hooks, ProxyConfig, Server as Core, Stop as How, TlsPem};
use memcache_embed::certificates::TestCertificates;
use memcache_embed::cluster::proxy_config;
use memcache_embed::commands::CommandLog;
use memcache_embed::server::{self, Certificates, ServerOptions};
use memcache_embed::settings::cluster_nodes;
use memcache_embed::stats::list;
use memcache_embed::temp_dir::TempDir;
use memcache_embed::time;
use napi::bindgen_prelude::{AsyncTask, Object};
use napi::{Env, Task};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::cache::Cache;
use crate::errors::{self, Failure};
use crate::faults::Faults;
use crate::hot_keys::{self, HotKey};
use crate::raw::guarded;
use crate::settings::{self, Setting};
use crate::shared_cache::SharedCache;
use crate::stats;
use crate::watch::{OnEvents, Watcher};

/// Longest wait in seconds: 100 years. The core cannot represent a deadline far beyond.
const LONGEST_WAIT: f64 = 100.0 * 365.0 * 86_400.0;

/// The state of a server.
enum Phase {
    /// Stopped, or not started yet.
    Idle,
    /// Running.
    Running(Box<Running>),
    /// Its environment has ended: it must not start again.
    Over,
}

/// A running server. Its fields are dropped in this order: it stops, then its directory is removed.
struct Running {
    core: Arc<Core>,
    shared: Arc<SharedCache>,
    commands: CommandLog,
    tls: Option<Tls>,
    directory: Option<TempDir>,
}

impl Running {
    /// Returns the TLS files. The first call writes the files of test certificates.
    fn tls_files(&mut self) -> Result<Option<TlsFiles>, Failure> {
        if let Some(Tls::Test { certificates, verify_clients }) = &self.tls {
            let directory = directory(&mut self.directory)?;
            for (name, text) in certificates.files() {
                directory.write(name, text).map_err(|e| {
                    let place = directory.path().display();
                    errors::refused(&e, format!("failed to write certificates to {place}: {e}"))
                })?;
            }
            let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
            self.tls = Some(Tls::Files {
                files: TlsFiles {
                    certificate: file("server.pem"),
                    key: file("server-key.pem"),
                    ca: Some(file("ca.pem")),
                    verify_clients: Some(*verify_clients),
                    client_certificate: Some(file("client.pem")),
                    client_key: Some(file("client-key.pem")),
                },
            });
        }
        Ok(match &self.tls {
            Some(Tls::Files { files }) => Some(files.clone()),
            _ => None,
        })
    }
}

/// The certificates of a server.
enum Tls {
    /// Files of the program, or test certificates that were written to files.
    Files { files: TlsFiles },
    /// Test certificates in memory.
    Test { certificates: TestCertificates, verify_clients: bool },
}

impl Tls {
    fn new(files: Option<TlsFiles>, test: Option<bool>) -> Result<Option<Self>, Failure> {
        let Some(verify_clients) = test else { return Ok(files.map(|files| Self::Files { files })) };
        let certificates = TestCertificates::create().map_err(|e| errors::internal(&e.to_string()))?;
        Ok(Some(Self::Test { certificates, verify_clients }))
    }

    /// Returns the certificates, and whether clients need one.
    fn certificates(&self) -> (Certificates, bool) {
        match self {
            Self::Files { files } => {
                let ca = files.ca.clone().map(PathBuf::from);
                let (chain, key) = (files.certificate.clone().into(), files.key.clone().into());
                (Certificates::Files { chain, key, ca }, files.verify_clients == Some(true))
            }
            Self::Test { certificates, verify_clients } => {
                let texts = TlsPem {
                    chain_cert: certificates.server.clone().into(),
                    key: certificates.server_key.clone().into(),
                    ca_cert: Some(certificates.ca.clone().into()),
                };
                (Certificates::Texts(texts), *verify_clients)
            }
        }
    }
}

/// Returns a server's own directory, which the first call creates.
fn directory(created: &mut Option<TempDir>) -> Result<&TempDir, Failure> {
    let directory = match created.take() {
        Some(directory) => directory,
        None => TempDir::create(&std::env::temp_dir())
            .map_err(|e| errors::refused(&e, format!("failed to create a temporary directory: {e}")))?,
    };
    Ok(created.insert(directory))
}

/// The native part of a `Server` object of `node/server.js`.
///
/// Other threads start and stop it, so that the event loop is not blocked. They share the phase,
/// not the object. So a start that is in progress when the environment ends leaves nothing running.
#[napi]
pub struct Server {
    phase: Arc<Mutex<Phase>>,
}

impl Server {
    /// Calls `work` with the running server. Fails if it is not running.
    fn on<R>(&self, work: impl FnOnce(&Running) -> Result<R, Failure>) -> Result<R, Failure> {
        match &*self.phase.lock() {
            Phase::Running(running) => work(running),
            _ => Err(errors::not_running()),
        }
    }
}

impl Server {
    /// Like `on`, after the server has settled.
    fn settled<R>(&self, work: impl FnOnce(&Running) -> Result<R, Failure>) -> Result<R, Failure> {
        self.on(|running| {
            running.shared.core.settle();
            work(running)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        guarded(|| self.end());
    }
}

/// Paths of TLS files in PEM format.
#[napi(object)]
#[derive(Clone)]
pub struct TlsFiles {
    pub certificate: String,
    pub key: String,
    pub ca: Option<String>,
    pub verify_clients: Option<bool>,
    pub client_certificate: Option<String>,
    pub client_key: Option<String>,
}

/// The certificates for a client of a server with test certificates, as PEM.
#[napi(object)]
pub struct ClientPem {
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

/// A user that may log in.
#[napi(object)]
pub struct User {
    pub name: String,
    pub password: String,
}

/// The settings of a start.
#[napi(object)]
pub struct Settings {
    pub host: Option<String>,
    pub port: u16,
    pub udp: bool,
    /// A path. An empty one means a path in a temporary directory.
    pub unix_socket: Option<String>,
    pub unix_mask: u32,
    pub tls: Option<TlsFiles>,
    /// Creates test certificates if given. The value is whether clients need one.
    pub test_certificates: Option<bool>,
    pub users: Option<Vec<User>>,
    pub sasl: bool,
    /// The settings of the core's table.
    pub values: Vec<Setting>,
    pub cluster_nodes: Vec<String>,
    /// Whether `last_commands` is recorded.
    pub record_commands: bool,
    /// Whether handles settle first. They do if the server created its cache.
    pub settles: bool,
}

/// Where a server listens.
#[napi(object)]
pub struct Address {
    /// `tcp`, `udp` or `unix`.
    pub kind: String,
    /// An IP address, or a path.
    pub host: String,
    pub port: u16,
}

fn start(settings: Settings, shared: Arc<SharedCache>) -> Result<Running, Failure> {
    let mut own_directory = None;
    let tls = Tls::new(settings.tls, settings.test_certificates)?;

    let host = settings.host.map(|host| {
        host.parse::<IpAddr>().map_err(|_| {
            errors::bad_argument(format!(
                "host must be an IP address, such as 127.0.0.1 or ::1, got {host:?}"
            ))
        })
    });
    let host = host.transpose()?;
    let unix_socket = match settings.unix_socket {
        Some(path) if path.is_empty() => Some(directory(&mut own_directory)?.path().join("memcached.sock")),
        path => path.map(PathBuf::from),
    };
    let (commands, mut hooks) = (CommandLog::default(), Hooks::default());
    if settings.record_commands {
        commands.record(&mut hooks);
    }
    let (certificates, verify_clients) = tls.as_ref().map(Tls::certificates).unzip();
    let options = ServerOptions {
        host,
        port: settings.port,
        udp: settings.udp,
        unix_socket,
        unix_mask: settings.unix_mask,
        certificates,
        verify_clients: verify_clients.unwrap_or_default(),
        users: settings.users.map(|users| users.into_iter().map(|user| (user.name, user.password)).collect()),
        sasl: settings.sasl,
        settings: settings::convert(&settings.values),
        cluster_nodes: settings.cluster_nodes,
        settles: settings.settles,
    };
    let config = options.config(&shared.core, hooks).map_err(|e| errors::bad_setting(&e))?;
    let core = Core::with_cache(config, Arc::clone(&shared.core)).map_err(|e| errors::not_started(&e))?;
    Ok(Running { core: Arc::new(core), shared, commands, tls, directory: own_directory })
}

/// Does the work of a task. A panic is a failure.
fn unpanicked<R>(work: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    let panicked = || Err(errors::internal("memcache-rs panicked, which is a bug: please report it"));
    guarded(work).unwrap_or_else(panicked)
}

/// A start in progress.
pub struct Start {
    phase: Arc<Mutex<Phase>>,
    order: Option<(Settings, Arc<SharedCache>)>,
}

impl Start {
    fn run(&mut self) -> Result<(), Failure> {
        let Some((settings, shared)) = self.order.take() else { return Ok(()) };
        let running = Box::new(start(settings, shared)?);
        let mut phase = self.phase.lock();
        match *phase {
            Phase::Idle => *phase = Phase::Running(running),
            Phase::Running(_) | Phase::Over => {
                drop(phase);
                drop(running);
            }
        }
        Ok(())
    }
}

impl Task for Start {
    type Output = Result<(), Failure>;
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(unpanicked(|| self.run()))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<()> {
        output.map_err(|failure| errors::thrown(env, failure))
    }
}

/// A wait for commands that clients have sent.
pub struct Settle {
    /// `None` if the server is not running.
    core: Option<Arc<Core>>,
    time: Duration,
}

impl Task for Settle {
    type Output = bool;
    type JsValue = bool;

    fn compute(&mut self) -> napi::Result<bool> {
        let Some(core) = self.core.take() else { return Ok(true) };
        Ok(guarded(|| core.settle(self.time)).unwrap_or(false))
    }

    fn resolve(&mut self, _: Env, settled: bool) -> napi::Result<bool> {
        Ok(settled)
    }
}

/// A reload of a proxy in progress. It looks up names of backends.
pub struct Reload {
    core: Arc<Core>,
    config: Option<ProxyConfig>,
}

impl Task for Reload {
    type Output = Result<(), Failure>;
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let config = self.config.take();
        Ok(unpanicked(|| {
            let state = self.core.context();
            state.cache.settle();
            state.reload_proxy(config).map_err(|error| errors::bad_argument(error.to_string()))
        }))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<()> {
        output.map_err(|failure| errors::thrown(env, failure))
    }
}

/// A stop in progress.
pub struct Stop {
    running: Option<Box<Running>>,
    how: How,
    deadline: Duration,
}

impl Task for Stop {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<()> {
        if let Some(running) = self.running.take() {
            let stopped = guarded(|| running.core.stop(self.how, self.deadline));
            guarded(|| drop(running));
            if let Some(Err(e)) = stopped {
                return Err(napi::Error::from_reason(e.to_string()));
            }
        }
        Ok(())
    }

    fn resolve(&mut self, _: Env, (): ()) -> napi::Result<()> {
        Ok(())
    }
}

#[napi]
impl Server {
    /// Checks settings of the core's table. Returns the names of those that a cache has.
    #[napi(catch_unwind)]
    pub fn check_settings(env: Env, values: Vec<Setting>) -> napi::Result<Vec<String>> {
        settings::check(values).map_err(|failure| errors::thrown(env, failure))
    }

    /// Creates a server that is not running.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self { phase: Arc::new(Mutex::new(Phase::Idle)) }
    }

    /// Starts to serve `cache`. Resolves when the server accepts connections.
    #[napi(catch_unwind)]
    pub fn start(&self, cache: &Cache, settings: Settings) -> Result<AsyncTask<Start>, Failure> {
        let order = Some((settings, cache.shared()?));
        Ok(AsyncTask::new(Start { phase: Arc::clone(&self.phase), order }))
    }

    /// Stops it: at once, or after the replies in progress, for which it waits at most `seconds`.
    /// The server counts as stopped from the call on.
    #[napi(catch_unwind)]
    pub fn stop(&self, graceful: bool, seconds: f64) -> AsyncTask<Stop> {
        let mut phase = self.phase.lock();
        let running = match std::mem::replace(&mut *phase, Phase::Idle) {
            Phase::Running(running) => Some(running),
            other => {
                *phase = other;
                None
            }
        };
        let how = if graceful { How::Graceful } else { How::Now };
        let deadline =
            Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT)).unwrap_or(Duration::ZERO);
        AsyncTask::new(Stop { running, how, deadline })
    }

    /// Stops it for good before it returns. Called when the process exits, because Node then runs
    /// no finalizers.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        if let Phase::Running(running) = std::mem::replace(&mut *self.phase.lock(), Phase::Over) {
            // A drop alone would not stop it if a `settle` in progress also keeps the core. A stuck
            // thread is left to the end of the process.
            let _ = running.core.stop(How::Now, Duration::ZERO);
        }
    }

    /// Returns where it listens.
    #[napi(catch_unwind)]
    pub fn addresses(&self) -> Result<Vec<Address>, Failure> {
        self.on(|running| {
            let addresses = running.core.addresses().iter().map(server::Address::from);
            Ok(addresses.map(|at| Address { kind: at.kind.into(), host: at.host, port: at.port }).collect())
        })
    }

    /// Returns whether it is running. A client may have shut it down.
    #[napi(catch_unwind)]
    pub fn running(&self) -> bool {
        self.on(|running| Ok(running.core.is_running())).unwrap_or(false)
    }

    /// Returns the TLS files, or `None` without TLS. The first call writes the files of test
    /// certificates.
    #[napi(catch_unwind)]
    pub fn tls(&self, env: Env) -> napi::Result<Option<TlsFiles>> {
        let files = match &mut *self.phase.lock() {
            Phase::Running(running) => running.tls_files(),
            _ => Err(errors::not_running()),
        };
        files.map_err(|failure| errors::thrown(env, failure))
    }

    /// Returns the certificates for a client, if they are test certificates in memory.
    #[napi(catch_unwind)]
    pub fn client_pem(&self) -> Result<Option<ClientPem>, Failure> {
        self.on(|running| {
            Ok(match &running.tls {
                Some(Tls::Test { certificates, .. }) => Some(ClientPem {
                    ca: certificates.ca.clone(),
                    certificate: certificates.client.clone(),
                    key: certificates.client_key.clone(),
                }),
                _ => None,
            })
        })
    }

    /// Resolves when the commands that clients have sent are carried out, or after `seconds`. The
    /// value is whether they are. A server that is not running has settled.
    #[napi(catch_unwind)]
    pub fn settle(&self, seconds: f64) -> AsyncTask<Settle> {
        let time = time::patience(seconds);
        let core = self.on(|running| Ok(Arc::clone(&running.core))).ok();
        AsyncTask::new(Settle { core, time })
    }

    /// Returns a group of statistics.
    #[napi(catch_unwind)]
    pub fn stats<'e>(&self, env: &'e Env, group: String) -> Result<Object<'e>, Failure> {
        stats::object(env, self.settled(|running| Ok(list(running.core.context(), &group)))?)
    }

    /// Returns metrics as text.
    #[napi(catch_unwind)]
    pub fn metrics(&self, format: String) -> Result<String, Failure> {
        self.settled(|running| stats::metrics_text(running.core.context(), &format))
    }

    /// Returns metrics as a list of families.
    #[napi(catch_unwind)]
    pub fn metric_families<'e>(&self, env: &'e Env) -> Result<Vec<Object<'e>>, Failure> {
        self.settled(|running| stats::metric_families(env, running.core.context()))
    }

    /// Returns the keys that had the most requests in the last seconds.
    #[napi(catch_unwind)]
    pub fn hot_keys(&self, most: u32) -> Result<Vec<HotKey>, Failure> {
        self.settled(|running| Ok(hot_keys::list(running.core.hot_keys(most as usize))))
    }

    /// Returns its injected faults.
    #[napi(catch_unwind)]
    pub fn faults(&self) -> Result<Faults, Failure> {
        self.on(|running| Ok(Faults::new(&running.shared)))
    }

    /// Begins to receive events of these kinds.
    #[napi(catch_unwind)]
    pub fn watch(&self, kinds: Vec<String>, on_events: OnEvents) -> Result<Watcher, Failure> {
        self.settled(|running| Watcher::new(Arc::clone(&running.shared.core), &kinds, on_events))
    }

    /// Has a proxy try its backends again at once. Returns `false` if a worker does not answer.
    #[napi(catch_unwind)]
    pub fn retry_backends(&self) -> Result<bool, Failure> {
        self.on(|running| Ok(running.core.retry_backends()))
    }

    /// Reads the configuration of a proxy again, or another one in its place.
    #[napi(catch_unwind)]
    pub fn reload_proxy(&self, config: Option<String>) -> Result<AsyncTask<Reload>, Failure> {
        let config = config.as_deref().map(ProxyConfig::from);
        self.on(|running| Ok(AsyncTask::new(Reload { core: Arc::clone(&running.core), config })))
    }

    /// Has the handles of the cache settle another server first.
    #[napi(catch_unwind)]
    pub fn settle_after(&self, first: &Server) -> Result<(), Failure> {
        let first = first.on(|running| Ok(Arc::clone(&running.core)))?;
        self.on(|running| {
            running.core.settle_after(&first);
            Ok(())
        })
    }

    /// Returns the configuration of a proxy before nodes, each `HOST:PORT`.
    #[napi(catch_unwind)]
    pub fn cluster_proxy(route: Option<String>, nodes: Vec<String>) -> String {
        proxy_config(route.as_deref(), &nodes)
    }

    /// Replaces the nodes that auto discovery announces.
    #[napi(catch_unwind)]
    pub fn set_cluster_nodes(&self, nodes: Vec<String>) -> Result<(), Failure> {
        let nodes = cluster_nodes(&nodes).map_err(|e| errors::bad_setting(&e))?;
        self.on(|running| {
            running.core.set_cluster_nodes(&nodes);
            Ok(())
        })
    }

    /// Returns the commands received last, if they are recorded.
    #[napi(catch_unwind)]
    pub fn last_commands(&self) -> Result<Vec<String>, Failure> {
        self.settled(|running| Ok(running.commands.lines()))
    }

    /// Forgets the recorded commands.
    #[napi(catch_unwind)]
    pub fn clear_commands(&self) -> Result<(), Failure> {
        self.settled(|running| {
            running.commands.clear();
            Ok(())
        })
    }
}
