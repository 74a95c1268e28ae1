//! The arguments of a request, and its responses.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::http::Error;

/// A request without arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Returns an error about an argument. The message names it.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
}

/// The object of a JSON body. An empty body is an empty object.
pub struct Arguments<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Arguments<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            let message = "a change needs the header Content-Type: application/json";
            return Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let message = format!("a body must have at most {} bytes", crate::http::BODY);
                return Error::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message);
            }
            Error::new(StatusCode::BAD_REQUEST, "invalid_body", "the body ended early or is malformed")
        })?;
        let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
        let mut json = serde_json::Deserializer::from_slice(text);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|e| {
            let path = e.path().to_string();
            let what = e.into_inner();
            match what.classify() {
                // Without a path, the message names the field or speaks of the whole.
                Category::Data if path == "." => invalid(what.to_string()),
                Category::Data => invalid(format!("{path}: {what}")),
                _ => malformed(&what),
            }
        })?;
        json.end().map_err(|e| malformed(&e))?;
        Ok(Self(read))
    }
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not JSON: {error}"))
}

/// Returns whether the body is declared as JSON. Parameters such as a character set may follow.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The arguments behind the `?` of a path.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let read = Query::from_request_parts(parts, state).await;
        let Query(arguments) = read.map_err(|rejection| {
            let text = rejection.body_text();
            invalid(text.rsplit_once("query string: ").map_or(&*text, |(_, what)| what))
        })?;
        Ok(Self(arguments))
    }
}
