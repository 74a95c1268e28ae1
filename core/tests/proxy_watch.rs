//! Lines of `watch` about a proxy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod proxying;
#[allow(dead_code, reason = "the tests wait for lines alone")]
mod waiting;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use memcache_rs::{ProxyConfig, Server, ServerConfig};
use proxying::{Client, address, nowhere, start};

fn proxy(text: &str) -> Server {
    start(ServerConfig { proxy: Some(ProxyConfig::Text(text.into())), ..ServerConfig::default() })
}

fn watch(server: &Server, kinds: &str) -> Client {
    let mut watcher = Client::new(server);
    watcher.asks(&format!("watch {kinds}\r\n"), "OK\r\n");
    watcher
}

/// Returns the part of the next line after its time and number, with digits as `N` if they differ
/// from run to run.
fn next(watcher: &mut Client) -> String {
    let line = watcher.line();
    let words = line.trim_end().split(' ').skip(2).map(|word| match word.split_once('=') {
        Some((name @ ("elapsed" | "cfd"), _)) => format!("{name}=N"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The log has the requests that the pool wants, and no others.
#[test]
fn requests_of_a_pool_are_logged() {
    let (real, dead) = (start(ServerConfig::default()), nowhere());
    let live = address(&real).to_string();
    let proxy = proxy(&format!(
        "route = {{ by_prefix = {{ dead = 'dead', quiet = 'quiet' }}, default = 'main' }}\n[pools]\n\
         main = {{ backends = ['{live}'], log = {{ sample = 1 }} }}\n\
         quiet = {{ backends = ['{live}'], log = {{ errors = true, slow_ms = 60_000 }} }}\n\
         dead = {{ backends = ['{dead}'], log = {{ errors = true }} }}\n"
    ));
    let mut watcher = watch(&proxy, "proxyreqs");
    let mut other = watch(&proxy, "proxyuser");
    let mut client = Client::new(&proxy);
    let requests = [
        ("set k 0 0 1\r\nx\r\n", "STORED\r\n"),
        ("get quiet\r\n", "END\r\n"),
        ("get none\r\n", "END\r\n"),
        ("mg k v\r\n", "VA 1\r\nx\r\n"),
        ("incr k 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        ("get dead\r\n", "SERVER_ERROR backend failure\r\n"),
    ];
    for (request, reply) in requests {
        client.asks(request, reply);
    }
    let wanted = |kind, code, status, result, backend: &str, detail, request| {
        format!(
            "type=proxy_req elapsed=N type={kind} code={code} status={status} res={result} cfd=N be={backend} \
             detail={detail} req={request}"
        )
    };
    assert_eq!(next(&mut watcher), wanted(104, 8, 0, "good", &live, "main", "set k 0 0 1"));
    assert_eq!(next(&mut watcher), wanted(105, 17, 0, "ok", &live, "main", "get none"));
    assert_eq!(next(&mut watcher), wanted(101, 15, 0, "good", &live, "main", "mg k v"));
    assert_eq!(next(&mut watcher), wanted(108, 22, -1, "any", &live, "main", "incr k 1"));
    assert_eq!(next(&mut watcher), wanted(0, 23, -1, "any", &dead, "dead", "get dead"));
    other.0.set_nonblocking(true).unwrap();
    assert!(other.0.read(&mut [0]).is_err(), "proxyuser has lines of a Lua program alone");
}

/// The log shows the bytes that break the protocol.
#[test]
fn the_bytes_of_a_backend_that_lies_are_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let proxy = proxy(&format!("route = 'a'\npools.a.backends = ['{at}']\n"));
    let mut watcher = watch(&proxy, "proxyevents");
    let liar = thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut input = [0; 1000];
        let _ = socket.read(&mut input);
        socket.write_all(b"VERSION 1.0\r\n").unwrap();
        let _ = socket.read(&mut input);
        socket.write_all(b"STORED\r\nnon sense\r\n").unwrap();
        (listener, socket)
    });
    let mut client = Client::new(&proxy);
    let wanted = "STORED\r\nSERVER_ERROR backend failure\r\n";
    client.asks("set a 0 0 1\r\nx\r\nget b\r\n", wanted);
    let name = format!("name={} port={}", at.ip(), at.port());
    let line = format!("type=proxy_backend error=parsing {name} label={at} depth=1 rbuf=non%20sense%0D%0A");
    assert_eq!(next(&mut watcher), line);
    drop(liar.join().unwrap());
}
