//! Sockets that another process opened: the service manager's, and those of the version before.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::CertifiedKey;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const BINARY: &str = env!("CARGO_BIN_EXE_memcached-rs");
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcrs-sockets-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("the directory is made");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Installs a program as `memcached-rs`, as a package does: by a rename. Returns its inode.
    fn install(&self, program: &Path) -> u64 {
        let (new, installed) = (self.path("memcached-rs.new"), self.path("memcached-rs"));
        // By another process: a child of another test would have the open file for a moment, and
        // the system starts no program that is open for writing.
        let copied = Command::new("cp").arg(program).arg(&new).status().expect("cp starts");
        assert!(copied.success());
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("it may be run");
        fs::rename(new, &installed).expect("the program is installed");
        fs::metadata(installed).expect("it is there").ino()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path("memcached-rs"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Calls `look` until it returns a value.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: still not there");
        thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, pid: u32) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

fn stop(mut child: Child) {
    send("TERM", child.id());
    assert!(child.wait().is_ok_and(|status| status.success()));
}

/// Reads lines of the log until one has `part`.
fn heard(log: &mut BufReader<ChildStderr>, part: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        let length = log.read_line(&mut line).expect("the log is text");
        assert!(length > 0, "nothing of {part}: {all}");
        if line.contains(part) {
            return line;
        }
        all += &line;
    }
}

fn log_of(child: &mut Child) -> BufReader<ChildStderr> {
    BufReader::new(child.stderr.take().expect("it is piped"))
}

fn port_of(line: &str, before: &str) -> u16 {
    let rest = line.split_once(before).map(|(_, rest)| rest).expect("the line names it");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("it is a port")
}

/// Waits until the process runs the program with this inode.
fn runs(pid: u32, inode: u64) {
    eventually("the new program", || {
        fs::metadata(format!("/proc/{pid}/exe")).ok().filter(|found| found.ino() == inode)
    });
}

fn ask(client: &mut (impl std::io::Read + std::io::Write), request: &str, reply: &str) {
    client.write_all(request.as_bytes()).expect("the request is sent");
    let mut found = vec![0; reply.len()];
    client.read_exact(&mut found).expect("the reply comes");
    assert_eq!(String::from_utf8_lossy(&found), reply);
}

/// A client that stores ever higher numbers and reads each back. It connects again when the server
/// closes its connection.
struct Client<'a> {
    port: u16,
    key: String,
    /// The last number whose store was answered, and the last that was sent.
    stored: u64,
    sent: u64,
    done: &'a AtomicU64,
}

impl Client<'_> {
    fn run(&mut self, ended: &AtomicBool) {
        while !ended.load(SeqCst) {
            // A refused connection is an error here.
            let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("no connection is refused");
            stream.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
            let mut replies = BufReader::new(stream.try_clone().expect("it is copied"));
            while !ended.load(SeqCst) && self.exchange(&stream, &mut replies) {
                self.done.fetch_add(1, SeqCst);
            }
        }
    }

    /// Reads the number and stores the next. Returns `false` if the server closed the connection.
    fn exchange(&mut self, stream: &TcpStream, replies: &mut BufReader<TcpStream>) -> bool {
        if self.sent > 0 {
            let Some(reply) = request(stream, replies, &format!("mg {} v\r\n", self.key)) else {
                return false;
            };
            assert!(reply.starts_with("VA "), "{}: {} is lost: {reply}", self.key, self.stored);
            let Some(value) = request(stream, replies, "") else { return false };
            let value: u64 = value.trim().parse().expect("it is a number");
            // A store without a reply may have been carried out.
            assert!(value == self.stored || value == self.sent, "{value} after {}", self.stored);
            self.stored = value;
        }
        self.sent = self.stored + 1;
        let text = self.sent.to_string();
        let set = format!("ms {} {}\r\n{text}\r\n", self.key, text.len());
        let Some(reply) = request(stream, replies, &set) else { return false };
        assert_eq!(reply, "HD\r\n");
        self.stored = self.sent;
        true
    }
}

/// Sends a request and returns a line of the reply, or `None` if the server closed the connection.
fn request(mut stream: &TcpStream, replies: &mut BufReader<TcpStream>, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    match replies.read_line(&mut line) {
        Ok(_) if line.ends_with('\n') => Some(line),
        Ok(_) => None,
        Err(e) if e.kind() == ErrorKind::ConnectionReset => None,
        Err(e) => panic!("no reply: {e}"),
    }
}

