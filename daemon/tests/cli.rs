//! The binary as a shell sees it: output, exit status, files, signals.

#![expect(clippy::expect_used, reason = "a test that cannot run its binary has to stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
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
        let own = concat!("memcached-rs ", env!("CARGO_PKG_VERSION"));
        assert_eq!(text(&output.stdout).lines().take(2).collect::<Vec<_>>(), ["memcached 1.6.45", own]);
        assert!(text(&output.stdout).contains("--unix-socket"));
        assert!(output.stderr.is_empty());
    }
    for flag in ["-V", "--version"] {
        let output = run(&[flag]);
        assert!(output.status.success());
        assert_eq!(
            text(&output.stdout),
            concat!("memcached 1.6.45\nmemcached-rs ", env!("CARGO_PKG_VERSION"), "\n")
        );
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
        &["-o", "rights_file=/dev/null"],
        &["-o", "rights_file"],
        &["-Y", "/dev/null", "-o", "rights_file=/nonexistent"],
        &["-Y", "/dev/null", "-o", "rights_file=/proc/self/status", "-p", "0"],
        &["-Y", "/dev/null", "-o", "rights_file=/nonexistent", "--check"],
        &["-e", "/nonexistent/file"],
        &["--persist", "/nonexistent/file"],
        &["--persist", "/dev/null"],
        &["--persist", "/"],
        &["--persist-lazy"],
        &["--control", "localhost"],
        &["--control", "0.0.0.0:0"],
        &["--control", "0", "--control-token-file", "/dev/null"],
        &["--control-token-file", "/dev/null"],
        &["--metrics", "localhost"],
        &["--metrics", "65536"],
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

#[test]
fn a_taken_address_of_a_service_gives_one_line_and_71() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let at = taken.local_addr().expect("it is bound").to_string();
    for flag in ["--control", "--metrics"] {
        let output = run(&["-p", "-1", flag, &at]);
        assert_eq!(output.status.code(), Some(71));
        assert_eq!(text(&output.stderr), format!("failed to listen on {at}: Address already in use\n"));
    }
}

/// Returns a file name that only this test run uses.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("memcached-rs-cli-{}-{name}", std::process::id()))
}

/// Calls `look` until it returns a value, for at most ten seconds.
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

/// Starts the daemon on a free port of loopback, and waits until its files name the port and the
/// pid.
fn serve(name: &str, flags: &[&str]) -> (Child, u16, PathBuf) {
    serve_by(Command::new(BINARY), name, flags, Stdio::piped())
}

