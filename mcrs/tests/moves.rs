//! Items that `mcrs dump` and `mcrs load` move between servers, compared one by one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{Client, Directory, mcrs, memcached, ours, pipe, read, roomy, run, run_with};
use memcache_core::{CacheConfig, Listen, Protocol, Server, ServerConfig, Ttl};

/// A key as it stands in a request, with the flag `b` if it is in base64; TTL, flags and value.
struct Item {
    key: String,
    binary: &'static str,
    ttl: Option<i64>,
    flags: u32,
    cas: u64,
    value: Vec<u8>,
}

/// Items of all kinds. The values of neighbours differ in length, so that a shifted reply is seen.
fn items() -> Vec<Item> {
    let plain = |key: &str, cas| Item {
        key: key.into(),
        binary: "",
        ttl: None,
        flags: 0,
        cas,
        value: format!("value of {cas}").into_bytes(),
    };
    let mut items = vec![
        Item { ttl: Some(500), flags: 7, ..plain("minutes", 1_000_001) },
        Item { ttl: Some(2_592_000), ..plain("thirty-days", 1_000_002) },
        Item { ttl: Some(40_000_000), flags: u32::MAX, ..plain("a-year", 1_000_003) },
        Item { value: Vec::new(), ..plain("empty", 1_000_004) },
        Item { value: vec![b'z'; 1 << 20], flags: 9, ..plain("mebibyte", 1_000_005) },
        Item { value: b"\r\nEN\r\n\0".to_vec(), ..plain("lines", 1_000_006) },
        Item { ttl: Some(90_000), ..plain(&"k".repeat(250), 1_000_007) },
        plain("tab\tand\x01and%41", 1_000_008),
        Item { binary: " b", ttl: Some(700), ..plain("AAEgDQoC", 1_000_009) },
        // Base64 of `text`: a key that is a text, and came in base64.
        Item { binary: " b", flags: 1, ..plain("dGV4dA==", 1_000_010) },
        Item { binary: " b", ..plain(&"/".repeat(248), u64::MAX - 1) },
    ];
    for number in 0..2000 {
        let mut item = plain(&format!("number:{number}"), 2_000_000 + number);
        item.ttl = (number % 3 == 0).then_some(1000 + number as i64);
        item.flags = number as u32 * 3;
        item.value = vec![b'a' + (number % 26) as u8; number as usize % 700];
        items.push(item);
    }
    items
}

