//! What the daemon logs at `-vv`, beside what memcached 1.6.45 logs: recorded by
//! `compat/verbose/record.py`. Descriptors and numbers of CAS may differ.

#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

const RECORDED: &str = include_str!("data/verbose.log");

const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon and the lines that it logs.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    fn start() -> (Self, u16) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_memcached-rs"))
            .args(["-vv", "-p", "-1", "-l", "127.0.0.1", "-u", "root", "-t", "1"])
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
        let daemon = Self { child, lines };
        assert_eq!(daemon.line(), "slab class   1: chunk size        96 perslab   10922");
        let mut last = String::new();
        loop {
            let line = daemon.line();
            if line.contains(" listens on ") {
                assert_eq!(normal(&last), "<N server listening (auto-negotiate)");
                let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
                return (daemon, port.expect("a port is named"));
            }
            last = line;
        }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line is logged")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without descriptors.
fn normal(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    if let Some((text, _)) = line.split_once("close connection ") {
        return format!("{text}close connection N");
    }
    let (mark, rest) = line.split_at(usize::from(line.starts_with(['<', '>'])));
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match rest.get(digits..) {
        Some(rest) if digits > 0 && rest.starts_with([' ', ':']) => format!("{mark}N{rest}"),
        _ => line.to_owned(),
    }
}

/// The bytes that Python's escapes stand for, and `{x*5}` for five times `x`.
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

#[test]
fn lines_at_vv_are_memcacheds() {
    let mut open = None;
    let mut last = String::new();
    // Rows of a header that is being told.
    let mut row = 0;
    for recorded in RECORDED.lines() {
        let (kind, text) = recorded.split_at(recorded.len().min(2));
        match kind {
            "= " => {
                let (daemon, port) = Daemon::start();
                let client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
                let mut answers = client.try_clone().expect("it can be read");
                // They are the transcripts' business.
                thread::spawn(move || answers.read_to_end(&mut Vec::new()));
                open = Some((daemon, client));
            }
            "> " => {
                last = text.chars().take(60).collect();
                let (_, client) = open.as_mut().expect("a connection is open");
                client.write_all(&unescaped(text)).expect("a request can be sent");
            }
            "| " => {
                let (daemon, _) = open.as_ref().expect("a connection is open");
                let got = normal(&daemon.line());
                row = if text.contains(" 0x") && !text.contains("authenticated") { row + 1 } else { 0 };
                let both = |prefix| text.starts_with(prefix) && got.starts_with(prefix);
                if row < 5 || !both(">N   0x") {
                    assert_eq!(got, text.trim_end_matches('\r'), "about {last}");
                }
            }
            _ => assert!(recorded.is_empty(), "{recorded}"),
        }
    }
}