/// Like [`serve`], for a command that runs the daemon, with this standard error.
fn serve_by(mut command: Command, name: &str, flags: &[&str], stderr: Stdio) -> (Child, u16, PathBuf) {
    let (ports, pid) = (scratch(&format!("{name}.ports")), scratch(&format!("{name}.pid")));
    let child = command
        .args(["-p", "-1", "-l", "127.0.0.1", "-u", "root", "-P"])
        .arg(&pid)
        .args(flags)
        .env("MEMCACHED_PORT_FILENAME", &ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
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

/// Sends a request, and returns the first `length` bytes of the reply.
fn ask(port: u16, request: &str, length: usize) -> String {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("it takes a limit");
    client.write_all(request.as_bytes()).expect("the request is sent");
    let mut reply = vec![0; length];
    client.read_exact(&mut reply).expect("the reply comes");
    text(&reply).to_owned()
}

#[test]
fn items_outlive_signals_that_stop_the_daemon() {
    let file = scratch("persist.mcrs");
    let flags = ["--persist", file.to_str().expect("it is text"), "--persist-codec", "none"];
    let key = |signal: &str| format!("{signal:>4}").replace(' ', "_");
    for signal in ["TERM", "INT", "USR1"] {
        let (mut child, port, _) = serve("persist", &flags);
        let set = format!("set {} 0 0 1\r\nx\r\n", key(signal));
        assert_eq!(ask(port, &set, 8), "STORED\r\n");
        send(signal, &child.id().to_string());
        assert!(child.wait().is_ok_and(|status| status.success()));
    }
    let (mut child, port, _) = serve("persist", &flags);
    for signal in ["TERM", "INT", "USR1"] {
        assert_eq!(ask(port, &format!("mg {} k\r\n", key(signal)), 10), format!("HD k{}\r\n", key(signal)));
    }
    // A daemon that is killed loses what it stored after the last save.
    assert_eq!(ask(port, "set saved 0 0 1\r\nx\r\n", 8), "STORED\r\n");
    let before = std::fs::read(&file).expect("it is there");
    send("USR2", &child.id().to_string());
    eventually("a save", || std::fs::read(&file).ok().filter(|now| *now != before));
    assert_eq!(ask(port, "set late 0 0 1\r\nx\r\n", 8), "STORED\r\n");
    child.kill().expect("it runs");
    assert!(child.wait().is_ok());
    let (mut child, port, _) = serve("persist", &flags);
    assert_eq!(ask(port, "mg saved\r\nmg late\r\n", 8), "HD\r\nEN\r\n");
    send("TERM", &child.id().to_string());
    assert!(child.wait().is_ok_and(|status| status.success()));
    std::fs::remove_file(&file).expect("it is there");
}

#[test]
fn the_service_manager_hears_of_load_and_stop() {
    let (file, socket) = (scratch("notify.mcrs"), scratch("notify.socket"));
    let manager = UnixDatagram::bind(&socket).expect("the socket is made");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("it takes a limit");
    let heard = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("a message comes");
        text(&message[..length]).to_owned()
    };
    let flags = ["--persist", file.to_str().expect("it is text")];
    for round in 0..2 {
        let mut command = Command::new(BINARY);
        command.env("NOTIFY_SOCKET", &socket);
        let (mut child, port, _) = serve_by(command, "notify", &flags, Stdio::null());
        if round == 1 {
            let message = heard();
            assert!(message.starts_with("STATUS=loading "), "{message}");
            assert!(message.ends_with("%\nEXTEND_TIMEOUT_USEC=60000000\n"), "{message}");
        }
        assert_eq!(heard(), "READY=1\nSTATUS=serving\n");
        assert_eq!(ask(port, "set key 0 0 1\r\nx\r\n", 8), "STORED\r\n");
        send("TERM", &child.id().to_string());
        assert_eq!(heard(), "STOPPING=1\n");
        if round == 0 {
            assert_eq!(heard(), "STATUS=saving 100%\nEXTEND_TIMEOUT_USEC=60000000\n");
        }
        assert!(child.wait().is_ok_and(|status| status.success()));
    }
    for file in [file, socket] {
        std::fs::remove_file(&file).expect("it is there");
    }
}

/// Returns a certificate and its key in one file.
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

/// The mistake of a pipe in place of a file.
const PIPE: &str = "it is an empty pipe, not a regular file";

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()));
}

/// A directory with wrong configurations of proxies. `@` in their texts is the directory.
fn configurations() -> PathBuf {
    let place = scratch("configurations");
    std::fs::create_dir_all(place.join("directory.toml")).expect("it is made");
    let ca = "route = 'p'\n[pools.p]\nbackends = ['h:1']\ntls = { ca = 'none.pem' }\n";
    let pools = "route = 'p'\n[pools.p]\nbackends = ['h:1']\n";
    let routelib = "pools{ p = { backends = { 'h:1' } } }\nroutes{ default = 'p' }\n";
    let files: [(&str, &[u8]); 12] = [
        ("good.toml", pools.as_bytes()),
        ("wrong.toml", b"route = 'none'\n"),
        ("latin.toml", b"route = { error = '\xe9' }\n"),
        ("ca.toml", ca.as_bytes()),
        ("capitals.TOML", pools.as_bytes()),
        ("routelib.lua", routelib.as_bytes()),
        ("program.lua", b"function mcp_config_pools()\nend\nfunction mcp_config_routes()\nend\n"),
        ("routes.lua", b"function mcp_config_pools()\nend\nfunction mcp_config_routes()\nerror('no')\nend\n"),
        ("pools.lua", b"function mcp_config_pools()\nerror('no')\nend\n"),
        ("users", b"ann:secret\n"),
        ("wrong.settings", b"proxy = '@/wrong.toml'\n"),
        ("latin.settings", b"proxy = '\xe9'\n"),
    ];
    for (name, text) in files {
        let text =
            text.split(|byte| *byte == b'@').collect::<Vec<_>>().join(place.as_os_str().as_encoded_bytes());
        std::fs::write(place.join(name), text).expect("the file is written");
    }
    pipe(&place.join("pipe.toml"));
    pipe(&place.join("pipe"));
    place
}

