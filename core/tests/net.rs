//! The server over real sockets: slow, silent, many and rude clients, and the state after a stop.
//! The transcripts test the replies themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "limits of the process are set by system calls")]

mod waiting;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread;
use std::time::Duration;

use memcache_rs::internal::state::{ConnState, WorkerStats};
use memcache_rs::{
    AuthConfig, AuthMethod, BoundAddress, ClientCommand, Fault, FaultRule, Hooks, Listen, Passwords,
    Protocol, Server, ServerConfig, Stop, StopError,
};
use socket2::{Domain, SockAddr, Socket, Type};
use waiting::{PATIENCE, eventually};

/// A test that counts resources of the process takes this lock exclusively.
static PROCESS: RwLock<()> = RwLock::new(());

fn shared() -> RwLockReadGuard<'static, ()> {
    PROCESS.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(target_os = "linux")]
fn alone() -> std::sync::RwLockWriteGuard<'static, ()> {
    PROCESS.write().unwrap_or_else(PoisonError::into_inner)
}

fn tcp(addr: &str) -> Listen {
    Listen::tcp(addr.parse().unwrap())
}

fn config() -> ServerConfig {
    ServerConfig { listen: vec![tcp("127.0.0.1:0")], threads: 2, ..ServerConfig::default() }
}

fn start() -> Server {
    Server::start(config()).unwrap()
}

fn address(server: &Server) -> SocketAddr {
    match server.addresses().first().unwrap() {
        BoundAddress::Tcp(addr) => *addr,
        other => panic!("not TCP: {other}"),
    }
}

fn connect(server: &Server) -> TcpStream {
    let client = TcpStream::connect(address(server)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

/// Sends `request` and reads as many bytes as `reply` has.
#[track_caller]
fn exchange(mut client: impl Read + Write, request: &[u8], reply: &[u8]) {
    client.write_all(request).unwrap();
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(reply));
}

fn read_to_end(mut client: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    all
}

fn connections(server: &Server) -> u64 {
    server.context().workers.iter().map(|w| w.connections.get()).sum()
}

fn buffered(server: &Server) -> u64 {
    server.context().workers.iter().map(|w| w.buffered.get()).sum()
}

/// Raises the limit of descriptors to both ends of many connections.
fn raise_descriptor_limit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointers are to a live structure of the right type.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            limit.rlim_cur = limit.rlim_max.min(8192);
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
    });
}

fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mcrs-{}-{name}.sock", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

/// A small generator, so that every run splits alike.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

fn script() -> (Vec<u8>, Vec<u8>) {
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    for (n, len) in [1, 100, 5000, 70_000, 300_000].into_iter().enumerate() {
        let value: Vec<u8> = (0..len).map(|i| b'a' + u8::try_from((i * 7 + n) % 26).unwrap()).collect();
        request.extend_from_slice(format!("set key{n} 0 0 {len}\r\n").as_bytes());
        request.extend_from_slice(&value);
        request.extend_from_slice(b"\r\nversion\r\n");
        request.extend_from_slice(format!("get key{n} none key{n}\r\n").as_bytes());
        reply.extend_from_slice(b"STORED\r\nVERSION 1.6.45\r\n");
        for _ in 0..2 {
            reply.extend_from_slice(format!("VALUE key{n} 0 {len}\r\n").as_bytes());
            reply.extend_from_slice(&value);
            reply.extend_from_slice(b"\r\n");
        }
        reply.extend_from_slice(b"END\r\n");
    }
    (request, reply)
}

#[test]
fn however_the_input_is_split_the_output_is_the_same() {
    let _guard = shared();
    let server = start();
    let (request, reply) = script();
    for seed in 1..=12 {
        let mut dice = Dice(seed);
        let largest = *[3, 40, 1500, 20_000, 400_000].get(dice.roll(5)).unwrap();
        let mut client = connect(&server);
        let mut reader = client.try_clone().unwrap();
        let expected = reply.len();
        let output = thread::spawn(move || {
            let mut got = vec![0; expected];
            reader.read_exact(&mut got).unwrap();
            got
        });
        let mut rest = request.as_slice();
        // Sends tiny pieces for a while only, because large values would take too long.
        let mut pieces = 0;
        while !rest.is_empty() {
            pieces += 1;
            let most = if pieces > 2000 { 50_000 } else { largest };
            let (piece, after) = rest.split_at((1 + dice.roll(most)).min(rest.len()));
            client.write_all(piece).unwrap();
            rest = after;
        }
        assert!(output.join().unwrap() == reply, "seed {seed}");
    }
    eventually("all closed", || connections(&server) == 0);
    assert_eq!(buffered(&server), 0);
}

