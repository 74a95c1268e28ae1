//! `mcrs stats`, `settings`, `slabs`, `keys` and `watch`: their tables and JSON, with servers of
//! ours and of others, and with servers that are not as they should be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};

use common::{Client, Directory, guarded, hostile, mcrs, memcached, ours, proxy_of, run, script};
use memcache_core::internal::admin::{PROXY_STAT_GROUPS, STAT_GROUPS};
use memcache_core::{ServerConfig, Ttl};
use serde_json::Value;

/// Runs a test with a server of ours, and with a real memcached. Both have five items, of which one
/// was read, and one has a key that is not fit for a terminal.
fn with_both(test: impl Fn(&str)) {
    let (_server, address) = ours(ServerConfig::default());
    fill(&address);
    test(&address);
    let Some(real) = memcached(&[]) else { return };
    fill(real.address());
    test(real.address());
}

fn fill(address: &str) {
    let large = "x".repeat(5000);
    let requests = format!(
        "ms user:1 3 q T1000\r\nAda\r\nms user:2 3 q\r\nBob\r\nms page:1 5000 q T500\r\n{large}\r\n\
         ms plain 1 q\r\nx\r\nms \x1b[2J\u{9b}:é 1 q\r\nx\r\nmg user:1 q\r\n"
    );
    let _ = Client::new(address).text(&requests);
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    let (status, out, said) = run(arguments);
    assert_eq!((status, &said[..]), (0, ""), "{arguments:?}");
    assert!(out.chars().all(|character| character == '\n' || !character.is_control()), "{out:?}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn table(arguments: &[&str]) -> String {
    let (status, out, said) = run(arguments);
    assert_eq!((status, &said[..]), (0, ""), "{arguments:?}");
    assert!(out.chars().all(|character| character == '\n' || !character.is_control()), "{out:?}");
    out
}

/// Returns the value of a name in a table.
fn cell(table: &str, name: &str) -> String {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("{name} in {table}")).split_whitespace().nth(1).unwrap().into()
}

#[test]
fn statistics_are_a_table_or_an_object() {
    with_both(|server| {
        let general = table(&["stats", server]);
        assert!(general.starts_with("NAME") && general.lines().next().unwrap().ends_with(server));
        assert_eq!(cell(&general, "curr_items"), "5");
        let [object] = &objects(&["stats", server, "--json"])[..] else { panic!("one object") };
        assert_eq!((&object["server"], &object["stats"]["curr_items"]), (&server.into(), &5.into()));
        assert!(object["stats"]["version"].is_string() && object["stats"]["rusage_user"].is_f64());

        assert_eq!(cell(&table(&["settings", server]), "oldest"), "0");
        assert_eq!(cell(&table(&["stats", server, "settings"]), "growth_factor"), "1.25");
        assert_eq!(objects(&["settings", server, "--json"])[0]["stats"]["growth_factor"], 1.25);
        assert_eq!(cell(&table(&["stats", server, "items"]), "items:1:number"), "4");
        assert!(cell(&table(&["stats", server, "slabs"]), "active_slabs").parse::<u32>().unwrap() >= 2);
        assert_eq!(cell(&table(&["stats", server, "sizes"]), "sizes_status"), "disabled");
        assert!(table(&["stats", server, "conns"]).contains(":state"));
    });
}

#[test]
fn groups_of_a_proxy_are_printed() {
    let (_backend, backend) = ours(ServerConfig::default());
    let (_proxy, proxy) = proxy_of(&backend);
    let help = run(&["stats", "--help"]).1;
    for group in STAT_GROUPS.iter().chain(&PROXY_STAT_GROUPS).chain(&["detail"]) {
        assert_eq!(run(&["stats", &proxy, group]).0, 0, "{group}");
        assert!(help.contains(group), "{group}: {help}");
    }
    assert_eq!(cell(&table(&["stats", &proxy, "proxypools"]), "pool:1:name"), "main");
    // No host has so long a name.
    let word = "x".repeat(70);
    let (status, out, said) = run(&["stats", &backend, &word]);
    assert!(status == 69 && out.contains("curr_items"), "{out}");
    assert!(said.contains("; the groups are items, slabs,") && said.lines().count() == 1, "{said}");
    assert!(!run(&["stats", &backend, "127.0.0.1:1"]).2.contains("the groups are"));
    let (status, _, said) = run(&["watch", &proxy, "proxyreq"]);
    assert!(status == 64 && said.ends_with(", proxyuser, got \"proxyreq\"\n"), "{said}");
}