/// Flags, and the mistake that they name. `@` is the directory of [`configurations`].
const MISTAKES: &[(&str, &str)] = &[
    ("-o proxy_config=@/wrong.toml", "@/wrong.toml:1: route: there is no pool or route \"none\""),
    ("-o proxy_config=@/none.toml", "@/none.toml: cannot be read: No such file or directory"),
    ("-o proxy_config=@/directory.toml", "@/directory.toml: cannot be read: Is a directory"),
    ("-o proxy_config=@/latin.toml", "@/latin.toml: cannot be read: it must be UTF-8"),
    ("-o proxy_config=@/pipe.toml", "@/pipe.toml: cannot be read: PIPE"),
    ("-o proxy_config=@/ca.toml", "@/none.pem"),
    ("-o proxy_config=@/good.toml,proxy_arg=x", "-o proxy_arg: a configuration in TOML takes no argument"),
    ("--config @/wrong.settings", "@/wrong.toml:1: route: there is no pool or route \"none\""),
    ("--config @/wrong.settings -o proxy_arg=x", "-o proxy_arg: a configuration in TOML takes no argument"),
    ("--config @/latin.settings", "@/latin.settings: cannot be read: it must be UTF-8"),
    ("--config @/pipe", "@/pipe: cannot be read: PIPE"),
    ("--options-file @/pipe", "@/pipe: cannot be read: PIPE"),
    ("--control 0 --control-token-file @/pipe", "@/pipe: cannot be read: PIPE"),
    ("--persist @/none/items", "persist: failed to create @/none/items.tmp: No such file or directory"),
    ("--persist @/pipe", "persist: failed to save @/pipe: not a regular file"),
    ("--persist @", "persist: failed to save @: Is a directory"),
    ("--persist @/users", "persist: @/users: the file is not a snapshot of memcache-rs"),
    ("--persist @/users/items", "persist: failed to create @/users/items.tmp: Not a directory"),
    ("-e @/none/items", "memory_file: failed to create @/none/items.tmp: No such file or directory"),
    ("-Y @/pipe", "Could not open authfile [@/pipe] for reading, error PIPE"),
    ("-Y @/users -o rights_file=@/pipe", "Could not open rights_file [@/pipe] for reading: PIPE"),
    ("-Z -o ssl_chain_cert=@/pipe,ssl_key=@/pipe", "Error loading the certificate chain: @/pipe : PIPE"),
];

/// Like [`MISTAKES`], of a daemon with Lua.
const MISTAKES_IN_LUA: &[(&str, &str)] = &[
    ("-o proxy_config=", "ERROR: Configuration file missing 'mcp_config_pools' function"),
    (
        "-o proxy_config=@/none.lua",
        "ERROR: Failed to load proxy_startfile: cannot open @/none.lua: No such file or directory",
    ),
    ("-o proxy_config=@/pipe", "ERROR: Failed to load proxy_startfile: cannot open @/pipe: PIPE"),
    (
        "-o proxy_config=@/capitals.TOML",
        "ERROR: Failed to load proxy_startfile: @/capitals.TOML:2: unexpected symbol near '['; HINT",
    ),
    (
        "-o proxy_config=@/routelib.lua",
        "@/routelib.lua:1: attempt to call a nil value (global 'pools') (-o proxy_config=routelib,proxy_arg=FILE \
         reads a configuration of routelib)",
    ),
    ("-o proxy_config=@/pools.lua", "ERROR: Failed to execute mcp_config_pools: @/pools.lua:2: no"),
    ("-o proxy_config=@/routes.lua", "Failed to execute mcp_config_routes: @/routes.lua:4: no"),
    ("-o proxy_config=routelib,proxy_arg=@/pipe", "@/pipe: cannot be read: PIPE"),
    (
        "-o proxy_config=routelib,proxy_arg=@/capitals.TOML",
        "@/capitals.TOML:2: unexpected symbol near '['; HINT",
    ),
    (
        "-o proxy_config=routelib,proxy_arg=@/program.lua",
        "@/program.lua:1: this is a program, not a configuration of routelib: ",
    ),
];

