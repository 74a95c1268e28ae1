//! Commands that clients have sent are executed before a handle of their server does anything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use memcache_rs::{BoundAddress, Fault, FaultRule, Hooks, Listen, Protocol, Server, ServerConfig};

fn start(listen: Vec<Listen>, threads: usize) -> Server {
    Server::start(ServerConfig { listen, threads, ..ServerConfig::default() }).unwrap()
}

fn tcp(server: &Server) -> std::net::SocketAddr {
    match server.addresses()[0] {
        BoundAddress::Tcp(address) => address,
        _ => panic!("no TCP address"),
    }
}

fn tcp_server(threads: usize) -> Server {
    start(vec![Listen::tcp("127.0.0.1:0".parse().unwrap())], threads)
}

/// As many busy threads as this machine has processors, until dropped.
struct Load(Arc<AtomicBool>, Vec<thread::JoinHandle<()>>);

impl Load {
    fn new() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..4).map(spin).collect();
        Self(stop, threads)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        for thread in self.1.drain(..) {
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_set_without_reply_was_not_seen_by_the_cache() {
    for threads in [1, 4] {
        let server = tcp_server(threads);
        let mut client = TcpStream::connect(tcp(&server)).unwrap();
        for n in 0..500_u32 {
            client.write_all(format!("set key 0 0 4 noreply\r\n{n:04}\r\n").as_bytes()).unwrap();
            assert_eq!(server.cache().get(b"key").unwrap(), format!("{n:04}").as_bytes());
        }
    }
}

#[test]
fn a_set_that_the_clients_system_held_back_was_not_seen() {
    let server = tcp_server(1);
    let mut client = TcpStream::connect(tcp(&server)).unwrap();
    for n in 0..100_u32 {
        // After a reply the server's system delays acknowledgements. Without one, the client's
        // system sends no second small segment (Nagle's algorithm).
        let mut reply = [0; 5];
        client.write_all(b"get nothing\r\n").unwrap();
        client.read_exact(&mut reply).unwrap();
        for part in ["first", "second", "third"] {
            client.write_all(format!("set {part} 0 0 4 noreply\r\n").as_bytes()).unwrap();
            client.write_all(format!("{n:04}\r\n").as_bytes()).unwrap();
        }
        for part in ["first", "second", "third"] {
            let value = server.cache().get(part.as_bytes());
            assert_eq!(value.as_deref(), Some(format!("{n:04}").as_bytes()), "{part}");
        }
    }
}

#[test]
fn a_set_without_reply_was_not_seen_under_load() {
    let server = tcp_server(2);
    let _load = Load::new();
    for n in 0..100_u32 {
        // The server may not have accepted this connection yet.
        let mut client = TcpStream::connect(tcp(&server)).unwrap();
        client.write_all(format!("set key 0 0 4 noreply\r\n{n:04}\r\n").as_bytes()).unwrap();
        assert_eq!(server.cache().get(b"key").unwrap(), format!("{n:04}").as_bytes());
    }
}

#[test]
fn an_item_without_reply_outlived_a_clock_moved_past_its_end() {
    let server = tcp_server(4);
    let mut client = TcpStream::connect(tcp(&server)).unwrap();
    server.cache().clock().freeze();
    for n in 0..200 {
        let mut reply = [0; 5];
        client.write_all(format!("set key{n} 0 60 1 noreply\r\nx\r\n").as_bytes()).unwrap();
        server.cache().clock().advance(60).unwrap();
        client.write_all(format!("get key{n}\r\n").as_bytes()).unwrap();
        client.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"END\r\n");
    }
}

#[test]
fn an_item_without_reply_appeared_after_a_flush() {
    let server = tcp_server(4);
    for n in 0..200 {
        let mut client = TcpStream::connect(tcp(&server)).unwrap();
        client.write_all(b"set key 0 0 1 noreply\r\nx\r\n").unwrap();
        drop(client);
        server.cache().flush(None);
        assert!(server.settle(Duration::from_secs(10)));
        assert_eq!(server.context().cache.get(b"key"), None, "{n}");
    }
}

