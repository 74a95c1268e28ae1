//! The whole daemon in the sandbox of `-o drop_privileges`. `daemon/src/sandbox/tests.rs` tries
//! from the inside what it forbids.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_memcached-rs");
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcrs-sandboxed-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("the directory is made");
        Self(path)
    }

    fn text(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Replaces a file, as an editor or a tool for certificates does.
    fn replace(&self, name: &str, content: &str) {
        fs::write(self.0.join("new"), content).expect("it is written");
        fs::rename(self.0.join("new"), self.0.join(name)).expect("it is renamed");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon, and the lines that it writes.
struct Daemon {
    child: Child,
    lines: BufReader<ChildStderr>,
    port: u16,
    udp: Option<u16>,
}

impl Daemon {
    fn start(flags: &[&str], manager: Option<&str>) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["-u", "root", "-l", "127.0.0.1", "-p", "-1"]).args(flags);
        if let Some(socket) = manager {
            command.env("NOTIFY_SOCKET", socket);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut daemon = Self { child, lines, port: 0, udp: None };
        let line = daemon.line(" listens on ");
        let port = |before: &str| line.split(before).nth(1)?.split(',').next()?.trim().parse().ok();
        daemon.port = port(" 127.0.0.1:").expect("it names a port");
        daemon.udp = port("udp:127.0.0.1:");
        daemon
    }

    /// Returns the next line that contains `part`.
    fn line(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).is_ok_and(|n| n > 0), "{part:?} does not come");
            // The daemon also works where the system has no Landlock.
            assert!(!line.contains("system calls are not restricted"), "{line}");
            if line.contains(part) {
                return line;
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
        client
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    fn ends(mut self) {
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
    }
}

/// Sends a request, and reads until the reply ends with `end`.
#[track_caller]
fn exchange(client: &mut (impl Read + Write), request: &[u8], end: &str) -> String {
    client.write_all(request).expect("it is sent");
    let mut reply = Vec::new();
    while !reply.ends_with(end.as_bytes()) {
        let mut part = [0; 4096];
        let n = client.read(&mut part).expect("a reply comes");
        assert!(n > 0, "{:?} before {end:?}", String::from_utf8_lossy(&reply));
        reply.extend_from_slice(&part[..n]);
    }
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn the_daemon_does_all_its_work_in_the_sandbox() {
    let place = Place::new("work");
    let [items, pid, unix] = ["items.mcrs", "pid", "socket"].map(|name| place.text(name));
    let flags = ["-o", "drop_privileges", "--persist", &items, "-P", &pid, "-A", "-m", "16", "-v"];
    let mut daemon = Daemon::start(&flags, None);
    let mut client = daemon.connect();
    exchange(&mut client, b"set a 0 0 1\r\nx\r\n", "STORED\r\n");
    exchange(&mut client, b"ms b 1 T0\r\ny\r\nmg b v\r\n", "VA 1\r\ny\r\n");
    let get = [&[0x80, 0, 0, 1][..], &[0; 7], &[1], &[0; 12], b"a"].concat();
    exchange(&mut daemon.connect(), &get, "x");
    // More than there is memory for: it grows, and evicts.
    let value = "v".repeat(100_000);
    for key in 0..400 {
        let set = format!("set k{key} 0 0 {}\r\n{value}\r\n", value.len());
        exchange(&mut client, set.as_bytes(), "STORED\r\n");
    }
    assert!(!exchange(&mut client, b"stats\r\n", "END\r\n").contains("STAT evictions 0\r\n"));
    for request in ["stats settings", "stats conns", "stats items", "stats slabs"] {
        exchange(&mut client, format!("{request}\r\n").as_bytes(), "END\r\n");
    }
    exchange(&mut client, b"lru_crawler metadump all\r\n", "END\r\n");
    exchange(&mut client, b"cache_memlimit 8\r\n", "OK\r\n");
    let mut watcher = daemon.connect();
    exchange(&mut watcher, b"watch mutations\r\n", "OK\r\n");
    exchange(&mut client, b"set seen 0 0 1\r\nx\r\n", "STORED\r\n");
    exchange(&mut watcher, b"", "size=1\n");
    daemon.signal("HUP");
    daemon.line("SIGHUP: reloaded");
    daemon.signal("USR2");
    let begun = Instant::now();
    while fs::metadata(&items).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the file is not saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    daemon.signal("RTMIN+1");
    daemon.line("no upgrade: drop_privileges forbids to start a program");
    exchange(&mut client, b"version\r\n", "VERSION 1.6.45\r\n");
    assert!(client.write_all(b"shutdown graceful\r\n").is_ok());
    daemon.ends();
    assert!(fs::metadata(&pid).is_err(), "the pid file is removed");

    // It loads its items again, and removes its socket.
    let daemon = Daemon::start(&flags, None);
    exchange(&mut daemon.connect(), b"get seen\r\n", "VALUE seen 0 1\r\nx\r\nEND\r\n");
    daemon.signal("TERM");
    daemon.ends();
    let flags = ["-o", "drop_privileges", "-s", &unix, "-u", "root"];
    let mut child = Command::new(BINARY).args(flags).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let stderr = child.stderr.take().expect("it is piped");
    assert!(BufReader::new(stderr).read_line(&mut line).is_ok() && line.contains("unix:"), "{line}");
    let mut client = UnixStream::connect(&unix).expect("it listens");
    exchange(&mut client, b"version\r\n", "VERSION 1.6.45\r\n");
    assert!(Command::new("kill").arg(child.id().to_string()).status().is_ok());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(fs::metadata(&unix).is_err(), "the socket is removed");
}

#[test]
fn replaced_files_are_read_in_the_sandbox() {
    let place = Place::new("files");
    place.replace("passwords", "ann:one\n");
    place.replace("rights", "ann all\n");
    let options = format!("drop_privileges,rights_file={}", place.text("rights"));
    let mut daemon = Daemon::start(&["-v", "-Y", &place.text("passwords"), "-o", &options], None);
    let login = |daemon: &Daemon, password: &str, reply: &str| {
        let mut client = daemon.connect();
        let request = format!("set x 0 0 {}\r\nann {password}\r\n", password.len() + 4);
        exchange(&mut client, request.as_bytes(), reply);
        client
    };
    exchange(&mut login(&daemon, "one", "STORED\r\n"), b"flush_all\r\n", "OK\r\n");
    place.replace("passwords", "ann:another\n");
    place.replace("rights", "ann ro\n");
    daemon.signal("HUP");
    daemon.line("SIGHUP: reloaded");
    login(&daemon, "one", "CLIENT_ERROR authentication failure\r\n");
    let mut client = login(&daemon, "another", "STORED\r\n");
    exchange(&mut client, b"flush_all\r\n", "CLIENT_ERROR not permitted\r\n");
    daemon.signal("INT");
    daemon.ends();
}

#[test]
fn datagrams_and_the_service_manager_work_in_the_sandbox() {
    let place = Place::new("manager");
    let manager = UnixDatagram::bind(place.0.join("notify")).expect("the socket is made");
    manager.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
    let daemon = Daemon::start(&["-U", "-1", "-o", "drop_privileges"], Some(&place.text("notify")));
    let mut message = [0; 256];
    let length = manager.recv(&mut message).expect("a message comes");
    assert_eq!(&message[..length], b"READY=1\nSTATUS=serving\n");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
    let request = [&[0, 7, 0, 0, 0, 1, 0, 0][..], b"version\r\n"].concat();
    socket.send_to(&request, ("127.0.0.1", daemon.udp.expect("a port"))).expect("it is sent");
    let length = socket.recv(&mut message).expect("a reply comes");
    assert!(message[..length].ends_with(b"VERSION 1.6.45\r\n"));
    daemon.signal("TERM");
    let length = manager.recv(&mut message).expect("a message comes");
    assert_eq!(&message[..length], b"STOPPING=1\n");
    daemon.ends();
}