/// The check passed configurations that the start refused.
#[test]
fn check_and_start_refuse_the_same_files() {
    let place = configurations();
    let place = place.to_str().expect("it is text");
    let in_lua = if cfg!(feature = "lua") { MISTAKES_IN_LUA } else { &[] };
    for (flags, line) in MISTAKES.iter().chain(in_lua) {
        let flags = flags.replace('@', place);
        let hint = "the name of a configuration in TOML ends in .toml";
        let line = line.replace('@', place).replace("PIPE", PIPE).replace("HINT", hint);
        let said = |more: &[&str]| {
            let mut command = Command::new("timeout");
            let flags = flags.split(' ').chain(more.iter().copied());
            let done =
                command.arg("20").arg(BINARY).args(["-l", "127.0.0.1:-1", "-u", "root"]).args(flags).output();
            let done = done.expect("timeout runs");
            (done.status.code(), text(&done.stderr).to_owned())
        };
        let (start, check) = (said(&[]), said(&["--check"]));
        assert_eq!(start, check, "{flags}");
        assert_eq!(start.0, Some(64), "{flags}: {}", start.1);
        assert!(start.1.lines().next().is_some_and(|first| first.contains(&line)), "{flags}: {}", start.1);
    }
    let mut good = vec!["proxy_config=@/good.toml", "proxy_arg=x"];
    if cfg!(feature = "lua") {
        good.extend([
            "proxy_config=@/program.lua,proxy_arg=x",
            "proxy_config=routelib,proxy_arg=@/routelib.lua",
        ]);
    }
    for option in good {
        let output = run(&["--check", "-o", &option.replace('@', place)]);
        assert!(output.status.success() && output.stderr.is_empty(), "{option}: {output:?}");
    }
    let _ = std::fs::remove_dir_all(place);
}

/// A typo in a tag sent requests to another pool, without a word.
#[test]
fn tags_that_meet_nothing_are_told() {
    let file = scratch("tags.toml");
    let write = |listeners: &str| {
        let text = format!("route = 'local'\n[listeners]\n{listeners}\n");
        std::fs::write(&file, text).expect("the file is written");
    };
    write("a = 'null'\nb = 'null'");
    let option = format!("proxy_config={}", file.display());
    let list = "tag_a_:127.0.0.1:-1,tag_c_:127.0.0.2:-1,tag_c_:127.0.0.3:-1";
    let mut command = Command::new(BINARY);
    command.args(["-l", list, "-u", "root", "-o", &option]).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let mut until = |end: &str| {
        let told = lines.by_ref().take_while(|line| !line.contains(end));
        told.filter(|line| line.starts_with("WARNING: ")).collect::<Vec<_>>()
    };
    let of_c = "WARNING: proxy: a listener has the tag c, but [listeners] has no route for it, so its clients get route";
    let of_b = "WARNING: proxy: listeners.b: no listener has this tag, so the route is not used";
    assert_eq!(until(" listens on "), [of_c, of_b]);
    write("a = 'null'\nc = 'null'\nb = 'null'");
    send("HUP", &child.id().to_string());
    assert_eq!(until("SIGHUP: reloaded"), [of_b]);
    send("TERM", &child.id().to_string());
    assert!(child.wait().is_ok_and(|status| status.success()));
    let _ = std::fs::remove_file(file);
}

