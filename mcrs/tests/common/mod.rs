//! Servers, clients and runs of the program, for the tests.

#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use memcache_compat::server::{Server as Program, Target};
use memcache_core::internal::persist::{Block, Codec, Entry, SnapshotInfo, Summary, header, trailer};
use memcache_core::{
    AuthConfig, AuthMethod, BoundAddress, CacheConfig, Listen, Passwords, ProxyConfig, Server, ServerConfig,
};

/// Returns the program with these arguments.
pub fn mcrs(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcrs"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program, and returns its exit status, standard output and standard error.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    told(&mcrs(arguments).output().unwrap())
}

/// Runs the program with a file as standard input.
pub fn run_with(input: &[u8], arguments: &[&str]) -> (i32, String, String) {
    let mut child =
        mcrs(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The program may fail before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    told(&child.wait_with_output().unwrap())
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs `mcrs dump FROM | mcrs load - TO`, and returns what load prints and its exit status.
pub fn pipe(from: &str, to: &str, options: &[&str]) -> (i32, String, String) {
    let mut dump = mcrs(&["dump", from]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut arguments = vec!["load", "-", to];
    arguments.extend(options);
    let load = mcrs(&arguments).stdin(dump.stdout.take().unwrap()).output().unwrap();
    assert!(dump.wait().unwrap().success());
    told(&load)
}

/// A server of this repository, in this process.
pub fn ours(config: ServerConfig) -> (Server, String) {
    let listen = vec![Listen::tcp("127.0.0.1:0".parse().unwrap())];
    let server = Server::start(ServerConfig { listen, ..config }).unwrap();
    let address = address(&server).to_string();
    (server, address)
}

/// A proxy whose only backend is at an address.
pub fn proxy_of(backend: &str) -> (Server, String) {
    let text = format!("route = 'main'\npools.main.backends = ['{backend}']\n");
    ours(ServerConfig { proxy: Some(ProxyConfig::Text(text)), ..ServerConfig::default() })
}

/// A server that wants the name `ada` and the password `secret`.
pub fn guarded() -> (Server, String) {
    let auth = AuthConfig {
        method: AuthMethod::Text,
        passwords: Passwords::List(vec![(b"ada".to_vec(), b"secret".to_vec())]),
    };
    ours(ServerConfig { auth: Some(auth), ..ServerConfig::default() })
}

/// A server that takes values of up to 2 MiB.
pub fn roomy() -> (Server, String) {
    let cache = CacheConfig { item_size_max: 2 << 20, ..CacheConfig::default() };
    ours(ServerConfig { cache, ..ServerConfig::default() })
}

pub fn address(server: &Server) -> SocketAddr {
    let [BoundAddress::Tcp(address)] = server.addresses() else { panic!("one TCP address") };
    *address
}

/// A real memcached: the program in `MEMCACHED`, or Debian's. Returns `None`, and says so, if it is
/// not installed; `make setup` installs it.
#[expect(clippy::print_stderr, reason = "the reason why a test is skipped belongs into its output")]
pub fn memcached(flags: &[&str]) -> Option<Program> {
    let program = std::env::var("MEMCACHED").unwrap_or_else(|_| "/usr/bin/memcached".into());
    if !std::path::Path::new(&program).exists() {
        eprintln!("skipped: {program} is not installed (make setup does that)");
        return None;
    }
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).into()).collect();
    Some(Program::start(&Target::Program(program.into(), flags)).unwrap())
}

/// A connection that sends requests and reads their replies.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn new(address: &str) -> Self {
        Self(BufReader::with_capacity(1 << 20, TcpStream::connect(address).unwrap()))
    }

    /// Sends meta requests, and returns their replies without the last line.
    pub fn ask(&mut self, requests: impl AsRef<[u8]>) -> Vec<u8> {
        let mut all = requests.as_ref().to_vec();
        all.extend_from_slice(b"mn\r\n");
        self.0.get_mut().write_all(&all).unwrap();
        let mut replies = Vec::new();
        while !replies.ends_with(b"MN\r\n") {
            assert_ne!(self.0.read_until(b'\n', &mut replies).unwrap(), 0, "the server closed");
        }
        replies.truncate(replies.len() - 4);
        replies
    }

    /// Like [`Client::ask`], for replies that are text.
    pub fn text(&mut self, requests: &str) -> String {
        String::from_utf8(self.ask(requests)).unwrap()
    }
}

/// A server that answers each command with the next reply of a connection, by script. After the
/// last reply it closes the connection. Each connection has its script, and gets `VERSION` first.
pub fn script(connections: Vec<Vec<&'static str>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for replies in connections {
            let (mut stream, _) = listener.accept().unwrap();
            thread::spawn(move || {
                let mut requests = BufReader::new(stream.try_clone().unwrap()).lines();
                for reply in ["VERSION 1.6.45\r\n"].iter().chain(&replies) {
                    if requests.next().is_none() {
                        break;
                    }
                    stream.write_all(reply.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// A directory that is removed with its test.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mcrs-tool-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, and returns its path.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }

    pub fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a snapshot with a block for each list of entries.
pub fn snapshot(saved_at: i64, blocks: &[&[Entry<'_>]]) -> Vec<u8> {
    let (id, mut summary, mut bytes) = (7, Summary::default(), Vec::new());
    let info = SnapshotInfo { saved_at, program: "a test".into(), ..SnapshotInfo::default() };
    header(id, &info, &mut bytes);
    for entries in blocks {
        let mut block = Block::default();
        for entry in *entries {
            assert!(block.push(entry, entry.value.len() as u32, |to| to.extend_from_slice(entry.value)));
        }
        bytes.extend(block.finish(id, Codec::None, &mut summary).unwrap());
    }
    trailer(id, &summary, &mut bytes);
    bytes
}

/// Reads everything.
pub fn read(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Returns the seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// A server that answers the first request of each connection with `VERSION`, and the second with
/// `answer`, once or without end. Then it keeps the connection, and says no more.
pub fn hostile(answer: &'static [u8], endless: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut requests = BufReader::new(stream.try_clone().unwrap()).lines();
                let _ = requests.next();
                let _ = stream.write_all(b"VERSION 1.6.45\r\n");
                let _ = requests.next();
                let many = if endless { answer.repeat(10_000) } else { answer.to_vec() };
                while stream.write_all(&many).is_ok() && endless {}
                // Ends when the client has closed.
                requests.for_each(drop);
            });
        }
    });
    address
}
