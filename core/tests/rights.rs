//! The rights of users: every command of every protocol, as every kind of user. A refused command
//! changes nothing, its value is discarded exactly, and the connection goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dialogue;
mod treasure;

use memcache_rs::internal::config::{MIB, Need};
use memcache_rs::internal::protocol::commands::COMMANDS;
use memcache_rs::internal::session::Session;
use memcache_rs::internal::state::ServerState;
use memcache_rs::{
    AuthConfig, AuthMethod, Cache, CacheConfig, ClusterNode, Passwords, Protocol, ServerConfig, Ttl,
};
use treasure::untouched;

/// The kinds of users: name, the highest right, and the beginning of keys.
const KINDS: &[(&str, Need, &str)] = &[
    ("all", Need::Admin, ""),
    ("noadmin", Need::Write, ""),
    ("ro", Need::Read, ""),
    ("ro,noadmin", Need::Read, ""),
    ("prefix=door", Need::Write, "door"),
    ("prefix=do", Need::Write, "do"),
    ("prefix=window", Need::Write, "window"),
    ("prefix=doors", Need::Write, "doors"),
    ("ro,prefix=do", Need::Read, "do"),
    ("ro,prefix=window", Need::Read, "window"),
    ("none", Need::Nothing, ""),
];

const REFUSED: &str = "CLIENT_ERROR not permitted\r\n";

/// Returns a server with two items, and a user of each kind whose password is `secret`.
fn context(method: AuthMethod) -> ServerState {
    let cache = Cache::new(CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() }).unwrap();
    cache.set(b"door", b"treasure", Ttl::Never).unwrap();
    cache.set(b"number", b"7", Ttl::Never).unwrap();
    let users = KINDS.iter().map(|(name, ..)| (name.as_bytes().to_vec(), b"secret".to_vec()));
    let listed = KINDS.iter().map(|(name, ..)| *name).filter(|name| *name != "none");
    let config = ServerConfig {
        auth: Some(AuthConfig { method, passwords: Passwords::List(users.collect()) }),
        rights: Some(listed.map(|name| format!("{name} {name}")).collect::<Vec<_>>().join("; ")),
        cluster: vec![ClusterNode::new("treasure.example", None, 11211).unwrap()],
        shutdown_enabled: true,
        debug_commands: true,
        threads: 1,
        ..ServerConfig::default()
    };
    config.validate().unwrap();
    ServerState::new(cache, config).unwrap()
}

/// A client that keeps the input that its session has not used.
struct Client<'a> {
    context: &'a ServerState,
    session: Session,
    rest: Vec<u8>,
}

impl<'a> Client<'a> {
    fn text(context: &'a ServerState, name: &str) -> Self {
        let mut client = Self { context, session: Session::new(Protocol::Ascii), rest: Vec::new() };
        let login = format!("{name} secret");
        assert_eq!(client.say(&format!("set x 0 0 {}\r\n{login}\r\n", login.len())), "STORED\r\n");
        client
    }

    fn binary(context: &'a ServerState, name: &str) -> Self {
        let mut client = Self { context, session: Session::new(Protocol::Binary), rest: Vec::new() };
        let answer = client.send(&packet(0x21, &[], b"PLAIN", format!("\0{name}\0secret").as_bytes()));
        assert!(answer.ends_with(b"Authenticated"));
        client
    }

    fn say(&mut self, input: &str) -> String {
        String::from_utf8_lossy(&self.send(input.as_bytes())).into_owned()
    }

    fn send(&mut self, input: &[u8]) -> Vec<u8> {
        self.rest.extend(input);
        dialogue::talk_on(self.context, &mut self.session, &mut self.rest).0
    }

    /// Sends one byte at a time.
    fn drip(&mut self, input: &[u8]) -> Vec<u8> {
        input.iter().flat_map(|&byte| self.send(&[byte])).collect()
    }
}

