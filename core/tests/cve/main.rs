//! Known vulnerabilities of memcached, each as the attack on it. Expected replies are those of
//! 1.6.45, unless `docs/compatibility.md` gives others.
//!
//! A test is named for its CVE number. Those of 2026 without a number are named for what went
//! wrong. Some have no test, because this server lacks the part that had them:
//! - the proxy's own vulnerabilities of 2026
//! - external storage (a `getk` of a page that was freed)
//! - TLS (a string that was not initialised)
//! - restart from a file
//! - the mover of slab pages
//!
//! The two of 2023 were the proxy's. Their lines are sent to this server's parser. A comparison of
//! passwords must take the same time for each wrong byte. A test cannot assert this without
//! measuring time, so `auth.rs` asserts what follows from it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../dialogue/mod.rs"]
mod dialogue;
#[path = "../waiting/mod.rs"]
mod waiting;

mod auth;
mod lines;
mod packets;
mod references;
mod sockets;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::session::{Next, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::{BoundAddress, Cache, CacheConfig, Listen, Protocol, Server, ServerConfig, Ttl};
use waiting::{PATIENCE, eventually};

/// Returns a server without sockets and with one item, `victim`, whose value is `intact`.
fn context_of(config: ServerConfig) -> ServerState {
    let cache = CacheConfig { memory_limit: 64 * MIB, lru_crawler: false, ..config.cache.clone() };
    let cache = Cache::new(cache).unwrap();
    cache.clock().freeze();
    cache.set(b"victim", b"intact", Ttl::Never).unwrap();
    ServerState::new(cache, ServerConfig { threads: 1, ..config }).unwrap()
}

fn context() -> ServerState {
    context_of(ServerConfig::default())
}

/// Returns the reply to `input`, and whether the connection continues.
fn talk(context: &ServerState, session: &mut Session, input: &[u8]) -> (Vec<u8>, bool) {
    let (answer, next) = dialogue::talk(context, session, input);
    (answer, next == Next::Input)
}

/// Sends `input` on a new connection. The reply must be `answer`, and the connection continues if
/// `open`. Afterwards nothing may be half done, and the victim must be intact.
#[track_caller]
fn attack(context: &ServerState, protocol: Protocol, input: &[u8], answer: &[u8], open: bool) {
    let mut session = Session::new(protocol);
    let got = talk(context, &mut session, input);
    assert_eq!(String::from_utf8_lossy(&got.0), String::from_utf8_lossy(answer));
    assert_eq!((got.0.as_slice(), got.1), (answer, open));
    drop(session);
    unharmed(context);
}

#[track_caller]
fn unharmed(context: &ServerState) {
    let found = context.cache.store().verify();
    assert_eq!((found.drafts, found.held), (0, 0));
    assert_eq!(context.cache.get(b"victim").as_deref(), Some(&b"intact"[..]));
}

/// Returns a binary request with correct lengths.
fn packet(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = extras.len() + key.len() + value.len();
    let head = header(opcode, key.len(), extras.len(), u32::try_from(body).unwrap());
    [&head, extras, key, value].concat()
}

/// Returns the header of a binary request, with the given lengths.
fn header(opcode: u8, key: usize, extras: usize, body: u32) -> Vec<u8> {
    let [k0, k1] = u16::try_from(key).unwrap().to_be_bytes();
    let mut header = vec![0x80, opcode, k0, k1, u8::try_from(extras).unwrap(), 0, 0, 0];
    header.extend(body.to_be_bytes());
    header.extend([0; 12]);
    header
}

/// Returns a binary reply with a text.
fn reply(opcode: u8, status: u16, text: &[u8]) -> Vec<u8> {
    let mut reply = vec![0x81, opcode, 0, 0, 0, 0];
    reply.extend(status.to_be_bytes());
    reply.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    reply.extend([0; 12]);
    reply.extend(text);
    reply
}

fn invalid(opcode: u8) -> Vec<u8> {
    reply(opcode, 0x04, b"Invalid arguments")
}

fn unknown(opcode: u8) -> Vec<u8> {
    reply(opcode, 0x81, b"Unknown command")
}

fn start(change: impl FnOnce(&mut ServerConfig)) -> Server {
    let tcp = Listen::tcp("127.0.0.1:0".parse().unwrap());
    let mut config = ServerConfig { listen: vec![tcp], threads: 2, ..ServerConfig::default() };
    change(&mut config);
    Server::start(config).unwrap()
}

fn address(server: &Server) -> SocketAddr {
    let tcp = server.addresses().iter().find_map(|address| match address {
        BoundAddress::Tcp(addr) => Some(*addr),
        _ => None,
    });
    tcp.expect("a TCP listener")
}

fn connect(server: &Server) -> TcpStream {
    let client = TcpStream::connect(address(server)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

#[track_caller]
fn exchange(mut client: &TcpStream, request: &[u8], reply: &[u8]) {
    client.write_all(request).unwrap();
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(reply));
}

/// Checks that other clients are served, on each worker.
#[track_caller]
fn others_are_served(server: &Server) {
    for _ in 0..4 {
        exchange(&connect(server), b"version\r\n", b"VERSION 1.6.45\r\n");
    }
}
