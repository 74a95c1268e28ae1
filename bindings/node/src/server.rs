//! A server in this process.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use memcache_core::{
    AuthConfig, AuthMethod, BoundAddress, ClusterNode, Hooks, Listen, Passwords, Protocol, Server as Core,
    ServerConfig, Stop as How, TlsConfig, TlsMode, TlsPem, VerifyMode,
};
use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Task};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::cache::Cache;
use crate::certificates::TestCertificates;
use crate::errors::{self, Failure};
use crate::faults::Faults;
use crate::handle::Shared;
use crate::raw::guarded;
use crate::scratch::Scratch;
use crate::stats::{self, Stats};
use crate::watch::{RemoteWaker, Watcher};

/// Commands that are remembered.
const COMMANDS: usize = 200;

/// What is longer than this many seconds, a century, is for ever; the core tells
/// of no moment that is further away.
const FOR_EVER: f64 = 100.0 * 365.0 * 86_400.0;

/// What a server is doing.
enum Phase {
    /// It does not run.
    Idle,
    /// It runs.
    Running(Running),
    /// Its environment is gone: it must not run again.
    Over,
}

/// A server that runs. Fields are dropped in this order: it stops, then its
/// directory goes.
struct Running {
    core: Arc<Core>,
    shared: Arc<Shared>,
    commands: Arc<Mutex<VecDeque<String>>>,
    tls: Option<Tls>,
    scratch: Option<Scratch>,
}