#[test]
fn a_proxy_reads_its_configuration_again_on_sighup() {
    let file = scratch("proxy.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("the file is written");
    write("route = { error = 'one' }\n");
    let option = format!("proxy_config={}", file.display());
    let (mut child, port, _) = serve("proxy", &["-o", &option]);
    let pid = child.id().to_string();
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let mut heard = |word: &str| {
        let line = lines.find(|line| line.contains(word));
        line.unwrap_or_else(|| panic!("nothing of {word}"))
    };
    exchange(port, b"get k\r\n", b"SERVER_ERROR one\r\n");
    write("route = { error = 'two' }\n");
    send("HUP", &pid);
    heard("SIGHUP: reloaded");
    exchange(port, b"get k\r\n", b"SERVER_ERROR two\r\n");
    write("route = 'none'\n");
    send("HUP", &pid);
    let name = file.display();
    let expected = format!(
        "proxy: reload failed, the earlier configuration stays: {name}:1: route: there is no pool or route \"none\""
    );
    assert_eq!(heard("there is no pool"), expected);
    exchange(port, b"get k\r\n", b"SERVER_ERROR two\r\n");
    std::fs::remove_file(&file).expect("it is there");
    pipe(&file);
    send("HUP", &pid);
    assert!(heard("reload failed").ends_with(&format!("{name}: cannot be read: {PIPE}")));
    std::fs::remove_file(&file).expect("it is there");
    // The thread that looks up names comes with the first name.
    #[cfg(target_os = "linux")]
    {
        let looks_up = || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
            let names =
                tasks.map_while(Result::ok).map(|task| std::fs::read_to_string(task.path().join("comm")));
            names.map_while(Result::ok).any(|name| name.trim() == "mcrs-names")
        };
        assert!(!looks_up());
        write("route = { error = 'three' }\npools.p.backends = [{ dns = 'localhost' }]\n");
        send("HUP", &pid);
        heard("SIGHUP: reloaded");
        assert!(looks_up());
        exchange(port, b"get k\r\n", b"SERVER_ERROR three\r\n");
    }
    send("TERM", &pid);
    assert!(child.wait().is_ok_and(|status| status.success()));
    let _ = std::fs::remove_file(file);
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

/// Sends `request` and reads a reply of as many bytes as `reply` has.
fn exchange(port: u16, request: &[u8], reply: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option is set");
    client.write_all(request).expect("a request can be sent");
    let mut got = vec![0; reply.len()];
    client.read_exact(&mut got).expect("a reply comes");
    assert_eq!(text(&got), text(reply));
    client
}

/// Makes the daemon log, and checks that it then serves and stops.
fn survives_its_log(mut child: Child, port: u16) {
    exchange(port, b"verbosity 2\r\n", b"OK\r\n");
    for _ in 0..8 {
        exchange(port, b"mn\r\n", b"MN\r\n");
    }
    let pid = child.id().to_string();
    // The file of passwords is removed: a line at every verbosity.
    send("HUP", &pid);
    exchange(port, b"mn\r\n", b"MN\r\n");
    send("TERM", &pid);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_log_in_json_has_an_object_a_line() {
    let (mut child, port, _) = serve("json", &["--log-format", "json", "-vv", "-o", "no_hashexpand"]);
    let mut stderr = child.stderr.take().expect("it is piped");
    exchange(port, b"get \"key\"\r\n", b"END\r\n");
    send("HUP", &child.id().to_string());
    send("TERM", &child.id().to_string());
    assert!(child.wait().expect("it ends").success());
    let mut log = String::new();
    stderr.read_to_string(&mut log).expect("it is text");
    let mut messages = Vec::new();
    for line in log.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let time = object["time"].as_str().expect("it has a time");
        assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{time}");
        messages.push((object["verbosity"].as_u64(), object["message"].as_str().map(str::to_owned)));
        if object["message"].as_str().is_some_and(|message| message.contains("get \"key\"")) {
            assert!(object["connection"].is_u64(), "{line}");
        }
    }
    let has = |verbosity, part: &str| {
        messages.iter().any(|(level, message)| {
            *level == Some(verbosity) && message.as_ref().is_some_and(|message| message.contains(part))
        })
    };
    for (verbosity, part) in [
        (0, "no_hashexpand has no effect"),
        (0, " listens on "),
        (2, "slab class"),
        (2, " get \"key\""),
        (1, "SIGHUP: reloaded"),
        (0, "Exiting normally"),
    ] {
        assert!(has(verbosity, part), "{part}: {log}");
    }
}

#[test]
fn a_log_on_a_full_disk_ends_nothing() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let (child, port, _) = serve_by(Command::new(BINARY), "full", &[], full.into());
    survives_its_log(child, port);
}

