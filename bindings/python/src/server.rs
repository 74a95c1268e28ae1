//! A server in this process.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use memcache_core::{Hooks, ProxyConfig, Server as Core, Stop, TlsPem};
use memcache_embed::commands::CommandLog;
use memcache_embed::handle::Handle;
use memcache_embed::server::{Address, Certificates, ServerOptions};
use memcache_embed::settings::cluster_nodes;
use memcache_embed::stats::list;
use memcache_embed::time;
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::cache::Cache;
use crate::errors;
use crate::faults::Faults;
use crate::handle::{CacheHandle, owned};
use crate::hot_keys::{self, HotKey};
use crate::number::{Float, Most};
use crate::settings;
use crate::stats;
use crate::watch::{POLL, Watcher};

/// A server that was started. `memcache_rs.Server` makes one for each start.
#[pyclass(frozen, module = "memcache_rs._native")]
pub struct Server {
    handle: Handle<Core>,
    commands: CommandLog,
    /// Set when the server has stopped, for any reason.
    ended: Arc<AtomicBool>,
}

impl Server {
    fn core(&self) -> PyResult<&Arc<Core>> {
        owned(&self.handle, "server")
    }

    /// Stops gracefully, in at most `seconds`. Returns the exception that a signal handler raised.
    fn drain(&self, py: Python<'_>, core: &Core, seconds: f64) -> PyResult<()> {
        let time = time::patience(seconds);
        let until = Instant::now().checked_add(time);
        core.begin_stop(time);
        loop {
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            match py.detach(|| core.wait_for(left.min(POLL))) {
                // The stop that follows reports a thread that does not end.
                Ok(true) | Err(_) => return Ok(()),
                Ok(false) if left.is_zero() => return Ok(()),
                Ok(false) => {}
            }
            py.check_signals()?;
        }
    }

    /// Returns the server after it has run the commands that clients have sent.
    fn settled(&self, py: Python<'_>) -> PyResult<&Arc<Core>> {
        let core = self.core()?;
        py.detach(|| core.context().cache.settle());
        Ok(core)
    }

    fn cache(&self) -> PyResult<CacheHandle> {
        Ok(CacheHandle::new(Arc::clone(&self.core()?.context().cache)))
    }
}

impl Drop for Server {
    /// Stops the server. It detaches from the interpreter, if that still exists.
    fn drop(&mut self) {
        if let Ok(core) = self.core() {
            let _ = Python::try_attach(|py| py.detach(|| core.stop(Stop::Now, Duration::ZERO)));
        }
    }
}

/// The settings of a server, from the dict `ServerSettings` of `memcache_rs._typing`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Settings {
    host: Option<IpAddr>,
    port: u16,
    udp: bool,
    unix_socket: Option<PathBuf>,
    unix_mask: u32,
    /// The files of the certificate, its key and the certificate authority.
    tls: Option<(PathBuf, PathBuf, Option<PathBuf>)>,
    /// The same as PEM texts, in place of files.
    tls_texts: Option<(String, String, String)>,
    /// Whether clients must present a certificate.
    verify_clients: bool,
    /// Pairs of a user and a password, and whether clients log in by SASL.
    users: Option<(Vec<(String, String)>, bool)>,
    /// The settings of the table, by name.
    values: settings::Settings,
    cluster_nodes: Vec<String>,
    record_commands: bool,
    /// Whether handles of the cache wait for the server. They do if the server made the cache.
    settles: bool,
}

impl Settings {
    fn options(self) -> ServerOptions {
        let files = self.tls.map(|(chain, key, ca)| Certificates::Files { chain, key, ca });
        let texts = self.tls_texts.map(|(chain, key, ca)| {
            Certificates::Texts(TlsPem {
                chain_cert: chain.into_bytes(),
                key: key.into_bytes(),
                ca_cert: Some(ca.into_bytes()),
            })
        });
        let (users, sasl) = self.users.unzip();
        ServerOptions {
            host: self.host,
            port: self.port,
            udp: self.udp,
            unix_socket: self.unix_socket,
            unix_mask: self.unix_mask,
            certificates: files.or(texts),
            verify_clients: self.verify_clients,
            users,
            sasl: sasl.unwrap_or_default(),
            settings: self.values.0,
            cluster_nodes: self.cluster_nodes,
            settles: self.settles,
        }
    }
}

/// Makes hooks that set `ended` at the end of the server, and discard the log.
fn hooks(ended: &Arc<AtomicBool>) -> Hooks {
    let ended = Arc::clone(ended);
    Hooks {
        log: Some(Arc::new(|_, _| {})),
        stopped: Some(Arc::new(move || ended.store(true, Relaxed))),
        ..Hooks::default()
    }
}

#[pymethods]
impl Server {
    /// Starts a server for a cache.
    #[staticmethod]
    fn start(py: Python<'_>, cache: &Bound<'_, Cache>, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let cache = Arc::clone(cache.get().core()?);
        let settings = settings.extract::<Settings>()?;
        let (commands, ended) = (CommandLog::default(), Arc::default());
        let mut hooks = hooks(&ended);
        if settings.record_commands {
            commands.record(&mut hooks);
        }
        let config = settings.options().config(&cache, hooks).map_err(|e| errors::bad_setting(&e))?;
        let core = py.detach(|| Core::with_cache(config, cache)).map_err(|e| errors::not_started(&e))?;
        Ok(Self { handle: Handle::new(Arc::new(core)), commands, ended })
    }