#[test]
fn items_of_a_proxy_are_in_its_backends() {
    let (_backend, backend) = ours(ServerConfig::default());
    fill(&backend);
    let (proxy, address) = proxy_of(&backend);
    let expected = format!("mcrs: {address} is a proxy: its backends have the items, so name these\n");
    let directory = Directory::new();
    assert_eq!(
        run(&["dump", &address, "--out", &directory.path("f")]),
        (69, String::new(), expected.clone())
    );
    assert!(directory.names().is_empty());
    let (status, _, said) = run(&["keys", &address, &backend]);
    assert_eq!((status, said), (69, expected));
    // Routes to `local` store items here.
    proxy.cache().set("own", "x", Ttl::Never).unwrap();
    let warning = format!("warning: {address} is a proxy: these are the items of its own cache alone\n");
    let (status, out, said) = run(&["keys", &address]);
    assert_eq!((status, out.lines().count(), &said), (0, 2, &warning));
    let (status, _, said) = run(&["dump", &address, "--out", &directory.path("f")]);
    assert!(status == 0 && said.starts_with(&warning), "{said}");
}

#[test]
fn prefixes_are_counted_by_the_server() {
    with_both(|server| {
        assert_eq!(Client::new(server).text("stats detail on\r\n"), "OK\r\n");
        let requests = "set user:1 0 0 1\r\nx\r\nset user:2 0 0 1\r\nx\r\nget user:1\r\n";
        let _ = Client::new(server).text(requests);
        let detail = table(&["stats", server, "detail"]);
        assert_eq!((cell(&detail, "user:set"), cell(&detail, "user:hit")), ("2".into(), "1".into()));
        let object = &objects(&["stats", server, "detail", "--json"])[0];
        assert_eq!(object["stats"]["user:get"], 1);
    });
}

#[test]
fn servers_stand_beside_each_other() {
    let (_one, one) = ours(ServerConfig::default());
    let (_two, two) = ours(ServerConfig { threads: 2, ..ServerConfig::default() });
    let both = table(&["settings", &one, &two]);
    assert_eq!(both.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["NAME", &one, &two]);
    let diff = table(&["settings", &one, &two, "--diff"]);
    let line = diff.lines().find(|line| line.starts_with("num_threads ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["num_threads", "4", "2"]);
    assert!(both.contains("\nitem_size_max ") && !diff.contains("\nitem_size_max "));
    assert_eq!(objects(&["stats", &one, &two, "--json"]).len(), 2);
    // The answers of the others are printed, although a server is not there.
    let (status, out, said) = run(&["stats", &one, "127.0.0.1:1", &two, "127.0.0.1:2"]);
    assert_eq!((status, said.lines().count()), (69, 2), "{said}");
    assert!(said.contains("127.0.0.1:1: Connection refused") && cell(&out, "threads") == "4", "{said}");
    let (status, out, _) = run(&["stats", "127.0.0.1:1", &one, "--json"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, lines.len()), (69, 2));
    assert!(lines[0]["error"].as_str().unwrap().contains("refused") && lines[1]["stats"]["pid"].is_u64());
}

#[test]
fn classes_are_a_table_or_an_object() {
    with_both(|server| {
        let slabs = table(&["slabs", server]);
        let rows: Vec<Vec<_>> = slabs.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0][..5], ["CLASS", "CHUNK", "AGE", "PAGES", "ITEMS"]);
        assert_eq!((rows[1][0], rows[1][1], rows[1][4], rows[1][9]), ("1", "96", "4", "no"), "{slabs}");
        let [object] = &objects(&["slabs", server, "--json"])[..] else { panic!("one object") };
        let classes = object["classes"].as_array().unwrap();
        assert_eq!((classes.len(), &classes[0]["class"], &classes[0]["number"]), (2, &1.into(), &4.into()));
        assert_eq!(classes[0]["chunk_size"], 96);
        let two = table(&["slabs", server, server]);
        assert!(two.starts_with("SERVER") && two.lines().count() == 5, "{two}");
    });
}

/// Returns the last word of each line but the first.
fn keys(arguments: &[&str]) -> Vec<String> {
    let out = table(arguments);
    out.lines().skip(1).map(|line| line.split_whitespace().last().unwrap().into()).collect()
}