#[test]
fn a_log_into_a_closed_pipe_ends_nothing() {
    let (mut child, port, _) = serve("closed", &[]);
    drop(child.stderr.take());
    survives_its_log(child, port);
}

#[test]
fn a_log_that_nobody_reads_holds_nobody() {
    let (mut child, port, _) = serve("unread", &[]);
    let unread = child.stderr.take();
    exchange(port, b"verbosity 2\r\n", b"OK\r\n");
    // More bytes than a pipe holds.
    for _ in 0..3 {
        let key = "k".repeat(200);
        exchange(port, format!("get {key}\r\n").repeat(500).as_bytes(), "END\r\n".repeat(500).as_bytes());
    }
    send("TERM", &child.id().to_string());
    assert!(child.wait().expect("it ends").success());
    drop(unread);
}

#[test]
fn a_bad_file_at_sighup_leaves_the_signals_heard() {
    let users = scratch("users");
    std::fs::write(&users, "ann:secret\n").expect("the file is written");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let flags = ["-Y", users.to_str().expect("it is text")];
    let (mut child, _, _) = serve_by(Command::new(BINARY), "hup", &flags, full.into());
    std::fs::write(&users, "no colon\n").expect("the file is written");
    let pid = child.id().to_string();
    send("HUP", &pid);
    send("HUP", &pid);
    send("TERM", &pid);
    assert!(child.wait().expect("it ends").success());
    let _ = std::fs::remove_file(users);
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_hangs_does_not_keep_the_daemon_from_ending() {
    let possible = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        return;
    }
    // strace delays the system call that reads a large value, beyond the deadline of a stop.
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", "trace=readv", "-e", "inject=readv:delay_enter=12000000"]);
    strace.arg(BINARY);
    let (child, port, pid_file) = serve_by(strace, "hangs", &["-t", "1"], Stdio::piped());
    let pid = contents(&pid_file).unwrap_or_default();
    let pid = pid.trim();
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    client.write_all(b"set a 0 0 100000\r\n").expect("a request can be sent");
    let reads = format!("{} ", libc::SYS_readv);
    eventually("a worker that reads", || {
        client.write_all(&[b'x'; 100]).expect("a request can be sent");
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let mut calls = tasks.flatten().filter_map(|task| contents(&task.path().join("syscall")));
        calls.find(|call| call.starts_with(&reads))
    });
    send("TERM", pid);
    let output = child.wait_with_output().expect("the daemon ends");
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    let line = "memcached-rs: the server did not stop in time: threads left behind: mcrs-worker-0; exiting";
    assert!(text(&output.stderr).lines().any(|told| told == line), "{output:?}");
}

/// Returns a field of `/proc/PID/status` in KiB.
#[cfg(target_os = "linux")]
fn kib(pid: u32, field: &str) -> u64 {
    let status = contents(Path::new(&format!("/proc/{pid}/status"))).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).expect("the field is there")
}

#[cfg(target_os = "linux")]
#[test]
fn locked_memory_is_what_is_used_and_not_what_is_reserved() {
    let (child, port, _) = serve("lock", &["-k", "-m", "64"]);
    let stored = format!("set a 0 0 500000\r\n{}\r\n", "x".repeat(500_000));
    exchange(port, stored.as_bytes(), b"STORED\r\n");
    // It still serves after the limit was raised, lowered and raised again.
    for limit in ["128", "32", "256"] {
        exchange(port, format!("cache_memlimit {limit}\r\n").as_bytes(), b"OK\r\n");
    }
    exchange(port, stored.as_bytes(), b"STORED\r\n");
    assert!(kib(child.id(), "VmLck") < 2 << 20, "locked: {} KiB", kib(child.id(), "VmLck"));
    assert!(kib(child.id(), "VmRSS") < 256 << 10, "resident: {} KiB", kib(child.id(), "VmRSS"));
    send("TERM", &child.id().to_string());
    let output = child.wait_with_output().expect("the daemon ends");
    assert!(output.status.success());
}