#[test]
fn a_long_pipeline_is_answered_in_order_and_gives_way() {
    let _guard = shared();
    let server = start();
    let mut client = connect(&server);
    exchange(&client, b"set a 0 0 1\r\nx\r\n", b"STORED\r\n");
    let count = 50_000;
    let request = b"get a\r\n".repeat(count);
    let reply = b"VALUE a 0 1\r\nx\r\nEND\r\n".repeat(count);
    let mut writer = client.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&request).unwrap());
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    sender.join().unwrap();
    assert!(got == reply);
    let sum = |count: fn(&WorkerStats) -> u64| {
        server.context().workers.iter().map(|worker| count(worker)).sum::<u64>()
    };
    assert!(sum(|w| w.conn_yields.get()) > 0);
    assert_eq!(sum(|w| w.bytes_read.get()), 7 * count as u64 + 16);
    // The server counts the bytes after the write that the client has seen.
    eventually("all is counted", || sum(|w| w.bytes_written.get()) == reply.len() as u64 + 8);
}

#[test]
fn a_get_of_very_many_keys_is_one_command() {
    let _guard = shared();
    let server = start();
    let client = connect(&server);
    exchange(&client, b"set k1 0 0 1\r\nx\r\n", b"STORED\r\n");
    let mut request = b"get".to_vec();
    for n in 0..40_000 {
        request.extend_from_slice(format!(" k{n}").as_bytes());
    }
    request.extend_from_slice(b"\r\nversion\r\n");
    assert!(request.len() > 3 * 64 * 1024);
    exchange(&client, &request, b"VALUE k1 0 1\r\nx\r\nEND\r\nVERSION 1.6.45\r\n");
    eventually("buffers given back", || buffered(&server) == 0);
}

#[test]
fn a_reader_that_never_reads_holds_little_and_stops_nobody() {
    let _guard = shared();
    let server = start();
    let size = 200_000;
    let value = vec![b'v'; size];
    let mut set = format!("set big 0 0 {size}\r\n").into_bytes();
    set.extend_from_slice(&value);
    set.extend_from_slice(b"\r\n");
    let other = connect(&server);
    exchange(&other, &set, b"STORED\r\n");

    let mut slow = connect(&server);
    let count = 500;
    let mut writer = slow.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&b"get big\r\n".repeat(count)).unwrap());
    eventually("the slow one waits", || {
        server.context().connections.iter(0).any(|(_, state, _)| state == ConnState::Mwrite)
    });
    // Twice: its worker and the other one.
    for _ in 0..4 {
        exchange(connect(&server), b"version\r\n", b"VERSION 1.6.45\r\n");
    }
    let limit = server.context().config.output_limit as u64;
    assert!(buffered(&server) <= 2 * limit, "{} bytes buffered", buffered(&server));

    let one = format!("VALUE big 0 {size}\r\n").len() + size + "\r\nEND\r\n".len();
    let mut got = vec![0; one * count];
    slow.read_exact(&mut got).unwrap();
    sender.join().unwrap();
    assert!(got.ends_with(b"v\r\nEND\r\n"));
    eventually("buffers given back", || buffered(&server) == 0);
}

#[test]
fn a_slow_reader_that_goes_away_is_forgotten() {
    let _guard = shared();
    let server = start();
    let mut set = b"set big 0 0 500000\r\n".to_vec();
    set.extend_from_slice(&vec![b'v'; 500_000]);
    set.extend_from_slice(b"\r\n");
    exchange(connect(&server), &set, b"STORED\r\n");
    let mut slow = connect(&server);
    slow.write_all(&b"get big\r\n".repeat(100)).unwrap();
    eventually("it waits", || {
        server.context().connections.iter(0).any(|(_, state, _)| state == ConnState::Mwrite)
    });
    drop(slow);
    eventually("closed", || connections(&server) == 0);
    assert_eq!(buffered(&server), 0);
}

