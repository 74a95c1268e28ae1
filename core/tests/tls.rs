//! The server over TLS: which clients are accepted, what data arrives, and the effect of changed
//! certificates. The client is rustls. The tests make their certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod certificates;
mod waiting;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use certificates::{Authority, Directory, Identity};
use memcache_rs::internal::config::MIB;
use memcache_rs::internal::tls::Tls;
use memcache_rs::{
    AuthConfig, AuthMethod, BoundAddress, CacheConfig, Fault, FaultRule, KeyFormat, Listen, Passwords,
    Protocol, Server, ServerConfig, Stop, TlsConfig, TlsMode, TlsPem, TlsUser, TlsVersion, Ttl, VerifyMode,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion, version,
};
use waiting::{PATIENCE, eventually};

type Client = StreamOwned<ClientConnection, TcpStream>;

/// The files of a server, and the authorities that signed them.
struct Files {
    directory: Directory,
    authority: Authority,
    server: Identity,
}

impl Files {
    fn new() -> Self {
        let authority = Authority::new();
        let server = authority.sign();
        let files = Self { directory: Directory::new(), authority, server };
        files.directory.put("ca.pem", &files.authority.pem);
        files.write(&files.server);
        files
    }

    fn write(&self, server: &Identity) {
        self.directory.put("server.pem", &server.pem);
        self.directory.put("server.key", server.key.serialize_pem());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    fn tls(&self) -> TlsConfig {
        TlsConfig {
            chain_cert: Some(self.path("server.pem")),
            key: Some(self.path("server.key")),
            ..TlsConfig::default()
        }
    }

    fn start(&self) -> Server {
        start(self.tls(), &[TlsMode::Default])
    }

    fn client(&self, server: &Server) -> Client {
        connect(address(server, 0), &self.rules(None, BOTH[1]))
    }

    /// Returns the settings of a client of this server, with a certificate or without.
    fn rules(&self, own: Option<&Identity>, version: Version) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let mut rules = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![own.der.clone()], key).unwrap()
            }
        };
        rules.resumption = Resumption::in_memory_sessions(8);
        Arc::new(rules)
    }
}

type Version = &'static SupportedProtocolVersion;

static BOTH: [Version; 2] = [&version::TLS12, &version::TLS13];

fn listen(tls: TlsMode) -> Listen {
    Listen::Tcp { addr: ([127, 0, 0, 1], 0).into(), protocol: Protocol::Negotiating, tls, tag: None }
}

fn start(tls: TlsConfig, modes: &[TlsMode]) -> Server {
    let cache = CacheConfig { item_size_max: 8 * MIB, ..CacheConfig::default() };
    let config = ServerConfig {
        cache,
        listen: modes.iter().copied().map(listen).collect(),
        tls: Some(tls),
        threads: 2,
        ..ServerConfig::default()
    };
    Server::start(config).unwrap()
}

fn address(server: &Server, index: usize) -> SocketAddr {
    match server.addresses().get(index).unwrap() {
        BoundAddress::Tcp(address) => *address,
        other => panic!("{other} is no TCP address"),
    }
}

fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn connect(address: SocketAddr, rules: &Arc<ClientConfig>) -> Client {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(rules), name).unwrap();
    StreamOwned::new(connection, socket(address))
}

/// Sends `request` and reads as many bytes as `reply` has.
#[track_caller]
fn exchange(client: &mut (impl Read + Write), request: &[u8], reply: &[u8]) {
    client.write_all(request).unwrap();
    client.flush().unwrap();
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == reply, "{:.200}", String::from_utf8_lossy(&got));
}

/// Returns whether a client is served. The error is the one that the client received.
fn talks(client: &mut (impl Read + Write)) -> io::Result<()> {
    client.write_all(b"version\r\n")?;
    client.flush()?;
    let mut reply = [0; 16];
    client.read_exact(&mut reply)?;
    assert_eq!(&reply, b"VERSION 1.6.45\r\n");
    Ok(())
}

fn handshake_errors(server: &Server) -> u64 {
    server.context().tls.as_ref().unwrap().stats.handshake_errors.load(Relaxed)
}

fn new_sessions(server: &Server) -> u64 {
    server.context().tls.as_ref().unwrap().stats.new_sessions.load(Relaxed)
}

fn proto_errors(server: &Server) -> u64 {
    server.context().tls.as_ref().unwrap().stats.proto_errors.load(Relaxed)
}

fn buffered(server: &Server) -> u64 {
    server.context().workers.iter().map(|w| w.buffered.get()).sum()
}

fn connections(server: &Server) -> u64 {
    server.context().workers.iter().map(|w| w.connections.get()).sum()
}

