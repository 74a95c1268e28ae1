//! Connections to backends that all workers of a proxy share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxying;
mod waiting;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use memcache_rs::{Listen, ProxyBackendStats, ProxyConfig, Server, ServerConfig, Stop};
use proxying::{Client, address, start};
use waiting::{PATIENCE, eventually};

const FAILURE: &str = "SERVER_ERROR backend failure\r\n";

/// Starts a proxy with four workers, which take clients in turn and share the connections.
fn proxy(backend: SocketAddr, more: &str) -> Server {
    let text = format!("route = 'p'\n[pools.p]\nbackends = ['{backend}']\nshared = true\n{more}\n");
    let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
    let proxy = Some(ProxyConfig::Text(text));
    Server::start(ServerConfig { proxy, listen, threads: 4, ..ServerConfig::default() }).unwrap()
}

/// Connects a client of each worker, and of some a second one.
fn clients(proxy: &Server) -> Vec<Client> {
    (0..6).map(|_| Client::new(proxy)).collect()
}

fn stats(proxy: &Server) -> ProxyBackendStats {
    let stats = proxy.proxy_stats().unwrap();
    assert_eq!(stats.backends.len(), 1, "{stats:?}");
    stats.backends[0].clone()
}

/// A backend that answers when the test does. It tells its version by itself.
struct Manual {
    address: SocketAddr,
    asks: Receiver<Asked>,
}

/// The number of a connection, a line from it, and the connection.
type Asked = (usize, String, TcpStream);

impl Manual {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asks) = channel();
        thread::spawn(move || {
            for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
                let sender = sender.clone();
                thread::spawn(move || {
                    let mut to = socket.try_clone().unwrap();
                    for line in BufReader::new(socket).lines().map_while(Result::ok) {
                        if line == "version" {
                            let _ = to.write_all(b"VERSION 1.6.45\r\n");
                        } else {
                            let _ = sender.send((number, line, to.try_clone().unwrap()));
                        }
                    }
                });
            }
        });
        Self { address, asks }
    }

    /// Starts it, and a proxy before it.
    fn with_proxy(more: &str) -> (Self, Server) {
        let backend = Self::new();
        let proxy = proxy(backend.address, more);
        (backend, proxy)
    }

    fn ask(&self) -> Asked {
        self.asks.recv_timeout(PATIENCE).unwrap()
    }

    /// Answers a request that a client sends, and expects it on the second connection.
    fn answers_anew(&self, client: &mut Client, request: &str, reply: &str) {
        client.send(&format!("{request}\r\n"));
        let (number, line, mut socket) = self.ask();
        assert_eq!((number, line.as_str()), (1, request), "the second connection");
        socket.write_all(reply.as_bytes()).unwrap();
        client.expect(reply);
    }
}

/// Each client reads its own replies, in its order.
#[test]
fn all_workers_use_one_connection() {
    let backend = start(ServerConfig::default());
    let proxy = proxy(address(&backend), "");
    let value = "x".repeat(3000);
    let one = |mut client: Client, own: usize| {
        for round in 0..50 {
            let mut expected = String::new();
            let mut requests = String::new();
            for number in 0..20 {
                let key = format!("{own}-{number}");
                let value = format!("{round}{}", &value[..number * 150]);
                let length = value.len();
                write!(requests, "set {key} 0 0 {length}\r\n{value}\r\nget {key}\r\nmg none{own}\r\n")
                    .unwrap();
                write!(expected, "STORED\r\nVALUE {key} 0 {length}\r\n{value}\r\nEND\r\nEN\r\n").unwrap();
            }
            client.asks(&requests, &expected);
        }
    };
    thread::scope(|scope| {
        for (own, client) in clients(&proxy).into_iter().enumerate() {
            scope.spawn(move || one(client, own));
        }
    });
    let stats = stats(&proxy);
    assert_eq!((stats.connections, stats.open, stats.connects), (1, 1, 1), "{stats:?}");
    assert_eq!((stats.requests, stats.depth), (6 * 50 * 20 * 3, 0));
    assert_eq!(stats.pools, ["p"]);
    Client::new(&proxy).asks("stats reset\r\n", "RESET\r\n");
    assert_eq!(self::stats(&proxy).requests, 0);
}

/// A request takes the connection with the fewest requests of all workers.
#[test]
fn connections_are_chosen_for_all_workers_together() {
    let (backend, proxy) = Manual::with_proxy("connections = 3");
    eventually("three connections", || stats(&proxy).open == 3);
    let mut clients = clients(&proxy);
    let mut used = Vec::new();
    let mut sockets = Vec::new();
    for client in &mut clients[..3] {
        client.send("mg k\r\n");
        let (number, line, socket) = backend.ask();
        assert_eq!(line, "mg k");
        used.push(number);
        sockets.push(socket);
    }
    used.sort_unstable();
    assert_eq!(used, [0, 1, 2]);
    for (client, mut socket) in clients.iter_mut().zip(sockets) {
        socket.write_all(b"EN\r\n").unwrap();
        client.expect("EN\r\n");
    }
    assert_eq!(stats(&proxy).connections, 3);
}

