//! The recorded exchanges of `data/`, which hold the replies of 1.6.45. They are compared with a
//! session without sockets under random chunking, and with a server over TCP, TLS and a Unix
//! socket. `data/README.md` describes the format.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use memcache_compat::rng::Rng;
use memcache_compat::transcript::{Bindings, Entry, Transcript};
use memcache_rs::internal::protocol::output::Output;
use memcache_rs::internal::session::{Env, Next, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::{
    BoundAddress, Cache, CacheConfig, Listen, Protocol, Server, ServerConfig, Stop, TlsConfig, TlsMode,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// One case of a file: its name, its settings and its exchanges.
struct Case {
    name: String,
    config: ServerConfig,
    entries: Vec<Entry>,
}

fn cases(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for entry in Transcript::parse(&text).unwrap().entries {
        match entry {
            Entry::Remark(_) => {}
            Entry::Case(name) => cases.push(Case { name, config: config(), entries: Vec::new() }),
            Entry::Flags(flags) => apply(&mut cases.last_mut().unwrap().config, &flags),
            entry => cases.last_mut().unwrap().entries.push(entry),
        }
    }
    assert!(!cases.is_empty(), "{} says nothing", file.display());
    cases
}

/// Returns settings under which replies do not depend on background work.
fn config() -> ServerConfig {
    ServerConfig { threads: 1, debug_commands: true, ..ServerConfig::default() }
}

fn apply(config: &mut ServerConfig, flags: &[String]) {
    let mut words = flags.iter().map(String::as_str);
    while let Some(flag) = words.next() {
        match flag {
            "-A" => config.shutdown_enabled = true,
            "-C" => config.cache.use_cas = false,
            "-F" => config.flush_enabled = false,
            "-M" => config.cache.evictions = false,
            "-W" => config.watch_enabled = false,
            "-X" => config.dump_enabled = false,
            "-D" => {
                config.cache.prefix_delimiter = words.next().unwrap().as_bytes()[0];
                config.cache.detail_enabled = true;
            }
            "-I" => {
                let size = words.next().unwrap().strip_suffix('k').unwrap();
                config.cache.item_size_max = size.parse::<usize>().unwrap() * 1024;
            }
            "-o" => match words.next().unwrap() {
                "no_lru_crawler" => config.cache.lru_crawler = false,
                "no_slab_reassign" => config.cache.slab_reassign = false,
                option => {
                    let size = option.strip_prefix("slab_chunk_max=").unwrap();
                    config.cache.slab_chunk_max = size.parse::<usize>().unwrap() * 1024;
                }
            },
            other => panic!("flag {other} is not known here"),
        }
    }
}

/// The client side of a connection.
trait Wire {
    fn send(&mut self, bytes: &[u8], cut: bool);
    /// Returns the reply. It ends when `enough` returns true, or after `patience` without further
    /// bytes.
    fn receive(&mut self, patience: Duration, enough: &mut dyn FnMut(&[u8]) -> bool) -> Vec<u8>;
    fn is_closed(&mut self) -> bool;
    fn advance(&mut self, seconds: u64);
}

/// Runs a case over `wire`. The error names the step that went wrong.
fn converse(case: &Case, wire: &mut dyn Wire, cut: bool) -> Result<(), String> {
    let mut bindings = Bindings::default();
    let mut open = true;
    let mut entries = case.entries.iter().peekable();
    while let Some(entry) = entries.next() {
        match entry {
            Entry::Request(lines) => {
                wire.send(&bindings.request(lines)?, cut);
                if !matches!(entries.peek(), Some(Entry::Reply(_))) {
                    let closes = matches!(entries.peek(), Some(Entry::Closed));
                    let got = wire.receive(if closes { PATIENCE } else { SILENCE }, &mut |_| false);
                    if !got.is_empty() && !closes {
                        return Err(format!(
                            "no reply expected to {lines:?}, got {:?}",
                            String::from_utf8_lossy(&got)
                        ));
                    }
                }
            }
            Entry::Reply(lines) => {
                let got = wire.receive(PATIENCE, &mut |got| bindings.clone().check(lines, got).is_ok());
                bindings.check(lines, &got)?;
            }
            Entry::Advance(seconds) => wire.advance(*seconds),
            Entry::Closed => {
                open = false;
                if !wire.is_closed() {
                    return Err("the connection should be closed".into());
                }
            }
            Entry::Remark(_) | Entry::Case(_) | Entry::Flags(_) => {}
        }
    }
    if open && !ends_watching(&case.entries) {
        let (last, answer): (&[u8], &[u8]) =
            if is_binary(&case.entries) { (&NOOP.0, &NOOP.1) } else { (b"mn\r\n", b"MN\r\n") };
        wire.send(last, false);
        let got = wire.receive(PATIENCE, &mut |got| got == answer);
        if got != answer {
            return Err(format!("something is left over: {:?}", String::from_utf8_lossy(&got)));
        }
    }
    Ok(())
}

/// The packet of the binary protocol that does nothing, and its reply.
const NOOP: ([u8; 24], [u8; 24]) = (
    *b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\xfe\xff\xff\xfe\0\0\0\0\0\0\0\0",
    *b"\x81\x0a\0\0\0\0\0\0\0\0\0\0\xfe\xff\xff\xfe\0\0\0\0\0\0\0\0",
);

/// Returns whether the connection uses the binary protocol, by its first byte.
fn is_binary(entries: &[Entry]) -> bool {
    let first =
        entries.iter().find_map(|entry| if let Entry::Request(lines) = entry { Some(lines) } else { None });
    first.is_some_and(|lines| lines[0].starts_with("\\x80"))
}

/// Returns whether the connection ends as a watcher, which does not reply any more.
fn ends_watching(entries: &[Entry]) -> bool {
    matches!(entries, [.., Entry::Request(lines), Entry::Reply(_)]
        if lines[0].starts_with("watch f") && !lines[0].contains('x'))
}

/// A session, and the work of a connection for it.
struct Direct {
    context: ServerState,
    session: Session,
    rng: Rng,
    pending: Vec<u8>,
    answered: Vec<u8>,
    closed: bool,
}

impl Direct {
    fn new(config: ServerConfig, seed: u64) -> Self {
        let cache = Cache::new(config.cache.clone()).unwrap();
        cache.clock().freeze();
        Self {
            context: ServerState::new(cache, config).unwrap(),
            session: Session::new(Protocol::Negotiating),
            rng: Rng::new(seed),
            pending: Vec::new(),
            answered: Vec::new(),
            closed: false,
        }
    }

    fn turn(&mut self) {
        loop {
            if self.closed {
                return;
            }
            let mut out = Output::new();
            let commands = 1 + self.rng.below(8);
            let mut env = Env::new(&self.context, &self.context.workers[0], 7, commands);
            let step = self.session.advance(&mut env, &self.pending, &mut out);
            self.pending.drain(..step.consumed);
            let keep = !matches!(step.next, Next::Abort(_));
            while keep && !out.is_empty() {
                out.write_to(&mut self.answered).unwrap();
            }
            match step.next {
                Next::Input | Next::Sleep(_) | Next::Pending => return,
                Next::Yield => {}
                Next::Close(_) | Next::Abort(_) => self.closed = true,
                Next::Watch(_) => {
                    self.answered.extend_from_slice(b"OK\r\n");
                    return;
                }
            }
        }
    }
}

impl Wire for Direct {
    fn send(&mut self, bytes: &[u8], cut: bool) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = if cut { 1 + self.rng.below(40) } else { rest.len() };
            let direct = if cut && self.rng.chance(1, 2) { self.session.value_target() } else { None };
            // Half of the time, a value is read directly into its item.
            let n = if let Some(target) = direct.filter(|_| self.pending.is_empty()) {
                let n = most.min(rest.len()).min(target.len());
                target[..n].copy_from_slice(&rest[..n]);
                self.session.value_filled(n);
                n
            } else {
                let n = most.min(rest.len());
                self.pending.extend_from_slice(&rest[..n]);
                n
            };
            rest = &rest[n..];
            self.turn();
        }
    }

    fn receive(&mut self, _patience: Duration, _enough: &mut dyn FnMut(&[u8]) -> bool) -> Vec<u8> {
        std::mem::take(&mut self.answered)
    }

    fn is_closed(&mut self) -> bool {
        self.closed
    }

    fn advance(&mut self, seconds: u64) {
        self.context.cache.clock().advance(seconds as i64).unwrap();
    }
}

