//! Bypasses of authentication, and attacks on its parsers.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use memcache_rs::internal::session::Session;
use memcache_rs::internal::state::ServerState;
use memcache_rs::internal::state::Users;
use memcache_rs::{AuthConfig, AuthMethod, Listen, Passwords, Protocol, Server, ServerConfig, TlsMode};

use super::{attack, connect, context_of, exchange, packet, reply, start, talk};

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const AUTH: u8 = 0x21;
const STEP: u8 = 0x22;
const REFUSED: &[u8] = b"Auth failure.";
const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";

fn auth(method: AuthMethod, users: &[(&str, &str)]) -> AuthConfig {
    let pairs = users.iter().map(|(user, password)| (user.as_bytes().into(), password.as_bytes().into()));
    AuthConfig { method, passwords: Passwords::List(pairs.collect()) }
}

fn guarded(method: AuthMethod) -> ServerState {
    context_of(ServerConfig { auth: Some(auth(method, &[("ann", "secret")])), ..ServerConfig::default() })
}

fn plain(opcode: u8, data: &[u8]) -> Vec<u8> {
    packet(opcode, &[], b"PLAIN", data)
}

/// A file of its own in an existing directory. It is removed with the test.
struct PasswordFile(PathBuf);

impl PasswordFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("mcrs-cve-{}-{name}", std::process::id())))
    }

    fn users(&self, content: &[u8], method: AuthMethod) -> Result<Users, String> {
        fs::write(&self.0, content).unwrap();
        let passwords = Passwords::File(self.0.clone());
        Users::new(AuthConfig { method, passwords }).map_err(|error| error.to_string())
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A client whose authentication had failed was let in with its next request.
#[test]
fn cve_2013_7239() {
    let context = guarded(AuthMethod::Sasl);
    let get = packet(GET, &[], b"victim", b"");
    let set = packet(SET, &[0; 8], b"victim", b"harmed");
    let wrong = [
        plain(AUTH, b"\0ann\0wrong"),
        plain(AUTH, b"\0ann\0"),
        plain(AUTH, b"secret"),
        plain(AUTH, b"\0\0"),
        packet(AUTH, &[], b"CRAM-MD5", b"\0ann\0secret"),
        // Continues an exchange that was not begun.
        plain(STEP, b"\0ann\0secret"),
        plain(STEP, b""),
    ];
    for guess in &wrong {
        for request in [&get, &set] {
            let opcode = request[1];
            let expected = [reply(guess[1], 0x20, REFUSED), reply(opcode, 0x20, REFUSED)].concat();
            attack(&context, Protocol::Negotiating, &[guess.as_slice(), request].concat(), &expected, false);
        }
    }
    // The same in one session, in which a correct password still works.
    let mut session = Session::new(Protocol::Negotiating);
    for guess in &wrong {
        assert_eq!(talk(&context, &mut session, guess), (reply(guess[1], 0x20, REFUSED), true));
    }
    let right = plain(AUTH, b"\0ann\0secret");
    assert_eq!(talk(&context, &mut session, &right), (reply(AUTH, 0, b"Authenticated"), true));
    assert!(talk(&context, &mut session, &get).0.ends_with(b"intact"));
}

/// The last line of a password file without a line end was read beyond the memory that held the
/// file.
#[test]
fn cve_2021_37519() {
    let file = PasswordFile::new("last-line");
    for method in [AuthMethod::Text, AuthMethod::Sasl] {
        for length in [1, 2, 7, 8, 9, 120, 240] {
            let password = "p".repeat(length);
            for end in ["", "\n", "\r\n", "\r", "\0", "\0:x"] {
                let users = file.users(format!("ann:{password}{end}").as_bytes(), method).unwrap();
                assert!(users.admits(b"ann", password.as_bytes()), "{length} {end:?}");
                for wrong in ["", &password[1..], &format!("{password}p"), &format!("{password}\0")] {
                    assert!(!users.admits(b"ann", wrong.as_bytes()), "{length} {end:?} {wrong:?}");
                }
            }
        }
        for bad in [&b"ann"[..], b"ann\0:secret", b"ann:secret\nbob", b"\0", b"\n\n", b"ann:secret\n\n"] {
            // With SASL, invalid lines are skipped, as in memcached.
            match file.users(bad, method) {
                Ok(users) => assert!(method == AuthMethod::Sasl && !users.admits(b"ann", b""), "{bad:?}"),
                Err(text) => assert!(method == AuthMethod::Text && text.contains("malformed"), "{bad:?}"),
            }
        }
        assert!(!file.users(b"", method).unwrap().admits(b"", b""));
        assert!(file.users(&b"a:b\n".repeat(300_000), method).is_err(), "a file of any size");
    }
}

/// The search ended at the first line of a user, so that replies for existing names came sooner.
/// Now all lines are compared, so the second password of a user works as well.
#[test]
fn cve_2026_47783() {
    let list = [("ann", "one"), ("bob", "three"), ("ann", "two")];
    for method in [AuthMethod::Sasl, AuthMethod::Text] {
        let users = Users::new(auth(method, &list)).unwrap();
        for (user, password) in list {
            assert!(users.admits(user.as_bytes(), password.as_bytes()), "{method:?} {user} {password}");
        }
        assert!(!users.admits(b"ann", b"three"));
    }
}

/// The comparison of a password ended at its first wrong byte, so its time showed how many were
/// right. Now the reply is the same for each wrong byte.
#[test]
fn cve_2026_47784() {
    let password = b"0123456789abcdef0123456789abcdef";
    let text = std::str::from_utf8(password).unwrap();
    for method in [AuthMethod::Sasl, AuthMethod::Text] {
        let users = Users::new(auth(method, &[("ann", text)])).unwrap();
        assert!(users.admits(b"ann", password));
        for at in 0..password.len() {
            for bit in 0..8 {
                let mut guess = *password;
                guess[at] ^= 1 << bit;
                assert!(!users.admits(b"ann", &guess), "{method:?} {at} {bit}");
            }
            assert!(!users.admits(b"ann", &password[..at]), "{method:?} {at}");
        }
    }
}

/// 2026: a listener that detects the protocol let binary commands past text authentication.
#[test]
fn negotiation_led_past_authentication() {
    let context = guarded(AuthMethod::Text);
    // An incomplete line, a line that is too short, and a line without a login.
    attack(&context, Protocol::Negotiating, &packet(GET, &[], b"victim", b""), b"", true);
    attack(&context, Protocol::Negotiating, &packet(0x0a, &[], b"", b""), b"", false);
    let set = packet(SET, &[0; 8], b"victim", b"harmed\n");
    attack(&context, Protocol::Negotiating, &set, UNAUTHENTICATED, true);
    attack(&context, Protocol::Binary, &set, b"", false);

    let auth = || Some(auth(AuthMethod::Text, &[("ann", "secret")]));
    let server = start(|config| config.auth = auth());
    let client = connect(&server);
    exchange(&client, &set, UNAUTHENTICATED);
    exchange(&client, b"set x 0 0 10\r\nann secret\r\nget victim\r\n", b"STORED\r\nEND\r\n");
    let listen = Listen::Tcp {
        addr: ([127, 0, 0, 1], 0).into(),
        protocol: Protocol::Binary,
        tls: TlsMode::Off,
        tag: None,
    };
    let config = ServerConfig { auth: auth(), listen: vec![listen], ..ServerConfig::default() };
    assert!(Server::start(config).is_err());
}

/// 2019, without a number: SASL did not apply to UDP.
#[test]
fn udp_led_past_authentication() {
    let udp = Listen::Udp { addr: ([127, 0, 0, 1], 0).into() };
    for method in [AuthMethod::Sasl, AuthMethod::Text] {
        let config = ServerConfig {
            auth: Some(auth(method, &[])),
            listen: vec![udp.clone()],
            ..ServerConfig::default()
        };
        assert!(Server::start(config).is_err(), "{method:?}");
    }
}

/// 2026: the length of a login was not checked, and a huge one crashed.
#[test]
fn a_login_could_have_any_length() {
    let context = guarded(AuthMethod::Text);
    for length in ["16385", "2147483646", "2147483647", "4294967295"] {
        let line = format!("set foo 0 0 {length}\r\n");
        attack(
            &context,
            Protocol::Negotiating,
            line.as_bytes(),
            b"CLIENT_ERROR auth token too long\r\n",
            true,
        );
    }
    for length in ["-1", "4294967296", "18446744073709551615", "x"] {
        let line = format!("set foo 0 0 {length}\r\n");
        attack(&context, Protocol::Negotiating, line.as_bytes(), UNAUTHENTICATED, true);
    }
    let mut longest = b"set foo 0 0 16384\r\n".to_vec();
    longest.extend([b'x'; 16384]);
    longest.extend(b"\r\n");
    attack(
        &context,
        Protocol::Negotiating,
        &longest,
        b"CLIENT_ERROR bad authentication token format\r\n",
        true,
    );
}

/// 2026: lines with fewer tokens than expected crashed text authentication.
#[test]
fn empty_lines_before_a_login_crashed() {
    let context = guarded(AuthMethod::Text);
    for lines in ["\n\n\n\n\n", "\r\n\r\n", "   \r\n", "set\r\n", " \n  "] {
        attack(&context, Protocol::Negotiating, lines.as_bytes(), b"", false);
    }
    for line in ["      \r\n", "set   \r\n", "set x 0 0 \r\n", "set x 0 0\r\n", "\0\0\0\0\0\0\n"] {
        attack(&context, Protocol::Negotiating, line.as_bytes(), UNAUTHENTICATED, true);
    }
    attack(&context, Protocol::Negotiating, &[b' '; 4000], b"", false);
    let server = start(|config| config.auth = Some(auth(AuthMethod::Text, &[("ann", "secret")])));
    let mut client = connect(&server);
    client.write_all(b"\n\n\n\n\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"");
    exchange(&connect(&server), b"set x 0 0 10\r\nann secret\r\n", b"STORED\r\n");
}

/// 2026: passwords were freed while another thread compared them with a login.
#[test]
fn passwords_were_freed_while_they_were_in_use() {
    let (file, next) = (PasswordFile::new("reload"), PasswordFile::new("reload-next"));
    let users = file.users(b"ann:secret\n", AuthMethod::Text).unwrap();
    let replace = |path: &Path, round: usize| {
        let others: Vec<_> = (0..round % 50).map(|n| format!("user{n}:{}\n", "x".repeat(n))).collect();
        fs::write(&next.0, format!("{}ann:secret\nbob:{round}", others.concat())).unwrap();
        fs::rename(&next.0, path).unwrap();
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    assert!(users.admits(b"ann", b"secret"));
                    assert!(!users.admits(b"ann", b"secres"));
                }
            });
        }
        for round in 0..500 {
            replace(&file.0, round);
            assert_eq!(users.reload(), Ok(()));
            assert!(users.admits(b"bob", round.to_string().as_bytes()));
        }
        done.store(true, Relaxed);
    });
}
