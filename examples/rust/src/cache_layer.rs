//! A `tower` layer that keeps the responses to GET requests.
//!
//! The key of a response is its path and query. If several requests want the same one, the service
//! answers one of them, and the others wait for that response.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use memcache_rs::{Cache, Ttl};
use tower::{Layer, Service};

/// Puts a cache before a service.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    cache: Arc<Cache>,
    ttl: Ttl,
}

impl CacheLayer {
    /// Keeps responses in `cache` for `ttl`.
    pub fn new(cache: Arc<Cache>, ttl: impl Into<Ttl>) -> Self {
        Self { cache, ttl: ttl.into() }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService { inner, layer: self.clone() }
    }
}

/// A service behind a cache.
#[derive(Clone, Debug)]
pub struct CacheService<S> {
    inner: S,
    layer: CacheLayer,
}

impl<S> Service<Request> for CacheService<S>
where
    S: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
    S::Error: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The service that is ready is the one that was polled, not its clone.
        let clone = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, clone);
        if !may_be_shared(&request) {
            return Box::pin(service.call(request));
        }
        let CacheLayer { cache, ttl } = self.layer.clone();
        let key = format!("response:{}", request.uri());
        Box::pin(async move {
            let load = async {
                let response = service.call(request).await.map_err(NotKept::Error)?;
                if may_be_kept(&response) { encode(response).await } else { Err(NotKept::Response(response)) }
            };
            match cache.get_or_insert_async(key, ttl, load).await {
                Ok(bytes) => Ok(decode(bytes)),
                Err(NotKept::Response(response)) => Ok(response),
                Err(NotKept::Error(error)) => Err(error),
            }
        })
    }
}

/// A response that must not be kept, or the error of the service.
enum NotKept<E> {
    Response(Response),
    Error(E),
}

fn may_be_shared(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::GET && !headers.contains_key(AUTHORIZATION) && !headers.contains_key(COOKIE)
}

fn may_be_kept(response: &Response) -> bool {
    let headers = response.headers();
    let forbids = |value: &HeaderValue| {
        value.to_str().map_or(true, |value| value.contains("no-store") || value.contains("private"))
    };
    response.status() == StatusCode::OK
        && !headers.contains_key(SET_COOKIE)
        && !headers.contains_key(VARY)
        && !headers.get_all(CACHE_CONTROL).iter().any(forbids)
}

/// Returns the headers of a response, an empty line and its body.
async fn encode<E>(response: Response) -> Result<Vec<u8>, NotKept<E>> {
    let (head, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Err(NotKept::Response(StatusCode::BAD_GATEWAY.into_response()));
    };
    let mut bytes = Vec::new();
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.push(b'\n');
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Returns the response of which [`encode`] made these bytes. No header contains a line break.
fn decode(bytes: Vec<u8>) -> Response {
    let mut rest = Bytes::from(bytes);
    let mut response = Response::new(Body::empty());
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = rest.split_to(end + 1);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { break };
        let (name, value) = (line.slice(..colon), line.slice(colon + 1..end));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value))
        {
            response.headers_mut().append(name, value);
        }
    }
    *response.body_mut() = Body::from(rest);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    use memcache_rs::CacheConfig;
    use tokio::task::yield_now;
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// Sends a request through the layer to a service that counts its calls.
    struct App {
        cache: Arc<Cache>,
        calls: AtomicUsize,
    }

    impl App {
        fn new() -> Self {
            let cache = Cache::new(CacheConfig::default()).unwrap();
            cache.clock().freeze();
            Self { cache, calls: AtomicUsize::new(0) }
        }

        async fn send(self: &Arc<Self>, request: Request) -> Result<Response, &'static str> {
            let app = Arc::clone(self);
            let inner = service_fn(move |request: Request| {
                let app = Arc::clone(&app);
                async move {
                    let number = app.calls.fetch_add(1, Relaxed) + 1;
                    yield_now().await;
                    answer(request.uri().path(), number)
                }
            });
            let layer = CacheLayer::new(Arc::clone(&self.cache), Duration::from_mins(1));
            layer.layer(inner).oneshot(request).await
        }

        async fn get(self: &Arc<Self>, path: &str) -> String {
            let response = self.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            text(response).await
        }
    }

    fn answer(path: &str, number: usize) -> Result<Response, &'static str> {
        let body = format!("{number}\n\n{path}");
        Ok(match path {
            "/missing" => (StatusCode::NOT_FOUND, body).into_response(),
            "/private" => ([("cache-control", "max-age=60, private")], body).into_response(),
            "/varies" => ([("vary", "accept")], body).into_response(),
            "/login" => ([("set-cookie", "id=1")], body).into_response(),
            "/fails" => return Err("out of order"),
            _ => ([("x-time", "12:30")], body).into_response(),
        })
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_response_is_kept_for_its_ttl() {
        let app = Arc::new(App::new());
        for _ in 0..2 {
            let request = Request::get("/page?a=1").body(Body::empty()).unwrap();
            let response = app.send(request).await.unwrap();
            assert_eq!(response.headers()["x-time"], "12:30");
            assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
            assert_eq!(text(response).await, "1\n\n/page");
        }
        assert_eq!(app.get("/page?a=2").await, "2\n\n/page");
        app.cache.clock().advance(60).unwrap();
        assert_eq!(app.get("/page?a=1").await, "3\n\n/page");
    }

    #[tokio::test]
    async fn requests_at_once_are_answered_by_one_response() {
        let app = Arc::new(App::new());
        let (one, two, three) = tokio::join!(app.get("/page"), app.get("/page"), app.get("/page"));
        assert_eq!([one, two, three], ["1\n\n/page"; 3]);
    }

    #[tokio::test]
    async fn some_responses_are_not_kept() {
        let app = Arc::new(App::new());
        for path in ["/missing", "/private", "/varies", "/login"] {
            app.calls.store(0, Relaxed);
            let (one, two) = tokio::join!(app.get(path), app.get(path));
            assert_eq!([one, two], [format!("1\n\n{path}"), format!("2\n\n{path}")]);
        }
        for _ in 0..2 {
            let request = Request::get("/fails").body(Body::empty()).unwrap();
            assert_eq!(app.send(request).await.unwrap_err(), "out of order");
        }
        assert_eq!(app.cache.keys().count(), 0);
    }

    #[tokio::test]
    async fn some_requests_pass_by() {
        let app = Arc::new(App::new());
        app.get("/page").await;
        for request in [
            Request::post("/page"),
            Request::get("/page").header("authorization", "Basic QWRhOg=="),
            Request::get("/page").header("cookie", "id=1"),
        ] {
            app.send(request.body(Body::empty()).unwrap()).await.unwrap();
        }
        assert_eq!((app.calls.load(Relaxed), app.cache.keys().count()), (4, 1));
    }

    #[tokio::test]
    async fn other_bytes_under_the_key_are_a_response_without_a_head() {
        let app = Arc::new(App::new());
        for (stored, shown) in [("", ""), ("junk", "junk"), (":\n \n", ""), ("a:b", "a:b")] {
            app.cache.set("response:/page", stored, Ttl::Never).unwrap();
            assert_eq!(app.get("/page").await, shown);
        }
    }
}