#[test]
fn a_thousand_connections_of_one_byte() {
    let _guard = shared();
    raise_descriptor_limit();
    let server = Server::start(ServerConfig { max_connections: 4000, ..config() }).unwrap();
    let mut clients: Vec<_> = (0..1000).map(|_| connect(&server)).collect();
    for client in &mut clients {
        client.write_all(b"v").unwrap();
    }
    let context = server.context();
    eventually("all bytes are read", || {
        context.workers.iter().map(|w| w.bytes_read.get()).sum::<u64>() == 1000
    });
    eventually("all are counted", || connections(&server) == 1000 && buffered(&server) == 1000);
    exchange(connect(&server), b"version\r\n", b"VERSION 1.6.45\r\n");
    for client in &clients {
        exchange(client, b"ersion\r\n", b"VERSION 1.6.45\r\n");
    }
    eventually("buffers given back", || buffered(&server) == 0);
    drop(clients);
    eventually("all closed", || connections(&server) == 0);
    let open: Vec<_> = context.connections.iter(0).map(|(_, state, _)| state).collect();
    assert_eq!(open, [ConnState::Listening]);
    assert_eq!(context.listener.total.load(Ordering::Relaxed), 1001);
}

#[test]
fn a_client_that_has_finished_sending_gets_all_replies() {
    let _guard = shared();
    let server = start();
    let mut client = connect(&server);
    let (request, reply) = script();
    client.write_all(&request).unwrap();
    client.write_all(b"vers").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(&client) == reply);
    eventually("closed", || connections(&server) == 0);
}

#[test]
fn quit_sends_what_came_before_it() {
    let _guard = shared();
    let server = start();
    let mut client = connect(&server);
    client.write_all(b"version\r\nquit\r\nversion\r\n").unwrap();
    assert_eq!(read_to_end(&client), b"VERSION 1.6.45\r\n");
}

#[test]
fn over_the_limit_clients_are_refused() {
    let _guard = shared();
    let server = Server::start(ServerConfig { max_connections: 4, ..config() }).unwrap();
    let clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for client in &clients {
        exchange(client, b"version\r\n", b"VERSION 1.6.45\r\n");
    }
    for _ in 0..3 {
        assert_eq!(read_to_end(connect(&server)), b"ERROR Too many open connections\r\n");
    }
    let stats = &server.context().listener;
    assert_eq!(stats.rejected.load(Ordering::Relaxed), 3);
    assert_eq!(stats.total.load(Ordering::Relaxed), 3);
    drop(clients);
    eventually("closed", || connections(&server) == 0);
    eventually("room again", || {
        let mut client = connect(&server);
        client.write_all(b"version\r\n").unwrap();
        let mut first = [0];
        client.read_exact(&mut first).unwrap();
        first == *b"V"
    });
}

#[test]
fn one_address_has_its_share_of_connections() {
    let _guard = shared();
    let path = PathBuf::from(format!("/tmp/mcrs-share-{}", std::process::id()));
    let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
    let listen = vec![tcp("127.0.0.1:0"), unix];
    let server = Server::start(ServerConfig { conns_per_ip: 2, listen, ..config() }).unwrap();
    let mut clients: Vec<_> = (0..2).map(|_| connect(&server)).collect();
    for client in &clients {
        exchange(client, b"version\r\n", b"VERSION 1.6.45\r\n");
    }
    for _ in 0..2 {
        assert_eq!(read_to_end(connect(&server)), b"ERROR Too many open connections\r\n");
    }
    let stats = &server.context().listener;
    assert_eq!(stats.rejected_per_ip.load(Ordering::Relaxed), 2);
    assert_eq!(stats.total.load(Ordering::Relaxed), 2);
    // Another address has its own share, and Unix sockets have none.
    let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    other.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 2], 0)))).unwrap();
    other.connect(&SockAddr::from(address(&server))).unwrap();
    exchange(&TcpStream::from(other), b"version\r\n", b"VERSION 1.6.45\r\n");
    let local: Vec<_> = (0..4).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for mut client in &local {
        client.write_all(b"quit\r\n").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    // A connection that closes leaves room for the next.
    clients.pop();
    eventually("room again", || {
        let mut client = connect(&server);
        client.write_all(b"version\r\n").unwrap();
        let mut first = [0];
        client.read_exact(&mut first).unwrap();
        first == *b"V"
    });
}

#[test]
fn over_the_limit_clients_wait() {
    use Ordering::Relaxed;
    let _guard = shared();
    let settings = ServerConfig { max_connections: 4, maxconns_fast: false, ..config() };
    let server = Server::start(settings).unwrap();
    let stats = &server.context().listener;
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
        for client in &clients {
            exchange(client, b"version\r\n", b"VERSION 1.6.45\r\n");
        }
        let before = stats.disabled.load(Relaxed);
        let mut waiting: Vec<_> = (0..3).map(|_| connect(&server)).collect();
        for client in &mut waiting {
            client.write_all(b"version\r\n").unwrap();
        }
        eventually("listening is off", || stats.disabled.load(Relaxed) == before + 1);
        assert_eq!(stats.paused.load(Relaxed), 1);
        for client in &waiting {
            client.set_nonblocking(true).unwrap();
            assert_eq!(client.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            client.set_nonblocking(false).unwrap();
        }
        clients.clear();
        for client in &waiting {
            exchange(client, b"", b"VERSION 1.6.45\r\n");
        }
        drop(waiting);
        eventually("closed", || connections(&server) == 0);
    }
    eventually("listening is on", || stats.paused.load(Relaxed) == 0);
    assert_eq!(stats.rejected.load(Relaxed), 0);
}

