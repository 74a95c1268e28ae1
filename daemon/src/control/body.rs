//! The arguments of a request, and its responses.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
        if request.uri().query().is_some_and(|query| !query.is_empty()) {
            return Err(invalid("arguments of a change stand in the body, not after the ?"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let message = format!("a body must have at most {} bytes", crate::http::BODY);
                return Error::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message);
            }
            Error::new(StatusCode::BAD_REQUEST, "invalid_body", "the body ended early or is malformed")
        })?;
        let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
        let body: Value = serde_json::from_slice(text).map_err(|e| {
            Error::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not JSON: {e}"))
        })?;
        if !body.is_object() {
            return Err(invalid("the body must be a JSON object"));
        }
        serde_path_to_error::deserialize(body).map(Self).map_err(|e| {
            let (field, what) = (e.path().to_string(), e.inner().to_string());
            // An unknown and a missing field are in the message already.
            invalid(if what.contains(" field `") { what } else { format!("{field}: {what}") })
        })
    }
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