impl Running {
    /// Files of TLS. Those of test certificates are written at the first call.
    fn tls_files(&mut self) -> Result<Option<TlsFiles>, Failure> {
        if let Some(Tls::Test { certificates, verify_clients }) = &self.tls {
            let place = place(&mut self.scratch)?;
            certificates.write(&place).map_err(|e| {
                errors::no_system(&e, format!("failed to write certificates to {}: {e}", place.display()))
            })?;
            let file = |name: &str| place.join(name).to_string_lossy().into_owned();
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

/// What TLS is spoken with.
enum Tls {
    /// Files, of the caller or written from test certificates.
    Files { files: TlsFiles },
    /// Certificates that are in memory alone.
    Test { certificates: TestCertificates, verify_clients: bool },
}

impl Tls {
    fn new(files: Option<TlsFiles>, test: Option<bool>) -> Result<Option<Self>, Failure> {
        let Some(verify_clients) = test else { return Ok(files.map(|files| Self::Files { files })) };
        let certificates = TestCertificates::make()
            .map_err(|e| errors::internal(&format!("failed to make test certificates: {e}")))?;
        Ok(Some(Self::Test { certificates, verify_clients }))
    }

    fn config(&self) -> TlsConfig {
        let verify_mode = |verify| if verify { VerifyMode::Require } else { VerifyMode::None };
        match self {
            Self::Files { files } => TlsConfig {
                chain_cert: files.certificate.clone().into(),
                key: Some(files.key.clone().into()),
                ca_cert: files.ca.clone().map(PathBuf::from),
                verify_mode: verify_mode(files.verify_clients == Some(true)),
                ..TlsConfig::default()
            },
            Self::Test { certificates, verify_clients } => TlsConfig {
                in_memory: Some(TlsPem {
                    chain_cert: certificates.server.clone().into(),
                    key: certificates.server_key.clone().into(),
                    ca_cert: Some(certificates.ca.clone().into()),
                }),
                verify_mode: verify_mode(*verify_clients),
                ..TlsConfig::default()
            },
        }
    }
}

/// The directory of a server's own files, which is made when it is needed.
fn place(scratch: &mut Option<Scratch>) -> Result<PathBuf, Failure> {
    if scratch.is_none() {
        let made = Scratch::make().map_err(|e| {
            errors::no_system(&e, format!("failed to make a directory for temporary files: {e}"))
        })?;
        *scratch = Some(made);
    }
    Ok(scratch.as_ref().map(|made| made.path().to_owned()).unwrap_or_default())
}

/// A server, which runs or not. `Server` of `node/server.js` has one.
///
/// What starts and stops it are other threads, so that the event loop goes on.
/// They hold the phase, not the object: if the environment ends meanwhile,
/// nothing keeps running.
#[napi]
pub struct Server {
    phase: Arc<Mutex<Phase>>,
}

impl Server {
    fn on<R>(&self, work: impl FnOnce(&Running) -> Result<R, Failure>) -> Result<R, Failure> {
        match &*self.phase.lock() {
            Phase::Running(running) => work(running),
            _ => Err(errors::not_running()),
        }
    }
}

impl Server {
    /// The same, once what clients have sent is carried out.
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

/// Files of TLS, all of them PEM.
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

/// What a client of a server with test certificates needs, as PEM texts.
#[napi(object)]
pub struct ClientPem {
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

/// Who may come in.
#[napi(object)]
pub struct User {
    pub name: String,
    pub password: String,
}

/// What to listen at, and how.
#[napi(object)]
pub struct Settings {
    pub host: Option<String>,
    pub port: u16,
    pub udp: bool,
    /// A path; empty: one in a directory of its own.
    pub unix_socket: Option<String>,
    pub unix_mask: u32,
    pub tls: Option<TlsFiles>,
    /// Whether certificates are to be made, and whether clients need one.
    pub test_certificates: Option<bool>,
    pub users: Option<Vec<User>>,
    pub sasl: bool,
    pub threads: u32,
    pub max_connections: u32,
    pub idle_timeout: u32,
    pub shutdown_enabled: bool,
    pub cluster_nodes: Vec<String>,
    /// Whether the last commands of clients are kept in memory.
    pub record_commands: bool,
    /// Whether handles settle: the cache is the server's own.
    pub settles: bool,
}

/// Where a server listens.
#[napi(object)]
pub struct Address {
    /// tcp, udp or unix.
    pub kind: String,
    /// An address, or a path.
    pub host: String,
    pub port: u16,
}

fn started(settings: Settings, shared: Arc<Shared>) -> Result<Running, Failure> {
    let mut scratch = None;
    let tls = Tls::new(settings.tls, settings.test_certificates)?;

    let mut listen = Vec::new();
    if let Some(host) = settings.host {
        let ip: IpAddr = host.parse().map_err(|_| {
            errors::bad_argument(format!(
                "host is an IP address to listen at, such as 127.0.0.1 or ::1, not {host:?}"
            ))
        })?;
        let addr = SocketAddr::new(ip, settings.port);
        let mode = if tls.is_some() { TlsMode::Default } else { TlsMode::Off };
        listen.push(Listen::Tcp { addr, protocol: Protocol::Negotiating, tls: mode });
        if settings.udp {
            listen.push(Listen::Udp { addr });
        }
    }
    if let Some(path) = settings.unix_socket {
        let path =
            if path.is_empty() { place(&mut scratch)?.join("memcached.sock") } else { PathBuf::from(path) };
        listen.push(Listen::Unix { path, mask: settings.unix_mask, protocol: Protocol::Negotiating });
    }

    let commands = Arc::default();
    let config = ServerConfig {
        cache: shared.core.config().clone(),
        listen,
        auth: settings.users.map(|users| AuthConfig {
            method: if settings.sasl { AuthMethod::Sasl } else { AuthMethod::Text },
            passwords: Passwords::List(
                users.into_iter().map(|user| (user.name.into_bytes(), user.password.into_bytes())).collect(),
            ),
        }),
        tls: tls.as_ref().map(Tls::config),
        settles: settings.settles,
        threads: settings.threads as usize,
        max_connections: settings.max_connections as usize,
        idle_timeout: settings.idle_timeout,
        shutdown_enabled: settings.shutdown_enabled,
        cluster: nodes(&settings.cluster_nodes)?,
        hooks: if settings.record_commands { recorder(&commands) } else { Hooks::default() },
        ..ServerConfig::default()
    };
    let core = Core::with_cache(config, Arc::clone(&shared.core)).map_err(|e| errors::not_started(&e))?;
    Ok(Running { core: Arc::new(core), shared, commands, tls, scratch })
}

fn nodes(nodes: &[String]) -> Result<Vec<ClusterNode>, Failure> {
    nodes.iter().map(|node| node.parse().map_err(|e| errors::bad_setting(&e))).collect()
}

/// Keeps the commands of clients, of whatever protocol.
fn recorder(commands: &Arc<Mutex<VecDeque<String>>>) -> Hooks {
    let commands = Arc::clone(commands);
    let command = move |_: i32, line: &str| {
        let mut commands = commands.lock();
        if commands.len() == COMMANDS {
            commands.pop_front();
        }
        commands.push_back(line.to_owned());
    };
    Hooks { command: Some(Arc::new(command)), ..Hooks::default() }
}

/// A start under way.
pub struct Start {
    phase: Arc<Mutex<Phase>>,
    wanted: Option<(Settings, Arc<Shared>)>,
}

impl Start {
    fn run(&mut self) -> Result<(), Failure> {
        let Some((settings, shared)) = self.wanted.take() else { return Ok(()) };
        let running = started(settings, shared)?;
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
        Ok(guarded(|| self.run())
            .unwrap_or_else(|| Err(errors::internal("a panic, which is a bug in memcache-rs"))))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<()> {
        output.map_err(|failure| errors::rejected(env, failure))
    }
}

/// A stop under way.
pub struct Stop {
    running: Option<Running>,
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
    /// A server that does not run yet.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self { phase: Arc::new(Mutex::new(Phase::Idle)) }
    }

    /// Serves `cache`; resolves when connections are accepted.
    #[napi(catch_unwind)]
    pub fn start(&self, cache: &Cache, settings: Settings) -> Result<AsyncTask<Start>, Failure> {
        let wanted = Some((settings, cache.shared()?));
        Ok(AsyncTask::new(Start { phase: Arc::clone(&self.phase), wanted }))
    }

    /// Stops it: at once, or after replies that are under way, for which it waits
    /// at most `seconds`. From now on it does not run.
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
        let deadline = Duration::try_from_secs_f64(seconds.clamp(0.0, FOR_EVER)).unwrap_or(Duration::ZERO);
        AsyncTask::new(Stop { running, how, deadline })
    }

    /// Stops it at once, before it returns; it must not run again. For when the
    /// process ends, which finalizes nothing.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        drop(std::mem::replace(&mut *self.phase.lock(), Phase::Over));
    }

    /// Where it listens.
    #[napi(catch_unwind)]
    pub fn addresses(&self) -> Result<Vec<Address>, Failure> {
        self.on(|running| {
            let address = |kind: &str, host, port| Address { kind: kind.to_owned(), host, port };
            Ok(running
                .core
                .addresses()
                .iter()
                .map(|at| match at {
                    BoundAddress::Tcp(at) => address("tcp", at.ip().to_string(), at.port()),
                    BoundAddress::Udp(at) => address("udp", at.ip().to_string(), at.port()),
                    BoundAddress::Unix(path) => address("unix", path.to_string_lossy().into_owned(), 0),
                })
                .collect())
        })
    }

    /// Whether it runs: a client may have shut it down.
    #[napi(catch_unwind)]
    pub fn running(&self) -> bool {
        self.on(|running| Ok(running.core.is_running())).unwrap_or(false)
    }

    /// The files of TLS, if it is spoken. Those of test certificates are written at
    /// the first call.
    #[napi(catch_unwind)]
    pub fn tls(&self) -> Result<Option<TlsFiles>, Failure> {
        match &mut *self.phase.lock() {
            Phase::Running(running) => running.tls_files(),
            _ => Err(errors::not_running()),
        }
    }

    /// What clients of test certificates need, unless these were written to files.
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

    /// Waits until what clients have sent is carried out, at most `seconds`; whether it
    /// is.
    #[napi(catch_unwind)]
    pub fn settle(&self, seconds: f64) -> Result<bool, Failure> {
        let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        let core = self.on(|running| Ok(Arc::clone(&running.core)))?;
        Ok(core.settle(time))
    }

    /// Statistics, by memcached's names.
    #[napi(catch_unwind)]
    pub fn stats(&self, group: String) -> Result<Stats, Failure> {
        self.settled(|running| stats::list(running.core.context(), &group))
    }

    /// Its injected faults.
    #[napi(catch_unwind)]
    pub fn faults(&self) -> Result<Faults, Failure> {
        self.on(|running| Ok(Faults::new(&running.shared)))
    }

    /// A receiver of events of these kinds.
    #[napi(catch_unwind)]
    pub fn watch(&self, kinds: Vec<String>, bell: RemoteWaker) -> Result<Watcher, Failure> {
        self.settled(|running| Watcher::new(Arc::clone(&running.shared), &kinds, bell))
    }

    /// Replaces the nodes that auto discovery tells of.
    #[napi(catch_unwind)]
    pub fn set_cluster_nodes(&self, nodes: Vec<String>) -> Result<(), Failure> {
        let nodes = self::nodes(&nodes)?;
        self.on(|running| {
            running.core.set_cluster_nodes(&nodes);
            Ok(())
        })
    }

    /// The commands received last, if they are recorded.
    #[napi(catch_unwind)]
    pub fn last_commands(&self) -> Result<Vec<String>, Failure> {
        self.settled(|running| Ok(running.commands.lock().iter().cloned().collect()))
    }

    /// Forgets the commands received so far.
    #[napi(catch_unwind)]
    pub fn clear_commands(&self) -> Result<(), Failure> {
        self.settled(|running| {
            running.commands.lock().clear();
            Ok(())
        })
    }
}
