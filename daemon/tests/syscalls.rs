//! Counts the system calls of a request: the daemon's worker waits, reads and writes once for each
//! request, or for each batch of requests that arrive together. strace runs the daemon and counts.

#![expect(clippy::print_stderr, reason = "a test says why it is skipped")]
#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_memcached-rs");

/// Number of counted requests, or of counted batches.
const TIMES: usize = 100;

/// Requests in a batch.
const BATCH: usize = 50;

/// A request between two counted groups. Its reply appears in the trace.
const MARK: &str = "mn\r\n";

/// A directory that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("memcached-rs-syscalls-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Ends the daemon and strace, also if the test fails.
struct Traced {
    strace: Child,
    daemon: Option<String>,
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.strace.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        if let Some(pid) = &self.daemon {
            let _ = Command::new("kill").args(["-s", "KILL", pid]).status();
        }
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: still not there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the thread id of the daemon's worker.
fn worker(pid: &str) -> Option<String> {
    fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().find_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        (name.trim() == "mcrs-worker-0").then(|| task.file_name().to_string_lossy().into_owned())
    })
}

fn exchange(client: &mut TcpStream, request: &[u8], reply: &[u8]) {
    client.write_all(request).expect("a request can be sent");
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).expect("a reply comes");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(reply));
}

/// Returns the names of the system calls between marks.
fn between_marks(trace: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(trace).expect("strace has written");
    let mut parts = vec![Vec::new()];
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        let (Some(part), true) =
            (parts.last_mut(), name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        else {
            continue;
        };
        part.push(name.to_owned());
        if name.starts_with("recv") && rest.contains(&MARK.escape_default().to_string()) {
            parts.push(Vec::new());
        }
    }
    parts
}

#[test]
fn a_request_costs_three_system_calls() {
    let possible = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not installed (scripts/setup.sh does that), or may trace nothing here");
        return;
    }
    let scratch = Scratch::new();
    let file = |name: &str| scratch.0.join(name);
    let traced = Command::new("strace")
        .args(["-ff", "-qq", "-s", "16", "-o"])
        .arg(file("trace"))
        .arg(BINARY)
        .args(["-p", "-1", "-l", "127.0.0.1", "-u", "root", "-t", "1", "-P"])
        .arg(file("pid"))
        .env("MEMCACHED_PORT_FILENAME", file("ports"))
        .stdin(Stdio::null())
        .spawn()
        .expect("strace runs");
    let mut traced = Traced { strace: traced, daemon: None };
    let read = |name: &str| fs::read_to_string(file(name)).ok().map(|text| text.trim().to_owned());
    let pid = eventually("pid file", || read("pid").filter(|text| !text.is_empty()));
    traced.daemon = Some(pid.clone());
    let port = eventually("port file", || read("ports")?.strip_prefix("TCP INET: ")?.parse::<u16>().ok());
    let worker = eventually("worker", || worker(&pid));

    let value = "x".repeat(100);
    let set = format!("set key 0 0 100\r\n{value}\r\n");
    let hit = format!("VALUE key 0 100\r\n{value}\r\nEND\r\n");
    let kinds: [(&str, String, String); 6] = [
        ("get", "get key\r\n".into(), hit.clone()),
        ("set", set.clone(), "STORED\r\n".into()),
        ("mg", "mg key v\r\n".into(), format!("VA 100\r\n{value}\r\n")),
        ("50 gets", "get key\r\n".repeat(BATCH), hit.repeat(BATCH)),
        ("50 sets", set.repeat(BATCH), "STORED\r\n".repeat(BATCH)),
        (
            "get of 50 keys",
            format!("get{}\r\n", " key".repeat(BATCH)),
            format!("{}END\r\n", hit.trim_end_matches("END\r\n").repeat(BATCH)),
        ),
    ];
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
    client.set_nodelay(true).expect("a socket option is set");
    exchange(&mut client, set.as_bytes(), b"STORED\r\n");
    for (_, request, reply) in &kinds {
        exchange(&mut client, MARK.as_bytes(), b"MN\r\n");
        for _ in 0..TIMES {
            exchange(&mut client, request.as_bytes(), reply.as_bytes());
        }
    }
    exchange(&mut client, MARK.as_bytes(), b"MN\r\n");
    assert!(Command::new("kill").arg(&pid).status().is_ok_and(|status| status.success()));
    traced.strace.wait().expect("strace ends with the daemon");

    let parts = between_marks(&file(&format!("trace.{worker}")));
    assert_eq!(parts.len(), kinds.len() + 2, "marks");
    for ((name, ..), calls) in kinds.iter().zip(&parts[1..]) {
        // The mark's own reply, and waiting for the next one, are among them. On a slow machine a
        // turn of a client may end by its time, which takes another three calls; one call more a
        // request would be many more.
        let (least, most) = (3 * TIMES + 3, 3 * TIMES + 3 + TIMES / 2);
        let first = &calls[..12];
        assert!(
            (least..most).contains(&calls.len()),
            "{} calls for {TIMES} times {name}: {first:?}",
            calls.len()
        );
        let waits = calls.iter().filter(|call| call.starts_with("epoll_")).count();
        assert!(waits > TIMES && waits < 2 * TIMES, "{waits} waits for {TIMES} times {name}");
    }
}