#[test]
fn keys_are_listed_sorted_and_counted() {
    with_both(|server| {
        let mut all = keys(&["keys", server]);
        all.sort();
        assert_eq!(all, ["%1B%5B2J%C2%9B%3A%C3%A9", "page%3A1", "plain", "user%3A1", "user%3A2"]);
        let sorted = keys(&["keys", server, "--sort", "key", "--decode"]);
        assert_eq!(sorted, ["\\u{1b}[2J\\u{9b}:é", "page:1", "plain", "user:1", "user:2"]);
        assert_eq!(keys(&["keys", server, "--sort", "size", "--limit", "1"]), ["page%3A1"]);
        assert_eq!(keys(&["keys", server, "--sort", "ttl", "--limit", "2"]), ["page%3A1", "user%3A1"]);
        assert_eq!(keys(&["keys", server, "--sort", "age"]).len(), 5);
        assert_eq!(keys(&["keys", server, "--limit", "2"]).len(), 2);
        assert_eq!(keys(&["keys", server, "--limit", "0"]).len(), 0);
        assert_eq!(keys(&["keys", server, "--prefix", "user:"]).len(), 2);
        assert_eq!(keys(&["keys", server, server, "--limit", "7"]).len(), 7);
        let first = &objects(&["keys", server, "--prefix", "user:1", "--json"])[0];
        assert_eq!((&first["server"], &first["key"]), (&server.into(), &"user:1".into()));
        assert_eq!(first["fetched"], true);
        assert!((900..=1000).contains(&first["ttl"].as_i64().unwrap()), "{first}");
        assert_eq!(objects(&["keys", server, "--prefix", "\x1b", "--json"])[0]["key"], "\x1b[2J\u{9b}:é");
        assert_eq!(objects(&["keys", server, "--prefix", "plain", "--json"])[0]["ttl"], Value::Null);

        let counts = table(&["keys", server, "--by-prefix", "--decode"]);
        let rows: Vec<Vec<_>> = counts.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["KEYS", "BYTES", "FETCHED", "PREFIX"]);
        assert_eq!((rows[1][0], rows[1][2], rows[1][3]), ("2", "1", "user"));
        assert_eq!((rows.len(), rows[4][0], rows[4][3]), (5, "1", "(none)"));
        let counts = objects(&["keys", server, "--by-prefix", "--delimiter", "ser:", "--json"]);
        assert_eq!((&counts[0]["prefix"], &counts[0]["keys"]), (&"u".into(), &2.into()));
        assert_eq!((&counts[1]["prefix"], &counts[1]["keys"]), (&Value::Null, &3.into()));
    });
    let (_empty, address) = ours(ServerConfig::default());
    assert_eq!(keys(&["keys", &address]).len(), 0);
}

/// A program that runs, and is killed with its test.
struct Running(Child);

