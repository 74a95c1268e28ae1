//! TLS from a proxy to its backends. The backends are servers of this crate with certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod certificates;
mod proxying;
mod waiting;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use certificates::{Authority, Directory, Identity};
use memcache_rs::{
    ClusterNode, Hooks, Listen, Protocol, ProxyConfig, Server, ServerConfig, TlsConfig, TlsMode, TlsVersion,
    VerifyMode,
};
use proxying::{Client, address, start};
use rcgen::CertificateParams;
use waiting::{PATIENCE, eventually};

/// The files of a backend and of its proxy.
struct Bench {
    directory: Directory,
    authority: Authority,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { directory: Directory::new(), authority: Authority::new() };
        bench.directory.put("ca.pem", &bench.authority.pem);
        bench.put("server", &bench.authority.sign());
        bench.put("proxy", &bench.authority.sign());
        bench
    }

    fn put(&self, name: &str, identity: &Identity) {
        self.directory.put(&format!("{name}.pem"), &identity.pem);
        self.directory.put(&format!("{name}.key"), identity.key.serialize_pem());
    }

    /// Starts a backend that speaks this version at least, and verifies its clients.
    fn backend(&self, min_version: TlsVersion, verify_mode: VerifyMode) -> Server {
        let at = |name: &str| Some(self.directory.0.join(name));
        let tls = TlsConfig {
            chain_cert: at("server.pem"),
            key: at("server.key"),
            ca_cert: at("ca.pem"),
            min_version,
            verify_mode,
            ..TlsConfig::default()
        };
        let addr = ([127, 0, 0, 1], 0).into();
        let listen =
            vec![Listen::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Default, tag: None }];
        Server::start(ServerConfig { listen, tls: Some(tls), threads: 1, ..ServerConfig::default() }).unwrap()
    }

    /// Starts a proxy before a backend, with these keys of `tls`.
    fn proxy(&self, backend: &Server, tls: &str) -> Result<Proxy, String> {
        self.proxy_of(&format!("'{}'", address(backend)), tls)
    }

    /// Starts a proxy with this member of its pool.
    fn proxy_of(&self, member: &str, tls: &str) -> Result<Proxy, String> {
        self.proxy_with(&format!("backends = [{member}]\nretry_ms = 10\ntls = {{ {tls} }}"))
    }

    /// Starts a proxy with this pool.
    fn proxy_with(&self, pool: &str) -> Result<Proxy, String> {
        let text = format!("route = 'a'\n[pools.a]\n{pool}\n");
        let (log, lines) = channel();
        let log = move |_, line: &str| drop(log.send(line.to_owned()));
        let config = ServerConfig {
            proxy: Some(ProxyConfig::File(self.directory.put("proxy.toml", text))),
            listen: vec![Listen::tcp(([127, 0, 0, 1], 0).into())],
            threads: 1,
            verbosity: 1,
            hooks: Hooks { log: Some(Arc::new(log)), ..Hooks::default() },
            ..ServerConfig::default()
        };
        let server = Server::start(config).map_err(|error| error.to_string())?;
        Ok(Proxy { server, lines })
    }
}

/// A proxy, and the lines of its log.
struct Proxy {
    server: Server,
    lines: Receiver<String>,
}

impl Proxy {
    /// Waits until the backend is bad. Returns the reason.
    fn reason(&self) -> String {
        let mut client = Client::new(&self.server);
        client.asks("get k\r\n", "SERVER_ERROR backend failure\r\n");
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            if let Some((_, reason)) = line.split_once(" is bad: ") {
                return reason.to_owned();
            }
        }
    }
}

const WITH_CERTIFICATE: &str =
    "ca = 'ca.pem', cert = 'proxy.pem', key = 'proxy.key', server_name = 'localhost'";

#[test]
fn values_pass_in_both_versions_with_certificates_of_both_sides() {
    let bench = Bench::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let backend = bench.backend(version, VerifyMode::Require);
        let proxy = bench.proxy(&backend, WITH_CERTIFICATE).unwrap();
        let mut client = Client::new(&proxy.server);
        for length in [0, 1, 16_384, 70_000, 1_000_000] {
            let value = "v".repeat(length);
            client.asks(&format!("set k 0 0 {length}\r\n{value}\r\n"), "STORED\r\n");
            client.asks("get k\r\n", &format!("VALUE k 0 {length}\r\n{value}\r\nEND\r\n"));
        }
        let (many, replies) = ("get none\r\n".repeat(10_000), "END\r\n".repeat(10_000));
        client.asks(&many, &replies);
    }
}

#[test]
fn without_its_certificate_a_proxy_is_refused() {
    let bench = Bench::new();
    let backend = bench.backend(TlsVersion::V1_2, VerifyMode::Require);
    let proxy = bench.proxy(&backend, "ca = 'ca.pem', server_name = 'localhost'").unwrap();
    let reason = proxy.reason();
    assert!(reason.contains("CertificateRequired"), "{reason}");
}