    /// The addresses, as ``("tcp" or "udp", host, port)`` or ``("unix", path, 0)``.
    #[getter]
    fn addresses(&self) -> PyResult<Vec<(&'static str, String, u16)>> {
        let addresses = self.core()?.addresses().iter().map(Address::from);
        Ok(addresses.map(|at| (at.kind, at.host, at.port)).collect())
    }

    /// Whether the server runs in this process.
    #[getter]
    fn running(&self) -> bool {
        self.core().is_ok_and(|core| core.is_running())
    }

    /// Whether the server belongs to this process.
    #[getter]
    fn owned(&self) -> bool {
        self.handle.holds()
    }

    /// Stops the server.
    ///
    /// With ``graceful`` it first finishes replies in progress, in at most ``seconds``. A signal
    /// handler that raises, as for Ctrl-C, ends that wait.
    #[pyo3(signature = (graceful=false, seconds=Float(5.0)), text_signature = "($self, graceful=False, seconds=5.0)")]
    fn stop(&self, py: Python<'_>, graceful: bool, seconds: Float) -> PyResult<()> {
        let core = self.core()?;
        let interrupted = if graceful { self.drain(py, core, seconds.0) } else { Ok(()) };
        let stopped = py.detach(|| core.stop(Stop::Now, Duration::ZERO));
        interrupted?;
        stopped.map_err(|e| PyTimeoutError::new_err(e.to_string()))
    }

    /// Waits until the server has run the commands that clients have sent.
    ///
    /// Returns:
    ///     ``False`` if that takes longer than ``seconds``.
    fn settle(&self, py: Python<'_>, seconds: Float) -> PyResult<bool> {
        let core = self.core()?;
        let time = time::patience(seconds.0);
        let until = Instant::now().checked_add(time);
        loop {
            let left = until.map_or(POLL, |until| until.saturating_duration_since(Instant::now()));
            if py.detach(|| core.settle(left.min(POLL))) {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            py.check_signals()?;
        }
    }

    /// Has a proxy try its backends again at once.
    fn retry_backends(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core()?;
        if py.detach(|| core.retry_backends()) {
            return Ok(());
        }
        Err(PyTimeoutError::new_err("a worker of the proxy did not answer in a second"))
    }

    /// Reads the configuration of a proxy again, or another one in its place.
    #[pyo3(signature = (config=None))]
    fn reload_proxy(&self, py: Python<'_>, config: Option<&str>) -> PyResult<()> {
        let core = self.settled(py)?;
        let config = config.map(ProxyConfig::from);
        let reloaded = py.detach(|| core.context().reload_proxy(config));
        reloaded.map_err(|error| errors::bad_argument(error.to_string()))
    }

    /// Has the handles of the cache settle another server first.
    fn settle_after(&self, first: &Self) -> PyResult<()> {
        self.core()?.settle_after(&**first.core()?);
        Ok(())
    }

    /// Returns statistics under memcached's names.
    #[pyo3(signature = (group="", /))]
    fn stats<'py>(&self, py: Python<'py>, group: &str) -> PyResult<Bound<'py, PyDict>> {
        let core = self.settled(py)?;
        stats::dict(py, py.detach(|| list(core.context(), group)))
    }

    /// Returns metrics as text.
    #[pyo3(signature = (format="prometheus", /))]
    fn metrics(&self, py: Python<'_>, format: &str) -> PyResult<String> {
        let core = self.settled(py)?;
        py.detach(|| stats::metrics_text(core.context(), format))
    }

    /// Returns the keys that had the most requests in the last seconds.
    fn hot_keys(&self, py: Python<'_>, most: Most) -> PyResult<Vec<HotKey>> {
        let core = self.settled(py)?;
        Ok(hot_keys::list(py.detach(|| core.hot_keys(most.0))))
    }

    /// The faults that the server injects.
    #[getter]
    fn faults(&self) -> PyResult<Faults> {
        Ok(Faults::new(self.cache()?))
    }

    /// Returns a receiver of events of some kinds.
    fn watch(&self, kinds: Vec<String>) -> PyResult<Watcher> {
        Watcher::new(self.cache()?, &kinds, Arc::clone(&self.ended))
    }

    /// Replaces the nodes that auto discovery announces.
    fn set_cluster_nodes(&self, nodes: Vec<String>) -> PyResult<()> {
        let nodes = cluster_nodes(&nodes).map_err(|e| errors::bad_setting(&e))?;
        self.core()?.set_cluster_nodes(&nodes);
        Ok(())
    }

    /// The recent commands of clients, if they are recorded.
    #[getter]
    fn last_commands(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.settled(py)?;
        Ok(self.commands.lines())
    }

    /// Removes the recorded commands.
    fn clear_commands(&self, py: Python<'_>) -> PyResult<()> {
        self.settled(py)?;
        self.commands.clear();
        Ok(())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::not_copied("server"))
    }
}
