//! The gate: an unauthenticated client learns nothing and changes nothing. This holds for every
//! command, protocol and listener.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dialogue;
mod treasure;

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::protocol::commands::COMMANDS;
use memcache_rs::internal::session::{Next, Session};
use memcache_rs::internal::state::ServerState;
use memcache_rs::internal::state::Users;
use memcache_rs::{
    AuthConfig, AuthMethod, Cache, CacheConfig, ClusterNode, Listen, Passwords, Protocol, Server,
    ServerConfig, TlsMode, Ttl,
};
use treasure::untouched;

const PROTOCOLS: [Protocol; 3] = [Protocol::Negotiating, Protocol::Ascii, Protocol::Binary];

/// Returns a server with one item, `door`, whose value is `treasure`.
fn context(method: AuthMethod) -> ServerState {
    let cache = Cache::new(CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() }).unwrap();
    cache.set(b"door", b"treasure", Ttl::Never).unwrap();
    cache.set(b"number", b"7", Ttl::Never).unwrap();
    let passwords = Passwords::List(vec![(b"ann".to_vec(), b"secret".to_vec())]);
    let config = ServerConfig {
        auth: Some(AuthConfig { method, passwords }),
        cluster: vec![ClusterNode::new("treasure.example", None, 11211).unwrap()],
        shutdown_enabled: true,
        debug_commands: true,
        threads: 1,
        ..ServerConfig::default()
    };
    ServerState::new(cache, config).unwrap()
}

/// Returns the reply to `input`, and whether the session continues.
fn say(context: &ServerState, session: &mut Session, input: &[u8]) -> (Vec<u8>, bool) {
    let (answer, next) = dialogue::talk(context, session, input);
    (answer, next == Next::Input)
}

fn packet(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0];
    packet.extend(((extras.len() + key.len() + value.len()) as u32).to_be_bytes());
    packet.extend([0; 12]);
    [&packet, extras, key, value].concat()
}

/// Returns every command, and some unknown ones.
fn commands() -> Vec<Vec<u8>> {
    let lines = [
        "gat 10 door",
        "mg door v",
        "ms other S1\r\nx",
        "ma number",
        "add other 0 0 1\r\nx",
        "incr number 1",
        "decr number 1",
        "flush_all 0 noreply",
        "stats items",
        "stats settings",
        "stats conns",
        "stats hotkeys",
        "stats latency",
        "stats reset",
        "stats cachedump 1 10",
        "stats detail on",
        "lru_crawler mgdump all",
        "lru_crawler crawl all",
        "shutdown graceful",
        "config get cluster",
        "config delete cluster",
        "",
        " ",
        "\r\n",
        "GET door",
        "     get door",
        "settle door 0 0 1\r\nx",
        "set door 0 0 1 noreply\r\nx",
    ];
    let rows = COMMANDS.iter().map(|row| match row.value {
        0 => row.example.to_owned(),
        _ => format!("{}\r\nx", row.example),
    });
    let lines = lines.into_iter().map(str::to_owned).chain(rows);
    let mut commands: Vec<Vec<u8>> = lines.map(|line| format!("{line}\r\n").into_bytes()).collect();
    let many: String = (0..2000).map(|_| "door ").collect();
    commands.push(format!("get {many}\r\n").into_bytes());
    commands.push(format!("{many}get door\r\n").into_bytes());
    for opcode in 0..=u8::MAX {
        for extras in [0, 4, 8, 20] {
            commands.push(packet(opcode, &vec![0; extras], b"door", b""));
            commands.push(packet(opcode, &vec![0; extras], b"", b""));
            commands.push(packet(opcode, &vec![0; extras], b"PLAIN", b"\0ann\0guess"));
        }
        commands.push(packet(opcode, &[], b"settings", b""));
        commands.push(packet(opcode, &[], b"hotkeys", b""));
    }
    commands
}

#[test]
fn strangers_learn_nothing_and_change_nothing() {
    for method in [AuthMethod::Sasl, AuthMethod::Text] {
        let context = context(method);
        for protocol in PROTOCOLS {
            for command in commands() {
                let mut session = Session::new(protocol);
                let (answer, open) = say(&context, &mut session, &command);
                let told = String::from_utf8_lossy(&answer).into_owned();
                let about = String::from_utf8_lossy(&command).into_owned();
                assert!(
                    !told.contains("treasure") && !told.contains("STAT"),
                    "{method:?} {about:?} {told:?}"
                );
                assert!(untouched(&context), "{method:?} {protocol:?} {about:?}");
                // The gate also refuses the commands behind it.
                if open {
                    say(&context, &mut session, b"delete door\r\n");
                    say(&context, &mut session, &packet(0x04, &[], b"door", b""));
                    assert!(untouched(&context), "{method:?} {protocol:?} {about:?}, then a delete");
                }
            }
        }
    }
}

