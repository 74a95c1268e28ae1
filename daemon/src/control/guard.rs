//! Decides which requests may control the server.
//!
//! With a token, a request must present it. Without one, the address is loopback, and each program
//! of this machine may send requests. A web page in a browser of this machine must not, so these
//! are refused:
//!
//! - a `Host` that is not of loopback: a name of the page's own that leads to 127.0.0.1;
//! - an `Origin`, which browsers add to each request of a page that changes something;
//! - a change whose body is not declared as JSON (see [`super::body`]): a browser asks first.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use crate::failure::Failure;
use crate::file;
use crate::http::Error;

/// Bytes that a token has at least. A shorter one can be guessed.
const SHORTEST: usize = 16;

/// The secret of `--control-token-file`.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl Token {
    /// Reads the token of a file, without the spaces around it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = file::read(path)?;
        let token = text.trim_ascii();
        if token.len() < SHORTEST || !token.iter().all(u8::is_ascii_graphic) {
            let what = format!("the token must be at least {SHORTEST} visible characters of ASCII");
            return Err(Failure::usage(format!("{}: {what}", path.display())));
        }
        Ok(Self(token.into()))
    }

    /// Compares in a time that depends on the length alone.
    fn is(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

/// Shows no secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// The condition of each request.
#[derive(Debug)]
pub struct Guard {
    /// The token that each request needs. Without one, requests come from loopback.
    pub token: Option<Token>,
}

impl Guard {
    fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<Error> {
        if let Some(token) = &self.token {
            let message = "the request needs the header Authorization: Bearer TOKEN with the daemon's token";
            let unknown = || Error::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
            return (!bearer(headers).is_some_and(|found| token.is(found))).then(unknown);
        }
        if headers.contains_key(ORIGIN) {
            let message = "a web page cannot control the daemon; send no Origin";
            return Some(Error::new(StatusCode::FORBIDDEN, "forbidden_origin", message));
        }
        let mut hosts = headers.get_all(HOST).iter();
        let named = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            _ => None,
        };
        let is_local = named.is_some_and(|host| is_loopback(host.host()))
            && uri.authority().is_none_or(|host| is_loopback(host.host()));
        let message = "Host must be localhost, 127.0.0.1 or [::1]; another name needs --control-token-file";
        (!is_local).then(|| Error::new(StatusCode::FORBIDDEN, "forbidden_host", message))
    }
}

/// Returns the token of a request.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Passes on a request that the guard does not refuse.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.refusal(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(refusal) => {
            let is_unknown = refusal.status == StatusCode::UNAUTHORIZED;
            let mut response = refusal.into_response();
            if is_unknown {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(
        token: Option<&str>,
        uri: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Option<&'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let guard = Guard { token: token.map(|token| Token(token.as_bytes().into())) };
        guard.refusal(&Uri::from_static(uri.to_owned().leak()), &map).map(|error| error.code)
    }

    #[test]
    fn loopback_is_named_by_its_names() {
        for host in ["localhost", "LocalHost:9000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:9000"] {
            assert_eq!(refused(None, "/v1/server", &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example", "", "[::2]"]
        {
            assert_eq!(refused(None, "/", &[("host", host)]), Some("forbidden_host"), "{host}");
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(refused(None, "/", &twice), Some("forbidden_host"));
        assert_eq!(refused(None, "/", &[]), Some("forbidden_host"));
        assert_eq!(refused(None, "http://evil.example/", &[("host", "localhost")]), Some("forbidden_host"));
        let page = [("host", "localhost"), ("origin", "http://localhost")];
        assert_eq!(refused(None, "/", &page), Some("forbidden_origin"));
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        let token = Some("0123456789abcdef");
        assert_eq!(refused(token, "/", &[("authorization", "Bearer 0123456789abcdef")]), None);
        assert_eq!(refused(token, "/", &[("authorization", "bearer 0123456789abcdef")]), None);
        for value in [
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer ",
            "Basic x",
            "B",
            "",
        ] {
            let headers = [("host", "localhost"), ("authorization", value)];
            assert_eq!(refused(token, "/", &headers), Some("unauthorized"), "{value}");
        }
        let twice = [("authorization", "Bearer 0123456789abcdef"), ("authorization", "Bearer x")];
        assert_eq!(refused(token, "/", &twice), Some("unauthorized"));
    }
}
