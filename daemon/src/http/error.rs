//! Errors as clients read them: a status, and JSON with a stable code and a message.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An answer that reports an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Status of the response.
    pub status: StatusCode,
    /// A word that programs compare. It does not change.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Error {
    /// Returns an error with this status, code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Returns the error of a handler that panicked.
    pub fn internal() -> Self {
        let message = "an internal error; standard error of the daemon has its cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

/// Answers for a method that a path does not have.
pub async fn wrong_method() -> Error {
    let message = "the path has no such method; the header Allow lists its methods";
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let text = serde_json::json!({ "code": self.code, "message": self.message }).to_string();
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], text).into_response()
    }
}
