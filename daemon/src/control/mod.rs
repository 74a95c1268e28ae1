//! `--control`: the clock, the faults and the rest of a test's view of a server, by HTTP with JSON.
//!
//! `openapi.yaml` beside this file describes each route. A file has one group of routes: their
//! requests and responses as types, and the calls of the server. [`guard`] decides which requests
//! reach them, and [`body`] reads their arguments.
//!
//! No route stops the daemon. The program that started it does that by a signal.

mod body;
mod clock;
mod controlled;
mod faults;
mod guard;
mod server;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use memcache_core::Server;
use memcache_embed::commands::CommandLog;

use self::body::{Nothing, Parameters};
use self::controlled::Controlled;
pub use self::guard::{Guard, Token};
use crate::http::{self, Error};

/// The description of the routes.
const OPENAPI: &str = include_str!("openapi.yaml");

/// Returns the routes that control `server`, whose hooks record `commands`.
pub fn router(server: &Server, commands: CommandLog, guard: Guard) -> Router {
    Router::new()
        .route("/openapi.yaml", get(openapi))
        .route("/v1/clock", get(clock::show))
        .route("/v1/clock/advance", post(clock::advance))
        .route("/v1/clock/freeze", post(clock::freeze))
        .route("/v1/clock/reset", post(clock::reset))
        .route("/v1/clock/resume", post(clock::resume))
        .route("/v1/clock/set", post(clock::set))
        .route("/v1/faults", get(faults::list).post(faults::add).delete(faults::clear))
        .route("/v1/faults/{id}", get(faults::show).delete(faults::remove))
        .route("/v1/flush", post(server::flush))
        .route("/v1/flush_prefix", post(server::flush_prefix))
        .route("/v1/last_commands", get(server::last_commands).delete(server::clear_commands))
        .route("/v1/proxy/reload", post(server::reload_proxy))
        .route("/v1/reset", post(server::reset))
        .route("/v1/server", get(server::show))
        .route("/v1/settle", post(server::settle))
        .route("/v1/stats", get(server::stats).delete(server::forget_stats))
        .route("/v1/watch", get(watch::open))
        .fallback(not_found)
        .method_not_allowed_fallback(http::wrong_method)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .with_state(Controlled::new(server, commands))
}

async fn openapi(Parameters(Nothing {}): Parameters<Nothing>) -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], OPENAPI).into_response()
}

async fn not_found() -> Error {
    Error::new(StatusCode::NOT_FOUND, "not_found", "there is no such path; GET /openapi.yaml describes all")
}
