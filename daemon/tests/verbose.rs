//! Compares the log at `-v`, `-vv` and `-vvv` with that of memcached 1.6.45.
//! `compat/verbose/record.py` recorded it and describes the file. Descriptors and CAS numbers may
//! differ.

#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

const RECORDED: &str = include_str!("data/verbose.log");

/// The recorded user.
const USERS: &str = "user:password\n";

const PATIENCE: Duration = Duration::from_secs(20);

/// A recorded dialogue.
struct Dialogue<'a> {
    name: &'a str,
    /// Arguments of the server.
    arguments: &'a str,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Request(&'a str),
    Close,
    /// A line that is logged from this verbosity on.
    Line(u8, &'a str),
}

fn dialogues() -> Vec<Dialogue<'static>> {
    let mut dialogues: Vec<Dialogue<'static>> = Vec::new();
    for line in RECORDED.lines() {
        let (kind, text) = line.split_at(line.find(' ').expect("a kind"));
        let text = text.trim_start_matches(' ');
        if kind == "=" {
            dialogues.push(Dialogue { name: text, arguments: "", steps: Vec::new() });
            continue;
        }
        let dialogue = dialogues.last_mut().expect("a name comes first");
        match kind {
            "-" => dialogue.arguments = text,
            "<" => dialogue.steps.push(Step::Close),
            ">" => dialogue.steps.push(Step::Request(line.get(2..).expect("a request"))),
            _ => {
                let level = kind.trim_end_matches('|').parse().expect("a verbosity");
                let text = line.get(3..).expect("a line").trim_end_matches('\r');
                dialogue.steps.push(Step::Line(level, text));
            }
        }
    }
    dialogues
}

/// A daemon and the lines that it logs.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
    port: u16,
    is_udp: bool,
}

impl Daemon {
    fn start(level: u8, dialogue: &Dialogue<'_>, users: &str) -> Self {
        let is_udp = dialogue.name.starts_with("udp");
        let ports = if is_udp { ["-p", "0", "-U", "-1"] } else { ["-p", "-1", "-U", "0"] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_memcached-rs"))
            .arg(format!("-{}", "v".repeat(usize::from(level))))
            .args(["-l", "127.0.0.1", "-u", "root", "-t", "1"])
            .args(ports)
            .args(dialogue.arguments.replace("{users}", users).split_whitespace())
            .env("MEMCACHED_SASL_PWDB", users)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut daemon = Self { child, lines, port: 0, is_udp };
        let mut last = String::new();
        loop {
            let line = daemon.line();
            if let Some((_, address)) = line.split_once(" listens on ") {
                let port = address.rsplit(':').next().and_then(|port| port.split_whitespace().next());
                daemon.port = port.and_then(|port| port.parse().ok()).expect("a port is named");
                break;
            }
            last = line;
        }
        if level > 1 {
            assert!(normal(&last).starts_with("<N server listening ("), "{last}");
        }
        daemon
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line is logged")
    }

    /// Kills the daemon. Returns the lines that were not read yet.
    fn rest(mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = std::mem::replace(&mut self.lines, mpsc::channel().1);
        lines.into_iter().collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Client {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Client {
    fn of(daemon: &Daemon) -> Self {
        let address = ("127.0.0.1", daemon.port);
        if daemon.is_udp {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(address).expect("it can be named");
            return Self::Udp(socket);
        }
        let client = TcpStream::connect(address).expect("it listens");
        let mut answers = client.try_clone().expect("it can be read");
        // The transcripts compare replies, so these are discarded.
        thread::spawn(move || answers.read_to_end(&mut Vec::new()));
        Self::Tcp(client)
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Tcp(client) => client.write_all(bytes),
            Self::Udp(socket) => socket.send(bytes).map(|_| ()),
        }
        .expect("a request can be sent");
    }

    fn close(&self) {
        if let Self::Tcp(client) = self {
            let _ = client.shutdown(std::net::Shutdown::Write);
        }
    }
}

/// Removes descriptors and the CAS number of an item.
fn normal(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    if let Some((text, _)) = line.split_once("close connection ") {
        return format!("{text}close connection N");
    }
    if let Some((text, rest)) = line.split_once("expected ") {
        let got = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        return format!("{text}expected N{got}");
    }
    let (mark, rest) = line.split_at(usize::from(line.starts_with(['<', '>'])));
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match rest.get(digits..) {
        Some(rest) if digits > 0 && rest.starts_with([' ', ':']) => format!("{mark}N{rest}"),
        _ => line.to_owned(),
    }
}

/// Decodes Python's escapes, and `{x*5}` as five times `x`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (byte, length) = match rest.as_bytes() {
            [b'\\', b'x', ..] => (u8::from_str_radix(&rest[2..4], 16).expect("two digits"), 4),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', other, ..] => (*other, 2),
            [b'{', filler, b'*', ..] => {
                let (count, behind) = rest[3..].split_once('}').expect("it is closed");
                bytes.extend(std::iter::repeat_n(*filler, count.parse().expect("a number")));
                rest = behind;
                continue;
            }
            _ => (first as u8, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// Compares the lines at `-v…` with the recorded ones.
fn compare(level: u8) {
    let users = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("verbose-users-{level}"));
    fs::write(&users, USERS).expect("a file can be written");
    let users = users.to_str().expect("a name in UTF-8");
    for dialogue in dialogues() {
        let daemon = Daemon::start(level, &dialogue, users);
        let mut client = Client::of(&daemon);
        let mut last = String::new();
        // Rows of the header that is being logged.
        let mut row = 0;
        for step in &dialogue.steps {
            match step {
                Step::Request(text) => {
                    last = text.chars().take(60).collect();
                    client.send(&unescaped(text));
                }
                Step::Close => client.close(),
                Step::Line(from, _) if *from > level => {}
                Step::Line(_, text) => {
                    let got = normal(&daemon.line());
                    let is_row = text.contains("   0x") || text.contains("  0x");
                    row = if is_row { row + 1 } else { 0 };
                    let both = |prefix| text.starts_with(prefix) && got.starts_with(prefix);
                    // The last two rows of a reply are its CAS number.
                    if row < 5 || !both(">N   0x") {
                        assert_eq!(got, *text, "about {last} in {:?} at {level}", dialogue.name);
                    }
                }
            }
        }
        let rest = daemon.rest();
        assert!(rest.is_empty(), "{rest:?} after {last} in {:?} at {level}", dialogue.name);
    }
}

#[test]
fn lines_at_v_are_memcacheds() {
    compare(1);
}

#[test]
fn lines_at_vv_are_memcacheds() {
    compare(2);
}

#[test]
fn lines_at_vvv_are_memcacheds() {
    compare(3);
}