#[test]
fn an_upgrade_under_load_refuses_no_connection_and_loses_no_item() {
    let place = Place::new("load");
    place.install(Path::new(BINARY));
    let file = place.text("cache.mcrs");
    let flags = ["-p", "-1", "-l", "127.0.0.1", "-u", "root", "--persist", &file, "-P"];
    let mut child = place.command().args(flags).arg(place.path("pid")).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
    let pid = child.id();
    let (ended, done) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..8 {
            let (done, ended) = (&done, &ended);
            let key = format!("key{number}");
            scope.spawn(move || Client { port, key, stored: 0, sent: 0, done }.run(ended));
        }
        let more = || {
            let before = done.load(SeqCst);
            eventually("requests", || (done.load(SeqCst) > before + 1000).then_some(()));
        };
        more();
        for _ in 0..3 {
            let inode = place.install(Path::new(BINARY));
            send("RTMIN+1", pid);
            heard(&mut log, "upgrading");
            runs(pid, inode);
            heard(&mut log, " listens on ");
            more();
        }
        ended.store(true, SeqCst);
    });
    assert_eq!(fs::read_to_string(place.path("pid")).ok(), Some(format!("{pid}\n")));
    stop(child);
    assert!(!place.path("pid").exists());
    let refused = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.kind());
    assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn a_version_that_does_not_start_changes_nothing() {
    let place = Place::new("refused");
    place.install(Path::new(BINARY));
    let config = place.path("settings.toml");
    fs::write(&config, "threads = 2\n").expect("the file is written");
    let flags = ["-p", "-1", "-l", "127.0.0.1", "-u", "root", "--config", "settings.toml"];
    let mut command = Command::new("./memcached-rs");
    let mut child =
        command.args(flags).current_dir(&place.0).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    fs::write(&config, "threads = 0\n").expect("the file is written");
    send("RTMIN+1", child.id());
    let line = heard(&mut log, "no upgrade: ");
    assert!(line.contains("settings.toml:1: threads: Number of threads must be greater than 0"), "{line}");
    ask(&mut client, "mn\r\n", "MN\r\n");
    fs::remove_file(place.path("memcached-rs")).expect("it is there");
    send("RTMIN+1", child.id());
    heard(&mut log, "cannot be started: No such file or directory");
    ask(&mut client, "mn\r\n", "MN\r\n");
    stop(child);
}

/// The check did not read it, and the installed version ended with its mistake.
#[test]
fn a_wrong_configuration_of_a_proxy_changes_nothing() {
    let place = Place::new("proxy");
    place.install(Path::new(BINARY));
    let mut cases =
        vec![("proxy.toml", "route = 'local'\n", "route = 'none'\n", "proxy.toml:1: route: there is no")];
    if cfg!(feature = "lua") {
        let good = "function mcp_config_pools()\nend\nfunction mcp_config_routes()\nend\n";
        let bad = "function mcp_config_pools()\nend\nfunction mcp_config_routes()\nerror('no')\nend\n";
        cases.push(("proxy.lua", good, bad, "Failed to execute mcp_config_routes: "));
        // More than fits into a pipe.
        let loud = "for _ = 1, 20000 do io.stderr:write('a line\\n') end\nerror('no')\n";
        cases.push(("loud.lua", good, loud, "loud.lua:2: no"));
    }
    for (name, good, bad, mistake) in cases {
        fs::write(place.path(name), good).expect("the file is written");
        let option = format!("proxy_config={name}");
        let flags = ["-p", "-1", "-l", "127.0.0.1", "-u", "root", "-o", &option];
        let mut command = Command::new("./memcached-rs");
        let mut child =
            command.args(flags).current_dir(&place.0).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut log = log_of(&mut child);
        let said = heard(&mut log, " is a proxy: ");
        assert!(said.trim_end().ends_with(name), "{said}");
        let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        fs::write(place.path(name), bad).expect("the file is written");
        send("RTMIN+1", child.id());
        let line = heard(&mut log, "upgrad");
        assert!(line.starts_with("no upgrade: ") && line.contains(mistake), "{line}");
        ask(&mut client, "mn\r\n", "MN\r\n");
        fs::write(place.path(name), good).expect("the file is written");
        send("RTMIN+1", child.id());
        heard(&mut log, "upgrading");
        heard(&mut log, " listens on ");
        stop(child);
    }
}

