//! A connection of a service, and what bounds it.
//!
//! | bound | value |
//! |---|---|
//! | connections of a listener | [`Bounds::connections`]; others wait in the queue of the socket |
//! | time for the head of a request, and between two requests | [`Bounds::head`] |
//! | time for the body of a request and its handler | [`Bounds::request`] |
//! | time in which a client must read a part of a response | [`UNREAD_TIME`] (Linux) |
//! | bytes of a head, and of a response that waits | [`BUFFER`] each |
//! | bytes of a body | [`BODY`] |
//!
//! A handler that panics answers 500. The connection and all others go on.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, body};
use futures_util::FutureExt as _;
use futures_util::future::{self, Either};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time;

use super::error::Error;

/// The bounds that tests change.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections of a listener.
    pub connections: usize,
    /// Time for the head of a request. It also bounds the time between two requests.
    pub head: Duration,
    /// Time for the body of a request and its handler. The body of a response may take longer.
    pub request: Duration,
}

impl Bounds {
    /// The bounds of a daemon.
    pub const DAEMON: Self =
        Self { connections: 64, head: Duration::from_secs(10), request: Duration::from_secs(30) };
}

/// Time after which a connection ends whose client acknowledges nothing.
#[cfg(target_os = "linux")]
const UNREAD_TIME: Duration = Duration::from_secs(30);

/// Idle time after which the system asks whether the client's machine still exists.
const SILENCE: Duration = Duration::from_mins(1);

/// Bytes of the head of a request, and of a response that the socket has not taken.
const BUFFER: usize = 32 << 10;

/// Bytes of the body of a request.
pub const BODY: usize = 64 << 10;

/// Time to wait when the system refuses a connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `stop` has a change. Then it waits for requests under way.
///
/// # Errors
/// The socket cannot be used.
pub async fn accept(
    socket: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let router = TowerToHyperService::new(router.layer(DefaultBodyLimit::max(BODY)));
    let connections = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let mut stopping = pin!(until(stop));
    loop {
        let next = async {
            // Never closed.
            let place = Arc::clone(&connections).acquire_owned().await.ok();
            (place, socket.accept().await)
        };
        let (place, accepted) = match future::select(pin!(next), stopping.as_mut()).await {
            Either::Left((next, _)) => next,
            Either::Right(_) => break,
        };
        let Ok((stream, _)) = accepted else {
            time::sleep(PAUSE).await;
            continue;
        };
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            bound(&stream);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.head)
                .max_buf_size(BUFFER)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| answer(router.clone(), request, bounds.request)),
                );
            // An error is one of this client: it broke the protocol, or went away.
            let _ = watcher.watch(connection).await;
            drop(place);
        });
    }
    drop(socket);
    graceful.shutdown().await;
    Ok(())
}

async fn until(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Sets the options of a connection. One that the system does not have bounds nothing.
fn bound(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNREAD_TIME));
}

/// Answers a request.
async fn answer(
    router: TowerToHyperService<Router>,
    request: Request<Incoming>,
    limit: Duration,
) -> Result<Response<body::Body>, Infallible> {
    // The router is a clone for this request, so a panic leaves no broken state.
    let answered = AssertUnwindSafe(async move { router.call(request.map(body::Body::new)).await });
    Ok(match time::timeout(limit, answered.catch_unwind()).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(_)) => Error::internal().into_response(),
        Err(_) => too_slow(limit).into_response(),
    })
}

fn too_slow(limit: Duration) -> Error {
    let message = format!("a request must take at most {} seconds", limit.as_secs());
    Error::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
}
