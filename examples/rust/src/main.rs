//! A web application whose slow pages are cached.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod cache_layer;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use memcache_rs::{Cache, CacheConfig};
use tokio::net::TcpListener;
use tokio::time::sleep;

use cache_layer::CacheLayer;

async fn report(Path(year): Path<u32>) -> String {
    sleep(Duration::from_secs(1)).await;
    format!("report of {year}\n")
}

fn app(cache: Arc<Cache>) -> Router {
    Router::new().route("/report/{year}", get(report)).layer(CacheLayer::new(cache, Duration::from_mins(1)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::new(CacheConfig { memory_limit: 64 << 20, ..CacheConfig::default() })?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(cache)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use tokio::time::Instant;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_is_slow_once() {
        let app = app(Cache::new(CacheConfig::default()).unwrap());
        for seconds in [1, 0] {
            let start = Instant::now();
            let request = Request::get("/report/1815").body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), "report of 1815\n");
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
    }
}