/// Returns whether the children of this process have a descriptor of another program. All others
/// here are closed when a program starts.
fn is_inherited(number: usize) -> bool {
    const CLOSED: u32 = 0o2_000_000;
    let known = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = known.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & CLOSED == 0)
}

/// An upgrade put sockets where another thread had its own, which then panicked.
#[test]
fn an_upgrade_replaces_no_descriptor_that_a_thread_uses() {
    let place = Place::new("descriptors");
    place.install(Path::new(BINARY));
    let all: Vec<String> = (1..=20).map(|number| format!("127.0.0.{number}:-1")).collect();
    let flags = ["-l", &all.join(","), "-u", "root", "-v"];
    let mut child = place.command().args(flags).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    heard(&mut log, " listens on ");
    for number in (3..3 + all.len()).filter(|number| !is_inherited(*number)) {
        let what = fs::read_link(format!("/proc/{}/fd/{number}", child.id())).expect("it is open");
        let what = what.to_string_lossy();
        assert!(!what.starts_with("anon_inode:") && !what.starts_with("socket:"), "{number}: {what}");
    }
    for _ in 0..5 {
        send("RTMIN+1", child.id());
        let mut line = String::new();
        while !line.contains(" listens on ") {
            line.clear();
            assert!(log.read_line(&mut line).is_ok_and(|length| length > 0), "the daemon ended");
            assert!(!line.contains("panicked"), "{line}");
        }
    }
    stop(child);
}

#[test]
fn unix_and_udp_sockets_are_handed_over() {
    let place = Place::new("kinds");
    place.install(Path::new(BINARY));
    let (socket, config) = (place.path("socket"), place.path("settings.toml"));
    let listeners = format!(
        "[[listen]]\nunix = '{}'\n[[listen]]\nudp = '127.0.0.1:-1'\n[[listen]]\ntcp = '127.0.0.1:-1'\n",
        socket.display()
    );
    fs::write(&config, &listeners).expect("the file is written");
    let mut child = place.command().args(["-u", "root", "--config"]).arg(&config).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let line = heard(&mut log, " listens on ");
    let inode = fs::metadata(&socket).expect("it is there").ino();
    // The second start has no listener of TCP.
    let without = listeners.replace("[[listen]]\ntcp = '127.0.0.1:-1'\n", "");
    fs::write(&config, without).expect("the file is written");
    send("RTMIN+1", child.id());
    let (again, udp) = (heard(&mut log, " listens on "), port_of(&line, "udp:127.0.0.1:"));
    assert_eq!(port_of(&again, "udp:127.0.0.1:"), udp);
    let tcp = port_of(&line.replace("udp:127.0.0.1:", ""), "127.0.0.1:");
    assert!(TcpStream::connect(("127.0.0.1", tcp)).is_err(), "{line}");
    assert_eq!(fs::metadata(&socket).expect("it is there").ino(), inode);
    let mut client = UnixStream::connect(&socket).expect("it listens");
    ask(&mut client, "mn\r\n", "MN\r\n");
    assert_eq!(ask_udp(udp), "\0\u{7}\0\0\0\u{1}\0\0MN\r\n");
    stop(child);
    assert!(!socket.exists());
}