/// A backend with another name, or of another authority, gets no request, except with
/// `verify = false`.
#[test]
fn backends_are_verified() {
    let bench = Bench::new();
    let backend = bench.backend(TlsVersion::V1_2, VerifyMode::None);
    let other = Authority::new();
    bench.directory.put("other.pem", &other.pem);
    for (tls, words) in [
        ("ca = 'ca.pem'", "certificate not valid for name \"127.0.0.1\""),
        ("ca = 'other.pem', server_name = 'localhost'", "invalid peer certificate"),
    ] {
        let reason = bench.proxy(&backend, tls).unwrap().reason();
        assert!(reason.starts_with("connecting: ") && reason.contains(words), "{reason}");
    }
    for tls in ["verify = false", "ca = 'other.pem', verify = false"] {
        let proxy = bench.proxy(&backend, tls).unwrap();
        Client::new(&proxy.server).asks("get k\r\n", "END\r\n");
    }
    bench.put("server", &bench.authority.sign_as(&CertificateParams::new(vec!["127.0.0.1".into()]).unwrap()));
    let backend = bench.backend(TlsVersion::V1_2, VerifyMode::None);
    let proxy = bench.proxy(&backend, "ca = 'ca.pem'").unwrap();
    Client::new(&proxy.server).asks("get k\r\n", "END\r\n");
}

/// The address of a backend comes from a source, but its certificate has the name of the host.
#[test]
fn a_backend_of_a_source_is_verified_by_the_name_of_its_host() {
    let bench = Bench::new();
    let backend = bench.backend(TlsVersion::V1_2, VerifyMode::None);
    let endpoint = start(ServerConfig::default());
    let at = address(&backend);
    let cluster = format!("{{ elasticache = '{}' }}", address(&endpoint));
    let node = |host: &str| ClusterNode::new(host, Some(at.ip()), at.port()).unwrap();
    endpoint.set_cluster_nodes(&[node("localhost")]);
    for member in [&cluster, &format!("{{ dns = 'localhost', port = {} }}", at.port())] {
        let proxy = bench.proxy_of(member, "ca = 'ca.pem'").unwrap();
        Client::new(&proxy.server).asks("get k\r\n", "END\r\n");
    }
    endpoint.set_cluster_nodes(&[node("other")]);
    let reason = bench.proxy_of(&cluster, "ca = 'ca.pem'").unwrap().reason();
    assert!(reason.contains("certificate not valid for name \"other\""), "{reason}");
    let proxy = bench.proxy_of(&cluster, "ca = 'ca.pem', server_name = 'localhost'").unwrap();
    Client::new(&proxy.server).asks("get k\r\n", "END\r\n");
}

/// A backend is used again once it has a certificate that can be verified.
#[test]
fn a_backend_with_a_new_certificate() {
    let bench = Bench::new();
    let right = bench.authority.sign();
    bench.put("server", &Authority::new().sign());
    let backend = bench.backend(TlsVersion::V1_2, VerifyMode::None);
    let proxy = bench.proxy(&backend, "ca = 'ca.pem', server_name = 'localhost'").unwrap();
    proxy.reason();
    bench.put("server", &right);
    backend.context().tls.as_ref().unwrap().reload(1).unwrap();
    let mut client = Client::new(&proxy.server);
    eventually("the backend answers", || {
        client.send("get none\r\n");
        client.line() == "END\r\n"
    });
}

/// A reload reaches connections that the workers share.
#[test]
fn a_reload_reads_the_files_of_a_backend_again() {
    let bench = Bench::new();
    let backend = bench.backend(TlsVersion::V1_2, VerifyMode::None);
    let at = address(&backend);
    for shared in [false, true] {
        bench.directory.put("changed.pem", &Authority::new().pem);
        let tls = "ca = 'changed.pem', server_name = 'localhost'";
        let pool = format!("backends = ['{at}']\nretry_ms = 10\nshared = {shared}\ntls = {{ {tls} }}");
        let proxy = bench.proxy_with(&pool).unwrap();
        proxy.reason();
        bench.directory.put("changed.pem", &bench.authority.pem);
        assert_eq!(proxy.server.reload_proxy(), Ok(()));
        let mut client = Client::new(&proxy.server);
        eventually("the backend answers", || {
            client.send("get none\r\n");
            client.line() == "END\r\n"
        });
    }
}

#[test]
fn a_backend_without_tls_is_bad() {
    let bench = Bench::new();
    let backend = start(ServerConfig::default());
    let reason = bench.proxy(&backend, "verify = false").unwrap().reason();
    assert!(reason.starts_with("connecting: "), "{reason}");
}

#[test]
fn files_that_cannot_be_used_are_one_line_at_start() {
    let bench = Bench::new();
    let backend = start(ServerConfig::default());
    bench.directory.put("empty.pem", "");
    let missing = "server_name = 'localhost'";
    for (tls, words) in [
        ("ca = 'no.pem'", "proxy.toml:5: pools.a.tls: failed to load the CA certificate "),
        ("ca = 'no.pem'", "/no.pem: No such file or directory"),
        ("ca = 'empty.pem'", "/empty.pem: no certificate in it"),
        ("ca = 'ca.pem', cert = 'proxy.pem', key = 'server.key'", "the key is not that of the certificate"),
        ("ca = 'ca.pem', cert = 'proxy.pem'", "no private key in it"),
        ("ca = 'ca.pem', key = 'proxy.key'", "proxy.toml:5: pools.a.tls: cert is missing"),
        (missing, "proxy.toml:5: pools.a.tls: ca is missing"),
    ] {
        let error = bench.proxy(&backend, tls).err().unwrap();
        assert!(error.contains("pools.a.tls: ") && error.contains(words), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
