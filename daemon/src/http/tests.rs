//! Services over real sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use axum::body::Bytes;
use axum::routing::{get, post};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Services that end within [`PATIENCE`], and the address of the first.
fn serve(bounds: Bounds) -> (Http, SocketAddr) {
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/panic", get(async || -> &'static str { panic!("the test says so here") }))
        .route("/length", post(async |body: Bytes| body.len().to_string()));
    let sockets = Sockets::bind("test", &[([127, 0, 0, 1], 0).into()], &mut Vec::new());
    let sockets = sockets.unwrap_or_else(|e| panic!("{e:?}"));
    let Some(at) = sockets.addresses().next() else { panic!("a service without an address") };
    let http = Http::start_within(vec![(sockets, router)], bounds);
    (http.unwrap_or_else(|e| panic!("{e:?}")), at)
}

fn connect(at: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(at).unwrap_or_else(|e| panic!("{e}"));
    assert!(client.set_read_timeout(Some(PATIENCE)).is_ok());
    client
}

/// Sends bytes, and returns all that comes until the server closes the connection.
fn talk(at: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut client = connect(at);
    // The server may close the connection before it has read all.
    let _ = client.write_all(bytes.as_ref());
    let mut heard = Vec::new();
    let _ = client.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

/// Returns the status of the response to `GET path`.
fn status(at: SocketAddr, path: &str) -> String {
    let heard = talk(at, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    heard.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_handler_that_panics_answers_500_and_nothing_else() {
    let (http, at) = serve(Bounds::DAEMON);
    let get = |path: &str, last: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{last}\r\n");
    let heard = talk(at, get("/panic", "") + &get("/", "Connection: close\r\n"));
    assert!(heard.starts_with("HTTP/1.1 500 ") && heard.contains("\"code\":\"internal\""), "{heard}");
    assert!(heard.ends_with("\r\n\r\nhere"), "{heard}");
    assert_eq!(http.stop().len(), 1);
}

#[test]
fn a_client_that_sends_nothing_loses_its_connection() {
    let head = Duration::from_millis(20);
    let (_http, at) = serve(Bounds { head, ..Bounds::DAEMON });
    for text in ["", "GET", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        assert!(!talk(at, text).contains("200"), "{text}");
    }
    // After a response as well.
    assert!(talk(at, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("here"));
}

#[test]
fn a_body_that_does_not_end_is_given_up() {
    let (_http, at) = serve(Bounds { request: Duration::from_millis(20), ..Bounds::DAEMON });
    let heard = talk(at, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf");
    assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
}

#[test]
fn heads_and_bodies_have_a_limit() {
    let (_http, at) = serve(Bounds::DAEMON);
    let post = |length: usize| {
        let head = "POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        talk(at, format!("{head}Content-Length: {length}\r\n\r\n{}", "x".repeat(length)))
    };
    assert!(post(BODY).ends_with("\r\n\r\n65536"));
    assert!(post(BODY + 1).starts_with("HTTP/1.1 413 "));
    let heard = talk(at, format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)));
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 431 "), "{heard}");
    assert!(talk(at, "no HTTP\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(status(at, "/"), "200");
}

#[test]
fn connections_beyond_the_limit_wait_for_a_place() {
    let (_http, at) = serve(Bounds { connections: 2, ..Bounds::DAEMON });
    let idle: Vec<TcpStream> = (0..2).map(|_| connect(at)).collect();
    let mut waiting = connect(at);
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(waiting.write_all(request.as_bytes()).is_ok());
    assert!(waiting.set_read_timeout(Some(Duration::from_millis(50))).is_ok());
    assert!(waiting.read(&mut [0; 1]).is_err(), "it is not served yet");
    drop(idle);
    assert!(waiting.set_read_timeout(Some(PATIENCE)).is_ok());
    let mut heard = String::new();
    assert!(waiting.read_to_string(&mut heard).is_ok() && heard.ends_with("here"), "{heard}");
}

#[test]
fn a_stop_closes_connections_and_keeps_the_sockets() {
    let (http, at) = serve(Bounds::DAEMON);
    let mut idle = connect(at);
    assert!(idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET ").is_ok());
    assert!(idle.read_exact(&mut [0; 1]).is_ok());
    let begun = Instant::now();
    let kept = http.stop();
    assert!(begun.elapsed() < PATIENCE);
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest);
    // The next version of the process accepts clients that come now.
    let client = connect(at);
    assert!(kept.iter().any(|(_, socket)| socket.accept().is_ok()));
    drop(client);
}