fn value(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 7 + i / 253) % 251).unwrap()).collect()
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    let mut request = format!("set {key} 0 0 {}\r\n", value.len()).into_bytes();
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n");
    request
}

fn hit(key: &str, value: &[u8]) -> Vec<u8> {
    let mut reply = format!("VALUE {key} 0 {}\r\n", value.len()).into_bytes();
    reply.extend_from_slice(value);
    reply.extend_from_slice(b"\r\nEND\r\n");
    reply
}

#[test]
fn values_of_all_sizes_come_and_go_unchanged() {
    let files = Files::new();
    let server = files.start();
    for version in BOTH {
        let mut client = connect(address(&server, 0), &files.rules(None, version));
        for len in [0, 1, 100, 4096, 5000, 16_384, 16_385, 100_000, MIB, 3 * MIB] {
            let value = value(len);
            exchange(&mut client, &set("k", &value), b"STORED\r\n");
            exchange(&mut client, b"get k\r\n", &hit("k", &value));
        }
        assert_eq!(client.conn.protocol_version(), Some(version.version));
    }
    eventually("all closed", || connections(&server) == 0);
    assert_eq!(buffered(&server), 0);
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let files = Files::new();
    let server = files.start();
    let mut client = files.client(&server);
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    for n in 0..1000 {
        let (key, value) = (format!("key{n}"), value(n % 150));
        exchange(&mut client, &set(&key, &value), b"STORED\r\n");
        request.extend_from_slice(format!("get {key}\r\n").as_bytes());
        reply.extend_from_slice(&hit(&key, &value));
    }
    exchange(&mut client, &request, &reply);
}

#[test]
fn however_records_are_cut_the_output_is_the_same() {
    let files = Files::new();
    let server = files.start();
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    for (n, len) in [1, 100, 5000, 70_000, 300_000, 40_000, 17].into_iter().enumerate() {
        let (key, value) = (format!("key{n}"), value(len));
        request.extend_from_slice(&set(&key, &value));
        request.extend_from_slice(format!("get {key}\r\n").as_bytes());
        reply.extend_from_slice(b"STORED\r\n");
        reply.extend_from_slice(&hit(&key, &value));
    }
    let mut dice = 88_172_645_463_325_252_u64;
    for largest in [700, 3000, 16_384, 20_000, 400_000] {
        let mut client = files.client(&server);
        let mut rest = request.as_slice();
        while !rest.is_empty() {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let most = rest.len().min(largest);
            let (piece, after) = rest.split_at(1 + usize::try_from(dice >> 33).unwrap() % most);
            // Records of odd sizes, several of which arrive at once.
            client.write_all(piece).unwrap();
            rest = after;
        }
        exchange(&mut client, b"", &reply);
    }
}

