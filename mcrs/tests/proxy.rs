//! `mcrs proxy`: the examples of docs/proxy.md, and what a shell sees.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, process};

const DOCUMENT: &str = include_str!("../../docs/proxy.md");

/// A file that is removed with this value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        Self::named(&format!("{name}.toml"), text)
    }

    fn named(name: &str, text: &str) -> Self {
        let path = env::temp_dir().join(format!("mcrs-proxy-{}-{name}", process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs `mcrs proxy` with `FILE` for the file. Returns status, standard output and error.
fn proxy(file: &File, arguments: &[&str]) -> (i32, String, String) {
    let path = file.0.to_str().unwrap();
    let arguments = arguments.iter().map(|word| if *word == "FILE" { path } else { word });
    let output = Command::new(env!("CARGO_BIN_EXE_mcrs")).arg("proxy").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(path, "FILE");
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn examples_of_the_document_are_right() {
    let blocks: Vec<&str> =
        DOCUMENT.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    // A block without pools uses those of the routes.
    let shared = blocks.iter().find(|block| block.contains("\n[pools]\n")).unwrap();
    let (_, pools) = shared.split_once("\n\n").unwrap();
    for (number, block) in blocks.iter().enumerate() {
        let is_whole = block.contains("\n[pools");
        let text = if is_whole { (*block).to_owned() } else { format!("{block}\n{pools}") };
        let file = File::new(&format!("document{number}"), &text);
        let (status, out, said) = proxy(&file, &["check", "FILE", "--no-certificates"]);
        // A route does not use all pools that the examples share.
        let is_shared = text.contains(pools);
        let said: Vec<_> = said
            .lines()
            .filter(|line| !is_shared || !line.starts_with("warning: FILE: nothing uses the pool "))
            .collect();
        assert_eq!((status, said), (0, vec![]), "{block}");
        let first = if is_whole { "pools\n  " } else { "pools\n  east: 1 backend, jump, xxh3\n" };
        assert!(out.starts_with(first), "{out}");
    }
    // Each kind of route and each distribution has an example or a row.
    for kind in [
        "failover",
        "zone_failover",
        "all_sync",
        "all_fastest",
        "random",
        "shadow",
        "ttl",
        "warm_up",
        "migrate",
        "rate_limit",
        "by_prefix",
        "by_command",
        "error",
    ] {
        assert!(blocks.iter().any(|block| block.contains(&format!("{kind} ="))), "{kind}");
    }
}

const MOVE: &str = r#"
route = { by_command = { reads = "cached", delete = { all_sync = ["old", "new"] } }, default = "slow" }

[routes]
cached = { failover = [{ warm_up = "new", from = "old" }, "last"], tries = 2, wait_ms = 100, counter = "r" }
slow = { rate_limit = { random = ["new"] }, per_second = 1, shared = true, over = { error = "slow down" } }
last = { ttl = { shadow = "old", of = "new", percent = 1 }, seconds = 5 }

[pools.old]
backends = [{ address = "unix:/run/a.sock", name = "one", weight = 2 }, "b:1"]
distribution = "modula"

[pools.new]
backends = ["c"]
"#;

#[test]
fn check_prints_the_resolved_tree() {
    let (status, out, said) = proxy(&File::new("check", MOVE), &["check", "FILE"]);
    let expected = "\
pools
  new: 1 backend, jump, xxh3
    c:11211
  old: 2 backends, modula, one_at_a_time
    one at unix:/run/a.sock, weight 2
    b:1
routes
  cached: failover, wait 100 ms, counter r
    warm_up
      new: new
      old: old
    last
  last: ttl 5 s
    shadow 1%
      answers: new
      gets copies: old
  slow: rate_limit 1/s, burst 1, shared
    within: random
      new
    over: error \"slow down\"
route
  by_command
    delete: all_sync
      old
      new
    reads: cached
    default: slow
A request causes at most 5 requests.
";
    assert_eq!((status, out.as_str(), said.as_str()), (0, expected, ""));
}

#[test]
fn check_warns_of_parts_without_effect() {
    let pools = "pools.a.backends = ['a']\npools.b.backends = ['b']\n";
    let cases: &[(&str, &[&str])] = &[
        ("route = 'a'\nlisteners.t = { random = ['b'] }", &[]),
        ("route = 'x'\nroutes.x = { failover = ['a', 'y'] }\nroutes.y = { ttl = 'b', seconds = 1 }", &[]),
        ("route = 'a'", &["nothing uses the pool b"]),
        (
            "route = 'a'\nroutes.x = { failover = ['y', 'b'] }\nroutes.y = { ttl = 'a', seconds = 1 }",
            &["nothing uses the pool b", "nothing uses the route x", "nothing uses the route y"],
        ),
        (
            "route = { by_prefix = { 'a b' = 'a', 'c:' = 'b' }, default = 'a' }",
            &["by_prefix: no key begins with \"a b\""],
        ),
        (
            "route = { by_part = { 'a/b' = 'a', 'c d' = 'b', e = 'b' }, default = 'a' }",
            &["by_part: no key has the part \"a/b\"", "by_part: no key has the part \"c d\""],
        ),
        (
            "route = { by_part = { e = 'b' }, start = 'a b', default = 'a' }",
            &["by_part: no key has the part \"e\""],
        ),
    ];
    for (number, (text, expected)) in cases.iter().enumerate() {
        let file = File::new(&format!("warning{number}"), &format!("{text}\n{pools}"));
        let (status, out, said) = proxy(&file, &["check", "FILE"]);
        let lines: Vec<_> =
            said.lines().map(|line| line.strip_prefix("warning: FILE: ").unwrap_or(line)).collect();
        assert_eq!((status, &lines[..]), (0, *expected), "{text}");
        assert!(out.starts_with("pools\n"), "{out}");
    }
}

#[test]
fn explain_names_the_backends_and_the_reasons() {
    let file = File::new("explain", MOVE);
    let cases: &[(&[&str], &str)] = &[
        (
            &["explain", "FILE", "k", "--missing", "new"],
            "\
get k
  by_command: reads: cached
  cached (failover, wait 100 ms, counter r): asks warm_up
  warm_up: asks new
  new: c:11211 gets the request and does not have it
  warm_up: asks old after the miss
  old: b:1 is asked for the item with its TTL and replies
  warm_up: has its answer
  cached (failover, wait 100 ms, counter r): has its answer
  warm_up: adds the item to new
  the client gets the reply of b:1
  new: c:11211 gets an add of the item and replies
",
        ),
        (
            &["explain", "FILE", "k", "--down", "c:11211", "--draw", "3"],
            "\
get k
  by_command: reads: cached
  cached (failover, wait 100 ms, counter r): asks warm_up
  warm_up: asks new
  new: c:11211 gets the request and is down
  warm_up: fails
  cached (failover, wait 100 ms, counter r): asks last after the error
  last (ttl 5 s): asks shadow 1%
  shadow 1%: asks new, sends no copy this time
  new: c:11211 gets the request and is down
  cached (failover, wait 100 ms, counter r): fails
  the client gets an error, because c:11211 is down
",
        ),
        (
            &["explain", "FILE", "k", "--command", "delete", "--down", "old"],
            "\
delete k
  by_command: delete: all_sync
  all_sync: asks all
  old: b:1 gets the request and is down
  new: c:11211 gets the request and replies
  all_sync: fails
  the client gets an error, because b:1 is down
",
        ),
        (
            &["explain", "FILE", "k", "--command", "set"],
            "\
set k
  by_command: nothing matches, asks slow
  slow (rate_limit 1/s, burst 1, shared): within the limit, asks random
  random: draws new
  new: c:11211 gets the request and replies
  the client gets the reply of c:11211
",
        ),
    ];
    for (arguments, expected) in cases {
        let (status, out, said) = proxy(&file, arguments);
        assert_eq!((status, out.as_str(), said.as_str()), (0, *expected, ""), "{arguments:?}");
    }
}

#[test]
fn a_request_without_a_ttl_gets_none() {
    let pools = "pools.a.backends = ['a']\npools.b.backends = ['b']\n";
    let file = File::new("ttl", &format!("route = {{ ttl = 'a', seconds = 5 }}\n{pools}"));
    let with = ["set", "add", "replace", "append", "prepend", "cas", "ms", "touch", "gat", "gats"];
    let without = ["get", "gets", "mg", "me", "delete", "md", "incr", "decr", "ma"];
    let (own, none) = (("replaces the TTL", " with TTL 5 s"), ("asks a", ""));
    for (word, (choice, ttl)) in
        with.map(|word| (word, own)).into_iter().chain(without.map(|word| (word, none)))
    {
        let expected = format!(
            "{word} k\n  ttl 5 s: {choice}\n  a: a:11211 gets the request{ttl} and replies\n  \
             the client gets the reply of a:11211\n"
        );
        let (_, out, _) = proxy(&file, &["explain", "FILE", "k", "--command", word]);
        assert_eq!(out, expected);
    }
    // An item that fills a pool has a TTL, and a delete of the old one has none.
    let warm = "{ warm_up = { ttl = 'a', seconds = 5 }, from = { ttl = 'b', seconds = 9 } }";
    let file = File::new("fill", &format!("route = {warm}\n{pools}"));
    let (_, out, _) = proxy(&file, &["explain", "FILE", "k", "--missing", "a"]);
    assert!(out.contains("\n  a: a:11211 gets an add of the item with TTL 5 s and replies\n"), "{out}");
    let (_, out, _) = proxy(&file, &["explain", "FILE", "k", "--command", "set"]);
    assert!(out.contains("\n  a: a:11211 gets the request with TTL 5 s and replies\n"), "{out}");
    assert!(out.contains("\n  b: b:11211 gets a delete and replies\n"), "{out}");
}

#[test]
fn a_listener_has_a_route_of_its_own() {
    let text = "route = 'a'\nlisteners.two = 'b'\npools.a.backends = ['a']\npools.b.backends = ['b']\n";
    let file = File::new("tag", text);
    let reply = |name| {
        (
            0,
            format!(
                "get k\n  {name}: {name}:11211 gets the request and replies\n  the client gets the reply of {name}:11211\n"
            ),
            String::new(),
        )
    };
    assert_eq!(proxy(&file, &["explain", "FILE", "k"]), reply("a"));
    assert_eq!(proxy(&file, &["explain", "FILE", "k", "--tag", "two"]), reply("b"));
    let unknown = "mcrs: there is no route of listeners with tag \"tow\"\n";
    assert_eq!(proxy(&file, &["explain", "FILE", "k", "--tag", "tow"]), (64, String::new(), unknown.into()));
}

#[test]
fn explain_knows_a_backend_that_is_configured_down() {
    let text = "\
route = 'a'
[pools.a]
backends = [{ address = 'b', down = true }]
health = { eject = 'miss' }
";
    let expected = "\
get k
  a: b:11211 is down, reads miss and writes fail
  the client gets the miss of b:11211
";
    let (status, out, said) = proxy(&File::new("down", text), &["explain", "FILE", "k"]);
    assert_eq!((status, out.as_str(), said.as_str()), (0, expected, ""));
}

#[test]
fn null_refuses_writes() {
    let file = File::new("null", "route = 'null'\n");
    for (command, answer) in
        [("get", "a miss"), ("mg", "a miss"), ("set", "NOT_STORED"), ("delete", "NOT_FOUND"), ("ms", "NS")]
    {
        let (status, out, _) = proxy(&file, &["explain", "FILE", "k", "--command", command]);
        assert_eq!((status, out.lines().last()), (0, Some(&*format!("  the client gets {answer}"))));
    }
}

#[test]
fn mistakes_are_one_line() {
    let right = File::new("right", MOVE);
    let unread = File::new("tls", "route = 'a'\n[pools.a]\nbackends = ['a']\ntls = { ca = 'no.pem' }\n");
    let (status, _, said) = proxy(&unread, &["check", "FILE"]);
    let begin = "mcrs: FILE:4: pools.a.tls: failed to load the CA certificate ";
    assert!(
        status == 65 && said.starts_with(begin) && said.ends_with("/no.pem: No such file or directory\n"),
        "{said}"
    );
    assert_eq!(proxy(&unread, &["check", "FILE", "--no-certificates"]).0, 0);
    assert_eq!(proxy(&unread, &["explain", "FILE", "k"]).0, 0);
    for name in ["mcrouter.json", "nutcracker.yml", "nutcracker.yaml", "mcrouter.conf"] {
        let (status, out, said) = proxy(&File::named(name, "{\n"), &["check", "FILE"]);
        assert_eq!((status, out.len(), said.lines().count()), (65, 0, 1), "{said}");
        assert!(said.ends_with("; a configuration is TOML: see docs/proxy-from.md\n"), "{said}");
    }
    for name in ["long.toml", "long.lua"] {
        let line = "mcrs: FILE: cannot be read: it has more than 1048576 bytes\n".to_owned();
        let long = File::named(name, &" ".repeat((1 << 20) + 1));
        assert_eq!(proxy(&long, &["check", "FILE"]), (74, String::new(), line));
    }
    let program = "function mcp_config_pools()\nend\nfunction mcp_config_routes()\nend\n";
    for (name, text, mistake) in [
        ("none", MOVE, "'['; the name of a configuration in TOML ends in .toml\n"),
        ("capitals.TOML", MOVE, "'['; the name of a configuration in TOML ends in .toml\n"),
        ("program.lua", program, "memcached-rs --check -o proxy_config=FILE checks it\n"),
    ] {
        let (status, out, said) = proxy(&File::named(name, text), &["check", "FILE"]);
        assert_eq!((status, out.len(), said.lines().count()), (65, 0, 1), "{said}");
        assert!(said.starts_with("mcrs: FILE:") && said.ends_with(mistake), "{said}");
    }
    let wrong = File::new("wrong", "route = 'a'\n[pools.b]\nbackends = ['b']\n");
    let cases: &[(&File, &[&str], i32, &str)] = &[
        (&wrong, &["check", "FILE"], 65, "mcrs: FILE:1: route: there is no pool or route \"a\"\n"),
        (&wrong, &["explain", "FILE", "k"], 65, "mcrs: FILE:1: route: there is no pool or route \"a\"\n"),
        (
            &right,
            &["check", "/nonexistent"],
            74,
            "mcrs: /nonexistent: cannot be read: No such file or directory\n",
        ),
        (
            &right,
            &["check", "/nonexistent.lua"],
            74,
            "mcrs: /nonexistent.lua: cannot be read: No such file or directory\n",
        ),
        (&right, &["check", "/"], 74, "mcrs: /: cannot be read: Is a directory\n"),
        (&right, &["explain", "FILE", "k", "--down", "x"], 64, "mcrs: there is no backend or pool \"x\"\n"),
        (&right, &["explain", "FILE", "k k"], 64, "mcrs: KEY must have 1 to 250 bytes without spaces\n"),
        (
            &right,
            &["explain", "FILE", "k", "--command", "stats"],
            64,
            "mcrs: --command: a proxy does not route \"stats\"\n",
        ),
    ];
    for (file, arguments, status, line) in cases {
        assert_eq!(proxy(file, arguments), (*status, String::new(), (*line).to_owned()), "{arguments:?}");
    }
}