#[test]
fn a_lost_connection_fails_the_requests_of_all_workers() {
    let (backend, proxy) = Manual::with_proxy("");
    let mut clients = clients(&proxy);
    for client in &mut clients {
        client.send("mg k\r\n");
    }
    let sockets: Vec<_> = clients.iter().map(|_| backend.ask()).collect();
    sockets[0].2.shutdown(std::net::Shutdown::Both).unwrap();
    for client in &mut clients {
        client.expect(FAILURE);
    }
    backend.answers_anew(&mut clients[1], "mg k", "EN\r\n");
    let stats = stats(&proxy);
    assert_eq!((stats.lost, stats.connects), (vec![("disconnected", 6)], 2));
}

/// The replies of one worker's requests must not reach another one.
#[test]
fn a_wrong_reply_ends_the_connection_of_all_workers() {
    let (backend, proxy) = Manual::with_proxy("");
    let mut clients = clients(&proxy);
    clients[0].send("get a\r\n");
    let (_, line, mut socket) = backend.ask();
    assert_eq!(line, "get a");
    clients[1].send("get b\r\n");
    assert_eq!(backend.ask().1, "get b");
    socket.write_all(b"VALUE b 0 1\r\nx\r\nEND\r\n").unwrap();
    clients[0].expect(FAILURE);
    clients[1].expect(FAILURE);
    backend.answers_anew(&mut clients[1], "get b", "VALUE b 0 1\r\ny\r\nEND\r\n");
}

/// After a wrong reply, a later one may answer another request, although it could be right. The
/// replies of one connection are one failure, however many workers have got some.
#[test]
fn replies_after_a_wrong_one_are_not_used() {
    let (backend, proxy) = Manual::with_proxy("failure_limit = 1");
    let mut clients = clients(&proxy);
    let mut sockets = Vec::new();
    for client in &mut clients {
        client.send("get a\r\nmg d v\r\nget a\r\nget a\r\n");
        sockets.extend((0..4).map(|_| backend.ask().2));
    }
    let wrong = "VALUE b 0 1\r\nx\r\nEND\r\n";
    let replies = format!("{wrong}VA 1\r\nc\r\n{wrong}{wrong}").repeat(clients.len());
    sockets[0].write_all(replies.as_bytes()).unwrap();
    for client in &mut clients {
        client.expect(&FAILURE.repeat(4));
    }
    for client in &mut clients {
        backend.answers_anew(client, "get a", "END\r\n");
    }
    assert_eq!(stats(&proxy).connects, 2);
}

/// A get of several keys with a wrong item fails, and so do the requests after it.
#[test]
fn a_wrong_item_ends_the_connection_of_all_workers() {
    let (backend, proxy) = Manual::with_proxy("");
    let mut client = Client::new(&proxy);
    client.send("get a b\r\nget c d\r\n");
    let sockets = [backend.ask().2, backend.ask().2];
    let item = |key| format!("VALUE {key} 0 1\r\nx\r\n");
    let replies = [item("a"), item("c"), item("b"), "END\r\n".to_owned(), item("d"), "END\r\n".to_owned()];
    (&sockets[0]).write_all(replies.concat().as_bytes()).unwrap();
    client.expect(&FAILURE.repeat(2));
    backend.answers_anew(&mut client, "get a b", "END\r\n");
}

#[test]
fn a_backend_that_does_not_answer_fails_after_the_read_timeout() {
    let (backend, proxy) = Manual::with_proxy("read_timeout_ms = 50\nfailure_limit = 0");
    let mut client = Client::new(&proxy);
    client.asks("mg k\r\n", FAILURE);
    assert_eq!(backend.ask().1, "mg k");
    assert_eq!(stats(&proxy).lost[0], ("timeout", 1));
}

#[test]
fn backends_are_tried_again_on_demand() {
    let (backend, proxy) = Manual::with_proxy("retry_ms = 3600000\nfailure_limit = 0");
    let mut client = Client::new(&proxy);
    client.send("mg k\r\n");
    backend.ask().2.shutdown(std::net::Shutdown::Both).unwrap();
    client.expect(FAILURE);
    client.asks("mg k\r\n", FAILURE);
    assert_eq!(stats(&proxy).bad, 1);
    assert!(proxy.retry_backends());
    client.send("mg k\r\n");
    backend.ask().2.write_all(b"EN\r\n").unwrap();
    client.expect("EN\r\n");
}

/// The thread that has the connections ends after the workers.
#[test]
fn a_graceful_stop_waits_for_replies() {
    let (backend, proxy) = Manual::with_proxy("");
    let mut clients = clients(&proxy);
    clients[2].send("mg k\r\n");
    let (_, _, mut socket) = backend.ask();
    thread::scope(|scope| {
        let stops = scope.spawn(|| proxy.stop(Stop::Graceful, Duration::from_secs(20)));
        eventually("the stop", || proxy.context().control.stopping().is_some());
        socket.write_all(b"EN\r\n").unwrap();
        clients[2].expect("EN\r\n");
        drop(clients);
        assert_eq!(stops.join().unwrap(), Ok(()));
    });
}
