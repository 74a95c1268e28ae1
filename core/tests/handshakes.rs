//! Which threads compute TLS handshakes. This test has a process of its own, because it reads the
//! processor time of threads by their name.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use memcache_rs::{BoundAddress, Listen, Protocol, Server, ServerConfig, TlsConfig, TlsMode, TlsPem};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Returns the nanoseconds of processor time that the thread of this name has used. Returns `None`
/// if there is no such thread.
fn time_of(name: &str) -> Option<u64> {
    fs::read_dir("/proc/self/task").unwrap().find_map(|task| {
        let task = task.unwrap().path();
        let comm = fs::read_to_string(task.join("comm")).ok()?;
        let times = fs::read_to_string(task.join("schedstat")).ok()?;
        (comm.trim_end() == name).then(|| times.split(' ').next().unwrap().parse().unwrap())
    })
}

#[test]
fn a_worker_computed_handshakes_while_its_clients_waited() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
    let pem = TlsPem {
        chain_cert: cert.pem().into_bytes(),
        key: signing_key.serialize_pem().into_bytes(),
        ca_cert: None,
    };
    let listen = Listen::Tcp {
        addr: ([127, 0, 0, 1], 0).into(),
        protocol: Protocol::Negotiating,
        tls: TlsMode::Default,
        tag: None,
    };
    let server = Server::start(ServerConfig {
        listen: vec![listen],
        tls: Some(TlsConfig { in_memory: Some(pem), ..TlsConfig::default() }),
        threads: 1,
        ..ServerConfig::default()
    })
    .unwrap();
    let BoundAddress::Tcp(address) = server.addresses()[0] else { panic!("no TCP address") };
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut rules = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    rules.resumption = rustls::client::Resumption::disabled();
    let rules = Arc::new(rules);

    let threads = ["mcrs-tls", "mcrs-worker-0"];
    let before = threads.map(|name| time_of(name).unwrap_or(0));
    for _ in 0..100 {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(&rules), name).unwrap();
        let mut client = StreamOwned::new(session, TcpStream::connect(address).unwrap());
        client.write_all(b"mn\r\n").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
    }
    let after = threads.map(|name| time_of(name).unwrap_or(0));
    let [handshakes, worker] = [after[0] - before[0], after[1] - before[1]];
    assert!(handshakes > worker, "{handshakes} ns on the handshake thread, {worker} ns on the worker");
    drop(server);
    assert_eq!(threads.map(time_of), [None, None]);
}