#[test]
fn the_addresses_of_services_outlive_an_upgrade() {
    let place = Place::new("services");
    place.install(Path::new(BINARY));
    let services = ["--control", "0", "--metrics", "0"];
    let flags = ["-p", "-1", "-l", "127.0.0.1", "-u", "root"].into_iter().chain(services);
    let mut child = place.command().args(flags).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let ports = |line: &str| ["control:127.0.0.1:", "metrics:127.0.0.1:"].map(|name| port_of(line, name));
    let [control, metrics] = ports(&heard(&mut log, " listens on "));
    let ask = |port: u16, path: &str| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("no connection is refused");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("the request is sent");
        let mut reply = String::new();
        client.read_to_string(&mut reply).expect("the reply comes");
        reply
    };
    assert!(ask(control, "/v1/server").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(ask(metrics, "/readyz").ends_with("\r\n\r\nready\n"));
    // A response without an end does not hold up the version that serves it.
    let mut events = TcpStream::connect(("127.0.0.1", control)).expect("it listens");
    events.write_all(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is sent");
    let mut status = [0; 15];
    events.read_exact(&mut status).expect("the reply begins");
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    let inode = place.install(Path::new(BINARY));
    send("RTMIN+1", child.id());
    heard(&mut log, "upgrading");
    runs(child.id(), inode);
    assert_eq!(ports(&heard(&mut log, " listens on ")), [control, metrics]);
    let reply = ask(control, "/v1/server");
    assert!(reply.contains(&format!("\"pid\":{}", child.id())), "{reply}");
    assert!(ask(metrics, "/metrics").contains("\nmemcached_up 1\n"));
    let _ = events.read_to_end(&mut Vec::new());
    stop(child);
    for port in [control, metrics] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

/// Starts a daemon with a Unix socket and a TCP listener. Returns it with its log and its port.
fn with_unix_socket(place: &Place, config: &Path) -> (Child, BufReader<ChildStderr>, u16) {
    place.install(Path::new(BINARY));
    let listeners = format!(
        "[[listen]]\nunix = '{}'\nmask = '0700'\n[[listen]]\ntcp = '127.0.0.1:-1'\n",
        place.path("socket").display()
    );
    fs::write(config, listeners).expect("the file is written");
    let mut child = place.command().args(["-u", "root", "--config"]).arg(config).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
    (child, log, port)
}

#[test]
fn an_upgrade_makes_a_unix_socket_anew_whose_file_is_gone() {
    let place = Place::new("gone");
    let (child, mut log, port) = with_unix_socket(&place, &place.path("settings.toml"));
    let socket = place.path("socket");
    fs::remove_file(&socket).expect("it is there");
    for _ in 0..2 {
        send("RTMIN+1", child.id());
        heard(&mut log, " listens on ");
        let mut client = UnixStream::connect(&socket).expect("it listens");
        ask(&mut client, "mn\r\n", "MN\r\n");
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        ask(&mut client, "mn\r\n", "MN\r\n");
    }
    stop(child);
    assert!(!socket.exists());
}

#[test]
fn an_upgrade_leaves_the_socket_of_another_server() {
    for serves in [true, false] {
        let place = Place::new("taken");
        let config = place.path("settings.toml");
        let (child, mut log, port) = with_unix_socket(&place, &config);
        let socket = place.path("socket");
        fs::remove_file(&socket).expect("it is there");
        let other = UnixListener::bind(&socket).expect("the path is free");
        if !serves {
            // The new settings do not name the socket.
            fs::write(&config, "[[listen]]\ntcp = '127.0.0.1:-1'\n").expect("the file is written");
        }
        send("RTMIN+1", child.id());
        heard(&mut log, " listens on ");
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        ask(&mut client, "mn\r\n", "MN\r\n");
        stop(child);
        let _client = UnixStream::connect(&socket).expect("the other listens");
        drop(other);
    }
}

/// Connects over TLS, and trusts one certificate.
fn connect_tls(port: u16, trusted: &CertificateDer<'static>) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("it is a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().expect("it is a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("the settings are good");
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
    StreamOwned::new(connection, stream)
}

#[test]
fn an_upgrade_reads_the_files_of_tls_again() {
    let place = Place::new("tls");
    place.install(Path::new(BINARY));
    let (chain, key) = (place.text("chain.pem"), place.text("key.pem"));
    let certify = || {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate is made");
        fs::write(&chain, cert.pem()).expect("the file is written");
        fs::write(&key, signing_key.serialize_pem()).expect("the file is written");
        cert.der().clone()
    };
    let first = certify();
    let files = format!("ssl_chain_cert={chain},ssl_key={key}");
    let mut child = place
        .command()
        .args(["-p", "-1", "-l", "127.0.0.1", "-u", "root", "-Z", "-o", &files])
        .spawn()
        .expect("it starts");
    let mut log = log_of(&mut child);
    let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
    let mut before = connect_tls(port, &first);
    ask(&mut before, "mn\r\n", "MN\r\n");
    let second = certify();
    send("RTMIN+1", child.id());
    heard(&mut log, " listens on ");
    ask(&mut connect_tls(port, &second), "mn\r\n", "MN\r\n");
    let mut late = connect_tls(port, &first);
    assert!(late.write_all(b"mn\r\n").is_err(), "the old certificate is served");
    // The connection from before was closed.
    let mut rest = Vec::new();
    let _ = before.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    // Without its key the installed version does not start, and the running one goes on.
    fs::remove_file(&key).expect("it is there");
    send("RTMIN+1", child.id());
    heard(&mut log, "no upgrade: ");
    ask(&mut connect_tls(port, &second), "mn\r\n", "MN\r\n");
    stop(child);
}

/// Returns the user and the group of a process, as the system shows them.
fn ids(pid: u32) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let is_id = |line: &&str| line.starts_with("Uid:") || line.starts_with("Gid:");
    status.lines().filter(is_id).map(str::to_owned).collect()
}

#[test]
fn an_upgrade_stays_with_the_user_of_u() {
    let place = Place::new("user");
    if fs::metadata(&place.0).expect("it is there").uid() != 0 {
        eprintln!("skipped: only root may start as another user");
        return;
    }
    // The user makes files there.
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).expect("it is root's");
    let inode = place.install(Path::new(BINARY));
    let config = place.path("settings.toml");
    let (socket, saved) = (place.path("socket"), place.text("cache.mcrs"));
    let listeners = format!("[[listen]]\nunix = '{}'\n[[listen]]\ntcp = '127.0.0.1:-1'\n", socket.display());
    fs::write(&config, listeners).expect("the file is written");
    let flags = ["-u", "nobody", "--persist", &saved, "-P", &place.text("pid"), "--config"];
    let mut child = place.command().args(flags).arg(&config).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
    let before = ids(child.id());
    assert!(!before.iter().any(|line| line.contains("\t0\t")), "{before:?}");
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    ask(&mut client, "set key 0 0 1\r\nx\r\n", "STORED\r\n");
    runs(child.id(), inode);
    let inode = place.install(Path::new(BINARY));
    send("RTMIN+1", child.id());
    heard(&mut log, " listens on ");
    runs(child.id(), inode);
    assert_eq!(ids(child.id()), before);
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    ask(&mut client, "mg key v\r\n", "VA 1\r\nx\r\n");
    let mut client = UnixStream::connect(&socket).expect("it listens");
    ask(&mut client, "mn\r\n", "MN\r\n");
    // A version that may not read its settings does not start.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("it is root's");
    send("RTMIN+1", child.id());
    let line = heard(&mut log, "no upgrade: ");
    assert!(line.contains("Permission denied"), "{line}");
    ask(&mut client, "mn\r\n", "MN\r\n");
    stop(child);
}