/// The program of the proxy reads a pipe, so that a reload lasts as long as the test wants.
#[cfg(all(target_os = "linux", feature = "lua"))]
#[test]
fn a_stop_does_not_wait_for_a_reload() {
    use std::os::unix::fs::OpenOptionsExt as _;

    let (file, fifo) = (scratch("slow.lua"), scratch("slow.pipe"));
    let program = "function mcp_config_pools() end\nfunction mcp_config_routes() end\n";
    std::fs::write(&file, program).expect("the file is written");
    let option = format!("proxy_config={}", file.display());
    let (mut child, _, pid) = serve("slow", &["-o", &option]);
    pipe(&fifo);
    let slow = format!("io.open('{}'):read('a')\n{program}", fifo.display());
    std::fs::write(&file, slow).expect("the file is written");
    send("HUP", &child.id().to_string());
    let mut options = std::fs::File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    // Without a reader it cannot be opened.
    let writer = eventually("the reload reads the pipe", || options.open(&fifo).ok());
    send("TERM", &child.id().to_string());
    let status = eventually("the daemon ends", || child.try_wait().expect("it is a child"));
    assert!(status.success());
    drop(writer);
    let _ = std::fs::remove_file(file);
    let _ = std::fs::remove_file(fifo);
    let _ = std::fs::remove_file(pid);
}

/// A look-up of names lasts seconds if no DNS server answers.
#[test]
fn a_stop_does_not_wait_for_a_look_up() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    server.set_read_timeout(Some(Duration::from_secs(10))).expect("it is a time");
    let at = server.local_addr().expect("it is bound");
    let file = scratch("names.toml");
    std::fs::write(&file, "route = 'null'\n").expect("the file is written");
    let option = format!("proxy_config={}", file.display());
    let (child, _, pid) = serve("names", &["-o", &option]);
    let names = format!("names.servers = ['{at}']\npools.p.backends = [{{ dns = 'mute.example' }}]\n");
    std::fs::write(&file, format!("route = 'null'\n{names}")).expect("the file is written");
    send("HUP", &child.id().to_string());
    server.recv(&mut [0; 512]).expect("the name is looked up");
    send("TERM", &child.id().to_string());
    let output = child.wait_with_output().expect("the daemon ends");
    assert!(output.status.success());
    // The process has ended before the look-up.
    assert!(!text(&output.stderr).contains("cannot look up"), "{output:?}");
    let _ = std::fs::remove_file(file);
    let _ = std::fs::remove_file(pid);
}