#[test]
fn requests_may_come_in_single_bytes_of_cipher_text() {
    let files = Files::new();
    let server = files.start();
    let mut client = files.client(&server);
    talks(&mut client).unwrap();
    let mut wire = Vec::new();
    client.conn.writer().write_all(&set("k", &value(300))).unwrap();
    client.conn.write_tls(&mut wire).unwrap();
    for byte in wire {
        client.sock.write_all(&[byte]).unwrap();
    }
    exchange(&mut client, b"get k\r\n", &[&b"STORED\r\n"[..], &hit("k", &value(300))].concat());
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_loses_nothing() {
    let files = Files::new();
    let server = files.start();
    let mut client = files.client(&server);
    let value = value(200_000);
    exchange(&mut client, &set("k", &value), b"STORED\r\n");
    let count = 500;
    client.write_all(&b"get k\r\n".repeat(count)).unwrap();
    let blocked = || server.context().connections.iter(0).any(|(_, state, _)| state.text() == "conn_mwrite");
    eventually("the client's socket is full", blocked);
    // The client asks for 100 MB. Only one batch and references are buffered.
    assert!(buffered(&server) < 2 << 20, "{}", buffered(&server));
    assert!(buffered(&server) > 0);
    let mut other = files.client(&server);
    talks(&mut other).unwrap();
    let expected = hit("k", &value);
    for _ in 0..count {
        exchange(&mut client, b"", &expected);
    }
    talks(&mut client).unwrap();
    eventually("nothing waits", || buffered(&server) == 0);
}

#[test]
fn plain_text_is_turned_away_and_counted() {
    let files = Files::new();
    let server = files.start();
    let mut watcher = files.client(&server);
    exchange(&mut watcher, b"watch connevents\r\n", b"OK\r\n");
    let mut plain = socket(address(&server, 0));
    plain.write_all(b"get foo\r\n").unwrap();
    let mut reply = Vec::new();
    plain.read_to_end(&mut reply).unwrap();
    // A fatal alert in plain text.
    assert_eq!(reply.get(..3), Some(&[21, 3, 3][..]), "{reply:?}");
    eventually("it is counted", || handshake_errors(&server) == 1);
    assert_eq!(proto_errors(&server), 0);
    let mut lines = String::new();
    while !lines.contains("type=conntlserr") {
        let mut some = [0; 4096];
        let n = watcher.read(&mut some).unwrap();
        lines.push_str(std::str::from_utf8(&some[..n]).unwrap());
    }
    let line = lines.lines().find(|line| line.contains("type=conntlserr")).unwrap();
    assert!(line.contains(" fd=") && line.contains(" msg="), "{line}");
}

#[test]
fn who_leaves_during_the_handshake_is_counted() {
    let files = Files::new();
    let server = files.start();
    drop(socket(address(&server, 0)));
    eventually("it is counted", || handshake_errors(&server) == 1);
}

#[test]
fn a_handshake_in_very_small_pieces_is_given_up() {
    let files = Files::new();
    let server = files.start();
    let mut socket = socket(address(&server, 0));
    // A ClientHello of 60,000 bytes, each in a record of its own.
    let mut greeting = vec![22, 3, 1, 0, 4, 1, 0, 0xea, 0x60];
    (0..60_000).for_each(|_| greeting.extend_from_slice(&[22, 3, 1, 0, 1, 0]));
    // This may fail, depending on how much the server has read.
    let _ = socket.write_all(&greeting);
    eventually("given up", || handshake_errors(&server) == 1);
    eventually("nothing is kept", || buffered(&server) == 0);
}

#[test]
fn a_set_behind_a_handshake_was_not_seen_by_the_cache() {
    let files = Files::new();
    for threads in [1, 4] {
        let listen = Listen::Tcp {
            addr: ([127, 0, 0, 1], 0).into(),
            protocol: Protocol::Negotiating,
            tls: TlsMode::Default,
            tag: None,
        };
        let config =
            ServerConfig { listen: vec![listen], tls: Some(files.tls()), threads, ..ServerConfig::default() };
        let server = Server::start(config).unwrap();
        for version in BOTH {
            let rules = files.rules(None, version);
            for n in 0..50_u32 {
                let mut client = connect(address(&server, 0), &rules);
                // The server may not have read the client's last handshake message yet.
                client.write_all(format!("set key 0 0 4 noreply\r\n{n:04}\r\n").as_bytes()).unwrap();
                assert_eq!(server.cache().get(b"key").unwrap(), format!("{n:04}").as_bytes());
            }
        }
    }
}

#[test]
fn a_stop_does_not_wait_for_a_silent_handshake() {
    let files = Files::new();
    let server = files.start();
    let mut silent = socket(address(&server, 0));
    let mut partial = socket(address(&server, 0));
    partial.write_all(&[22, 3, 1, 0, 200, 1, 0]).unwrap();
    let mut other = files.client(&server);
    talks(&mut other).unwrap();
    eventually("all are taken in", || connections(&server) == 3);
    assert!(server.settle(PATIENCE));
    let start = Instant::now();
    server.stop(Stop::Graceful, PATIENCE).unwrap();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(connections(&server), 0);
    for client in [&mut silent, &mut partial] {
        assert_eq!(client.read(&mut [0; 10]).unwrap_or(0), 0);
    }
}

#[test]
fn a_silent_handshake_is_closed_as_idle() {
    let files = Files::new();
    let listen = Listen::Tcp {
        addr: ([127, 0, 0, 1], 0).into(),
        protocol: Protocol::Negotiating,
        tls: TlsMode::Default,
        tag: None,
    };
    let config = ServerConfig {
        listen: vec![listen],
        tls: Some(files.tls()),
        idle_timeout: 10,
        threads: 1,
        ..ServerConfig::default()
    };
    let server = Server::start(config).unwrap();
    let mut silent = socket(address(&server, 0));
    let mut partial = socket(address(&server, 0));
    partial.write_all(&[22, 3, 1, 0, 200, 1, 0]).unwrap();
    eventually("both are taken in", || connections(&server) == 2);
    server.cache().clock().freeze();
    server.cache().clock().advance(12).unwrap();
    for client in [&mut silent, &mut partial] {
        assert_eq!(client.read(&mut [0; 10]).unwrap_or(0), 0);
    }
    eventually("both are closed", || connections(&server) == 0);
    assert_eq!(server.context().workers[0].idle_kicks.get(), 2);
    talks(&mut files.client(&server)).unwrap();
}

#[test]
fn what_came_before_a_broken_record_is_carried_out() {
    let files = Files::new();
    let server = files.start();
    let mut client = files.client(&server);
    talks(&mut client).unwrap();
    client.conn.writer().write_all(b"set before 0 0 1 noreply\r\nx\r\n").unwrap();
    let mut records = Vec::new();
    client.conn.write_tls(&mut records).unwrap();
    // An alert that is not encrypted.
    records.extend_from_slice(&[21, 3, 3, 0, 2, 1, 0]);
    client.sock.write_all(&records).unwrap();
    eventually("stored", || server.cache().get(b"before").is_some());
    eventually("closed", || connections(&server) == 0);
    assert_eq!(proto_errors(&server), 1);
}

#[test]
fn garbage_after_the_handshake_is_a_protocol_error() {
    let files = Files::new();
    let server = files.start();
    for version in BOTH {
        let before = proto_errors(&server);
        let mut client = connect(address(&server, 0), &files.rules(None, version));
        talks(&mut client).unwrap();
        // A record that is not encrypted.
        client.sock.write_all(&[23, 3, 3, 0, 40]).unwrap();
        client.sock.write_all(&[7; 40]).unwrap();
        assert!(talks(&mut client).is_err());
        eventually("it is counted", || proto_errors(&server) == before + 1);
    }
    assert_eq!(handshake_errors(&server), 0);
}

#[test]
fn certificates_of_clients_are_asked_for_as_the_mode_says() {
    let files = Files::new();
    let (good, bad) = (files.authority.sign(), Authority::new().sign());
    let ca = Some(files.path("ca.pem"));
    // Mode, whether there is a CA, and which clients are accepted: without a certificate, with a
    // good one, with a bad one.
    let cases = [
        (VerifyMode::None, true, [true, true, true]),
        (VerifyMode::None, false, [true, true, true]),
        (VerifyMode::Request, true, [true, true, false]),
        (VerifyMode::Request, false, [true, false, false]),
        (VerifyMode::Require, true, [false, true, false]),
        (VerifyMode::Require, false, [false, false, false]),
        (VerifyMode::Once, true, [false, true, false]),
    ];
    for (verify_mode, has_ca, expected) in cases {
        let ca_cert = ca.clone().filter(|_| has_ca);
        let server = start(TlsConfig { verify_mode, ca_cert, ..files.tls() }, &[TlsMode::Default]);
        for version in BOTH {
            let got = [None, Some(&good), Some(&bad)].map(|own| {
                let mut client = connect(address(&server, 0), &files.rules(own, version));
                talks(&mut client).is_ok()
            });
            assert_eq!(got, expected, "{verify_mode:?}, CA {has_ca}, {:?}", version.version);
        }
        let refused = expected.iter().filter(|ok| !**ok).count() as u64 * 2;
        eventually("refusals are counted", || handshake_errors(&server) == refused);
    }
}

/// Returns a certificate with these common names, DNS name and URI.
fn named(files: &Files, common: &str, dns: &str, uri: &str) -> Identity {
    let mut params = CertificateParams::new(vec![dns.into()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "root");
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    files.authority.sign_as(&params)
}

#[test]
fn certificates_name_users() {
    const REFUSED: &[u8] = b"CLIENT_ERROR not permitted\r\n";
    let files = Files::new();
    let reader = named(&files, "report", "report.example", "spiffe://example/report");
    let writer = named(&files, "Ann B.", "ann.example", "spiffe://example/ann");
    let other = named(&files, "other", "other.example", "spiffe://example/other");
    let serve = |user, rights: &str, modes: &[TlsMode]| {
        let tls = TlsConfig {
            user,
            verify_mode: VerifyMode::Request,
            ca_cert: Some(files.path("ca.pem")),
            session_cache: true,
            ..files.tls()
        };
        Server::start(ServerConfig {
            listen: modes.iter().copied().map(listen).collect(),
            tls: Some(tls),
            rights: Some(rights.into()),
            threads: 2,
            ..ServerConfig::default()
        })
        .unwrap()
    };
    for (user, rights) in [
        (TlsUser::Cn, "report ro; Ann B. all"),
        (TlsUser::San, "report.example ro; ann.example all; localhost all"),
        (TlsUser::San, "spiffe://example/report ro; spiffe://example/ann all"),
    ] {
        let server = serve(user, rights, &[TlsMode::Default, TlsMode::Off]);
        for version in BOTH {
            let about = format!("{user:?} {rights:?} {:?}", version.version);
            let rules = files.rules(Some(&reader), version);
            // The second connection resumes the session of the first.
            for _ in 0..2 {
                let mut client = connect(address(&server, 0), &rules);
                exchange(&mut client, b"set a 0 0 1\r\nx\r\n", REFUSED);
                exchange(&mut client, b"md a\r\n", REFUSED);
                exchange(&mut client, b"flush_all\r\n", REFUSED);
                exchange(&mut client, b"get none\r\nmn\r\n", b"END\r\nMN\r\n");
            }
            let mut client = connect(address(&server, 0), &rules);
            let get = [&[0x80, 0, 0, 1][..], &[0; 7], &[1], &[0; 12], b"k"].concat();
            exchange(&mut client, &get, &[&[0x81, 0, 0, 0, 0, 0, 0, 1][..], &[0; 3], &[9]].concat());
            let mut client = connect(address(&server, 0), &files.rules(Some(&writer), version));
            exchange(&mut client, b"set a 0 0 1\r\nx\r\nflush_all\r\n", b"STORED\r\nOK\r\n");
            for own in [Some(&other), None] {
                let mut client = connect(address(&server, 0), &files.rules(own, version));
                exchange(&mut client, b"get a\r\n", REFUSED);
                exchange(&mut client, b"set a 0 0 1\r\nx\r\nstats\r\n", &REFUSED.repeat(2));
                assert!(talks(&mut client).is_ok(), "{about}");
            }
        }
        // A client without TLS has no name.
        let mut plain = socket(address(&server, 1));
        exchange(&mut plain, b"get a\r\nversion\r\n", &[REFUSED, b"VERSION 1.6.45\r\n"].concat());
        let resumed = 2;
        assert_eq!(new_sessions(&server), 2 * (6 - resumed), "{user:?}");
    }
}

#[test]
fn a_client_without_a_known_name_may_log_in() {
    let files = Files::new();
    let ann = named(&files, "ann", "ann.example", "spiffe://example/ann");
    let other = named(&files, "other", "other.example", "spiffe://example/other");
    let server = Server::start(ServerConfig {
        listen: vec![listen(TlsMode::Default)],
        tls: Some(TlsConfig {
            user: TlsUser::Cn,
            verify_mode: VerifyMode::Request,
            ca_cert: Some(files.path("ca.pem")),
            ..files.tls()
        }),
        auth: Some(AuthConfig {
            method: AuthMethod::Text,
            passwords: Passwords::List(vec![(b"bob".to_vec(), b"secret".to_vec())]),
        }),
        rights: Some("ann all; bob ro".into()),
        threads: 1,
        ..ServerConfig::default()
    })
    .unwrap();
    let mut client = connect(address(&server, 0), &files.rules(Some(&ann), BOTH[1]));
    exchange(&mut client, b"set a 0 0 1\r\nx\r\n", b"STORED\r\n");
    for own in [Some(&other), None] {
        let mut client = connect(address(&server, 0), &files.rules(own, BOTH[1]));
        exchange(&mut client, b"get a\r\n", b"CLIENT_ERROR unauthenticated\r\n");
        exchange(&mut client, b"set x 0 0 10\r\nbob secret\r\n", b"STORED\r\n");
        exchange(&mut client, b"get a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n");
        exchange(&mut client, b"delete a\r\n", b"CLIENT_ERROR not permitted\r\n");
    }
}

#[test]
fn names_of_certificates_need_rights_and_certificates() {
    let files = Files::new();
    let tls = TlsConfig { user: TlsUser::Cn, ..files.tls() };
    let verified = TlsConfig { verify_mode: VerifyMode::Require, ..tls.clone() };
    let rights = || Some("ann ro".to_owned());
    let udp = Listen::Udp { addr: ([127, 0, 0, 1], 0).into() };
    for (tls, rights, listen, why) in [
        (verified.clone(), None, vec![listen(TlsMode::Default)], "ssl_user needs rights_file"),
        (tls.clone(), rights(), vec![listen(TlsMode::Default)], "ssl_user needs ssl_verify_mode"),
        (verified.clone(), rights(), vec![listen(TlsMode::NoPeer)], "ssl_user needs ssl_verify_mode"),
        (verified, rights(), vec![listen(TlsMode::Default), udp], "ssl_user cannot be used with UDP"),
    ] {
        let config = ServerConfig { tls: Some(tls), rights, listen, ..ServerConfig::default() };
        assert!(config.validate().is_err_and(|e| e.to_string().contains(why)), "{why}");
    }
    let peer = ServerConfig {
        tls: Some(tls),
        rights: rights(),
        listen: vec![listen(TlsMode::Peer)],
        ..ServerConfig::default()
    };
    assert_eq!(peer.validate(), Ok(()));
}

#[test]
fn listeners_differ_in_what_they_want() {
    let files = Files::new();
    let good = files.authority.sign();
    let modes = [TlsMode::Off, TlsMode::Default, TlsMode::NoPeer, TlsMode::Peer];
    let tls = |verify_mode| TlsConfig {
        verify_mode,
        ca_cert: Some(files.path("ca.pem")),
        session_cache: true,
        ..files.tls()
    };
    for (verify_mode, expected) in
        [(VerifyMode::None, [true, true, false]), (VerifyMode::Require, [false, true, false])]
    {
        let server = start(tls(verify_mode), &modes);
        talks(&mut socket(address(&server, 0))).unwrap();
        // A session of one listener is not valid at another.
        let rules = files.rules(None, BOTH[1]);
        let got = [1, 2, 3].map(|n| talks(&mut connect(address(&server, n), &rules)).is_ok());
        assert_eq!(got, expected, "{verify_mode:?}");
        talks(&mut connect(address(&server, 3), &files.rules(Some(&good), BOTH[1]))).unwrap();
    }
}

#[test]
fn new_connections_get_the_certificate_that_was_loaded_last() {
    let files = Files::new();
    let server = files.start();
    let clock = server.cache().clock();
    clock.freeze();
    let shown = |client: &Client| client.conn.peer_certificates().unwrap()[0].clone();
    let mut old = files.client(&server);
    talks(&mut old).unwrap();
    assert_eq!(shown(&old), files.server.der);

    let next = files.authority.sign();
    files.write(&next);
    clock.advance(100).unwrap();
    exchange(&mut old, b"refresh_certs\r\n", b"OK\r\n");
    let mut new = files.client(&server);
    talks(&mut new).unwrap();
    assert_eq!(shown(&new), next.der);
    talks(&mut old).unwrap();
    assert_eq!(shown(&old), files.server.der);
    clock.advance(7).unwrap();
    assert!(stats(&mut new, "").contains("STAT time_since_server_cert_refresh 7\r\n"));

    // A wrong key, and then a missing one: neither changes anything.
    let path = files.directory.put("server.key", files.server.key.serialize_pem());
    let line =
        format!("Error loading the key: {} : the key is not that of the certificate\r\n", path.display());
    exchange(&mut new, b"refresh_certs\r\n", line.as_bytes());
    fs::remove_file(&path).unwrap();
    let error = server.context().reload().unwrap_err();
    assert!(error.ends_with("server.key : No such file or directory"), "{error}");
    let mut last = files.client(&server);
    talks(&mut last).unwrap();
    assert_eq!(shown(&last), next.der);
    assert!(stats(&mut last, "").contains("STAT time_since_server_cert_refresh 7\r\n"));
}

fn stats(client: &mut Client, which: &str) -> String {
    client.write_all(format!("stats{which}\r\n").as_bytes()).unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"END\r\n") {
        let mut some = [0; 4096];
        let n = client.read(&mut some).unwrap();
        text.extend_from_slice(&some[..n]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn sessions_are_resumed_where_that_is_allowed() {
    let files = Files::new();
    for (session_cache, second) in [(true, HandshakeKind::Resumed), (false, HandshakeKind::Full)] {
        let server = start(TlsConfig { session_cache, ..files.tls() }, &[TlsMode::Default]);
        for version in BOTH {
            let rules = files.rules(None, version);
            let before = new_sessions(&server);
            let mut first = connect(address(&server, 0), &rules);
            talks(&mut first).unwrap();
            assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(new_sessions(&server), before + 1);
            let mut again = connect(address(&server, 0), &rules);
            talks(&mut again).unwrap();
            assert_eq!(again.conn.handshake_kind(), Some(second), "{:?}", version.version);
            let expected = before + if session_cache { 1 } else { 2 };
            assert_eq!(new_sessions(&server), expected);
            assert_eq!(stats(&mut again, "").contains("STAT ssl_new_sessions "), session_cache);
            // After a reload no session is resumed, because its certificate may no longer be
            // trusted.
            server.context().reload().unwrap();
            let mut after = connect(address(&server, 0), &rules);
            talks(&mut after).unwrap();
            assert_eq!(after.conn.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn a_client_that_says_goodbye_gets_its_answers_and_a_goodbye() {
    let files = Files::new();
    let server = files.start();
    for version in BOTH {
        let mut client = connect(address(&server, 0), &files.rules(None, version));
        exchange(&mut client, &set("k", &value(90_000)), b"STORED\r\n");
        client.write_all(b"get k\r\n").unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
        client.sock.shutdown(Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        // An end without close_notify would be an error here.
        client.read_to_end(&mut reply).unwrap();
        assert!(reply == hit("k", &value(90_000)));
    }
    let mut client = files.client(&server);
    client.write_all(b"version\r\nquit\r\n").unwrap();
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"VERSION 1.6.45\r\n");
    eventually("all closed", || connections(&server) == 0);
    assert_eq!((handshake_errors(&server), proto_errors(&server)), (0, 0));
}

#[test]
fn a_client_that_just_leaves_is_no_error() {
    let files = Files::new();
    let server = files.start();
    let mut client = files.client(&server);
    talks(&mut client).unwrap();
    client.sock.shutdown(Shutdown::Both).unwrap();
    eventually("it is closed", || connections(&server) == 0);
    assert_eq!((handshake_errors(&server), proto_errors(&server)), (0, 0));
}

#[test]
fn the_least_version_is_kept() {
    let files = Files::new();
    for (min_version, expected) in [(TlsVersion::V1_2, [true, true]), (TlsVersion::V1_3, [false, true])] {
        let server = start(TlsConfig { min_version, ..files.tls() }, &[TlsMode::Default]);
        let got =
            BOTH.map(|version| talks(&mut connect(address(&server, 0), &files.rules(None, version))).is_ok());
        assert_eq!(got, expected);
        eventually("refusals are counted", || handshake_errors(&server) == u64::from(!expected[0]));
    }
}

#[test]
fn cipher_suites_are_those_of_the_list() {
    let files = Files::new();
    let list = "AES128-SHA:ECDHE-ECDSA-CHACHA20-POLY1305";
    let tls = TlsConfig { ciphers: Some(list.into()), ..files.tls() };
    assert_eq!(Tls::load(&tls).unwrap().notes(), ["ssl_ciphers: not available here: AES128-SHA"]);
    let server = start(tls, &[TlsMode::Default]);
    let mut client = connect(address(&server, 0), &files.rules(None, BOTH[0]));
    talks(&mut client).unwrap();
    let suite = client.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    assert!(stats(&mut client, " settings").contains(&format!("STAT ssl_ciphers {list}\r\n")));
}

#[test]
fn keys_are_found_in_each_form() {
    let files = Files::new();
    let key = &files.server.key;
    let der = files.directory.put("server.der", key.serialize_der());
    let both = files.directory.put("both.pem", files.server.pem.clone() + &key.serialize_pem());
    let cases = [
        TlsConfig { key: Some(der), key_format: KeyFormat::Der, ..files.tls() },
        TlsConfig { chain_cert: Some(both), key: None, ..files.tls() },
    ];
    for tls in cases {
        talks(&mut files.client(&start(tls, &[TlsMode::Default]))).unwrap();
    }
}

#[test]
fn keys_in_memory_need_no_files() {
    let files = Files::new();
    let text = |name| fs::read(files.path(name)).unwrap();
    let pem =
        TlsPem { chain_cert: text("server.pem"), key: text("server.key"), ca_cert: Some(text("ca.pem")) };
    fs::remove_dir_all(&files.directory.0).unwrap();
    // The paths do not exist, and are not read.
    let config = |pem| TlsConfig { in_memory: Some(pem), verify_mode: VerifyMode::Require, ..files.tls() };
    assert!(!format!("{:?}", config(pem.clone())).contains("KEY"));
    let server = start(config(pem.clone()), &[TlsMode::Default]);
    let own = files.authority.sign();
    let mut client = connect(address(&server, 0), &files.rules(Some(&own), BOTH[1]));
    talks(&mut client).unwrap();
    exchange(&mut client, b"refresh_certs\r\n", b"OK\r\n");
    let settings = stats(&mut client, " settings");
    assert!(settings.contains("STAT ssl_chain_cert (memory)\r\nSTAT ssl_key (memory)\r\n"), "{settings}");
    assert!(settings.contains("STAT ssl_ca_cert (memory)\r\n"), "{settings}");
    assert!(talks(&mut connect(address(&server, 0), &files.rules(None, BOTH[1]))).is_err());

    let refused =
        ServerConfig { tls: Some(config(TlsPem { key: b"?".to_vec(), ..pem })), ..ServerConfig::default() };
    let error = Server::start(refused).err().map(|e| e.to_string());
    assert_eq!(error.as_deref(), Some("Error loading the key: (memory) : no private key in it"));
}

#[test]
fn what_cannot_be_used_is_named_in_one_line() {
    let files = Files::new();
    let none = files.path("none");
    let empty = files.directory.put("empty", "");
    let locked = files
        .directory
        .put("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let other = files.directory.put("other", Authority::new().sign().key.serialize_pem());
    let line =
        |what: &str, path: &Path, why: &str| format!("Error loading the {what}: {} : {why}", path.display());
    let key = |path: &Path| TlsConfig { key: Some(path.into()), ..files.tls() };
    let cases = [
        (
            TlsConfig { chain_cert: Some(none.clone()), ..files.tls() },
            line("certificate chain", &none, "No such file or directory"),
        ),
        (
            TlsConfig { chain_cert: Some(empty.clone()), ..files.tls() },
            line("certificate chain", &empty, "no certificate in it"),
        ),
        (key(&none), line("key", &none, "No such file or directory")),
        (key(&empty), line("key", &empty, "no private key in it")),
        (key(&locked), line("key", &locked, "it is encrypted, which is not supported")),
        (key(&other), line("key", &other, "the key is not that of the certificate")),
        (
            TlsConfig { ca_cert: Some(none.clone()), ..files.tls() },
            line("CA certificate", &none, "No such file or directory"),
        ),
        (
            TlsConfig { ciphers: Some("RC4".into()), ..files.tls() },
            "Error setting the provided cipher(s): RC4".into(),
        ),
    ];
    for (tls, expected) in cases {
        let config = ServerConfig { tls: Some(tls), ..ServerConfig::default() };
        assert_eq!(Server::start(config).err().map(|e| e.to_string()), Some(expected));
    }
}

#[test]
fn stats_are_named_and_ordered_as_in_memcached() {
    let files = Files::new();
    let tls = TlsConfig {
        session_cache: true,
        verify_mode: VerifyMode::Request,
        wbuf_size: 65_536,
        ca_cert: Some(files.path("ca.pem")),
        ..files.tls()
    };
    let server = start(tls, &[TlsMode::Default]);
    let mut client = files.client(&server);
    let names = |text: &str| -> Vec<String> {
        let fields = text.lines().filter_map(|line| line.split(' ').nth(1));
        fields.filter(|name| name.contains("ssl_") || name.contains("cert")).map(str::to_owned).collect()
    };
    assert_eq!(
        names(&stats(&mut client, "")),
        ["ssl_new_sessions", "ssl_handshake_errors", "ssl_proto_errors", "time_since_server_cert_refresh"]
    );
    let settings = stats(&mut client, " settings");
    let block = format!(
        "STAT ssl_enabled yes\r\nSTAT ssl_chain_cert {}\r\nSTAT ssl_key {}\r\nSTAT ssl_verify_mode 1\r\n\
         STAT ssl_keyformat 1\r\nSTAT ssl_ciphers NULL\r\nSTAT ssl_ca_cert {}\r\nSTAT ssl_wbuf_size 65536\r\n\
         STAT ssl_session_cache yes\r\nSTAT ssl_kernel_tls no\r\nSTAT ssl_min_version tlsv1.2\r\n\
         STAT num_napi_ids",
        files.path("server.pem").display(),
        files.path("server.key").display(),
        files.path("ca.pem").display(),
    );
    assert!(settings.contains(&block), "{settings}");
    exchange(&mut client, b"stats reset\r\n", b"RESET\r\n");
    assert_eq!(new_sessions(&server), 0);
}

#[test]
fn without_tls_there_is_nothing_to_refresh() {
    let server = Server::start(ServerConfig {
        listen: vec![Listen::Tcp {
            addr: ([127, 0, 0, 1], 0).into(),
            protocol: Protocol::Negotiating,
            tls: TlsMode::Off,
            tag: None,
        }],
        ..ServerConfig::default()
    })
    .unwrap();
    let mut client = socket(address(&server, 0));
    exchange(&mut client, b"refresh_certs\r\n", b"Error TLS not enabled\r\n");
    let none = b"STAT ssl_enabled no\r\nSTAT ssl_chain_cert (null)\r\nSTAT ssl_key (null)\r\n";
    client.write_all(b"stats settings\r\nquit\r\n").unwrap();
    let mut text = Vec::new();
    client.read_to_end(&mut text).unwrap();
    assert!(text.windows(none.len()).any(|part| part == none));
    assert_eq!(server.context().reload(), Ok(()));
}

#[test]
fn a_reply_may_come_late() {
    let files = Files::new();
    let server = files.start();
    let late = value(600_000);
    server.cache().set(b"late", &late, Ttl::Never).unwrap();
    let fault = Fault::DelayReply(Duration::from_millis(5));
    server.cache().faults().add(FaultRule { key: Some(b"late".to_vec()), ..FaultRule::new(fault) });
    let mut client = files.client(&server);
    let request = [&b"mn\r\nget late\r\n"[..], &set("b", b"x"), b"get late\r\nget b\r\n"].concat();
    let reply = [&b"MN\r\n"[..], &hit("late", &late), b"STORED\r\n", &hit("late", &late), &hit("b", b"x")];
    exchange(&mut client, &request, &reply.concat());
    eventually("the memory is freed", || buffered(&server) <= 32 * 1024);
}