#[test]
fn idle_clients_are_closed_and_busy_ones_are_not() {
    let _guard = shared();
    let path = socket_path("idle");
    let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
    let settings = ServerConfig { listen: vec![tcp("127.0.0.1:0"), unix], idle_timeout: 1, ..config() };
    let server = Server::start(settings).unwrap();
    let clock = server.cache().clock();
    clock.freeze();
    let kicks = || server.context().workers.iter().map(|w| w.idle_kicks.get()).sum::<u64>();
    let local = UnixStream::connect(&path).unwrap();
    let (mut idle, mut storing) = (connect(&server), connect(&server));
    for client in [&idle, &storing] {
        exchange(client, b"version\r\n", b"VERSION 1.6.45\r\n");
    }
    // Half a line does not keep a connection open, half a value does.
    idle.write_all(b"vers").unwrap();
    storing.write_all(b"set a 0 0 1\r\n").unwrap();
    eventually("a value is awaited", || {
        server.context().connections.iter(0).any(|(_, state, _)| state == ConnState::Nread)
    });
    eventually("half a line has come", || buffered(&server) == 4);
    clock.advance(2).unwrap();
    assert_eq!(read_to_end(&idle), b"");
    assert_eq!(kicks(), 1);
    exchange(&local, b"version\r\n", b"VERSION 1.6.45\r\n");
    storing.write_all(b"x\r\n").unwrap();
    storing.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&storing), b"STORED\r\n");
}