fn packet(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0];
    packet.extend(((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    packet.extend([0; 12]);
    [&packet, extras, key, value].concat()
}

/// Returns lines of text, the right that each needs, and the key that it names.
fn lines() -> Vec<(String, Need, Option<&'static str>)> {
    let mut lines: Vec<_> = COMMANDS
        .iter()
        .map(|row| {
            let value = if row.value == 0 { "" } else { "x\r\n" };
            // The example of this row changes the list.
            let need = if row.word == "config" { Need::Admin } else { row.need };
            let names_key = row.key > 0 || row.word == "flush_prefix";
            (format!("{}\r\n{value}", row.example), need, names_key.then_some("door"))
        })
        .collect();
    let door = Some("door");
    lines.extend(
        [
            ("mg door v t f c s k h l\r\n", Need::Read, door),
            ("mg ZG9vcg== b v\r\n", Need::Read, door),
            ("mg door T9\r\n", Need::Write, door),
            ("mg door N9\r\n", Need::Write, door),
            ("mg door R9\r\n", Need::Write, door),
            ("md door q x I\r\n", Need::Write, door),
            ("md ZG9vcg== b\r\n", Need::Write, door),
            ("ma door N0\r\n", Need::Write, door),
            ("ms ZG9vcg== 1 b q\r\nx\r\n", Need::Write, door),
            ("ms door 1 Oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n", Need::Write, door),
            ("gats 9 door\r\n", Need::Write, door),
            ("get  door  door\r\n", Need::Read, door),
            ("stats items\r\n", Need::Read, None),
            ("stats slabs\r\n", Need::Read, None),
            ("stats sizes\r\n", Need::Read, None),
            ("stats settings\r\n", Need::Read, None),
            ("stats reset\r\n", Need::Admin, None),
            ("stats r\r\n", Need::Admin, None),
            ("stats conns\r\n", Need::Admin, None),
            ("stats cachedump 1 10\r\n", Need::Admin, None),
            ("stats detail on\r\n", Need::Admin, None),
            ("stats detail dump\r\n", Need::Admin, None),
            ("stats settings 1 2\r\n", Need::Admin, None),
            ("config get cluster\r\n", Need::Read, None),
            ("config delete cluster\r\n", Need::Admin, None),
            ("config\r\n", Need::Admin, None),
            ("lru_crawler mgdump all\r\n", Need::Admin, None),
            ("shutdown graceful\r\n", Need::Admin, None),
            ("flush_all 100\r\n", Need::Admin, None),
            ("   flush_all\r\n", Need::Admin, None),
            ("  flush_prefix door\r\n", Need::Write, door),
        ]
        .map(|(line, need, key)| (line.to_owned(), need, key)),
    );
    lines
}

#[test]
fn every_line_as_every_user() {
    for (line, need, key) in lines() {
        for &(user, most, prefix) in KINDS {
            let context = context(AuthMethod::Text);
            let mut client = Client::text(&context, user);
            let permitted = need <= most && key.is_none_or(|key| key.starts_with(prefix));
            let about = format!("{line:?} as {user}");
            if permitted {
                assert!(!client.say(&line).contains("not permitted"), "{about}");
                continue;
            }
            let expected = format!("{REFUSED}MN\r\n");
            assert_eq!(client.say(&format!("{line}mn\r\n")), expected, "{about}");
            assert_eq!(client.drip(format!("{line}mn\r\n").as_bytes()), expected.as_bytes(), "{about}");
            assert!(untouched(&context), "{about}");
        }
    }
}

/// As in memcached, `noreply` hides every error, and the `q` of a meta command none.
#[test]
fn refusals_keep_the_rules_of_silence() {
    let context = context(AuthMethod::Text);
    let mut reader = Client::text(&context, "ro");
    for line in [
        "set door 0 0 1 noreply\r\nx\r\n",
        "cas door 0 0 1 1 noreply\r\nx\r\n",
        "delete door noreply\r\n",
        "incr number 1 noreply\r\n",
        "touch door 9 noreply\r\n",
        "flush_all noreply\r\n",
        "flush_prefix door noreply\r\n",
        "verbosity 2 noreply\r\n",
    ] {
        assert_eq!(reader.say(&format!("{line}mn\r\n")), "MN\r\n", "{line:?}");
    }
    for line in ["ms door 1 q\r\nx\r\n", "md door q\r\n", "ma number q\r\n"] {
        assert_eq!(reader.say(&format!("{line}mn\r\n")), format!("{REFUSED}MN\r\n"), "{line:?}");
    }
    assert!(untouched(&context));
}

#[test]
fn large_values_are_discarded() {
    let context = context(AuthMethod::Text);
    let mut reader = Client::text(&context, "ro");
    let value = "get door\r\n".repeat(20_000);
    for word in ["set door 0 0", "ms door"] {
        let input = format!("{word} {}\r\n{value}\r\nmn\r\n", value.len());
        assert_eq!(reader.say(&input), format!("{REFUSED}MN\r\n"));
    }
    let too_large = "x".repeat(2 * MIB);
    let input = format!("set door 0 0 {}\r\n{too_large}\r\nmn\r\n", too_large.len());
    assert_eq!(reader.say(&input), format!("{REFUSED}MN\r\n"));
    assert!(untouched(&context));
}

#[test]
fn a_get_with_one_foreign_key_is_refused() {
    let context = context(AuthMethod::Text);
    let mut client = Client::text(&context, "prefix=do");
    for line in [
        "get number\r\n",
        "get door number\r\n",
        "gets number door\r\n",
        "gat 9 door number\r\n",
        &format!("get {}number door\r\n", "door ".repeat(40)),
    ] {
        assert_eq!(client.say(&format!("{line}mn\r\n")), format!("{REFUSED}MN\r\n"), "{line:?}");
        let dripped = client.drip(format!("{line}mn\r\n").as_bytes());
        let dripped = String::from_utf8_lossy(&dripped);
        assert!(dripped.ends_with(&format!("{REFUSED}MN\r\n")), "{line:?} {dripped:?}");
        assert!(!dripped.contains("number"), "{line:?} {dripped:?}");
    }
    // A line that is longer than others may be arrives in parts.
    let long = format!("get {}", "door ".repeat(1000));
    let hits = client.say(&long);
    assert_eq!(hits.matches("treasure").count(), 1000);
    assert_eq!(client.say("number door\r\nmn\r\n"), format!("{REFUSED}MN\r\n"));
    let (found, end) = (client.say(&long), client.say("door\r\n"));
    assert_eq!(found.matches("treasure").count(), 1000);
    assert_eq!(end, "VALUE door 0 8\r\ntreasure\r\nEND\r\n");
    assert!(untouched(&context));
}

/// Returns packets, the right that each needs, and the key that it names.
fn packets() -> Vec<(Vec<u8>, Need, Option<&'static str>)> {
    let door = Some("door");
    let mut packets = Vec::new();
    let mut add = |opcodes: &[u8], extras: usize, key: &'static str, value: &[u8], need, names: bool| {
        for &opcode in opcodes {
            let packet = packet(opcode, &vec![0; extras], key.as_bytes(), value);
            packets.push((packet, need, door.filter(|_| names)));
        }
    };
    add(&[0x00, 0x09, 0x0c, 0x0d], 0, "door", b"", Need::Read, true);
    add(&[0x01, 0x02, 0x03, 0x11, 0x12, 0x13], 8, "door", b"xyz", Need::Write, true);
    add(&[0x0e, 0x0f, 0x19, 0x1a], 0, "door", b"xyz", Need::Write, true);
    add(&[0x04, 0x14], 0, "door", b"", Need::Write, true);
    add(&[0x05, 0x06, 0x15, 0x16], 20, "door", b"", Need::Write, true);
    add(&[0x1c, 0x1d, 0x1e, 0x23, 0x24], 4, "door", b"", Need::Write, true);
    add(&[0x08, 0x18], 0, "", b"", Need::Admin, false);
    add(&[0x08, 0x18], 4, "", b"", Need::Admin, false);
    for group in ["", "items", "slabs", "sizes", "settings"] {
        add(&[0x10], 0, group, b"", Need::Read, false);
    }
    for group in ["reset", "resets", "detail on", "detail dump", "detail off", "settings2", "conns"] {
        add(&[0x10], 0, group, b"", Need::Admin, false);
    }
    add(&[0x0b, 0x0a], 0, "", b"", Need::Nothing, false);
    packets
}

#[test]
fn every_packet_as_every_user() {
    const NOT_PERMITTED: &[u8] = b"Not permitted";
    let noop = packet(0x0a, &[], b"", b"");
    for (packet, need, key) in packets() {
        for &(user, most, prefix) in KINDS {
            let context = context(AuthMethod::Sasl);
            let mut client = Client::binary(&context, user);
            let permitted = need <= most && key.is_none_or(|key| key.starts_with(prefix));
            let about = format!("{packet:?} as {user}");
            if permitted {
                let answer = client.send(&packet);
                assert!(!answer.ends_with(NOT_PERMITTED), "{about}");
                continue;
            }
            let answer = client.send(&[&packet[..], &noop].concat());
            // The opcode, status 0x20, the text, and the reply to the noop.
            assert_eq!((answer[1], &answer[6..8]), (packet[1], &[0, 0x20][..]), "{about}");
            assert_eq!(&answer[24..24 + NOT_PERMITTED.len()], NOT_PERMITTED, "{about}");
            let rest = &answer[24 + NOT_PERMITTED.len()..];
            assert_eq!((rest.len(), rest[1]), (24, 0x0a), "{about}");
            assert_eq!(client.drip(&[&packet[..], &noop].concat()), answer, "{about}");
            assert!(untouched(&context), "{about}");
        }
    }
}

/// No opcode is left out above: every other one is unknown, or belongs to the login.
#[test]
fn every_opcode_is_tried() {
    let tried: Vec<u8> = packets().iter().map(|(packet, ..)| packet[1]).collect();
    let context = context(AuthMethod::Sasl);
    for opcode in (0..=u8::MAX).filter(|opcode| !tried.contains(opcode)) {
        if matches!(opcode, 0x07 | 0x17 | 0x20..=0x22) {
            continue;
        }
        let answer = Client::binary(&context, "none").send(&packet(opcode, &[], b"door", b""));
        assert!(answer.ends_with(b"Unknown command"), "{opcode:#x}");
    }
}

#[test]
fn a_user_may_log_in_as_another() {
    let context = context(AuthMethod::Sasl);
    let mut client = Client::binary(&context, "ro");
    let set = packet(0x01, &[0; 8], b"new", b"x");
    assert!(client.send(&set).ends_with(b"Not permitted"));
    // A second login on a connection is refused and ends the first, as in memcached.
    let login = packet(0x21, &[], b"PLAIN", b"\0all\0secret");
    assert!(client.send(&login).ends_with(b"Auth failure."));
    assert!(client.send(&login).ends_with(b"Authenticated"));
    assert!(!client.send(&set).ends_with(b"Not permitted"));
    assert_eq!(context.cache.get(b"new").as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_list_that_is_wrong_changes_nothing() {
    let file = std::env::temp_dir().join(format!("mcrs-rights-{}", std::process::id()));
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let cache = Cache::new(CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() }).unwrap();
    let passwords = Passwords::List(vec![(b"ann".to_vec(), b"secret".to_vec())]);
    let config = || ServerConfig {
        auth: Some(AuthConfig { method: AuthMethod::Text, passwords: passwords.clone() }),
        rights_file: Some(file.clone()),
        ..ServerConfig::default()
    };
    write("ann rw\n");
    let error = ServerState::new(cache.clone(), config()).unwrap_err().to_string();
    let wrong = "line 1: rights must be all, noadmin, ro or prefix=TEXT, got \"rw\"";
    assert!(error.starts_with("rights_file [") && error.ends_with(wrong), "{error}");
    write("ann ro\n");
    let context = ServerState::new(cache, config()).unwrap();
    let may_set = || !Client::text(&context, "ann").say("set a 0 0 1\r\nx\r\n").contains("not permitted");
    assert!(!may_set());
    write("ann noadmin\n");
    let mut before = Client::text(&context, "ann");
    assert_eq!(context.reload(), Ok(()));
    assert!(may_set());
    // A login keeps its rights, as it outlives a change of the password.
    assert_eq!(before.say("set a 0 0 1\r\nx\r\n"), REFUSED);
    write("ann rw\n");
    assert!(context.reload().is_err_and(|line| line.ends_with(wrong)));
    assert!(may_set());
    std::fs::remove_file(&file).unwrap();
    assert!(context.reload().is_err_and(|line| line.contains("Could not open rights_file")));
    assert!(may_set());
}

/// A list of rights without users would have no effect.
#[test]
fn rights_need_users() {
    for (rights, rights_file) in [(Some("ann ro".into()), None), (None, Some("/rights".into()))] {
        let config = ServerConfig { rights, rights_file, ..ServerConfig::default() };
        assert!(
            config.validate().is_err_and(|e| e.to_string().contains("turn authentication or ssl_user on"))
        );
    }
}
