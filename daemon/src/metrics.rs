//! `--metrics`: the metrics of the server as text, and its health, by HTTP.
//!
//! ```text
//!   GET /metrics   Prometheus text, or OpenMetrics if the client asks for it; 503 until the server serves
//!   GET /healthz   200 while the process answers
//!   GET /readyz    200 if the server accepts connections and its snapshot is loaded; else 503 with the reason
//! ```
//!
//! The service starts before the server, because loading a snapshot may take minutes. It reads
//! what `stats` reads, on the thread of HTTP, and takes no connection of the server.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use memcache_core::MetricsFormat;
use memcache_core::internal::admin::metrics;
use memcache_core::internal::config::SnapshotWork;
use memcache_core::internal::state::{Persistence, ServerState};

use crate::http::{self, Error};

/// The server whose metrics are shown, once it serves.
#[derive(Clone, Default)]
pub struct Watched(Arc<OnceLock<Arc<ServerState>>>);

impl Watched {
    /// Shows this server from now on.
    pub fn set(&self, server: &Arc<ServerState>) {
        // Set once: a process has one server.
        let _ = self.0.set(Arc::clone(server));
    }

    /// Returns the server, or the reason why there is none.
    fn server(&self) -> Result<&ServerState, Error> {
        let starts = || unready("starting", "the server starts, or loads its snapshot");
        self.0.get().map(Arc::as_ref).ok_or_else(starts)
    }

    /// Returns the reason why the server is not ready.
    fn ready(&self) -> Result<(), Error> {
        let server = self.server()?;
        if server.control.stopping().is_some() {
            Err(unready("stopping", "the server stops"))
        } else if server.persistence.as_deref().is_some_and(is_loading) {
            Err(unready("loading", "the server loads its snapshot"))
        } else if server.listener.paused.load(Relaxed) != 0 {
            Err(unready("full", "the server has reached its limit of connections, -c"))
        } else {
            Ok(())
        }
    }
}

fn is_loading(of: &Persistence) -> bool {
    of.status().work == Some(SnapshotWork::Load)
}

fn unready(code: &'static str, message: &str) -> Error {
    Error::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
}

/// Returns the routes.
pub fn router(of: Watched) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(not_found)
        .method_not_allowed_fallback(http::wrong_method)
        .with_state(of)
}

async fn show(State(of): State<Watched>, headers: HeaderMap) -> Result<Response, Error> {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = MetricsFormat::negotiate(&accept.join(","));
    let text = metrics(of.server()?).text(format);
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

async fn not_found() -> Error {
    let message = "there is no such path; the paths are /metrics, /healthz and /readyz";
    Error::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn ready(State(of): State<Watched>) -> Result<&'static str, Error> {
    of.ready().map(|()| "ready\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memcache_core::{Cache, CacheConfig, Listen, Server, ServerConfig};

    use super::*;

    fn code(of: &Watched) -> Option<&'static str> {
        of.ready().err().map(|error| error.code)
    }

    #[test]
    fn a_server_is_ready_while_it_accepts() {
        let watched = Watched::default();
        assert_eq!(code(&watched), Some("starting"));
        let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
        let server = Server::start(ServerConfig { listen, ..ServerConfig::default() });
        let server = server.unwrap_or_else(|e| panic!("{e}"));
        watched.set(server.context());
        assert_eq!(code(&watched), None);
        server.context().listener.paused.store(1, Relaxed);
        assert_eq!(code(&watched), Some("full"));
        server.begin_stop(Duration::ZERO);
        assert_eq!(code(&watched), Some("stopping"));
    }

    #[test]
    fn a_server_is_not_ready_before_its_snapshot_is_loaded() {
        let cache = Cache::new(CacheConfig::default()).unwrap_or_else(|e| panic!("{e}"));
        let persist = Some("not-read.mcrs".into());
        // The thread that loads does not run here.
        let state =
            ServerState::new(cache, ServerConfig { persist, persist_lazy: true, ..ServerConfig::default() });
        let watched = Watched::default();
        watched.set(&Arc::new(state.unwrap_or_else(|e| panic!("{e}"))));
        assert_eq!(code(&watched), Some("loading"));
    }
}