#[test]
fn a_stale_socket_file_is_replaced_and_nothing_else_is() {
    let _guard = shared();
    let path = socket_path("stale");
    drop(UnixListener::bind(&path).unwrap());
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let listen = Listen::Unix { path: path.clone(), mask: 0o750, protocol: Protocol::Negotiating };
    let settings = ServerConfig { listen: vec![listen], ..config() };

    let server = Server::start(settings.clone()).unwrap();
    assert_eq!(server.addresses(), [BoundAddress::Unix(path.clone())]);
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
    exchange(UnixStream::connect(&path).unwrap(), b"version\r\n", b"VERSION 1.6.45\r\n");
    let (request, reply) = script();
    let mut client = UnixStream::connect(&path).unwrap();
    let mut writer = client.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&request).unwrap());
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    sender.join().unwrap();
    assert!(got == reply);

    // Another server listens there.
    assert!(Server::start(settings.clone()).is_err());
    exchange(UnixStream::connect(&path).unwrap(), b"version\r\n", b"VERSION 1.6.45\r\n");
    drop(server);
    assert!(!path.exists());

    // This file is not a socket.
    fs::write(&path, "precious").unwrap();
    assert!(Server::start(settings.clone()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();

    // The socket file belongs to another server now.
    let server = Server::start(settings).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    drop(server);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
}

/// Returns a client whose own name fills the field of an address. Such a name has no NUL at its
/// end, so the system reports one byte more than the field has.
fn with_longest_name(server: &Path) -> (UnixStream, PathBuf) {
    // SAFETY: an address of zeros is an address without a name.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let mut name = format!("{}/mcrs-{}-", std::env::temp_dir().display(), std::process::id());
    name.push_str(&"n".repeat(address.sun_path.len().checked_sub(name.len()).expect("a short directory")));
    for (to, from) in address.sun_path.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let _ = fs::remove_file(&name);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is to a live address of this size.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    assert_eq!(bound, 0, "{}", io::Error::last_os_error());
    socket.connect(&SockAddr::unix(server).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (UnixStream::from(OwnedFd::from(socket)), name.into())
}

#[test]
fn a_client_with_the_longest_name_ended_the_server() {
    let _guard = shared();
    let path = socket_path("longest");
    let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
    let server = Server::start(ServerConfig { listen: vec![unix], ..config() }).unwrap();
    let (client, name) = with_longest_name(&path);
    exchange(&client, b"version\r\n", b"VERSION 1.6.45\r\n");
    let mut other = UnixStream::connect(&path).unwrap();
    other.write_all(b"stats conns\r\nquit\r\n").unwrap();
    let told = String::from_utf8(read_to_end(&other)).unwrap();
    let line = format!(":addr unix:{}\r\n", name.display());
    assert!(told.contains(&line), "{told}");
    assert!(server.is_running());
    fs::remove_file(name).unwrap();
}

#[test]
fn both_families_on_one_port() {
    let _guard = shared();
    let Ok(server) = Server::start(ServerConfig { listen: vec![tcp("[::1]:0")], ..config() }) else {
        return; // This machine has no IPv6.
    };
    let port = address(&server).port();
    let Ok(second) =
        Server::start(ServerConfig { listen: vec![tcp(&format!("127.0.0.1:{port}"))], ..config() })
    else {
        return; // Another process uses the port.
    };
    for server in [&server, &second] {
        exchange(connect(server), b"version\r\n", b"VERSION 1.6.45\r\n");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_and_leaves_nothing() {
    let _guard = shared();
    let path = socket_path("taken");
    let server = start();
    let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
    let taken = tcp(&address(&server).to_string());
    let error = Server::start(ServerConfig { listen: vec![unix, taken], ..config() }).unwrap_err();
    assert!(error.to_string().contains(&address(&server).to_string()), "{error}");
    assert!(!path.exists());
}

#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
fn server_threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap();
    names
        .filter(|task| {
            let comm = task.as_ref().unwrap().path().join("comm");
            fs::read_to_string(comm)
                .is_ok_and(|name| name.starts_with("mcrs-listen") || name.starts_with("mcrs-worker"))
        })
        .count()
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_is_left_of_servers_that_stopped() {
    let _guard = alone();
    let round = |how: Option<Stop>| {
        let path = socket_path("left");
        let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
        let listen = vec![tcp("127.0.0.1:0"), unix];
        let server = Server::start(ServerConfig { listen, ..config() }).unwrap();
        let other = start();
        eventually("all threads have their names", || server_threads() >= 6);
        exchange(connect(&server), b"version\r\n", b"VERSION 1.6.45\r\n");
        let open = connect(&other);
        exchange(&open, b"version\r\n", b"VERSION 1.6.45\r\n");
        let context = server.context().clone();
        match how {
            Some(how) => server.stop(how, PATIENCE).unwrap(),
            None => drop(server),
        }
        assert!(!path.exists());
        assert_eq!(context.connections.iter(0).count(), 0);
        exchange(&open, b"version\r\n", b"VERSION 1.6.45\r\n");
        context
    };
    // Resources that the process creates once and keeps are not counted.
    drop(round(None));
    let settled = (descriptors(), server_threads());
    let mut kept = Vec::new();
    for n in 0..30 {
        kept.push(round(*[None, Some(Stop::Now), Some(Stop::Graceful)].get(n % 3).unwrap()));
    }
    assert_eq!(descriptors(), settled.0);
    // The system lists a thread for a moment after it was joined.
    eventually("threads are gone", || server_threads() == settled.1);
}

#[test]
fn the_shutdown_command_ends_the_wait() {
    let _guard = shared();
    for command in [b"shutdown\r\n".as_slice(), b"shutdown graceful\r\n"] {
        let server = Server::start(ServerConfig { shutdown_enabled: true, ..config() }).unwrap();
        let idle = connect(&server);
        exchange(&idle, b"version\r\n", b"VERSION 1.6.45\r\n");
        let mut client = connect(&server);
        client.write_all(command).unwrap();
        server.wait().unwrap();
        assert!(!server.is_running());
        assert_eq!(read_to_end(&idle), b"");
        assert!(TcpStream::connect(address(&server)).is_err());
    }
}

#[test]
fn a_graceful_stop_lets_a_value_arrive_and_closes_the_idle() {
    let _guard = shared();
    let server = start();
    let mut idle = connect(&server);
    exchange(&idle, b"version\r\n", b"VERSION 1.6.45\r\n");
    let mut busy = connect(&server);
    busy.write_all(b"version\r\nset a 0 0 100000\r\n").unwrap();
    exchange(&busy, &vec![b'x'; 50_000], b"VERSION 1.6.45\r\n");
    thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop(Stop::Graceful, PATIENCE));
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        assert!(!stopping.is_finished());
        busy.write_all(&vec![b'x'; 50_000]).unwrap();
        busy.write_all(b"\r\n").unwrap();
        assert_eq!(read_to_end(&busy), b"STORED\r\n");
        stopping.join().unwrap().unwrap();
    });
}

#[test]
fn a_graceful_stop_sends_what_is_still_unread() {
    let _guard = shared();
    let server = start();
    let mut set = b"set big 0 0 1000000\r\n".to_vec();
    set.extend_from_slice(&vec![b'v'; 1_000_000]);
    set.extend_from_slice(b"\r\n");
    exchange(connect(&server), &set, b"STORED\r\n");
    let mut slow = connect(&server);
    let count = 30;
    slow.write_all(&b"get big\r\n".repeat(count)).unwrap();
    eventually("it waits", || {
        server.context().connections.iter(0).any(|(_, state, _)| state == ConnState::Mwrite)
    });
    thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop(Stop::Graceful, PATIENCE));
        let got = read_to_end(&slow);
        assert_eq!(got.len(), count * ("VALUE big 0 1000000\r\n".len() + 1_000_000 + "\r\nEND\r\n".len()));
        stopping.join().unwrap().unwrap();
    });
}

