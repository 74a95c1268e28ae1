//! The binary as a shell sees it: output, exit status, files, signals.

#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_memcached-rs");

fn run(flags: &[&str]) -> Output {
    Command::new(BINARY).args(flags).stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is text")
}

#[test]
fn help_version_and_license() {
    for flag in ["-h", "--help"] {
        let output = run(&[flag]);
        assert!(output.status.success());
        assert_eq!(text(&output.stdout).lines().next(), Some("memcached 1.6.45"));
        assert!(text(&output.stdout).contains("--unix-socket"));
        assert!(output.stderr.is_empty());
    }
    for flag in ["-V", "--version"] {
        let output = run(&[flag]);
        assert!(output.status.success());
        assert_eq!(text(&output.stdout), "memcached 1.6.45\n");
    }
    for flag in ["-i", "--license"] {
        let output = run(&[flag]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("MIT license"));
    }
}

#[test]
fn wrong_flags_give_one_line_and_64() {
    let cases: &[&[&str]] = &[
        &["-z"],
        &["--nonsense"],
        &["-p"],
        &["-p", "99999"],
        &["-c", "-1"],
        &["-t", "0"],
        &["-B", "http"],
        &["-I", "1000"],
        &["-o", "nonsense"],
        &["-o", "ext_path=/tmp/x:1G"],
        &["-o", "proxy_config=x"],
        &["-o", "hashpower=40"],
        &["-l", "127.0.0.1:x"],
        &["-Z"],
        &["-Z", "-o", "ssl_chain_cert=/nonexistent"],
        &["-S"],
        &["-S", "-Y", "/nonexistent"],
        &["-d", "-Y", "/dev/null", "-p", "0", "-U", "-1"],
        &["-Y", "/nonexistent"],
        &["-e", "/nonexistent"],
    ];
    for flags in cases {
        let output = run(flags);
        assert_eq!(output.status.code(), Some(64), "{flags:?}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{flags:?}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

#[test]
fn unknown_hosts_give_one_line_and_71() {
    let output = run(&["-l", "no-such-host.invalid"]);
    assert_eq!(output.status.code(), Some(71));
    let line = text(&output.stderr);
    assert!(line.starts_with("failed to listen on one of interface(s) no-such-host.invalid: "), "{line}");
    assert_eq!(line.lines().count(), 1);
}

/// A file name of this test run alone.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("memcached-rs-cli-{}-{name}", std::process::id()))
}

/// What `look` finds within ten seconds.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: still not there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn contents(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn send(signal: &str, pid: &str) {
    let status = Command::new("kill").args(["-s", signal, pid]).status().expect("kill runs");
    assert!(status.success());
}

/// Starts on a free port of loopback, and waits until files tell port and pid.
fn serve(name: &str, flags: &[&str]) -> (Child, u16, PathBuf) {
    let (ports, pid) = (scratch(&format!("{name}.ports")), scratch(&format!("{name}.pid")));
    let child = Command::new(BINARY)
        .args(["-p", "-1", "-l", "127.0.0.1", "-u", "root", "-P"])
        .arg(&pid)
        .args(flags)
        .env("MEMCACHED_PORT_FILENAME", &ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let told = eventually("port file", || contents(&ports));
    let port = told.trim().strip_prefix("TCP INET: ").and_then(|port| port.parse().ok());
    eventually("pid file", || contents(&pid));
    let _ = std::fs::remove_file(&ports);
    (child, port.expect("the file names a TCP port"), pid)
}

#[test]
fn signals_stop_the_daemon() {
    let cases = [
        ("TERM", "-v", "Exiting normally"),
        ("INT", "-v", "Exiting normally"),
        ("USR1", "-A", "Gracefully stopping"),
    ];
    for (signal, flag, word) in cases {
        let (child, port, pid_file) = serve(signal, &[flag]);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        let pid = child.id().to_string();
        assert_eq!(contents(&pid_file), Some(format!("{pid}\n")));
        send("HUP", &pid);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        send(signal, &pid);
        let output = child.wait_with_output().expect("the daemon ends");
        assert_eq!(output.status.code(), Some(0), "{signal}: {:?}", output.status.signal());
        assert!(text(&output.stderr).lines().any(|line| line == word), "{signal}: {output:?}");
        assert!(!pid_file.exists());
    }
}

/// A certificate and its key, one file.
fn certificate() -> String {
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate is made");
    own.cert.pem() + &own.signing_key.serialize_pem()
}

#[test]
fn certificates_are_read_again_on_sighup() {
    let pem = scratch("tls.pem");
    std::fs::write(&pem, certificate()).expect("the file is written");
    let chain = format!("ssl_chain_cert={},ssl_ciphers=RC4:AESGCM,ssl_kernel_tls", pem.display());
    let (mut child, _, _) = serve("tls", &["-v", "-Z", "-o", &chain]);
    let pid = child.id().to_string();
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let mut heard = |word: &str| {
        let line = lines.find(|line| line.contains(word));
        line.unwrap_or_else(|| panic!("nothing of {word}"))
    };
    assert!(heard("ssl_kernel_tls").starts_with("WARNING: "));
    assert_eq!(heard("ssl_ciphers"), "WARNING: ssl_ciphers: not available here: RC4");

    std::fs::write(&pem, certificate()).expect("the file is written");
    send("HUP", &pid);
    heard("SIGHUP: reloaded");
    std::fs::write(&pem, "").expect("the file is written");
    send("HUP", &pid);
    let line = heard("Could not reload");
    let expected = format!(
        "Could not reload TLS certificates: Error loading the certificate chain: {} : no certificate in it",
        pem.display()
    );
    assert_eq!(line, expected);
    send("TERM", &pid);
    assert!(child.wait().is_ok_and(|status| status.success()));
    let _ = std::fs::remove_file(pem);
}

#[test]
fn daemonized_it_outlives_its_parent() {
    let (mut child, port, pid_file) = serve("daemon", &["-d"]);
    assert!(child.wait().is_ok_and(|status| status.success()));
    let pid = contents(&pid_file).unwrap_or_default();
    assert_ne!(pid.trim(), child.id().to_string());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    send("TERM", pid.trim());
    eventually("end of the daemon", || (!pid_file.exists()).then_some(()));
}

#[test]
fn a_taken_port_gives_one_line_and_71() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let output = run(&["-l", &address]);
    assert_eq!(output.status.code(), Some(71));
    let line = text(&output.stderr);
    assert!(line.starts_with("failed to listen on ") && line.contains("in use"), "{line}");
    assert_eq!(line.lines().count(), 1);
}