#[test]
fn who_proves_it_comes_in_and_stays_in() {
    let context = context(AuthMethod::Text);
    let mut session = Session::new(Protocol::Ascii);
    assert_eq!(say(&context, &mut session, b"set x 0 0 10\r\nann secret\r\n").0, b"STORED\r\n");
    assert_eq!(say(&context, &mut session, b"get door\r\n").0, b"VALUE door 0 8\r\ntreasure\r\nEND\r\n");
    // Once authenticated, it is a set like any other.
    assert_eq!(say(&context, &mut session, b"set x 0 0 10\r\nann wrong!\r\n").0, b"STORED\r\n");
    assert_eq!(say(&context, &mut session, b"get door\r\n").0, b"VALUE door 0 8\r\ntreasure\r\nEND\r\n");

    // The same login by the meta protocol, whose reply repeats what its flags ask for.
    for (line, reply) in [
        ("ms x 10", "HD\r\n"),
        ("ms x 10 T0 Oabc k", "HD Oabc kx\r\n"),
        ("ms x 10 q", ""),
        ("ms eA== 10 b k", "HD keA== b\r\n"),
    ] {
        let mut session = Session::new(Protocol::Ascii);
        let login = format!("{line}\r\nann secret\r\n");
        assert_eq!(say(&context, &mut session, login.as_bytes()).0, reply.as_bytes(), "{line}");
        assert_eq!(say(&context, &mut session, b"get none\r\n").0, b"END\r\n", "{line}");
    }
    for (line, reply) in [
        ("ms x 9\r\nann guess\r\n", "CLIENT_ERROR authentication failure\r\n"),
        ("ms x 9 q\r\nann guess\r\n", "CLIENT_ERROR authentication failure\r\n"),
        ("ms x 3\r\nann\r\n", "CLIENT_ERROR bad authentication token format\r\n"),
        ("ms x 9\r\nann secret\r\n", "CLIENT_ERROR bad command line termination\r\n"),
        ("ms x 16385\r\n", "CLIENT_ERROR auth token too long\r\n"),
        ("ms x -1\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("ms x 10 Z\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("ms login\r\n", "CLIENT_ERROR unauthenticated\r\n"),
        ("msx x 10\r\n", "CLIENT_ERROR unauthenticated\r\n"),
    ] {
        let answer = say(&context, &mut Session::new(Protocol::Ascii), line.as_bytes()).0;
        assert_eq!(String::from_utf8_lossy(&answer), reply, "{line:?}");
    }

    let context = self::context(AuthMethod::Sasl);
    let mut session = Session::new(Protocol::Binary);
    let (answer, open) = say(&context, &mut session, &packet(0x21, &[], b"PLAIN", b"\0ann\0secret"));
    assert!(open && answer.ends_with(b"Authenticated"));
    assert!(say(&context, &mut session, &packet(0x00, &[], b"door", b"")).0.ends_with(b"treasure"));
    // A client that tries again and fails is no longer authenticated.
    assert!(
        say(&context, &mut session, &packet(0x21, &[], b"PLAIN", b"\0ann\0guess"))
            .0
            .ends_with(b"Auth failure.")
    );
    let (answer, open) = say(&context, &mut session, &packet(0x00, &[], b"door", b""));
    assert!(!open && answer.ends_with(b"Auth failure."));
    assert_eq!((context.workers[0].auth_cmds.get(), context.workers[0].auth_errors.get()), (2, 1));
}

/// Recorded from memcached 1.6.45 with Cyrus SASL 2.1.28.
#[test]
fn a_second_sasl_login_on_a_connection_is_refused() {
    const OK: u8 = 0;
    const REFUSED: u8 = 32;
    const CONTINUE: u8 = 33;
    let context = context(AuthMethod::Sasl);
    let login = |opcode, mechanism: &[u8], data: &[u8]| packet(opcode, &[], mechanism, data);
    let request = |step: &str| match step {
        "auth" => login(0x21, b"PLAIN", b"\0ann\0secret"),
        "wrong auth" => login(0x21, b"PLAIN", b"\0ann\0guess"),
        "empty auth" => login(0x21, b"PLAIN", b""),
        "other auth" => login(0x21, b"NONE", b"\0ann\0secret"),
        "step" => login(0x22, b"PLAIN", b"\0ann\0secret"),
        "list" => login(0x20, b"", b""),
        _ => login(0x00, b"door", b""),
    };
    let exchanges: [&[(&str, u8)]; 9] = [
        &[("auth", OK), ("auth", REFUSED), ("get", REFUSED)],
        &[("auth", OK), ("auth", REFUSED), ("auth", OK), ("get", OK)],
        &[("auth", OK), ("list", OK), ("auth", REFUSED), ("get", REFUSED)],
        &[("auth", OK), ("step", REFUSED), ("step", REFUSED), ("auth", REFUSED), ("auth", OK)],
        &[("auth", OK), ("wrong auth", REFUSED), ("step", REFUSED), ("auth", OK), ("get", OK)],
        &[("auth", OK), ("other auth", REFUSED), ("auth", OK), ("get", OK)],
        &[("auth", OK), ("empty auth", CONTINUE), ("step", REFUSED), ("step", REFUSED), ("get", REFUSED)],
        &[("empty auth", CONTINUE), ("step", OK), ("get", OK), ("step", REFUSED), ("get", REFUSED)],
        &[("auth", OK), ("list", OK), ("other auth", REFUSED), ("auth", OK), ("auth", REFUSED)],
    ];
    for exchange in exchanges {
        let mut session = Session::new(Protocol::Binary);
        for (index, &(step, status)) in exchange.iter().enumerate() {
            let (answer, _) = say(&context, &mut session, &request(step));
            assert_eq!(answer.get(6..8), Some(&[0, status][..]), "{exchange:?}, step {index}");
        }
    }
}

#[test]
fn what_one_has_proved_counts_for_him_alone() {
    let context = context(AuthMethod::Text);
    let (mut one, mut other) = (Session::new(Protocol::Ascii), Session::new(Protocol::Ascii));
    say(&context, &mut one, b"set x 0 0 10\r\nann secret\r\n");
    assert_eq!(say(&context, &mut other, b"get door\r\n").0, b"CLIENT_ERROR unauthenticated\r\n");
}

#[test]
fn passwords_are_read_again() {
    let file = std::env::temp_dir().join(format!("mcrs-passwords-{}", std::process::id()));
    std::fs::write(&file, "ann:one\n").unwrap();
    let cache = Cache::new(CacheConfig { memory_limit: 8 * MIB, ..CacheConfig::default() }).unwrap();
    let auth = AuthConfig { method: AuthMethod::Text, passwords: Passwords::File(file.clone()) };
    let context =
        ServerState::new(cache, ServerConfig { auth: Some(auth), ..ServerConfig::default() }).unwrap();
    let answer = |password: &str| {
        let line = format!("set x 0 0 7\r\nann {password}\r\n");
        say(&context, &mut Session::new(Protocol::Ascii), line.as_bytes()).0
    };
    assert_eq!(answer("one"), b"STORED\r\n");
    std::fs::write(&file, "ann:two\nbob:x").unwrap();
    assert_eq!(answer("one"), b"STORED\r\n");
    assert_eq!(context.reload(), Ok(()));
    assert_eq!(answer("two"), b"STORED\r\n");
    assert_eq!(answer("one"), b"CLIENT_ERROR authentication failure\r\n");
    // A file that cannot be used changes nothing.
    std::fs::write(&file, "nonsense\n").unwrap();
    assert!(context.reload().is_err_and(|line| line.contains("malformed")));
    assert_eq!(answer("two"), b"STORED\r\n");
    std::fs::remove_file(&file).unwrap();
    assert!(context.reload().is_err());
    assert_eq!(answer("two"), b"STORED\r\n");
}

#[test]
fn files_for_sasl_may_hold_other_lines() {
    let file = std::env::temp_dir().join(format!("mcrs-sasl-{}", std::process::id()));
    std::fs::write(&file, "# the users\n\nann:one\r\n").unwrap();
    let config = |method| AuthConfig { method, passwords: Passwords::File(file.clone()) };
    assert!(Users::new(config(AuthMethod::Text)).is_err());
    let users = Users::new(config(AuthMethod::Sasl)).unwrap();
    assert!(users.admits(b"ann", b"one") && !users.admits(b"# the users", b""));
    // The file is read for each attempt.
    std::fs::write(&file, "ann:two\n").unwrap();
    assert!(users.admits(b"ann", b"two") && !users.admits(b"ann", b"one"));
    std::fs::remove_file(&file).unwrap();
    assert!(!users.admits(b"ann", b"two"));
}

#[test]
fn little_is_kept_for_strangers() {
    let context = context(AuthMethod::Text);
    let line = format!("set {} 0 0 16384\r\n", "x".repeat(60_000));
    let (answer, open) = say(&context, &mut Session::new(Protocol::Ascii), line.as_bytes());
    assert!(answer.is_empty() && !open);
}

#[test]
fn no_listener_leads_past_the_gate() {
    let listen = |protocol| {
        vec![Listen::Tcp { addr: ([127, 0, 0, 1], 0).into(), protocol, tls: TlsMode::Off, tag: None }]
    };
    let udp = || vec![Listen::Udp { addr: ([127, 0, 0, 1], 0).into() }];
    for (method, listen) in [
        (AuthMethod::Sasl, listen(Protocol::Ascii)),
        (AuthMethod::Text, listen(Protocol::Binary)),
        (AuthMethod::Sasl, udp()),
        (AuthMethod::Text, udp()),
    ] {
        let passwords = Passwords::List(Vec::new());
        let auth = Some(AuthConfig { method, passwords });
        let config = ServerConfig { auth, listen: listen.clone(), ..ServerConfig::default() };
        assert!(Server::start(config).is_err(), "{method:?} {listen:?}");
    }
}