fn fill(client: &mut Client, items: &[Item], takes_cas: bool) {
    for Item { key, binary, ttl, flags, cas, value } in items {
        let ttl = ttl.map_or(String::new(), |ttl| {
            // memcached takes more than 30 days for a time.
            format!(" T{}", if ttl > 2_592_000 { common::now() + ttl } else { ttl })
        });
        let cas = if takes_cas { format!(" E{cas}") } else { String::new() };
        let mut request = format!("ms {key} {}{binary} q F{flags}{ttl}{cas}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        assert_eq!(String::from_utf8_lossy(&client.ask(request)), "", "{key}");
    }
}

/// Compares each item, and that there are no others.
fn compare(client: &mut Client, items: &[Item], takes_cas: bool) {
    for Item { key, binary, ttl, flags, cas, value } in items {
        let reply = client.ask(format!("mg {key}{binary} k f c t u v\r\n"));
        let (line, rest) = reply.split_at(reply.iter().position(|&byte| byte == b'\n').unwrap() + 1);
        let line = std::str::from_utf8(line).unwrap().trim_end();
        let (line, left) = line.rsplit_once(" t").unwrap();
        let left: i64 = left.parse().unwrap();
        match ttl {
            None => assert_eq!(left, -1, "{key}"),
            // Seconds may pass, and each of the two moves may round up.
            Some(ttl) => assert!((ttl - 60..=ttl + 2).contains(&left), "{key}: {left} of {ttl} seconds"),
        }
        let (line, got) = line.rsplit_once(" c").unwrap();
        assert!(!takes_cas || got == cas.to_string(), "{key}: CAS {got}, not {cas}");
        assert_eq!(line, format!("VA {} k{key}{binary} f{flags}", value.len()));
        assert!(rest.strip_suffix(b"\r\n") == Some(value), "{key}");
    }
    assert!(client.text("stats\r\n").contains(&format!("STAT curr_items {}\r\n", items.len())));
}

#[test]
fn a_move_between_two_of_ours_loses_nothing() {
    let ((_from, from), (_to, to)) = (roomy(), roomy());
    let items = items();
    fill(&mut Client::new(&from), &items, true);
    assert_eq!(pipe(&from, &to, &[]), (0, "stored 2011 items\n".into(), String::new()));
    compare(&mut Client::new(&to), &items, true);
}

#[test]
fn a_move_into_memcached_and_back_loses_nothing() {
    let Some(middle) = memcached(&["-I", "2m"]) else { return };
    let ((_from, from), (_to, to)) = (roomy(), roomy());
    let items = items();
    fill(&mut Client::new(&from), &items, true);
    // memcached 1.6.18 cannot take the CAS of an item.
    let takes_cas = Client::new(middle.address()).text("mg x E1\r\n") == "EN\r\n";
    assert_eq!(pipe(&from, middle.address(), &[]), (0, "stored 2011 items\n".into(), String::new()));
    compare(&mut Client::new(middle.address()), &items, takes_cas);
    assert_eq!(pipe(middle.address(), &to, &[]), (0, "stored 2011 items\n".into(), String::new()));
    compare(&mut Client::new(&to), &items, takes_cas);
}

#[test]
fn keys_of_the_binary_protocol_may_have_spaces() {
    let ((from, address), (_to, to)) = (roomy(), roomy());
    from.cache().set("a b", "x", Ttl::Never).unwrap();
    from.cache().set("x f99\r\nVA 1", "y", Ttl::Never).unwrap();
    from.cache().set("a b".repeat(80), "x", Ttl::Never).unwrap();
    let directory = Directory::new();
    let file = directory.path("dump");
    let (status, _, said) = run(&["dump", &address, "--out", &file]);
    let expected = "dumped 2 items of 16 bytes; left out 1 whose keys the text protocol cannot name\n";
    assert_eq!((status, &said[..]), (0, expected));
    assert_eq!(run(&["load", &file, &to]).0, 0);
    assert_eq!(Client::new(&to).text("mg YSBi b f v\r\n"), "VA 1 f0\r\nx\r\n");
    assert_eq!(Client::new(&to).text("mg eCBmOTkNClZBIDE= b f v\r\n"), "VA 1 f0\r\ny\r\n");
}

#[test]
fn a_dump_leaves_no_trace_in_the_server() {
    let (_server, address) = roomy();
    let mut client = Client::new(&address);
    client.ask("ms a 1 q\r\nx\r\nms b 1 q E5\r\nx\r\nmd b q I E6\r\nms c 1 q\r\nx\r\nmg c\r\n");
    assert_eq!(mcrs(&["dump", &address]).output().unwrap().status.code(), Some(0));
    assert_eq!(client.text("mg a u h\r\n"), "HD h0\r\n");
    assert_eq!(client.text("mg c u h\r\n"), "HD h1\r\n");
    // The right to recache is still to be won.
    assert_eq!(client.text("mg b u c\r\nmg b u c\r\n"), "HD c6 X W\r\nHD c6 Z X\r\n");
}

#[test]
fn invalidated_items_stay_invalidated() {
    let ((_from, from), (_to, to)) = (roomy(), roomy());
    let mut client = Client::new(&from);
    client.ask("ms open 1 q T100\r\nx\r\nmd open q I\r\nms won 1 q\r\nx\r\nmd won q I E77\r\nmg won\r\n");
    // A placeholder that a client has promised to fill.
    assert_eq!(client.text("mg empty N90\r\n"), "HD W\r\n");
    assert_eq!(pipe(&from, &to, &[]), (0, "stored 2 items, 1 are invalid\n".into(), String::new()));
    let mut client = Client::new(&to);
    assert_eq!(client.text("mg won c v u\r\n"), "VA 1 c77 Z X\r\nx\r\n");
    assert!(client.text("mg open v u\r\n").ends_with(" X W\r\nx\r\n"));
    assert_eq!(client.text("mg empty\r\n"), "EN\r\n");
}

#[test]
fn items_of_the_server_stay_unless_they_are_replaced() {
    let ((_from, from), (_to, to)) = (roomy(), roomy());
    Client::new(&from).ask("ms a 3 q\r\nold\r\nms b 3 q\r\nold\r\n");
    let mut client = Client::new(&to);
    client.ask("ms a 3 q\r\nnew\r\n");
    let (status, said, error) = pipe(&from, &to, &[]);
    assert_eq!((status, &said[..], &error[..]), (1, "stored 1 items, 1 exist\n", ""));
    assert_eq!(client.text("mg a v\r\nmg b v\r\n"), "VA 3\r\nnew\r\nVA 3\r\nold\r\n");
    assert_eq!(pipe(&from, &to, &["--replace"]), (0, "stored 2 items\n".into(), String::new()));
    assert_eq!(client.text("mg a v\r\n"), "VA 3\r\nold\r\n");
}

#[test]
fn servers_that_refuse_items_are_counted() {
    let (_from, from) = roomy();
    let mut client = Client::new(&from);
    let large = "x".repeat(1_500_000);
    client.ask(format!("ms small 1 q\r\nx\r\nms large {} q\r\n{large}\r\n", large.len()));
    let (_to, to) = ours(ServerConfig::default());
    assert_eq!(pipe(&from, &to, &[]), (1, "stored 1 items, 1 are too large\n".into(), String::new()));

    let value = "x".repeat(500_000);
    for number in 0..60 {
        client.ask(format!("ms many:{number} {} q\r\n{value}\r\n", value.len()));
    }
    let cache = CacheConfig { memory_limit: 8 << 20, item_size_max: 2 << 20, ..CacheConfig::default() };
    let full = CacheConfig { evictions: false, ..cache.clone() };
    let (_to, to) = ours(ServerConfig { cache: full, ..ServerConfig::default() });
    let (status, said, error) = pipe(&from, &to, &[]);
    assert!(status == 1 && said.ends_with(" find no memory\n"), "{said}{error}");

    let (_to, to) = ours(ServerConfig { cache, ..ServerConfig::default() });
    let (status, said, error) = pipe(&from, &to, &[]);
    assert_eq!((status, &said[..]), (0, "stored 62 items\n"));
    assert!(error.starts_with("the server has evicted "), "{error}");
}

#[test]
fn a_file_and_a_pipe_hold_the_same() {
    let (_server, address) = roomy();
    fill(&mut Client::new(&address), &items(), true);
    let directory = Directory::new();
    let file = directory.path("dump.mcrs");
    let (status, out, said) = run(&["dump", &address, "--out", &file]);
    assert_eq!((status, &out[..]), (0, ""));
    assert!(said.starts_with("dumped 2011 items of "), "{said}");
    assert_eq!(directory.names(), ["dump.mcrs"]);
    let piped = mcrs(&["dump", &address]).output().unwrap().stdout;
    let keys = |input: &[u8]| {
        let (status, keys, _) = run_with(input, &["inspect", "-", "--keys"]);
        assert_eq!(status, 0);
        let mut keys: Vec<String> = keys.lines().map(without_times).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&fs::read(&file).unwrap()), keys(&piped));
}

