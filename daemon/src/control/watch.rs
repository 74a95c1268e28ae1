//! Events of the server as they happen: one JSON object a line.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use memcache_embed::time::patience;
use memcache_embed::watch::{Event, Watch, WatchError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::time;

use super::body::{Parameters, invalid};
use super::controlled::Controlled;
use crate::http::Error;

/// Bytes of lines that are sent in one piece, about.
const PIECE: usize = 16 << 10;

/// Which events to send, and how many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Names of kinds, separated by commas. None means all.
    #[serde(default)]
    kinds: String,
    /// The stream ends after this many events.
    limit: Option<u64>,
    /// The stream ends if no event comes for this many seconds.
    timeout: Option<f64>,
}

/// An event.
#[derive(Serialize)]
struct Line {
    r#type: String,
    time: f64,
    /// The key as text. `fields` has its bytes, as memcached encodes them.
    key: Option<String>,
    fields: Map<String, Value>,
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        let Event { name, time, key, fields } = event;
        Self {
            r#type: name,
            time,
            key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
            fields: fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
        }
    }
}

/// A watch, and what is left of its limit.
struct Reader {
    watch: Watch,
    arrived: Arc<Notify>,
    left: Option<u64>,
    timeout: Option<f64>,
}

/// `GET /v1/watch`
pub async fn open(
    State(of): State<Controlled>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Error> {
    let Wanted { kinds, limit, timeout } = wanted;
    if let Some(seconds) = timeout.filter(|seconds| seconds.is_nan() || *seconds < 0.0) {
        return Err(invalid(format!("timeout must be at least 0 seconds, got {seconds}")));
    }
    let kinds: Vec<String> = kinds.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect();
    let arrived = Arc::new(Notify::new());
    let wake = Arc::clone(&arrived);
    let watch =
        of.settled(move |of| Watch::open(Arc::clone(&of.state.cache), &kinds, move || wake.notify_one()));
    let watch = watch.await?.map_err(|e| match e {
        WatchError::TooMany => Error::new(StatusCode::CONFLICT, "too_many_watchers", e.to_string()),
        other => invalid(format!("kinds: {other}")),
    })?;
    let reader = Reader { watch, arrived, left: limit, timeout };
    let lines = stream::unfold(reader, |mut reader| async {
        let lines = reader.lines().await?;
        Some((Ok::<_, Infallible>(lines), reader))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

impl Reader {
    /// Returns the lines of the next events, or `None` at the end.
    async fn lines(&mut self) -> Option<Bytes> {
        loop {
            let lines = self.ready();
            if !lines.is_empty() {
                return Some(lines.into());
            }
            if self.left == Some(0) {
                return None;
            }
            let arrived = self.arrived.notified();
            match self.timeout {
                Some(seconds) => time::timeout(patience(seconds), arrived).await.ok()?,
                None => arrived.await,
            }
        }
    }

    /// Returns the lines of events that have arrived.
    fn ready(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        while lines.len() < PIECE && self.left != Some(0) {
            let Some(event) = self.watch.next() else { break };
            // A line of texts and numbers always has a form in JSON.
            if serde_json::to_writer(&mut lines, &Line::from(event)).is_ok() {
                lines.push(b'\n');
                self.left = self.left.map(|left| left - 1);
            }
        }
        lines
    }
}
