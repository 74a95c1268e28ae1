//! Lines with missing or oversized parts.

use std::io::{Read, Write};

use memcache_rs::internal::config::MIB;
use memcache_rs::internal::session::Session;
use memcache_rs::internal::state::ServerState;
use memcache_rs::{Cache, CacheConfig, Protocol, ServerConfig};

use super::{attack, connect, context, context_of, others_are_served, packet, reply, start, talk, unharmed};

const BAD_LINE: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format\r\n";
const BAD_DELTA_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag\r\n";

/// Sends each line and compares its reply. The connection continues.
#[track_caller]
fn lines(context: &ServerState, said: &[(&str, &str)]) {
    let mut session = Session::new(Protocol::Negotiating);
    for (line, answer) in said {
        let (got, open) = talk(context, &mut session, line.as_bytes());
        assert_eq!((String::from_utf8_lossy(&got).as_ref(), open), (*answer, true), "{line:?}");
    }
    assert_eq!(talk(context, &mut session, b"mn\r\n"), (b"MN\r\n".to_vec(), true));
    unharmed(context);
}

/// `lru mode` and `lru temp_ttl` without a further word read a missing token.
#[test]
fn cve_2019_11596() {
    let said: Vec<_> =
        ["lru", "lru mode", "lru mode ", "lru temp_ttl", "lru tune", "lru tune 1 2 3", "lru m"]
            .map(|line| (format!("{line}\r\n"), "ERROR\r\n"))
            .into();
    lines(&context(), &said.iter().map(|(line, answer)| (line.as_str(), *answer)).collect::<Vec<_>>());
}

/// A meta command that failed before its flags were parsed sent a text at an address that was not
/// set.
#[test]
fn cve_2020_22570() {
    let long_key = format!("mg {} v\r\n", "k".repeat(251));
    let many = format!("mg k{}\r\n", " f".repeat(30));
    lines(
        &context(),
        &[
            (&long_key, BAD_LINE),
            (&many, "CLIENT_ERROR options flags are too long\r\n"),
            ("mg k v v\r\n", "CLIENT_ERROR duplicate flag\r\n"),
            ("mg k !\r\n", BAD_LINE),
            ("mg k ~\r\n", BAD_LINE),
            ("mg k \u{7f}\r\n", BAD_LINE),
            ("mg k s v %s\r\n", BAD_LINE),
            ("mg =A== b v\r\n", "CLIENT_ERROR error decoding key\r\n"),
            ("mg\r\n", BAD_LINE),
            ("ms k\r\n", BAD_LINE),
            ("md\r\n", BAD_LINE),
            ("ma\r\n", BAD_LINE),
            ("me\r\n", BAD_LINE),
        ],
    );
}

/// The proxy copied the bytes before the first key of a `get` into a buffer without room for many
/// spaces.
#[test]
fn cve_2023_46852() {
    let said: Vec<_> = [1, 30, 100, 200, 772, 1500, 3000, 70_000]
        .map(|spaces| {
            let blank = " ".repeat(spaces);
            (
                format!("get{blank}victim{blank}none{blank}victim{blank}\r\n"),
                "VALUE victim 0 6\r\nintact\r\nVALUE victim 0 6\r\nintact\r\nEND\r\n",
            )
        })
        .into();
    lines(&context(), &said.iter().map(|(line, answer)| (line.as_str(), *answer)).collect::<Vec<_>>());
}