fn ask_udp(port: u16) -> String {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    client.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
    client.send_to(b"\0\x07\0\0\0\x01\0\0mn\r\n", ("127.0.0.1", port)).expect("it is sent");
    let mut reply = [0; 100];
    let length = client.recv(&mut reply).expect("a reply comes");
    String::from_utf8_lossy(&reply[..length]).into_owned()
}

#[test]
fn a_detached_daemon_keeps_its_process_and_tells_the_manager() {
    let place = Place::new("detached");
    place.install(Path::new(BINARY));
    let manager = UnixDatagram::bind(place.path("notify")).expect("the socket is made");
    manager.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
    let said = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("a message comes");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut command = Command::new("./memcached-rs");
    let detached = command
        .args(["-d", "-p", "-1", "-l", "127.0.0.1", "-u", "root", "-P"])
        .arg(place.path("pid"))
        .env("NOTIFY_SOCKET", place.path("notify"))
        .env("MEMCACHED_PORT_FILENAME", place.path("ports"))
        .current_dir(&place.0)
        .status();
    assert!(detached.is_ok_and(|status| status.success()));
    assert_eq!(said(), "READY=1\nSTATUS=serving\n");
    let pid = fs::read_to_string(place.path("pid")).expect("it is written");
    let pid: u32 = pid.trim().parse().expect("it is a number");
    let ports = fs::read_to_string(place.path("ports")).expect("it is written");
    let inode = place.install(Path::new(BINARY));
    send("RTMIN+1", pid);
    let message = said();
    assert!(message.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{message}");
    assert_eq!(said(), "READY=1\nSTATUS=serving\n");
    runs(pid, inode);
    assert_eq!(fs::read_to_string(place.path("ports")).ok().as_deref(), Some(&*ports));
    let mut client = TcpStream::connect(("127.0.0.1", port_of(&ports, "TCP INET: "))).expect("it listens");
    ask(&mut client, "mn\r\n", "MN\r\n");
    send("TERM", pid);
    eventually("the end", || (!place.path("pid").exists()).then_some(()));
}

/// Starts the daemon by systemd's tool for tests of socket activation. Returns `None`, after a
/// message, if it is not installed.
fn activate(addresses: &[&str], flags: &[&str]) -> Option<Child> {
    let mut command = Command::new("systemd-socket-activate");
    command.args(addresses).arg(BINARY).args(flags).stdin(Stdio::null()).stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => Some(child),
        Err(e) => {
            eprintln!("skipped: systemd-socket-activate cannot be started: {e}");
            None
        }
    }
}