impl Running {
    fn new(arguments: &[&str]) -> Self {
        Self(mcrs(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let mut byte = [0];
        let out = self.0.stdout.as_mut().unwrap();
        while !line.ends_with('\n') {
            assert_eq!(out.read(&mut byte).unwrap(), 1, "the program ended after {line:?}");
            line.push(char::from(byte[0]));
        }
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_is_printed_as_it_comes() {
    with_both(|server| {
        let mut text = Running::new(&["watch", server, "fetchers"]);
        let mut json = Running::new(&["watch", server, "fetchers", "mutations", "--json"]);
        // The program may not watch yet.
        let (send, lines) = std::sync::mpsc::channel();
        let asking = server.to_owned();
        let asks = std::thread::spawn(move || {
            let mut client = Client::new(&asking);
            while lines.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let _ = client.ask("mg user:1\r\nmg no\x1b[2J\r\n");
            }
        });
        let line = text.line();
        assert!(line.starts_with("ts=") && line.contains("type=item_get"), "{line}");
        let object: Value = serde_json::from_str(&json.line()).unwrap();
        assert_eq!((&object["server"], &object["type"]), (&server.into(), &"item_get".into()));
        assert!(object["ts"].is_f64() && object["key"].is_string(), "{object}");
        // A signal ends it, also in the middle of many lines. SIGINT would do the same, but a job
        // in the background inherits that it is ignored.
        let pid = text.0.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = text.0.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        send.send(()).unwrap();
        asks.join().unwrap();
    });
}

#[test]
fn a_log_ends_with_its_server_or_goes_on() {
    let server = script(vec![vec!["OK\r\nts=1.0 key=a\x1b\r\n"]]);
    let closed = format!("mcrs: {server} closed the connection\n");
    assert_eq!(run(&["watch", &server, "evictions"]), (69, "ts=1.0 key=a\\u{1b}\n".into(), closed));
    let line = || vec!["OK\r\nts=1.0 key=a\r\n"];
    let server = script(vec![line(), line()]);
    let mut running = Running::new(&["watch", &server, "evictions", "--reconnect"]);
    assert_eq!((running.line(), running.line()), ("ts=1.0 key=a\n".into(), "ts=1.0 key=a\n".into()));
    let mut said = String::new();
    BufReader::new(running.0.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, format!("mcrs: {server} closed the connection; connecting again\n"));
    // This is an answer, and would not change.
    let server = script(vec![vec!["ERROR\r\n"]]);
    let expected = format!("mcrs: {server} answers ERROR to \"watch proxyreqs\"\n");
    assert_eq!(run(&["watch", &server, "proxyreqs", "--reconnect"]), (1, String::new(), expected));
}

#[test]
fn a_server_without_a_group_says_so() {
    let Some(real) = memcached(&[]) else { return };
    let server = real.address();
    let expected = format!("mcrs: {server} answers ERROR to \"stats hotkeys\"\n");
    assert_eq!(run(&["stats", server, "hotkeys"]), (1, String::new(), expected));
    let locked = memcached(&["-X"]).unwrap();
    assert_eq!(run(&["keys", locked.address()]).0, 77);
}

#[test]
fn wrong_usage_gives_one_line_and_64() {
    let cases: &[&[&str]] = &[
        &["stats", "a:b"],
        &["stats", "items", "slabs"],
        &["stats", "--timeout", "0"],
        &["stats", "--diff", "--json"],
        &["settings", "a:1", ""],
        &["slabs", "a:b"],
        &["watch"],
        &["watch", "a:1"],
        &["watch", "a:b", "evictions"],
        &["keys", "--limit", "-1"],
        &["keys", "--sort", "color"],
        &["keys", "--reverse"],
        &["keys", "--sort", "size", "--by-prefix"],
        &["keys", "--json", "--decode"],
    ];
    for arguments in cases {
        let (status, out, said) = run(arguments);
        assert_eq!((status, out.len(), said.lines().count()), (64, 0, 1), "{arguments:?}: {said}");
    }
}

#[test]
fn logins_are_as_for_a_dump() {
    let (_server, server) = guarded();
    let directory = Directory::new();
    let (right, wrong) = (directory.put("right", "secret\n"), directory.put("wrong", "guess"));
    for command in [&["stats"][..], &["settings"], &["slabs"], &["keys"]] {
        let with = |options: &[&str]| run(&[command, &[&server[..]], options].concat()).0;
        assert_eq!(with(&[]), 77, "{command:?}");
        assert_eq!(with(&["--user", "ada", "--password-file", &wrong]), 77, "{command:?}");
        assert_eq!(with(&["--user", "ada", "--password-file", &right]), 0, "{command:?}");
    }
}

#[test]
fn hostile_servers_cost_little() {
    let cases = [
        (hostile(b"", false), "did not answer within 0.2 seconds"),
        (hostile(b"STAT pid 1\r\n", false), "did not answer within 0.2 seconds"),
        (hostile(b"\x1b[2J\x00garbage\xff\r\n", false), "unexpected reply of"),
        (hostile(b"no line end ", true), "unexpected reply of"),
        (script(vec![vec!["STAT pid 1\r\nSTAT th"]]), "closed the connection"),
        (script(vec![vec![]]), "closed the connection"),
    ];
    for (server, reason) in cases {
        let (status, out, said) = run(&["stats", &server, "--timeout", "0.2"]);
        assert_eq!((status, out.len(), said.lines().count()), (69, 0, 1), "{said}");
        assert!(said.contains(reason) && said.len() < 1000, "{reason}: {said}");
        assert!(!said.trim_end().contains(|character: char| character.is_control()), "{said:?}");
    }
    let endless = hostile(b"STAT name value\r\n", true);
    let (status, _, said) = run(&["slabs", &endless, "--timeout", "600"]);
    assert!(status == 69 && said.contains("sends more than 16777216 bytes of statistics"), "{said}");
    // It says that it has one item, and lists keys without end.
    let endless = keys_without_end();
    let (status, out, said) = run(&["keys", &endless, "--sort", "size", "--limit", "3"]);
    assert!(status == 69 && said.contains("lists more keys than it has items"), "{said}");
    assert_eq!(out.lines().count(), 4);
}

/// A server whose list of keys does not end.
fn keys_without_end() -> String {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let requests = BufReader::new(stream.try_clone().unwrap()).lines();
            for request in requests.map_while(Result::ok) {
                let _ = match &request[..] {
                    "version" => stream.write_all(b"VERSION 1.6.45\r\n"),
                    "stats" => stream.write_all(b"STAT time 1\r\nSTAT curr_items 1\r\nEND\r\n"),
                    _ => {
                        let many = b"key=a exp=-1 la=1 cas=1 fetch=no cls=1 size=61\n".repeat(10_000);
                        while stream.write_all(&many).is_ok() {}
                        Ok(())
                    }
                };
            }
        }
    });
    address
}

#[test]
fn a_reader_that_wants_no_more_is_not_told_so() {
    let endless = keys_without_end();
    let (_server, address) = ours(ServerConfig::default());
    for arguments in [&["stats", &address][..], &["slabs", &address], &["keys", &endless]] {
        let mut child = mcrs(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}");
    }
}