#[test]
fn a_long_pipeline_is_carried_out_whole() {
    let server = tcp_server(2);
    let mut clients: Vec<_> = (0..8).map(|_| TcpStream::connect(tcp(&server)).unwrap()).collect();
    let value = vec![b'v'; 100];
    for (number, client) in clients.iter_mut().enumerate() {
        let mut sets = Vec::new();
        for n in 0..2_000 {
            sets.extend_from_slice(format!("set key{number}-{n} 0 0 100 noreply\r\n").as_bytes());
            sets.extend_from_slice(&value);
            sets.extend_from_slice(b"\r\n");
        }
        client.write_all(&sets).unwrap();
    }
    assert!(server.settle(Duration::from_secs(30)));
    assert_eq!(server.context().cache.store().totals().curr_items, 16_000);
}

#[test]
fn datagrams_and_unix_sockets_are_settled_too() {
    let path = std::env::temp_dir().join(format!("settle-{}.sock", std::process::id()));
    let unix = Listen::Unix { path: path.clone(), mask: 0o700, protocol: Protocol::Negotiating };
    let server = start(vec![Listen::Udp { addr: "127.0.0.1:0".parse().unwrap() }, unix], 2);
    let BoundAddress::Udp(address) = server.addresses()[0] else { panic!("no UDP address") };
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    for n in 0..200_u32 {
        let request = format!("\0\x01\0\0\0\x01\0\0set udp 0 0 4 noreply\r\n{n:04}\r\n");
        datagrams.send_to(request.as_bytes(), address).unwrap();
        stream.write_all(format!("set unix 0 0 4 noreply\r\n{n:04}\r\n").as_bytes()).unwrap();
        assert_eq!(server.cache().get(b"udp").unwrap(), format!("{n:04}").as_bytes());
        assert_eq!(server.cache().get(b"unix").unwrap(), format!("{n:04}").as_bytes());
    }
}

#[test]
fn clients_that_cannot_go_on_are_not_waited_for() {
    let server = tcp_server(1);
    let cache = Arc::clone(server.cache());
    let mut partial = TcpStream::connect(tcp(&server)).unwrap();
    partial.write_all(b"set key 0 0 100 noreply\r\nhalf").unwrap();
    assert!(server.settle(Duration::from_secs(30)));

    // This client never reads its replies.
    cache.set(b"large", vec![b'x'; 500_000], memcache_rs::Ttl::Never).unwrap();
    let mut deaf = TcpStream::connect(tcp(&server)).unwrap();
    deaf.write_all(&b"get large\r\n".repeat(100)).unwrap();
    assert!(server.settle(Duration::from_secs(30)));

    // This client is delayed by an injected fault.
    let fault = Fault::Delay(Duration::from_hours(1));
    cache.faults().add(FaultRule { command: Some("get".into()), ..FaultRule::new(fault) });
    let mut delayed = TcpStream::connect(tcp(&server)).unwrap();
    delayed.write_all(b"get key\r\n").unwrap();
    assert!(server.settle(Duration::from_secs(30)));
}

#[test]
fn a_server_that_has_stopped_is_settled() {
    let server = tcp_server(2);
    server.stop(memcache_rs::Stop::Now, Duration::ZERO).unwrap();
    assert!(server.settle(Duration::from_secs(30)));
}

#[test]
fn a_hook_does_not_wait_for_its_own_thread() {
    let server = Arc::new(std::sync::OnceLock::<Arc<memcache_rs::internal::server::Settler>>::new());
    let seen = Arc::clone(&server);
    let hooks = Hooks {
        command: Some(Arc::new(move |_| {
            let settled = seen.get().is_some_and(|settler| settler.settle(Duration::from_hours(1)));
            assert!(!settled);
        })),
        ..Hooks::default()
    };
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let started = Server::start(ServerConfig { listen, hooks, ..ServerConfig::default() }).unwrap();
    server.set(Arc::clone(started.settler())).ok().unwrap();
    let mut client = TcpStream::connect(tcp(&started)).unwrap();
    client.write_all(b"set key 0 0 1 noreply\r\nx\r\n").unwrap();
    assert_eq!(started.cache().get(b"key").unwrap(), b"x");
}