/// The proxy removed two bytes from the end of a line that ended in `\n` alone.
#[test]
fn cve_2023_46853() {
    lines(
        &context(),
        &[
            ("get victim\n", "VALUE victim 0 6\r\nintact\r\nEND\r\n"),
            ("get victi\n", "END\r\n"),
            ("mg victim v\n", "VA 6\r\nintact\r\n"),
            ("mg victim\n", "HD\r\n"),
            ("mg victi\n", "EN\r\n"),
            ("mg n N0\n", "HD W\r\n"),
            ("ma n\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
            ("set a 0 0 1\nx\r\n", "STORED\r\n"),
            ("set a 0 0 1\nx\n\n", "CLIENT_ERROR bad data chunk\r\n"),
            ("delete a\n", "DELETED\r\n"),
            ("mn\n", BAD_LINE),
            ("\n", BAD_LINE),
        ],
    );
}

/// 2026: a long run of spaces was skipped beyond the buffer, and a line of only spaces was a
/// command without a name.
#[test]
fn a_line_of_spaces_was_read_beyond_its_end() {
    let context = context();
    for count in [2049, 3000, 4096, 65_535] {
        attack(&context, Protocol::Negotiating, &vec![b' '; count], b"", false);
    }
    attack(&context, Protocol::Negotiating, &[b' '; 2048], b"", true);
    let long = format!("{}\r\n", " ".repeat(2046));
    lines(
        &context,
        &[
            (&long, "ERROR\r\n"),
            ("   \r\n", "ERROR\r\n"),
            ("  \n", BAD_LINE),
            (" \r\n", BAD_LINE),
            ("    get victim\r\n", "ERROR\r\n"),
        ],
    );
    let server = start(|_| ());
    let mut client = connect(&server);
    // The server may close before it has read them all.
    let _ = client.write_all(" ".repeat(65_535).as_bytes());
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    others_are_served(&server);
}

/// 2026: the parser looked for the number of a line's last flag beyond the line, in bytes of an
/// earlier or a later command.
#[test]
fn the_argument_of_the_last_flag_was_sought_in_the_next_line() {
    let context = context();
    let said = [
        ("mg victim T", BAD_TOKEN),
        ("mg victim N", BAD_TOKEN),
        ("mg victim R", BAD_TOKEN),
        ("mg victim C", BAD_TOKEN),
        ("mg victim E", BAD_TOKEN),
        ("mg victim F", BAD_LINE),
        ("mg victim J", "CLIENT_ERROR invalid numeric initial value\r\n"),
        ("mg victim D", "CLIENT_ERROR invalid numeric delta value\r\n"),
        ("mg victim M", "HD\r\n"),
        ("md victim C", BAD_TOKEN),
        ("md victim T", BAD_TOKEN),
        ("ma victim N", BAD_DELTA_FLAG),
        ("ma victim J", BAD_DELTA_FLAG),
        ("ma victim D", BAD_DELTA_FLAG),
        ("ma victim M", "CLIENT_ERROR invalid mode for ma M token\r\n"),
        ("touch victim", BAD_LINE),
        ("incr victim", BAD_LINE),
        ("gat", BAD_LINE),
        ("flush_all x", "CLIENT_ERROR invalid exptime argument\r\n"),
    ];
    for (line, answer) in said {
        // The bytes behind the line are a number, in the same read or in the next.
        let whole = format!("{line}\r\n30000\r\nmn\r\n");
        let expected = format!("{answer}ERROR\r\nMN\r\n");
        attack(&context, Protocol::Negotiating, whole.as_bytes(), expected.as_bytes(), true);
        let mut session = Session::new(Protocol::Negotiating);
        talk(&context, &mut session, b"mg victim T30000000000000000000000\r\n");
        let (got, _) = talk(&context, &mut session, format!("{line}\r\n").as_bytes());
        assert_eq!(String::from_utf8_lossy(&got), answer, "{line}");
        unharmed(&context);
    }
    for (line, answer) in [
        ("ms victim 5 T", BAD_TOKEN),
        ("ms victim 5 C", BAD_TOKEN),
        ("ms victim 5 E", BAD_TOKEN),
        ("ms victim 5 F", BAD_LINE),
        ("ms victim 5 M", "CLIENT_ERROR invalid mode for ms M token\r\n"),
        ("cas victim 0 0 5", BAD_LINE),
        ("cas victim 0 0 5 ", BAD_LINE),
    ] {
        let whole = format!("{line}\r\n30000\r\nmn\r\n");
        attack(&context, Protocol::Negotiating, whole.as_bytes(), format!("{answer}MN\r\n").as_bytes(), true);
    }
}

/// 2026: pages could be moved to classes that do not exist, and extreme windows of the mover
/// crashed it.
#[test]
fn the_mover_was_told_what_cannot_be() {
    const BAD_CLASS: &str = "BADCLASS invalid src or dst class id\r\n";
    const BAD_WINDOW: &str = "CLIENT_ERROR automove window too low or too high\r\n";
    lines(
        &context(),
        &[
            ("slabs reassign 31 64\r\n", BAD_CLASS),
            ("slabs reassign 31 60\r\n", BAD_CLASS),
            ("slabs reassign 31 40\r\n", BAD_CLASS),
            ("slabs reassign 64 1\r\n", BAD_CLASS),
            ("slabs reassign -2 1\r\n", BAD_CLASS),
            ("slabs reassign 1 -1\r\n", BAD_CLASS),
            ("slabs reassign -1 64\r\n", BAD_CLASS),
            ("slabs reassign 2147483647 -2147483648\r\n", BAD_CLASS),
            ("slabs reassign 4294967296 1\r\n", BAD_LINE),
            ("slabs automove 1\r\n", "OK\r\n"),
            ("slabs automove window 0\r\n", BAD_WINDOW),
            ("slabs automove window 2\r\n", BAD_WINDOW),
            ("slabs automove window 1801\r\n", BAD_WINDOW),
            ("slabs automove window 67108864\r\n", BAD_WINDOW),
            ("slabs automove window -1\r\n", BAD_LINE),
            ("slabs automove window\r\n", BAD_LINE),
        ],
    );
}

/// 2026: `stats detail` allocated memory for each prefix, without a bound.
#[test]
fn prefixes_took_all_memory() {
    let cache = CacheConfig { detail_enabled: true, memory_limit: 8 * MIB, ..CacheConfig::default() };
    let context = ServerState::new(Cache::new(cache).unwrap(), ServerConfig::default()).unwrap();
    let mut session = Session::new(Protocol::Negotiating);
    for block in 0..70 {
        let gets: Vec<_> = (0..1000).map(|n| format!(" {}:k", block * 1000 + n)).collect();
        assert_eq!(
            talk(&context, &mut session, format!("get{}\r\n", gets.concat()).as_bytes()).0,
            b"END\r\n"
        );
    }
    let mut count = 0;
    context.cache.prefixes().each(0, usize::MAX, |_, [gets, ..]| {
        count += 1;
        assert_eq!(gets, 1);
    });
    assert_eq!(count, 1 << 16);
}

/// 2026: `-X` forbids `stats detail`, but not in the binary protocol.
#[test]
fn a_dump_that_is_not_allowed_was_sent_in_binary() {
    const STAT: u8 = 0x10;
    let context = context_of(ServerConfig { dump_enabled: false, ..ServerConfig::default() });
    for group in ["detail on", "detail dump", "detail off", "detail"] {
        let ask = packet(STAT, &[], group.as_bytes(), b"");
        attack(&context, Protocol::Negotiating, &ask, &reply(STAT, 1, b"Not found"), true);
    }
    assert!(!context.cache.prefixes().enabled());
    let line = "CLIENT_ERROR stats detail not allowed\r\n";
    lines(&context, &[("stats detail on\r\n", line), ("stats detail dump\r\n", line)]);
    // A group ends with its packet. 1.6.45 reads on, into bytes of the packet before.
    let context = self::context();
    let mut session = Session::new(Protocol::Negotiating);
    talk(&context, &mut session, &packet(STAT, &[], b"detail dump", b""));
    let short = talk(&context, &mut session, &packet(STAT, &[], b"detail", b""));
    assert_eq!(short, (reply(STAT, 1, b"Not found"), true));
}
