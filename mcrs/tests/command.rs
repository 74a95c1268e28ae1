//! The program as a shell sees it: what it prints, its exit status, and what it does when a server
//! or a file is not as it should be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{
    Client, Directory, address, guarded, mcrs, memcached, now, ours, pipe, roomy, run, run_with, script,
    snapshot,
};
use memcache_core::internal::persist::Entry;
use memcache_core::{Listen, Protocol, Server, ServerConfig, TlsConfig, TlsMode, Ttl, VerifyMode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

#[test]
fn wrong_usage_gives_one_line_and_64() {
    let cases: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["dump"],
        &["dump", "a:b"],
        &["dump", "a:1", "--wait", "x"],
        &["dump", "a:1", "--user", "x"],
        &["dump", "a:1", "--tls-ca", "/nonexistent"],
        &["dump", "a:1", "--tls-cert", "/nonexistent"],
        &["dump", "a:1", "--tls-key", "x"],
        &["load", "x"],
        &["inspect"],
        &["inspect", "x", "--nonsense"],
    ];
    for arguments in cases {
        let (status, out, said) = run(arguments);
        assert_eq!((status, out.len(), said.lines().count()), (64, 0, 1), "{arguments:?}: {said}");
        assert!(said.starts_with("mcrs: "), "{said}");
    }
    let cases: &[(&[&str], &str)] = &[
        (&[], "a command is missing; mcrs --help tells more"),
        (&["proxy"], "a command is missing; mcrs proxy --help tells more"),
        (
            &["proxy", "check"],
            "the following required arguments were not provided: <FILE>; mcrs proxy check --help tells more",
        ),
        (&["dump", "a:1", "--x"], "unexpected argument '--x' found; mcrs dump --help tells more"),
        (
            &["keys", "--limit", "x"],
            "invalid value 'x' for '--limit <NUMBER>': invalid digit found in string; mcrs keys --help tells more",
        ),
        (
            &["proxy", "explain", "--at", "x"],
            "invalid value 'x' for '--at <SECONDS>': invalid digit found in string; mcrs proxy explain --help tells more",
        ),
        (&["nonsense"], "unrecognized subcommand 'nonsense'; mcrs --help tells more"),
        (
            &["stats", "items", "slabs"],
            "one group is allowed, got items and slabs; mcrs stats --help tells more",
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(run(arguments), (64, String::new(), format!("mcrs: {expected}\n")));
    }
    let (status, out, said) = run(&["--help"]);
    assert!(status == 0 && said.is_empty() && out.contains("mcrs dump cache1:11211 | mcrs load"));
    assert_eq!(run(&["--version"]).1, concat!("mcrs ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_configuration_may_come_from_a_pipe() {
    let check = |text: &str| run_with(text.as_bytes(), &["proxy", "check", "-"]);
    let (status, out, said) = check("route = 'a'\npools.a.backends = ['a']\n");
    assert!(status == 0 && out.contains("a: 1 backend") && said.is_empty(), "{out}{said}");
    let expected = "mcrs: standard input:1: route: there is no pool or route \"b\"\n";
    assert_eq!(check("route = 'b'\n"), (65, String::new(), expected.into()));
    let unread = |why: &str| (74, String::new(), format!("mcrs: standard input: cannot be read: {why}\n"));
    assert_eq!(run_with(b"\xff", &["proxy", "check", "-"]), unread("it must be UTF-8"));
    assert_eq!(check(&" ".repeat((1 << 20) + 1)), unread("it has more than 1048576 bytes"));
    // As `<(command)`: a second read finds nothing.
    let routelib = b"pools{ a = { backends = { 'a:1' } } }\nroutes{ default = 'a' }\n";
    let (status, out, said) = run_with(routelib, &["proxy", "check", "/dev/stdin"]);
    assert!(status == 0 && out.contains("a: 1 backend") && said.is_empty(), "{out}{said}");
}

#[test]
fn a_server_that_is_not_there_gives_69() {
    // A port without a listener: it is free again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let expected = format!("mcrs: failed to connect to {port}: Connection refused\n");
    assert_eq!(run(&["dump", &port]), (69, String::new(), expected));
}

#[test]
fn a_busy_crawler_is_waited_for() {
    let stats = "STAT curr_items 1\r\nEND\r\n";
    let replies = vec![vec![stats, "EN\r\n"], vec!["BUSY currently processing crawler request\r\n"]];
    let server = script(replies);
    let expected = format!("mcrs: {server}: another dump or crawl is under way, try again later\n");
    assert_eq!(run(&["dump", &server, "--wait", "0"]), (75, String::new(), expected));

    let server = script(vec![
        vec![stats, "EN\r\n", "VA 1 ka f0 t-1 c1 l0 h0\r\nx\r\n"],
        vec!["OK\r\nERROR locked try again later\r\n"],
        vec!["BUSY currently processing crawler request\r\n"],
        vec!["OK\r\nkey=a exp=-1 la=1\nEND\r\n"],
    ]);
    let output = mcrs(&["dump", &server]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "dumped 1 items of 2 bytes\n");
    assert_eq!(run_with(&output.stdout, &["inspect", "-", "--keys"]).1.lines().count(), 1);
}

#[test]
fn old_servers_are_dumped_by_class() {
    let server = script(vec![
        vec!["STAT curr_items 1\r\nEND\r\n", "CLIENT_ERROR invalid flag\r\n", "EN\r\n"],
        vec!["BADCLASS invalid class id\r\n"],
        vec!["key=%61 exp=-1 la=1\r\nEND\r\n"],
    ]);
    let (status, _, said) = run_dump(&server);
    assert_eq!(
        (status, &said[..]),
        (0, "dumped 0 items of 0 bytes; 1 expired or vanished before they were read\n")
    );
}

fn run_dump(server: &str) -> (i32, Vec<u8>, String) {
    let output = mcrs(&["dump", server]).output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_dump_that_fails_leaves_the_old_file() {
    let begin = || vec!["STAT curr_items 2\r\nEND\r\n", "EN\r\n", "VA 1 ka f0 t-1 c1 l0 h0\r\nx\r\n"];
    let list = "OK\r\nkey=a exp=-1\nkey=b exp=-1\nEND\r\n";
    let swapped = vec!["STAT curr_items 1\r\nEND\r\n", "EN\r\n", "VA 1 kother f0\r\nx\r\n"];
    let cases = [
        (script(vec![begin(), vec![list]]), "closed the connection"),
        (script(vec![begin(), vec!["OK\r\nkey=a exp=-1\n"]]), "closed the connection"),
        (script(vec![begin(), vec!["OK\r\nkey=a exp=-1\nhello\n"]]), "unexpected reply of"),
        (script(vec![begin(), vec!["OK\r\nkey=%zz exp=-1\n"]]), "unexpected reply of"),
        (script(vec![swapped, vec![list]]), "unexpected reply of"),
    ];
    let directory = Directory::new();
    let file = directory.put("dump", "the old one");
    for (server, reason) in cases {
        let (status, _, said) = run(&["dump", &server, "--out", &file]);
        assert!(status == 69 && said.contains(reason) && said.lines().count() == 1, "{status} {said}");
        assert_eq!(fs::read(&file).unwrap(), b"the old one");
        assert_eq!(directory.names(), ["dump"]);
    }
    let (_server, address) = roomy();
    let (status, _, said) = run(&["dump", &address, "--out", &directory.path("no/such/dump")]);
    assert!(status == 74 && said.ends_with(": No such file or directory\n"), "{said}");
    assert_eq!(run(&["dump", &address, "--out", &directory.path("")]).0, 74);
}

#[test]
fn servers_that_refuse_a_dump_say_why() {
    let (_server, address) = ours(ServerConfig { dump_enabled: false, ..ServerConfig::default() });
    let expected = format!("mcrs: {address} does not allow dumps: it runs with -X\n");
    assert_eq!(run(&["dump", &address]), (77, String::new(), expected));
    let Some(real) = memcached(&["-X"]) else { return };
    assert_eq!(run(&["dump", real.address()]).0, 77);
    let real = memcached(&["-o", "no_lru_crawler"]).unwrap();
    let (status, _, said) = run(&["dump", real.address()]);
    assert!(status == 77 && said.contains("has no crawler"), "{said}");
}

#[test]
fn a_login_is_needed_where_the_server_wants_one() {
    let (_server, server) = guarded();
    let directory = Directory::new();
    let (right, wrong) = (directory.put("right", "secret\n"), directory.put("wrong", "guess"));
    let expected = format!("mcrs: {server} requires a login: use --user and --password-file\n");
    assert_eq!(run(&["dump", &server]), (77, String::new(), expected));
    let login = |file: &str| run_dump_with(&server, &["--user", "ada", "--password-file", file]);
    assert_eq!(login(&wrong), (77, format!("mcrs: {server} refuses this name and password\n")));
    assert_eq!(login(&right), (0, "dumped 0 items of 0 bytes\n".into()));
    assert_eq!(login("/nonexistent").0, 74);
}

fn run_dump_with(server: &str, options: &[&str]) -> (i32, String) {
    let output = mcrs(&["dump", server]).args(options).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// An authority whose certificates a test trusts.
struct Authority {
    /// The name of the file of its certificate.
    file: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(directory: &Directory) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = directory.put("ca.pem", params.self_signed(&key).unwrap().pem());
        Self { file, issuer: Issuer::new(params, key) }
    }

    /// Returns a certificate for a name, and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.into()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Starts a server with TLS and a certificate for localhost. Returns its name, too.
fn tls_server(directory: &Directory, authority: &Authority, tls: TlsConfig) -> (Server, String) {
    let (chain, key) = authority.sign("localhost");
    let tls = TlsConfig {
        chain_cert: Some(directory.put("server.pem", chain).into()),
        key: Some(directory.put("server.key", key).into()),
        ..tls
    };
    let addr = "127.0.0.1:0".parse().unwrap();
    let listen =
        vec![Listen::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Default, tag: None }];
    let server = Server::start(ServerConfig { listen, tls: Some(tls), ..ServerConfig::default() }).unwrap();
    let name = format!("localhost:{}", address(&server).port());
    (server, name)
}

#[test]
fn tls_is_checked_by_an_authority() {
    let directory = Directory::new();
    let authority = Authority::new(&directory);
    let ca = authority.file.clone();
    let (server, name) = tls_server(&directory, &authority, TlsConfig::default());
    server.cache().set("large", "x".repeat(900_000), Ttl::Never).unwrap();
    assert_eq!(run_dump_with(&name, &["--tls-ca", &ca]), (0, "dumped 1 items of 900005 bytes\n".into()));
    // The certificate is for another name, from an unknown authority, or not asked for.
    let (status, said) = run_dump_with(&address(&server).to_string(), &["--tls-ca", &ca]);
    assert!(status == 69 && said.contains("certificate"), "{said}");
    let other = directory.path("server.pem");
    let (status, said) = run_dump_with(&name, &["--tls-ca", &other]);
    assert!(status == 69 && said.contains("certificate"), "{said}");
    assert_eq!(run_dump_with(&name, &[]).0, 69);
    let empty = directory.put("empty.pem", "");
    assert_eq!(run_dump_with(&name, &["--tls-ca", &empty]).0, 64);
}

#[test]
fn a_server_may_ask_for_a_certificate() {
    let directory = Directory::new();
    let authority = Authority::new(&directory);
    let ca = authority.file.clone();
    let tls = TlsConfig {
        verify_mode: VerifyMode::Require,
        ca_cert: Some(ca.clone().into()),
        ..TlsConfig::default()
    };
    let (_server, name) = tls_server(&directory, &authority, tls);
    let (chain, key) = authority.sign("client");
    let both = directory.put("both.pem", format!("{chain}{key}"));
    let (chain, key) = (directory.put("client.pem", chain), directory.put("client.key", key));
    let nothing = "dumped 0 items of 0 bytes\n";
    assert_eq!(
        run_dump_with(&name, &["--tls-ca", &ca, "--tls-cert", &chain, "--tls-key", &key]),
        (0, nothing.into())
    );
    assert_eq!(run_dump_with(&name, &["--tls-ca", &ca, "--tls-cert", &both]), (0, nothing.into()));
    assert_eq!(run_dump_with(&name, &["--tls-ca", &ca]).0, 69);
    // No key, or the key of another certificate.
    assert_eq!(run_dump_with(&name, &["--tls-ca", &ca, "--tls-cert", &chain]).0, 64);
    let other = directory.put("other.key", authority.sign("other").1);
    let (status, said) = run_dump_with(&name, &["--tls-ca", &ca, "--tls-cert", &chain, "--tls-key", &other]);
    assert!(status == 64 && said.lines().count() == 1, "{said}");
}

#[test]
fn items_expire_by_wall_time() {
    let (_server, server) = roomy();
    let at = |expires_at| Entry { expires_at: Some(expires_at), ..Entry::new(b"a", b"x") };
    let load = |saved_at: i64, expires_at| {
        let bytes = snapshot(saved_at * 1_000_000, &[&[at(expires_at)]]);
        run_with(&bytes, &["load", "-", &server, "--replace"])
    };
    let now = now();
    assert_eq!(load(now - 100, now - 1), (0, "stored 0 items, 1 have expired\n".into(), String::new()));
    assert_eq!(load(now - 100, now), (0, "stored 0 items, 1 have expired\n".into(), String::new()));
    assert_eq!(load(now - 100, now + 500).1, "stored 1 items\n");
    let left = |client: &mut Client| {
        let said = client.text("mg a t u\r\n");
        said.trim_end().strip_prefix("HD t").unwrap().parse::<i64>().unwrap()
    };
    let mut client = Client::new(&server);
    assert!((400..=501).contains(&left(&mut client)));
    // The clock was set back by an hour: the item had 300 seconds left, and has them now.
    assert_eq!(load(now + 3600, now + 3900).1, "stored 1 items\n");
    assert!((200..=301).contains(&left(&mut client)));
    // It would never expire, if no time was left to send.
    assert_eq!(load(now, i64::MAX).1, "stored 1 items\n");
    assert!(left(&mut client) > 30 * 86_400);
}

#[test]
fn undamaged_blocks_are_loaded_and_damage_is_told() {
    let directory = Directory::new();
    let bytes = snapshot(0, &[&[Entry::new(b"a", b"first")], &[Entry::new(b"b", b"second")]]);
    let middle = bytes.windows(5).position(|window| window == b"first").unwrap();
    let mut flipped = bytes.clone();
    flipped[middle] ^= 1;
    let (_server, server) = roomy();
    let file = directory.put("flipped", flipped);
    let (status, out, said) = run(&["load", &file, &server]);
    assert_eq!((status, &out[..]), (1, "stored 1 items, 1 are lost by damage, 1 places of damage\n"));
    assert!(said.starts_with(&format!("{file}: byte ")) && said.lines().count() == 1, "{said}");
    assert_eq!(Client::new(&server).text("mg a v\r\nmg b v\r\n"), "EN\r\nVA 6\r\nsecond\r\n");

    let (status, out, _) = run(&["inspect", &file]);
    assert!(status == 1 && out.contains("a block of 1 items has a wrong checksum"), "{out}");
    let (status, out, _) = run(&["inspect", &file, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &report["items"]), (1, &1.into()));
    assert_eq!(report["damage"][0]["offset"], middle - 38);
    let (status, out, said) = run(&["inspect", &file, "--keys"]);
    assert_eq!((status, &out[..]), (1, "key=b exp=-1 idle=0 cas=0 fetch=no size=6 flags=0\n"));
    assert_eq!(said.lines().count(), 1);

    let cut = directory.put("cut", &bytes[..bytes.len() - 1]);
    let (status, out, said) = run(&["load", &cut, &server, "--replace"]);
    assert_eq!((status, &out[..]), (1, "stored 2 items, 1 places of damage\n"));
    assert!(said.ends_with("the file is cut off here\n"), "{said}");
    assert!(run(&["inspect", &cut]).1.contains("complete      no\n"));
}

#[test]
fn other_files_are_not_snapshots() {
    let directory = Directory::new();
    let (_server, server) = roomy();
    let mut next = snapshot(0, &[]);
    next[8] = 2;
    let (text, next) = (directory.put("text", "hello"), directory.put("next", next));
    for command in [&["inspect", &text][..], &["load", &text, &server]] {
        let expected = format!("mcrs: {text}: the file is not a snapshot of memcache-rs\n");
        assert_eq!(run(command), (65, String::new(), expected));
    }
    let (status, _, said) = run(&["inspect", &next]);
    assert!(
        status == 65 && said.contains("has format version 2, and this program reads version 1"),
        "{said}"
    );
    assert_eq!(run(&["inspect", "/nonexistent"]).0, 74);
    assert_eq!(run(&["inspect", &directory.path("")]).0, 74);
}

#[test]
fn a_summary_tells_what_is_in_a_file() {
    let entries = [
        Entry { expires_at: Some(5), cas: 9, stale: true, ..Entry::new(b"old", b"") },
        Entry { flags: 3, idle: 2, fetched: true, ..Entry::new(b"\xff b", &[0; 2000]) },
    ];
    let bytes = snapshot(1_700_000_000_000_000, &[&entries]);
    let expected = format!(
        "file          standard input, {} bytes\n\
         written by    a test\n\
         begun         2023-11-14T22:13:20Z\n\
         complete      1970-01-01T00:00:00Z\n\
         items         2 with 2006 bytes of keys and values\n\
         expired       1\n\
         never expire  1\n\
         stale         1\n\
         highest CAS   9\n\
         blocks        1 plain, 2037 bytes stored in 2037\n\
         values of     0 bytes: 1\n\
         values of     1024 to 16383 bytes: 1\n\
         damage        none\n",
        bytes.len()
    );
    assert_eq!(run_with(&bytes, &["inspect", "-"]), (0, expected, String::new()));
    let keys = "key=old exp=5 idle=0 cas=9 fetch=no size=0 flags=0\n\
                key=%FF%20b exp=-1 idle=2 cas=0 fetch=yes size=2000 flags=3\n";
    assert_eq!(run_with(&bytes, &["inspect", "-", "--keys"]), (0, keys.into(), String::new()));
    let (_, lines, _) = run_with(&bytes, &["inspect", "-", "--keys", "--json"]);
    let items: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&items[0]["key"], &items[0]["expires_at"], &items[0]["stale"]),
        (&"old".into(), &5.into(), &true.into())
    );
    assert_eq!((&items[1]["key_base64"], &items[1]["size"]), (&"/yBi".into(), &2000.into()));
}

#[test]
fn a_reader_that_wants_no_more_is_not_told_so() {
    let entries: Vec<_> = (0..20_000).map(|_| Entry::new(b"key", b"value")).collect();
    let bytes = snapshot(0, &[&entries]);
    let mut child = mcrs(&["inspect", "-", "--keys"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));

    let (_server, server) = roomy();
    Client::new(&server).ask("ms a 1 q\r\nx\r\n");
    let mut child = mcrs(&["dump", &server]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(74), 0));
}

#[test]
fn a_full_disk_is_an_error() {
    let (_server, server) = roomy();
    Client::new(&server).ask("ms a 1 q\r\nx\r\n");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mcrs(&["dump", &server]).stdout(full).output().unwrap();
    let expected = "mcrs: failed to write to standard output: No space left on device\n";
    assert_eq!((output.status.code(), &String::from_utf8(output.stderr).unwrap()[..]), (Some(74), expected));
}

#[test]
fn a_load_that_loses_its_server_fails() {
    let bytes = snapshot(0, &[&[Entry::new(b"a", b"x")]]);
    let server = script(vec![vec!["STAT evictions 0\r\nEND\r\n", "EN\r\n"]]);
    let expected = format!("mcrs: {server} closed the connection\n");
    assert_eq!(run_with(&bytes, &["load", "-", &server]), (69, String::new(), expected));
    let server =
        script(vec![vec!["STAT evictions 0\r\nEND\r\n", "EN\r\n", "CLIENT_ERROR bad data chunk\r\n"]]);
    let expected = format!("mcrs: unexpected reply of {server}: CLIENT_ERROR bad data chunk\n");
    assert_eq!(run_with(&bytes, &["load", "-", &server]), (69, String::new(), expected));
    // Nothing is moved between a server and one that is not there.
    let (_from, from) = roomy();
    assert_eq!(pipe(&from, "127.0.0.1:1", &[]).0, 69);
}