/// A server and a socket to it.
struct Remote<S> {
    server: Server,
    socket: S,
    rng: Rng,
}

/// A socket whose reads time out.
trait Patient {
    fn wait_at_most(&self, time: Duration);
}

impl Patient for TcpStream {
    fn wait_at_most(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
}

impl Patient for UnixStream {
    fn wait_at_most(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
}

impl Patient for StreamOwned<ClientConnection, TcpStream> {
    fn wait_at_most(&self, time: Duration) {
        self.sock.wait_at_most(time);
    }
}

impl<S: Read + Write + Patient> Wire for Remote<S> {
    fn send(&mut self, bytes: &[u8], cut: bool) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = if cut { (1 + self.rng.below(2000)).min(rest.len()) } else { rest.len() };
            // If the server closed in the middle of a request, the next read finds that.
            if self.socket.write_all(&rest[..n]).is_err() {
                return;
            }
            rest = &rest[n..];
        }
    }

    fn receive(&mut self, patience: Duration, enough: &mut dyn FnMut(&[u8]) -> bool) -> Vec<u8> {
        self.socket.wait_at_most(patience);
        let mut got = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while !enough(&got) {
            match self.socket.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => got.extend_from_slice(&buffer[..n]),
            }
        }
        got
    }

    fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        self.socket.wait_at_most(PATIENCE);
        match self.socket.read(&mut byte) {
            Ok(n) => n == 0,
            // TLS reports an unexpected end if the server had to close at once. The server may
            // still have bytes to write.
            Err(e) => {
                use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
                matches!(e.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
            }
        }
    }

    fn advance(&mut self, seconds: u64) {
        self.server.cache().clock().advance(seconds as i64).unwrap();
    }
}