/// Removes what changes with each second.
fn without_times(line: &str) -> String {
    line.split(' ').filter(|word| !word.starts_with("exp=") && !word.starts_with("idle=")).collect()
}

#[test]
fn an_empty_server_makes_an_empty_snapshot() {
    let ((_from, from), (_to, to)) = (roomy(), roomy());
    assert_eq!(pipe(&from, &to, &[]), (0, "stored 0 items\n".into(), String::new()));
    if let Some(real) = memcached(&[]) {
        assert_eq!(pipe(real.address(), &to, &[]), (0, "stored 0 items\n".into(), String::new()));
    }
}

#[test]
fn a_unix_socket_is_a_server() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let listen = Listen::Unix { path: path.clone().into(), mask: 0o700, protocol: Protocol::Negotiating };
    let config = ServerConfig { listen: vec![listen], ..ServerConfig::default() };
    let server = Server::start(config).unwrap();
    server.cache().set("a", "x", Ttl::Never).unwrap();
    let mut dump = mcrs(&["dump", &path]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let bytes = read(dump.stdout.take().unwrap());
    assert!(dump.wait().unwrap().success());
    let (status, said, _) = run_with(&bytes, &["load", "-", &format!("unix:{path}"), "--replace"]);
    assert_eq!((status, &said[..]), (0, "stored 1 items\n"));
}