/// Runs the daemon under `prlimit`, without the right to exceed limits.
#[cfg(target_os = "linux")]
fn limited(limit: &str) -> Command {
    // Only root has such rights to drop.
    let script =
        r#"[ "$(id -u)" != 0 ] || set -- setpriv --bounding-set -all --inh-caps -all "$@"; exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", "prlimit", limit, BINARY]);
    command
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_that_the_system_refuses_is_told_and_the_server_runs() {
    let (child, port, _) = serve_by(limited("--memlock=65536"), "nolock", &["-k"], Stdio::piped());
    exchange(port, b"mn\r\n", b"MN\r\n");
    assert_eq!(kib(child.id(), "VmLck"), 0);
    send("TERM", &child.id().to_string());
    let output = child.wait_with_output().expect("the daemon ends");
    let line = "warning: -k invalid, mlockall() failed: Cannot allocate memory";
    assert!(text(&output.stderr).lines().any(|told| told == line), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn more_connections_than_descriptors_are_refused_at_start() {
    let output = limited("--nofile=256").args(["-c", "4096", "-u", "root", "-l", "127.0.0.1:-1"]).output();
    let output = output.expect("setpriv runs");
    assert_eq!(output.status.code(), Some(71), "{output:?}");
    assert_eq!(
        text(&output.stderr),
        "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.\n"
    );
}

/// Returns the soft limit of open files of a process.
#[cfg(target_os = "linux")]
fn open_files(pid: u32) -> usize {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
    soft.expect("the line begins with the soft limit")
}

#[cfg(target_os = "linux")]
#[test]
fn connections_to_backends_need_descriptors_beside_those_of_clients() {
    let file = scratch("descriptors.toml");
    let write = |connections: usize| {
        let pool = "[pools.p]\nhealth = {}\nbackends = ['127.0.0.1:1', '127.0.0.1:2']";
        let text = format!("route = 'p'\n{pool}\nconnections = {connections}\n");
        std::fs::write(&file, text).expect("the file is written");
    };
    let option = format!("proxy_config={}", file.display());
    let flags = ["-c", "100", "-t", "4", "-o", &option];
    // 4 workers with 8 connections to each of 2 backends, and a probe of each.
    write(8);
    let refused = limited("--nofile=160").args(["-u", "root", "-l", "127.0.0.1:-1"]).args(flags).output();
    let refused = refused.expect("setpriv runs");
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    assert_eq!(
        text(&refused.stderr).lines().last(),
        Some(
            "100 connections of clients (-c) and 66 to backends need more open files than the 160 that the \
             system allows: raise LimitNOFILE or ulimit -n, or lower -c, the threads (-t) or the \
             connections of the pools, or give these shared = true"
        )
    );
    write(1);
    let (mut child, _, pid) = serve_by(limited("--nofile=130:195"), "descriptors", &flags, Stdio::piped());
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let mut heard = |word: &str| lines.find(|line| line.contains(word)).expect("the line comes");
    // 64 for other files, 4 for each worker, and 3 for the listener.
    assert_eq!(open_files(child.id()), 100 + 64 + 16 + 3 + 10);
    write(4);
    send("HUP", &child.id().to_string());
    // The next connections are opened before the earlier ones end.
    eventually("the limit is raised", || (open_files(child.id()) == 195).then_some(()));
    write(8);
    send("HUP", &child.id().to_string());
    heard("proxy: 100 connections of clients (-c) and ");
    send("TERM", &child.id().to_string());
    assert!(child.wait().is_ok_and(|status| status.success()));
    let _ = std::fs::remove_file(file);
    let _ = std::fs::remove_file(pid);
}

#[cfg(target_os = "linux")]
#[test]
fn limits_of_the_process_leave_room_beside_the_items() {
    for (name, limit) in [("as", "--as=1200000000"), ("data", "--data=400000000")] {
        let (child, port, _) = serve_by(limited(limit), name, &["-m", "64"], Stdio::piped());
        exchange(port, b"cache_memlimit 128\r\n", b"OK\r\n");
        exchange(
            port,
            b"cache_memlimit 4096\r\n",
            b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n",
        );
        send("TERM", &child.id().to_string());
        assert!(child.wait_with_output().expect("the daemon ends").status.success());
    }
}

#[test]
fn the_start_says_where_it_listens_and_what_words_mean() {
    let (child, port, _) = serve("where", &["stats"]);
    send("TERM", &child.id().to_string());
    let output = child.wait_with_output().expect("the daemon ends");
    let where_line = format!("memcached-rs {} listens on 127.0.0.1:{port}", env!("CARGO_PKG_VERSION"));
    let word = "WARNING: \"stats\" is not a flag and has no effect; -h lists the flags";
    assert_eq!(
        text(&output.stderr).lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(),
        [word, &where_line]
    );
}

#[test]
fn an_empty_user_does_not_stay_root() {
    let output = run(&["-u", "", "-l", "127.0.0.1:-1"]);
    // Another user has no root to drop, so memcached serves.
    if output.status.code() != Some(0) {
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(text(&output.stderr), "must add '-u root' to start as root\n");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn values_under_way_beyond_the_memory_of_the_process_are_refused() {
    let (child, port, _) = serve_by(limited("--as=800000000"), "under-way", &[], Stdio::piped());
    let begin = |number| {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let request = format!("set key{number} 0 0 1000000\r\n{}", "x".repeat(70_000));
        client.write_all(request.as_bytes()).expect("a request can be sent");
        client.set_nonblocking(true).expect("a socket option is set");
        client
    };
    let mut clients: Vec<TcpStream> = (0..700).map(begin).collect();
    let line = "SERVER_ERROR out of memory storing object\r\n";
    let mut got = vec![0; line.len()];
    eventually("a refusal", || clients.iter_mut().find_map(|client| client.read_exact(&mut got).ok()));
    assert_eq!(text(&got), line);
    exchange(port, b"mn\r\n", b"MN\r\n");
    send("TERM", &child.id().to_string());
    assert!(child.wait_with_output().expect("the daemon ends").status.success());
}