/// The descriptors of listeners were not counted, so clients had too few.
#[test]
fn many_listeners_leave_descriptors_for_clients() {
    let all: Vec<String> = (1..=36).map(|number| format!("127.0.0.{number}:-1")).collect();
    let mut command = Command::new("sh");
    let few = ["-c", "ulimit -S -n 64 && exec \"$0\" \"$@\"", BINARY, "-c", "50", "-t", "4", "-u", "root"];
    command.args(few).args(["-l", &all.join(",")]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut log = log_of(&mut child);
    let port = port_of(&heard(&mut log, " listens on "), "127.0.0.1:");
    let mut clients = Vec::new();
    // Each listener counts as a connection.
    for _ in all.len()..50 {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("it takes a limit");
        ask(&mut client, "mn\r\n", "MN\r\n");
        clients.push(client);
    }
    stop(child);
}

fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    probe.local_addr().expect("it has an address").port()
}

#[test]
fn the_manager_passes_streams() {
    let place = Place::new("activation");
    let (port, socket) = (free_port(), place.path("socket"));
    let (tcp, unix) = (format!("--listen=127.0.0.1:{port}"), format!("--listen={}", socket.display()));
    let Some(mut child) = activate(&[&tcp, &unix], &["-u", "root"]) else { return };
    let mut log = log_of(&mut child);
    heard(&mut log, "Listening on");
    heard(&mut log, "Listening on");
    // The first connection starts the daemon, which answers it.
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("the manager listens");
    ask(&mut client, "set key 0 0 1\r\nx\r\n", "STORED\r\n");
    let line = heard(&mut log, "memcached-rs 0");
    assert!(line.trim_end().ends_with(&format!("127.0.0.1:{port}, unix:{}", socket.display())), "{line}");
    let mut client = UnixStream::connect(&socket).expect("it listens");
    ask(&mut client, "mg key v\r\n", "VA 1\r\nx\r\n");
    // They stay the manager's sockets over an upgrade.
    send("RTMIN+1", child.id());
    heard(&mut log, " listens on ");
    let mut client = UnixStream::connect(&socket).expect("it listens");
    ask(&mut client, "mg key v\r\n", "EN\r\n");
    stop(child);
    assert!(socket.exists(), "the file of the manager's socket stays");
}

#[test]
fn a_passed_socket_has_the_protocol_of_its_listener() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let tcp = format!("--listen={address}");
    let Some(mut child) = activate(&[&tcp], &["-u", "root", "-B", "binary", "-l", &address]) else { return };
    let mut log = log_of(&mut child);
    heard(&mut log, "Listening on");
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("the manager listens");
    // As long as a header.
    client.write_all(&[b'x'; 24]).expect("it is sent");
    // A listener of the binary protocol closes a connection that speaks another one.
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut noop = [0; 24];
    (noop[0], noop[1]) = (0x80, 0x0a);
    client.write_all(&noop).expect("it is sent");
    client.read_exact(&mut noop).expect("a reply comes");
    assert_eq!(noop[..2], [0x81, 0x0a]);
    stop(child);
}

#[test]
fn the_manager_passes_datagrams() {
    let port = free_port();
    let udp = format!("--listen=127.0.0.1:{port}");
    let Some(mut child) = activate(&["--datagram", &udp], &["-u", "root"]) else { return };
    let mut log = log_of(&mut child);
    heard(&mut log, "Listening on");
    assert_eq!(ask_udp(port), "\0\u{7}\0\0\0\u{1}\0\0MN\r\n");
    stop(child);
}

#[test]
fn check_reports_mistakes_and_starts_nothing() {
    let run = |flags: &[&str]| Command::new(BINARY).args(flags).output().expect("it runs");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let good = run(&["--check", "-l", &address]);
    assert!(good.status.success() && good.stderr.is_empty());
    for flags in [
        &["--check", "-t", "0"][..],
        &["--check", "-Y", "/nonexistent"],
        &["--check", "-Z"],
        &["--check", "--control", "0.0.0.0:0"],
        &["--check", "--control", "0", "--control-token-file", "/nonexistent"],
        &["--check", "-o", "proxy_config=/nonexistent.toml"],
    ] {
        assert_eq!(run(flags).status.code(), Some(64), "{flags:?}");
    }
}
