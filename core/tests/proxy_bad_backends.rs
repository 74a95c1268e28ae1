//! A proxy before backends that lie, stall, or hang. Errors are clear, other pools go on, and no
//! client gets a reply to another one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test says why it is skipped")]

mod proxying;
mod waiting;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use memcache_rs::internal::base::error::StartError;
use memcache_rs::{Fault, FaultRule, Listen, ProxyConfig, Server, ServerConfig, Ttl};
use proxying::{Client, address, start};
use socket2::{Domain, Socket, Type};
use waiting::{PATIENCE, eventually};

const FAILURE: &str = "SERVER_ERROR backend failure\r\n";

/// Starts a backend that carries out `behave` for each connection, on a thread of its own.
fn backend(behave: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, behave) = (socket.unwrap(), behave.clone());
            thread::spawn(move || behave(socket));
        }
    });
    at
}

/// Reads until the input ends with `end`. Returns `false` if the proxy closes the connection.
fn read_until(socket: &mut TcpStream, end: &str) -> bool {
    let mut input = Vec::new();
    let mut byte = [0];
    while !input.ends_with(end.as_bytes()) {
        match socket.read(&mut byte) {
            Ok(1) => input.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Tells the version, as the proxy asks each new connection to do.
fn greet(socket: &mut TcpStream) {
    assert!(read_until(socket, "version\r\n"));
    socket.write_all(b"VERSION 1.0\r\n").unwrap();
}

/// A good backend in the pool `good`, and a proxy with a bad one in the pool `bad`, which has the
/// keys that begin with `bad`.
struct Bench {
    good: Server,
    proxy: Server,
}

impl Bench {
    /// `more` are keys of the pool `bad`.
    fn new(bad: SocketAddr, more: &str, config: ServerConfig) -> Result<Self, StartError> {
        let good = start(ServerConfig::default());
        let text = format!(
            "route = {{ by_prefix = {{ bad = 'bad' }}, default = 'good' }}\n\
             [pools.good]\nbackends = ['{}']\n[pools.bad]\nbackends = ['{bad}']\nretry_ms = 10\n{more}\n",
            address(&good),
        );
        let listen = vec![Listen::tcp(([127, 0, 0, 1], 0).into())];
        let proxy = Some(ProxyConfig::Text(text));
        let proxy = Server::start(ServerConfig { proxy, listen, threads: 1, ..config })?;
        Ok(Self { good, proxy })
    }

    fn of(bad: SocketAddr, more: &str) -> Self {
        Self::new(bad, more, ServerConfig::default()).unwrap()
    }

    fn client(&self) -> Client {
        Client::new(&self.proxy)
    }

    /// Checks that the other pool answers.
    #[track_caller]
    fn check(&self) {
        self.client().asks("set k 0 0 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    }

    /// Returns the reasons for which connections end, as they come.
    fn reasons(&self) -> Reasons {
        let mut watch = self.client();
        watch.asks("watch proxyevents\r\n", "OK\r\n");
        Reasons(watch)
    }
}

struct Reasons(Client);

impl Reasons {
    #[track_caller]
    fn next(&mut self) -> String {
        let line = self.0.line();
        let reason =
            line.split_once("type=proxy_backend error=").and_then(|(_, rest)| rest.split(' ').next());
        reason.unwrap_or_else(|| panic!("{line}")).to_owned()
    }
}

/// A request, the reply of a backend that lies, and the reason for which its connection ends.
const LIES: &[(&str, &str, &str)] = &[
    ("get bad", "VALUE bat 0 1\r\nx\r\nEND\r\n", "wrongreply"),
    ("get bad", "VALUE ba 0 1\r\nx\r\nEND\r\n", "wrongreply"),
    ("gets bad", "VALUE badly 0 1 7\r\nx\r\nEND\r\n", "wrongreply"),
    ("get bad", "STORED\r\n", "wrongreply"),
    ("get bad", "HD\r\n", "wrongreply"),
    ("get bad", "7\r\n", "wrongreply"),
    ("delete bad", "STORED\r\n", "wrongreply"),
    ("delete bad", "END\r\n", "wrongreply"),
    ("delete bad", "OK\r\n", "wrongreply"),
    ("touch bad 0", "DELETED\r\n", "wrongreply"),
    ("incr bad 1", "STORED\r\n", "wrongreply"),
    ("set bad 0 0 1\r\nx", "DELETED\r\n", "wrongreply"),
    ("set bad 0 0 1\r\nx", "VALUE bad 0 1\r\nx\r\nEND\r\n", "wrongreply"),
    ("mg bad v", "VALUE bad 0 1\r\nx\r\nEND\r\n", "wrongreply"),
    ("mg bad v", "STORED\r\n", "wrongreply"),
    ("mg bad v k", "VA 1 kbat\r\nx\r\n", "wrongreply"),
    ("mg bad k", "HD kbat\r\n", "wrongreply"),
    ("mg bad v O1", "VA 1 O2\r\nx\r\n", "wrongreply"),
    ("mg bad v", "VA 1 O2\r\nx\r\n", "wrongreply"),
    ("md bad O1 k", "NF O2 kbad\r\n", "wrongreply"),
    ("ms bad 1 O1\r\nx", "HD O11\r\n", "wrongreply"),
    ("me bad", "ME bat exp=-1\r\n", "wrongreply"),
    ("get bad", "nonsense\r\n", "parsing"),
    ("get bad", "\r\n", "parsing"),
    ("get bad", "VALUE bad 0 5\r\nabc\r\nEND\r\n", "parsing"),
    ("get bad", "VALUE bad 0 1\r\nx\r\nVALUE bad 0 1\r\nx\r\nEND\r\n", "missingend"),
    ("get bad", "VALUE bad 0 1073741825\r\n", "parsing"),
    ("get bad", "STAT pid 1\r\n", "unhandledres"),
    ("get bad", "VERSION 1\r\n", "unhandledres"),
    ("get bad", "VALUE bad 0 100\r\nhalf of it", "disconnected"),
    ("get bad", "VALUE b", "disconnected"),
    ("get bad", "", "disconnected"),
];

#[test]
fn a_backend_that_lies_is_cut_off() {
    for &(request, lie, reason) in LIES {
        let at = backend(move |mut socket| {
            greet(&mut socket);
            let end = if request.contains('\n') { "x\r\n" } else { "\r\n" };
            if read_until(&mut socket, end) {
                let _ = socket.write_all(lie.as_bytes());
            }
        });
        let bench = Bench::of(at, "");
        let mut reasons = bench.reasons();
        bench.client().asks(&format!("{request}\r\n"), FAILURE);
        assert_eq!(reasons.next(), reason, "{request}: {lie}");
        bench.check();
    }
}

/// Starts a proxy whose only route is a pool of one backend, so that a get is sent in a batch.
fn only(backend: SocketAddr, more: &str) -> Server {
    let text = format!("route = 'only'\n[pools.only]\nbackends = ['{backend}']\nretry_ms = 10\n{more}\n");
    start(ServerConfig { proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() })
}

/// A backend that greets, waits for the line, sends a reply to it and closes.
fn replies(line: &'static str, reply: &'static str) -> SocketAddr {
    backend(move |mut socket| {
        greet(&mut socket);
        if read_until(&mut socket, line) {
            let _ = socket.write_all(reply.as_bytes());
        }
    })
}

#[test]
fn the_items_of_a_batch_reach_their_keys_in_any_order() {
    let (a, b) = ("VALUE a 0 1 7\r\nx\r\n", "VALUE b 5 5 9\r\nEND\r\n\r\n");
    for (line, reply, items) in [
        ("gets a no b\r\n", "VALUE a 0 1 7\r\nx\r\nVALUE b 5 5 9\r\nEND\r\n\r\nEND\r\n", format!("{a}{b}")),
        ("gets a no b\r\n", "VALUE b 5 5 9\r\nEND\r\n\r\nVALUE a 0 1 7\r\nx\r\nEND\r\n", format!("{a}{b}")),
        ("gets a b a\r\n", "VALUE a 0 1 7\r\nx\r\nVALUE a 0 1 7\r\nx\r\nEND\r\n", format!("{a}{a}")),
        ("gets a b\r\n", "VALUE b 5 5 9\r\nEND\r\n\r\nEND\r\n", b.to_owned()),
        ("gets a b\r\n", "END\r\n", String::new()),
    ] {
        for more in ["", "connections = 1\nshared = true"] {
            let proxy = only(replies(line, reply), more);
            Client::new(&proxy).asks(line, &format!("{items}END\r\n"));
        }
    }
    let error = "SERVER_ERROR out of memory writing get response\r\n";
    let proxy = only(replies("get a b\r\n", error), "");
    Client::new(&proxy).asks("get a b\r\n", error);
}

#[test]
fn a_backend_that_lies_about_a_batch_is_cut_off() {
    for (lie, reason) in [
        ("VALUE c 0 1\r\nx\r\nEND\r\n", "wrongreply"),
        ("VALUE a 0 1\r\nx\r\nVALUE a 0 1\r\nx\r\nEND\r\n", "wrongreply"),
        ("VALUE ab 0 1\r\nx\r\nEND\r\n", "wrongreply"),
        ("VA 1\r\nx\r\n", "wrongreply"),
        ("EN\r\n", "wrongreply"),
        ("STORED\r\n", "wrongreply"),
        ("VALUE a 0 1\r\nx\r\nSTORED\r\n", "wrongreply"),
        ("VALUE a 0 1\r\nx\r\nEN\r\n", "wrongreply"),
        ("VALUE a 0 1\r\nx\r\nVALUE b 0 1073741825\r\n", "parsing"),
        ("VALUE a 0 1\r\nx\r\nVALUE b 0 5\r\nabc\r\nEND\r\n", "parsing"),
        ("VALUE a 0 1\r\nx\r\n", "disconnected"),
        ("", "disconnected"),
    ] {
        let proxy = only(replies("get a b\r\n", lie), "");
        let mut watch = Client::new(&proxy);
        watch.asks("watch proxyevents\r\n", "OK\r\n");
        Client::new(&proxy).asks("get a b\r\n", FAILURE);
        assert_eq!(Reasons(watch).next(), reason, "{lie}");
    }
}

/// Replies as servers give them pass: with the flags that the request has.
#[test]
fn honest_replies_pass() {
    let bench = Bench::of(silent(), "");
    for (request, reply) in [
        ("ms kO1 2 T0 k O9\r\nhi", "HD kkO1 O9\r\n"),
        ("mg kO1 v k O9", "VA 2 kkO1 O9\r\nhi\r\n"),
        ("mg none v O7 k", "EN"),
        // The same key as YQ==, which the backend returns.
        ("ms YR== 1 b k\r\nx", "HD kYQ== b\r\n"),
        ("md none k O5", "NF knone O5\r\n"),
        ("me kO1", "ME kO1 "),
        ("incr none 1", "NOT_FOUND\r\n"),
        ("cas none 0 0 1 5\r\nx", "NOT_FOUND\r\n"),
        ("set n 0 0 2\r\n15", "STORED\r\n"),
        ("incr n 1", "16\r\n"),
    ] {
        bench.client().asks(&format!("{request}\r\n"), reply);
    }
}

/// A second reply answers the next request if that is on its way, and else ends the connection.
#[test]
fn too_many_replies_end_the_connection() {
    let at = backend(|mut socket| {
        greet(&mut socket);
        while read_until(&mut socket, "\r\n") {
            let _ = socket.write_all("VALUE bad 0 1\r\nx\r\nEND\r\n".repeat(3).as_bytes());
        }
    });
    let bench = Bench::of(at, "");
    let mut reasons = bench.reasons();
    bench.client().asks("get bad\r\n", "VALUE bad 0 1\r\nx\r\nEND\r\n");
    assert_eq!(reasons.next(), "trailingdata");
    // The surplus of one key never answers another one.
    let mut client = bench.client();
    client.send("get bad\r\nget bad2\r\nget bad3\r\nquit\r\n");
    let mut replies = String::new();
    client.0.read_to_string(&mut replies).unwrap();
    assert!(replies.ends_with(&FAILURE.repeat(2)), "{replies}");
    bench.check();
}

#[test]
fn a_line_without_end_is_cut_off() {
    let at = backend(|mut socket| {
        greet(&mut socket);
        read_until(&mut socket, "\r\n");
        while socket.write_all(&[b'x'; 1000]).is_ok() {}
    });
    let bench = Bench::of(at, "");
    let mut reasons = bench.reasons();
    bench.client().asks("get bad\r\n", FAILURE);
    assert_eq!(reasons.next(), "parsing");
    bench.check();
}

/// Returns a backend that reads requests and answers none. Dropping the sender closes it.
fn silent() -> SocketAddr {
    backend(|mut socket| {
        greet(&mut socket);
        while read_until(&mut socket, "\r\n") {}
    })
}

#[test]
fn other_pools_answer_while_a_backend_hangs() {
    let bench = Bench::of(silent(), "read_timeout_ms = 3600000");
    let mut waiting = bench.client();
    waiting.send("get bad\r\n");
    let (mut before, mut both) = (bench.client(), bench.client());
    before.send("get k\r\nget bad\r\n");
    both.send("get k bad\r\n");
    for _ in 0..20 {
        bench.check();
    }
    drop(waiting);
    bench.check();
}

#[test]
fn a_backend_that_stalls_fails_after_the_read_timeout() {
    let at = backend(|mut socket| {
        greet(&mut socket);
        read_until(&mut socket, "\r\n");
        let _ = socket.write_all(b"VALUE bad 0 100\r\nhalf of it");
        read_until(&mut socket, "never");
    });
    let bench = Bench::of(at, "read_timeout_ms = 50");
    let mut reasons = bench.reasons();
    bench.client().asks("get bad\r\n", FAILURE);
    assert_eq!(reasons.next(), "timeout");
    bench.check();
}

/// The reply comes once the client has its error. The next request gets its own one.
#[test]
fn a_late_reply_is_dropped() {
    let (failed, answered) = channel::<()>();
    let answered = std::sync::Arc::new(std::sync::Mutex::new(Some(answered)));
    let at = backend(move |mut socket| {
        greet(&mut socket);
        let late: Option<Receiver<()>> = answered.lock().unwrap().take();
        if !read_until(&mut socket, "\r\n") {
            return;
        }
        match late {
            Some(answered) => {
                answered.recv().unwrap();
                let _ = socket.write_all(b"VALUE bad 0 4\r\nlate\r\nEND\r\n");
            }
            None => socket.write_all(b"VALUE bad 0 5\r\nright\r\nEND\r\n").unwrap(),
        }
        read_until(&mut socket, "never");
    });
    let bench = Bench::of(at, "read_timeout_ms = 500");
    let mut client = bench.client();
    client.asks("get bad\r\n", FAILURE);
    failed.send(()).unwrap();
    client.asks("get bad\r\n", "VALUE bad 0 5\r\nright\r\nEND\r\n");
}

/// The queue of the listener is full, so the system answers no connection.
#[test]
fn a_backend_that_never_accepts() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let at = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        match socket.connect_timeout(&at.into(), PATIENCE / 100) {
            Ok(()) => queue.push(socket),
            Err(e) if e.kind() == ErrorKind::TimedOut => break,
            // Some systems refuse connections beyond the queue.
            Err(_) => return,
        }
    }
    let bench = Bench::of(at, "connect_timeout_ms = 50");
    let mut reasons = bench.reasons();
    bench.client().asks("get bad\r\n", FAILURE);
    assert_eq!(reasons.next(), "conntimeout");
    bench.check();
}

#[test]
#[cfg(feature = "tls")]
fn a_backend_that_never_finishes_tls() {
    let at = backend(|mut socket| {
        read_until(&mut socket, "never");
    });
    let bench = Bench::of(at, "connect_timeout_ms = 50\ntls = { verify = false }");
    let mut reasons = bench.reasons();
    bench.client().asks("get bad\r\n", FAILURE);
    assert_eq!(reasons.next(), "conntimeout");
    bench.check();
}

/// Each reply to a client has its own key, however often connections to the backend end.
#[test]
fn no_reply_reaches_another_client() {
    const CLIENTS: usize = 8;
    let bad = start(ServerConfig::default());
    for n in 0..CLIENTS {
        bad.cache().set(format!("bad{n}"), format!("value{n}"), Ttl::Never).unwrap();
    }
    for fault in [Fault::Drop, Fault::Truncate(9), Fault::DelayReply(PATIENCE / 2000)] {
        bad.cache().faults().add(FaultRule { probability: 0.02, ..FaultRule::new(fault) });
    }
    let bench = Bench::of(address(&bad), "failure_limit = 100\nconnections = 2");
    thread::scope(|scope| {
        for n in 0..CLIENTS {
            let bench = &bench;
            scope.spawn(move || {
                let reply = format!("VALUE bad{n} 0 6");
                let mut client = bench.client();
                for round in 0..200 {
                    if round % 10 == 9 {
                        // The replies to this one are still on their way.
                        client.send(&format!("get bad{n}\r\n").repeat(3));
                        client = bench.client();
                    }
                    client.send(&format!("get bad{n}\r\n"));
                    match client.line().trim_end() {
                        line if line == reply => client.expect(&format!("value{n}\r\nEND\r\n")),
                        line => assert_eq!(line, FAILURE.trim_end()),
                    }
                }
            });
        }
    });
    bench.check();
}

/// Returns a number of `stats proxy`.
fn stat(bench: &Bench, name: &str) -> u64 {
    let mut client = bench.client();
    client.send("stats proxy\r\nquit\r\n");
    let mut text = String::new();
    client.0.read_to_string(&mut text).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    value.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn ten_thousand_clients_before_a_backend_that_hangs() {
    const CLIENTS: usize = 10_000;
    // The clients of this test and their other ends.
    let config = ServerConfig { max_connections: 2 * CLIENTS + 1000, ..ServerConfig::default() };
    let (die, dead) = channel::<()>();
    let dead = std::sync::Arc::new(std::sync::Mutex::new(dead));
    let at = backend(move |mut socket| {
        greet(&mut socket);
        // All connections end together, once the test says so.
        let _ = dead.lock().unwrap().recv();
    });
    let bench = match Bench::new(at, "read_timeout_ms = 3600000", config) {
        Err(StartError::Descriptors { wanted, allowed }) => {
            println!("skipped: it needs {wanted} files, and {allowed} are allowed");
            return;
        }
        other => other.unwrap(),
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| bench.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&format!("get bad{n}\r\n"));
    }
    eventually("all requests are under way", || stat(&bench, "buffer_memory_used") >= CLIENTS as u64);
    bench.check();
    assert!(stat(&bench, "buffer_memory_used") < CLIENTS as u64 * 2048);
    drop(die);
    for client in &mut clients {
        client.asks("get k\r\n", &format!("{FAILURE}END\r\n"));
    }
    eventually("no request is under way", || stat(&bench, "buffer_memory_used") == 0);
    assert!(bench.good.cache().get("k").is_none());
}