#[test]
fn a_graceful_stop_ends_at_its_deadline() {
    let _guard = shared();
    let server = start();
    let mut client = connect(&server);
    client.write_all(b"version\r\nset a 0 0 100\r\nx").unwrap();
    exchange(&client, b"", b"VERSION 1.6.45\r\n");
    server.stop(Stop::Graceful, Duration::from_millis(50)).unwrap();
    assert!(!server.is_running());
}

#[test]
fn watchers_see_connections_come_and_go() {
    let _guard = shared();
    let server = start();
    let mut watcher = connect(&server);
    watcher.write_all(b"watch connevents\r\n").unwrap();
    let mut lines = BufReader::new(watcher.try_clone().unwrap());
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), "OK\r\n");
    // Input of a watcher is ignored.
    watcher.write_all(b"version\r\n").unwrap();
    for _ in 0..3 {
        let client = connect(&server);
        let port = client.local_addr().unwrap().port();
        exchange(&client, b"version\r\n", b"VERSION 1.6.45\r\n");
        let opened = next();
        let expected = format!(" type=conn_new rip=127.0.0.1 rport={port} transport=tcp cfd=");
        assert!(opened.contains(&expected), "{opened}");
        drop(client);
        let closed = next();
        let expected =
            format!(" type=conn_close rip=127.0.0.1 rport={port} transport=tcp reason=normal cfd=");
        assert!(closed.contains(&expected), "{closed}");
    }
    let states = || server.context().connections.iter(0).map(|(_, state, _)| state).collect::<Vec<_>>();
    assert!(states().contains(&ConnState::Watch));
    watcher.shutdown(Shutdown::Both).unwrap();
    eventually("the watcher is gone", || server.cache().watch_hub().count() == 0);
    eventually("closed", || connections(&server) == 0);
}

#[test]
fn a_watcher_too_many_goes_on_as_a_client() {
    let _guard = shared();
    let server = start();
    let watchers: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    for watcher in &watchers {
        exchange(watcher, b"watch connevents\r\n", b"OK\r\n");
    }
    let client = connect(&server);
    let reply = b"WATCHER_TOO_MANY log watcher limit reached\r\nVERSION 1.6.45\r\n";
    exchange(&client, b"watch connevents\r\nversion\r\n", reply);
    exchange(&client, b"version\r\n", b"VERSION 1.6.45\r\n");
}

#[test]
fn the_log_goes_where_the_program_wants_it() {
    let _guard = shared();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let log = move |level: u8, line: &str| sink.lock().unwrap().push((level, line.to_owned()));
    let hooks = Hooks { log: Some(Arc::new(log)), ..Hooks::default() };
    let server = Server::start(ServerConfig { hooks, verbosity: 2, ..config() }).unwrap();
    let mut client = connect(&server);
    client.write_all(b"set a 0 0 1\r\nx\r\nquit\r\n").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    drop(server);
    let lines = lines.lock().unwrap();
    for start in ["slab class   1", "<", ">"] {
        assert!(
            lines.iter().any(|(level, line)| *level == 2 && line.starts_with(start)),
            "{start}: {lines:?}"
        );
    }
}

/// Starts a server that records the commands it receives.
fn noting(config: ServerConfig) -> (Server, Arc<Mutex<Vec<String>>>) {
    let commands = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&commands);
    let command = move |command: &ClientCommand<'_>| sink.lock().unwrap().push(command.to_string());
    let hooks = Hooks { command: Some(Arc::new(command)), ..Hooks::default() };
    (Server::start(ServerConfig { hooks, ..config }).unwrap(), commands)
}

