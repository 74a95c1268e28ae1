//! The server as a whole: which it is, what it did, and a new start for the next test.

use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use memcache_core::ProxyConfig;
use memcache_core::internal::admin::reset_stats;
use memcache_embed::server::Address;
use memcache_embed::stats::{self, StatValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::{Arguments, Nothing, Parameters, invalid};
use super::controlled::Controlled;
use crate::help::OWN_VERSION;
use crate::http::Error;

/// Longest time that a request waits for the server to settle.
const LONGEST_SETTLE: f64 = 20.0;

/// Where clients of memcached connect.
#[derive(Serialize)]
struct Listener {
    kind: &'static str,
    host: String,
    port: u16,
}

/// The server.
#[derive(Serialize)]
pub struct Shown {
    version: &'static str,
    pid: u32,
    addresses: Vec<Listener>,
}

/// `GET /v1/server`
pub async fn show(
    State(of): State<Controlled>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<Shown>, Error> {
    let addresses = of.addresses.iter().map(|at| {
        let Address { kind, host, port } = at.into();
        Listener { kind, host, port }
    });
    Ok(Json(Shown { version: OWN_VERSION, pid: std::process::id(), addresses: addresses.collect() }))
}

/// How long to wait.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    timeout: Option<f64>,
}

/// Whether the server has run the commands that clients had sent.
#[derive(Serialize)]
pub struct Settled {
    settled: bool,
}

/// `POST /v1/settle`
pub async fn settle(
    State(of): State<Controlled>,
    Arguments(Settle { timeout }): Arguments<Settle>,
) -> Result<Json<Settled>, Error> {
    let seconds = timeout.unwrap_or(1.0);
    if !(0.0..=LONGEST_SETTLE).contains(&seconds) {
        return Err(invalid(format!("timeout must be from 0 to {LONGEST_SETTLE} seconds, got {seconds}")));
    }
    let settled = of.blocking(move |of| of.settler.settle(Duration::from_secs_f64(seconds))).await?;
    Ok(Json(Settled { settled }))
}

/// The configuration that a proxy reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// A text in TOML, or the file of the start. None means the one so far. A request cannot name
    /// another file, but the text may name files of TLS, which the daemon reads.
    config: Option<String>,
}

/// `POST /v1/proxy/reload`
pub async fn reload_proxy(
    State(of): State<Controlled>,
    Arguments(Reload { config }): Arguments<Reload>,
) -> Result<Json<Done>, Error> {
    let config = config.map(|config| named(config, of.state.config.proxy.as_ref())).transpose()?;
    let reloaded = of.settled(move |of| of.state.reload_proxy(config)).await?;
    reloaded.map(|()| Json(Done {})).map_err(|error| invalid(error.to_string()))
}

/// Returns a configuration by its text or its file, which must be that of the start.
fn named(config: String, start: Option<&ProxyConfig>) -> Result<ProxyConfig, Error> {
    let (own, start) = match start {
        Some(start @ ProxyConfig::File(own)) => (own.as_path(), start),
        Some(start @ ProxyConfig::Source(source)) => (source.file(), start),
        Some(ProxyConfig::Text(_) | ProxyConfig::Program(_)) | None => {
            return Ok(ProxyConfig::Text(config));
        }
    };
    if own == Path::new(&config) {
        return Ok(start.clone());
    }
    // Each line of a configuration has the sign.
    if !config.contains('=') {
        let own = own.display();
        return Err(invalid(format!("config must be a text in TOML, or {own}, the file of the start")));
    }
    Ok(ProxyConfig::Text(config))
}

/// A change without a result.
#[derive(Serialize)]
pub struct Done {}

/// `POST /v1/reset`
pub async fn reset(
    State(of): State<Controlled>,
    Arguments(Nothing {}): Arguments<Nothing>,
) -> Result<Json<Done>, Error> {
    let reset = of.settled(|of| {
        let cache = &of.state.cache;
        cache.faults().clear();
        cache.clock().reset();
        cache.clear();
        of.commands.clear();
        reset_stats(&of.state);
    });
    reset.await.map(|()| Json(Done {}))
}

/// `POST /v1/flush`
pub async fn flush(
    State(of): State<Controlled>,
    Arguments(Nothing {}): Arguments<Nothing>,
) -> Result<Json<Done>, Error> {
    of.settled(|of| of.state.cache.clear()).await.map(|()| Json(Done {}))
}

/// The items to remove.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushPrefix {
    prefix: String,
}

/// `POST /v1/flush_prefix`
pub async fn flush_prefix(
    State(of): State<Controlled>,
    Arguments(FlushPrefix { prefix }): Arguments<FlushPrefix>,
) -> Result<Json<Done>, Error> {
    of.settled(move |of| of.state.cache.flush_prefix(prefix)).await.map(|()| Json(Done {}))
}

/// A group of statistics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    #[serde(default)]
    group: String,
}

/// Statistics under memcached's names.
#[derive(Serialize)]
pub struct Stats {
    stats: Map<String, Value>,
}

/// `GET /v1/stats`
pub async fn stats(
    State(of): State<Controlled>,
    Parameters(Group { group }): Parameters<Group>,
) -> Result<Json<Stats>, Error> {
    let all = of.settled(move |of| stats::list(&of.state, &group)).await?;
    let all = all.map_err(|e| invalid(e.to_string()))?;
    Ok(Json(Stats { stats: all.into_iter().map(|(name, value)| (name, number_or_text(value))).collect() }))
}

fn number_or_text(value: StatValue) -> Value {
    match value {
        StatValue::Text(text) => text.into(),
        StatValue::Number(number) => match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => number.to_string().into(),
        },
    }
}

/// `DELETE /v1/stats`
pub async fn forget_stats(
    State(of): State<Controlled>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<Done>, Error> {
    of.settled(|of| reset_stats(&of.state)).await.map(|()| Json(Done {}))
}

/// The last commands of clients, oldest first.
#[derive(Serialize)]
pub struct Commands {
    last_commands: Vec<String>,
}

/// `GET /v1/last_commands`
pub async fn last_commands(
    State(of): State<Controlled>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<Commands>, Error> {
    let last_commands = of.settled(|of| of.commands.lines()).await?;
    Ok(Json(Commands { last_commands }))
}

/// `DELETE /v1/last_commands`
pub async fn clear_commands(
    State(of): State<Controlled>,
    Parameters(Nothing {}): Parameters<Nothing>,
) -> Result<Json<Done>, Error> {
    of.settled(|of| of.commands.clear()).await.map(|()| Json(Done {}))
}

#[cfg(test)]
mod tests {
    use memcache_core::internal::config::{ProxySource, SourceText};

    use super::*;

    /// A proxy that began with a file of routelib did not return to it.
    #[test]
    fn the_file_of_the_start_is_the_only_one() {
        let make = |file: &Path| Ok(SourceText { text: String::new(), file: file.into(), lines: Vec::new() });
        let source = ProxySource::new("/etc/routes.lua".into(), make);
        for start in [ProxyConfig::File("/etc/routes.lua".into()), ProxyConfig::Source(source)] {
            let named = |config: &str| named(config.into(), Some(&start)).ok();
            assert_eq!(named("/etc/routes.lua"), Some(start.clone()));
            assert_eq!(named("/etc/other.lua"), None);
            assert_eq!(named("route = 'null'"), Some(ProxyConfig::Text("route = 'null'".into())));
        }
    }
}