/// Time after which a reply counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Length of a silence that counts as no reply.
const SILENCE: Duration = Duration::from_millis(40);

fn over_tcp(mut config: ServerConfig) -> Remote<TcpStream> {
    let addr = "127.0.0.1:0".parse().unwrap();
    config.listen = vec![Listen::tcp(addr)];
    let server = Server::start(config).unwrap();
    server.cache().clock().freeze();
    let BoundAddress::Tcp(addr) = &server.addresses()[0] else { panic!("not TCP") };
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_nodelay(true).unwrap();
    Remote { server, socket, rng: Rng::new(1) }
}

/// Connects over TLS. The client trusts the certificate in `pem`, which also holds its key.
fn over_tls(mut config: ServerConfig, pem: &Path) -> Remote<StreamOwned<ClientConnection, TcpStream>> {
    config.tls = Some(TlsConfig { chain_cert: Some(pem.into()), ..TlsConfig::default() });
    let addr = "127.0.0.1:0".parse().unwrap();
    config.listen =
        vec![Listen::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Default, tag: None }];
    let server = Server::start(config).unwrap();
    server.cache().clock().freeze();
    let BoundAddress::Tcp(addr) = &server.addresses()[0] else { panic!("not TCP") };
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pem).unwrap()).unwrap();
    let rules = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(rules), name).unwrap();
    Remote { server, socket: StreamOwned::new(client, socket), rng: Rng::new(3) }
}

fn over_unix(mut config: ServerConfig, path: &Path, protocol: Protocol) -> Remote<UnixStream> {
    config.listen = vec![Listen::Unix { path: path.into(), mask: 0o700, protocol }];
    let server = Server::start(config).unwrap();
    server.cache().clock().freeze();
    let socket = UnixStream::connect(path).unwrap();
    Remote { server, socket, rng: Rng::new(2) }
}

/// Returns the cases of all files with the file of each. If the environment has `CASE`, returns
/// only those cases whose name contains it.
fn selected() -> Vec<(PathBuf, Case)> {
    let wanted = env::var("CASE").unwrap_or_default();
    let mut found = Vec::new();
    for file in files() {
        let chosen = cases(&file).into_iter().filter(|case| case.name.contains(&wanted));
        found.extend(chosen.map(|case| (file.clone(), case)));
    }
    assert!(!found.is_empty(), "no case has a name with {wanted:?} in it");
    found
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "transcript"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the recorded exchanges are gone");
    files
}

/// Returns whether the replies of a file depend on how much of a request has arrived.
fn is_whole(file: &Path) -> bool {
    file.file_name().unwrap().to_string_lossy().starts_with("whole-")
}

#[test]
fn a_session_answers_as_recorded_however_its_input_is_cut() {
    let mut faults = Vec::new();
    for (file, case) in selected() {
        for seed in 0..if is_whole(&file) { 1 } else { 20 } {
            let mut wire = Direct::new(case.config.clone(), seed);
            let cut = seed > 0;
            if let Err(what) = converse(&case, &mut wire, cut) {
                faults.push(format!("{}: {}, seed {seed}: {what}", file.display(), case.name));
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_server_answers_as_recorded_over_tcp_tls_and_unix_sockets() {
    let path = env::temp_dir().join(format!("mcrs-transcripts-{}", std::process::id()));
    let pem = path.with_extension("pem");
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    fs::write(&pem, own.cert.pem() + &own.signing_key.serialize_pem()).unwrap();
    let mut faults = Vec::new();
    for (file, case) in selected() {
        let cut = !is_whole(&file);
        let mut tcp = over_tcp(case.config.clone());
        let protocol = if is_binary(&case.entries) { Protocol::Binary } else { Protocol::Ascii };
        let mut unix = over_unix(case.config.clone(), &path, protocol);
        let mut tls = over_tls(case.config.clone(), &pem);
        let said =
            [converse(&case, &mut tcp, cut), converse(&case, &mut unix, cut), converse(&case, &mut tls, cut)];
        for (wire, said) in ["TCP", "Unix", "TLS"].iter().zip(said) {
            if let Err(what) = said {
                faults.push(format!("{}: {} over {wire}: {what}", file.display(), case.name));
            }
        }
        tcp.server.stop(Stop::Now, Duration::ZERO).unwrap();
        unix.server.stop(Stop::Now, Duration::ZERO).unwrap();
        tls.server.stop(Stop::Now, Duration::ZERO).unwrap();
    }
    fs::remove_file(pem).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Checks the settings of the cases, which the exchanges do not show.
#[test]
fn configurations_of_the_transcripts_are_valid() {
    for (_, case) in selected() {
        assert_eq!(case.config.validate(), Ok(()), "{}", case.name);
    }
    assert_eq!(CacheConfig::default().validate(), Ok(()));
}