#[test]
fn a_small_request_waited_for_every_long_pipeline() {
    let _guard = shared();
    let commands = Arc::new(Mutex::new(Vec::new()));
    let (sink, (began, has_begun), (go_on, goes_on)) =
        (Arc::clone(&commands), mpsc::channel(), mpsc::channel::<()>());
    let goes_on = Mutex::new(goes_on);
    let command = move |command: &ClientCommand<'_>| {
        sink.lock().unwrap().push(command.to_string());
        if command.line == "get pause" {
            began.send(()).unwrap();
            // The other end may be gone if the test has failed.
            let _ = goes_on.lock().unwrap().recv();
        }
    };
    let hooks = Hooks { command: Some(Arc::new(command)), ..Hooks::default() };
    let server = Server::start(ServerConfig { hooks, threads: 1, ..config() }).unwrap();
    let (pipeline, replies) = (b"get long\r\n".repeat(64), b"END\r\n".repeat(64));
    let mut long: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    for client in &mut long {
        exchange(client, &pipeline, &replies);
    }
    let (mut pause, mut small) = (connect(&server), connect(&server));
    exchange(&mut small, b"get small\r\n", b"END\r\n");
    commands.lock().unwrap().clear();

    // While the worker is busy, all of them send a request.
    pause.write_all(b"get pause\r\n").unwrap();
    has_begun.recv().unwrap();
    for client in &mut long {
        client.write_all(&pipeline).unwrap();
    }
    small.write_all(b"get small\r\n").unwrap();
    go_on.send(()).unwrap();
    for client in &mut long {
        exchange(client, b"", &replies);
    }
    let place = commands.lock().unwrap().iter().position(|command| command == "get small");
    // On a busy machine a turn may have cut a first pipeline. Then it is not known as a long one.
    assert!(place.is_some_and(|place| place <= 5 * 64), "{place:?}");
}

/// Returns a packet of the binary protocol.
fn packet(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, opcode];
    packet.extend((key.len() as u16).to_be_bytes());
    packet.extend([extras.len() as u8, 0, 0, 0]);
    packet.extend(((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    packet.extend([0; 12]);
    [&packet, extras, key, value].concat()
}

#[test]
fn commands_of_each_protocol_are_told_once() {
    let _guard = shared();
    let (server, commands) = noting(config());
    // A delayed command is parsed twice.
    let delay = Fault::Delay(Duration::from_millis(1));
    server.cache().faults().add(FaultRule { times: Some(2), ..FaultRule::new(delay) });
    let mut client = connect(&server);
    let long = format!("get {}\r\n", "key ".repeat(1000));
    for part in ["get a\r\n", "set a 0 60 5\r\nvalue\r\n", "mg a v\r\n", "x\r\n", &long, "quit\r\n"] {
        client.write_all(part.as_bytes()).unwrap();
    }
    client.read_to_end(&mut Vec::new()).unwrap();
    let told = std::mem::take(&mut *commands.lock().unwrap());
    assert_eq!(told[..4], ["get a", "set a 0 60 5", "mg a v", "x"]);
    assert!(told[4].starts_with("get key key ") && told[4].len() < 4100, "{}", told[4]);
    assert_eq!(told[5..], ["quit"]);

    let mut client = connect(&server);
    let sixty = [&[0; 4][..], &60_u32.to_be_bytes()].concat();
    let five = [&5_u64.to_be_bytes()[..], &7_u64.to_be_bytes(), &60_u32.to_be_bytes()].concat();
    let parts = [
        packet(0x01, &sixty, b"a", b"value"),
        packet(0x00, b"", b"a", b""),
        packet(0x0d, b"", b"a\nb", b""),
        packet(0x05, &five, b"n", b""),
        packet(0x19, b"", b"a", b"more"),
        packet(0x1c, &60_u32.to_be_bytes(), b"a", b""),
        packet(0x0a, b"", b"", b""),
        packet(0x60, b"", b"", b""),
        packet(0x07, b"", b"", b""),
    ];
    client.write_all(&parts.concat()).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    let told = [
        "binary set a 0 60 5",
        "binary get a",
        "binary getkq a\\nb",
        "binary incr n 5 7 60",
        "binary appendq a 4",
        "binary touch a 60",
        "binary noop",
        "binary 0x60",
        "binary quit",
    ];
    assert_eq!(*commands.lock().unwrap(), told);
}

#[test]
fn commands_before_a_login_are_told_without_passwords() {
    let _guard = shared();
    let passwords = || Passwords::List(vec![(b"ada".to_vec(), b"secret".to_vec())]);
    let auth = |method| Some(AuthConfig { method, passwords: passwords() });
    let (server, commands) = noting(ServerConfig { auth: auth(AuthMethod::Text), ..config() });
    let client = connect(&server);
    exchange(&client, b"get key\r\n", b"CLIENT_ERROR unauthenticated\r\n");
    (&client).write_all(b"set a 0 0 10\r\nada").unwrap();
    exchange(&client, b" secret\r\n", b"STORED\r\n");
    assert_eq!(*commands.lock().unwrap(), ["get key", "set a 0 0 10"]);

    let (server, commands) = noting(ServerConfig { auth: auth(AuthMethod::Sasl), ..config() });
    let mut client = connect(&server);
    let login = packet(0x21, b"", b"PLAIN", b"\0ada\0secret");
    client.write_all(&login[..30]).unwrap();
    client.write_all(&login[30..]).unwrap();
    client.read_exact(&mut [0; 24 + 13]).unwrap();
    client.write_all(&packet(0x20, b"", b"", b"")).unwrap();
    client.write_all(&packet(0x00, b"", b"key", b"")).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(
        *commands.lock().unwrap(),
        ["binary sasl_auth PLAIN", "binary sasl_list_mechs", "binary get key"]
    );
}

#[test]
fn the_end_is_told_once_and_before_waiting_ends() {
    let _guard = shared();
    for how in [Stop::Graceful, Stop::Now] {
        let ends = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ends);
        let stopped = move || {
            thread::sleep(Duration::from_millis(20));
            count.fetch_add(1, Ordering::SeqCst);
            panic!("a hook may fail; the test says so here");
        };
        let hooks = Hooks { stopped: Some(Arc::new(stopped)), ..Hooks::default() };
        let server = Server::start(ServerConfig { hooks, ..config() }).unwrap();
        let _client = connect(&server);
        assert_eq!(server.wait_for(Duration::from_millis(10)), Ok(false));
        assert_eq!(ends.load(Ordering::SeqCst), 0);
        server.context().control.request_stop(how);
        server.wait().unwrap();
        assert_eq!(ends.load(Ordering::SeqCst), 1);
        assert_eq!(server.wait_for(Duration::ZERO), Ok(true));
        assert!(!server.is_running());
        server.stop(Stop::Now, Duration::ZERO).unwrap();
        drop(server);
        assert_eq!(ends.load(Ordering::SeqCst), 1);
    }
}

/// Starts a server that calls `log` for each logged command.
fn start_with_log(log: impl Fn() + Send + Sync + 'static) -> Server {
    let log = move |_: u8, line: &str| {
        if line.ends_with(" mn") {
            log();
        }
    };
    let hooks = Hooks { log: Some(Arc::new(log)), ..Hooks::default() };
    Server::start(ServerConfig { hooks, verbosity: 2, threads: 1, ..config() }).unwrap()
}

#[test]
fn a_log_that_panics_loses_a_line_and_no_worker() {
    let _guard = shared();
    let server = start_with_log(|| panic!("a hook may fail; the test says so here"));
    let client = connect(&server);
    exchange(&client, b"mn\r\n", b"MN\r\n");
    exchange(&client, b"mn\r\n", b"MN\r\n");
    exchange(connect(&server), b"mn\r\n", b"MN\r\n");
    server.stop(Stop::Now, Duration::ZERO).unwrap();
}

#[test]
fn a_log_that_never_returns_does_not_hang_the_stop() {
    let _guard = shared();
    for how in [Stop::Graceful, Stop::Now] {
        let (called, calls) = mpsc::channel();
        let server = start_with_log(move || {
            called.send(()).unwrap();
            loop {
                thread::park();
            }
        });
        connect(&server).write_all(b"mn\r\n").unwrap();
        calls.recv().unwrap();
        let stuck = Err(StopError::Stuck(vec!["mcrs-worker-0".into()]));
        assert_eq!(server.stop(how, Duration::from_millis(1)), stuck);
        assert_eq!(server.wait(), stuck);
        assert!(server.is_running());
        assert!(TcpStream::connect(address(&server)).is_err());
        // Dropping it does not wait either.
    }
}

#[test]
fn a_server_that_did_not_start_does_not_end() {
    let _guard = shared();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = vec![tcp("127.0.0.1:0"), tcp(&held.local_addr().unwrap().to_string())];
    let stopped = || unreachable!("it never started");
    let hooks = Hooks { stopped: Some(Arc::new(stopped)), ..Hooks::default() };
    assert!(Server::start(ServerConfig { hooks, listen, ..config() }).is_err());
}
