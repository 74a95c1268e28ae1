//! The words of random text commands.

use crate::{admin, odd};

/// Number of short [`KEYS`].
pub const SHORT_KEYS: usize = 14;

/// The key space. The first keys are used most.
pub const KEYS: &[&[u8]] = &[
    b"k0",
    b"k1",
    b"p:2",
    b"p:3",
    b"foo",
    b"k",
    b"q:a:b",
    b"some-longer-key/with.punctuation?x=1",
    b"ctl\x01\x7f\x1b",
    b"caf\xc3\xa9",
    b"tab\tkey",
    b"nul\0key",
    b"get",
    b"Zm9v",
    // 250 bytes, the longest allowed, then 251 and 300.
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    b"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
];

/// Keys for the flag `b`, valid and invalid ones. One of the valid ones is `foo`, one has a space
/// and a carriage return. None has a line feed: memcached returns a key that `mg` made with N
/// undecoded.
pub const BASE64_KEYS: &[&[u8]] =
    &[b"Zm9v", b"c29tZSBrZXk=", b"AP8NIEE=", b"Zg==", b"a", b"abc", b"Zm9v=", b"Zm$v", b"====", b"Zm9vZg"];

/// Commands that store, as words that a spoilt command may take for a key.
pub const VERBS: &[&[u8]] = &[
    b"set", b"add", b"replace", b"append", b"prepend", b"cas", b"get", b"gets", b"gat", b"gats", b"incr",
    b"decr", b"touch", b"ms", b"mg", b"md", b"ma", b"", b"k0",
];

/// Client flags. None is a small number, because a spoilt command may take it for a TTL that ends
/// during the run.
pub const FLAGS: &[&[u8]] = &[
    b"0",
    b"0",
    b"0",
    b"0",
    b"0",
    b"0",
    b"0",
    b"3001",
    b"5000",
    b"12345",
    b"4294967295",
    b"0",
    b"0",
    b"4294967296",
    b"-1",
    b"+7000",
    b"007000",
    b"x",
    b"1x",
    b"18446744073709551615",
];

/// TTLs: none, long, expired. None ends during a run.
pub const TTLS: &[&[u8]] = &[
    b"0",
    b"0",
    b"0",
    b"0",
    b"0",
    b"1000",
    b"1000",
    b"100000",
    b"2592000",
    b"-1",
    b"-1",
    b"2592001",
    b"2000000000",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"-2147483649",
    b"+5000",
    b"0x10",
    b"1e3",
    b"99999999999999999999",
    b"abc",
];

/// Recache limits, far from every TTL above.
pub const RECACHES: &[&[u8]] = &[b"30", b"30", b"5000", b"500000", b"-1", b"0", b"2592001", b"abc"];

/// Deltas for arithmetic.
pub const DELTAS: &[&[u8]] = &[
    b"0",
    b"1",
    b"1",
    b"1",
    b"5",
    b"10",
    b"100",
    b"999999",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"-1",
    b"+1",
    b"1x",
    b"x",
    b"007",
    b"184467440737095516150",
];

/// CAS numbers that no counter reaches, and mistakes.
pub const EXPLICIT_CAS: &[&[u8]] = &[
    b"1000000000001",
    b"1000000000002",
    b"1000000000003",
    b"1000000000004",
    b"9223372036854775807",
    b"18446744073709551615",
    b"0",
    b"18446744073709551616",
    b"-1",
    b"x",
    b"00001000000000001",
];

/// Values for arithmetic.
pub const NUMBERS: &[&[u8]] = &[
    b"0",
    b"1",
    b"5",
    b"9",
    b"10",
    b"99",
    b"100",
    b"18446744073709551615",
    b"18446744073709551614",
    b"18446744073709551616",
    b"99999999999999999999",
    b"-1",
    b"+5",
    b" 5",
    b"5 ",
    b"5x",
    b"00012",
    b"0x10",
    b"3.5",
    b"",
    b"5\n7",
    b"5\r\n",
    b"123456789012345678901234567890",
    b"1\0",
];

/// Other values, some of which look like commands. None is all blanks: on such a value memcached's
/// incr reads beyond its end.
pub const VALUES: &[&[u8]] = &[
    b"abc",
    b"x",
    b"END",
    b"END\r\n",
    b"VALUE k0 0 3",
    b"a\r\nb",
    b"x\r\n",
    b".\n",
    b"\rz",
    b"\0\x01\xff\xfe",
    b"MN",
    b"HD",
    b"EN\r\n",
    b"noreply",
    b"get k0",
    b"mg k0 v",
    b"STORED",
];

/// Opaque tokens. Some have 31, 32 and 33 bytes, counted with their `O`.
pub const OPAQUES: &[&[u8]] = &[
    b"123",
    b"abc",
    b"",
    b"k",
    b"!~",
    b"0123456789012345678901234567890",
    b"012345678901234567890123456789",
    b"01234567890123456789012345678901",
];

/// Modes for `ms` and `ma`.
pub const MODES: &[&[u8]] =
    &[b"E", b"A", b"P", b"R", b"S", b"I", b"D", b"+", b"-", b"", b"e", b"a", b"X", b"set", b"i", b"d", b"EE"];

/// Flags of each meta command, with the percentage of commands that have them.
pub const GET_FLAGS: &[(u8, usize)] = &[
    (b'v', 70),
    (b'c', 35),
    (b'f', 25),
    (b'h', 20),
    (b'k', 25),
    (b'l', 10),
    (b'O', 15),
    (b'q', 10),
    (b's', 25),
    (b't', 35),
    (b'u', 5),
    (b'N', 12),
    (b'R', 15),
    (b'T', 10),
    (b'E', 5),
    (b'C', 8),
    (b'I', 2),
    (b'x', 2),
    (b'F', 2),
    (b'P', 1),
    (b'L', 1),
    (b'M', 1),
];
/// See [`GET_FLAGS`].
pub const SET_FLAGS: &[(u8, usize)] = &[
    (b'c', 30),
    (b'k', 20),
    (b'O', 15),
    (b'q', 10),
    (b's', 20),
    (b'T', 35),
    (b'F', 25),
    (b'M', 30),
    (b'C', 18),
    (b'E', 10),
    (b'I', 12),
    (b'N', 8),
    (b't', 3),
    (b'v', 3),
    (b'x', 1),
    (b'h', 1),
];
/// See [`GET_FLAGS`].
pub const DELETE_FLAGS: &[(u8, usize)] = &[
    (b'q', 12),
    (b'k', 20),
    (b'O', 15),
    (b'I', 35),
    (b'T', 25),
    (b'C', 20),
    (b'E', 12),
    (b'x', 18),
    (b'F', 8),
    (b'v', 2),
    (b'M', 1),
    (b'N', 2),
];
/// See [`GET_FLAGS`].
pub const ARITHMETIC_FLAGS: &[(u8, usize)] = &[
    (b'v', 55),
    (b't', 30),
    (b'c', 30),
    (b'k', 20),
    (b'O', 15),
    (b'q', 10),
    (b'N', 35),
    (b'J', 25),
    (b'D', 40),
    (b'M', 40),
    (b'T', 15),
    (b'C', 12),
    (b'E', 10),
    (b'I', 1),
    (b'F', 1),
    (b's', 3),
    (b'f', 2),
];

/// Words in the place of a flag.
pub const ODD_FLAGS: &[&[u8]] = &[
    b"z", b"Z", b"W", b"X", b"!", b"~", b"1", b"9x", b"vv", b"kk", b"qq", b"noreply", b"T", b"Tabc", b"T1x",
    b"N", b"N-", b"R", b"C", b"Cabc", b"C-1", b"E", b"Ex", b"D", b"D-1", b"J", b"Jx", b"F", b"F-1", b"Fx",
    b"M", b"MQ", b"O", b"S5", b"A", b"\x80", b"\xff", b"@", b"[", b"\x01", b"b", b"b64", b"T+5", b"g", b"y",
];

/// Words that replace others. None announces more data than the filler covers, or gives a TTL that
/// ends during a run.
pub const ODD_WORDS: &[&[u8]] = &[
    b"0", b"3000", b"-1", b"+3000", b"0", b"1x", b"x1", b"0x5", b"1.5", b"1e2", b"00000000000000000003000", b"000003000", b"4294967295", b"4294967296", b"2147483648", b"2147483647", b"2147483646",
    b"-2147483648", b"18446744073709551615", b"18446744073709551616", b"99999999999999999999999999999999", b"\t3000", b"3000\t", b"\x01", b"\xff\xfe", b"noreply", b"NOREPLY", b"noreplyx", b"k0", b"abc",
    b"-", b"+", b"k1\0x",
    b"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
];

/// The words of commands, except the keys and the flags of meta commands.
#[derive(Debug)]
pub struct Vocabulary {
    /// Number of [`KEYS`] that may be used.
    pub keys: usize,
    pub short_keys: usize,
    pub base64_keys: &'static [&'static [u8]],
    pub flags: &'static [&'static [u8]],
    pub ttls: &'static [&'static [u8]],
    pub recaches: &'static [&'static [u8]],
    pub deltas: &'static [&'static [u8]],
    pub explicit_cas: &'static [&'static [u8]],
    pub numbers: &'static [&'static [u8]],
    pub values: &'static [&'static [u8]],
    pub opaques: &'static [&'static [u8]],
    /// Modes of `ms`.
    pub modes: &'static [&'static [u8]],
    /// Modes of `ma`.
    pub delta_modes: &'static [&'static [u8]],
    pub get_flags: &'static [(u8, usize)],
    pub set_flags: &'static [(u8, usize)],
    pub delete_flags: &'static [(u8, usize)],
    pub arithmetic_flags: &'static [(u8, usize)],
    pub odd_lines: &'static [&'static [&'static [u8]]],
    pub odd_meta: &'static [&'static [&'static [u8]]],
    pub admin: &'static [&'static [u8]],
    pub flushes: &'static [&'static [u8]],
    pub closing: &'static [&'static [u8]],
}

/// All that memcached 1.6.45 knows, and every mistake.
pub const FULL: Vocabulary = Vocabulary {
    keys: KEYS.len(),
    short_keys: SHORT_KEYS,
    base64_keys: BASE64_KEYS,
    flags: FLAGS,
    ttls: TTLS,
    recaches: RECACHES,
    deltas: DELTAS,
    explicit_cas: EXPLICIT_CAS,
    numbers: NUMBERS,
    values: VALUES,
    opaques: OPAQUES,
    modes: MODES,
    delta_modes: MODES,
    get_flags: GET_FLAGS,
    set_flags: SET_FLAGS,
    delete_flags: DELETE_FLAGS,
    arithmetic_flags: ARITHMETIC_FLAGS,
    odd_lines: &[odd::ODD_LINES, odd::AGREE_ODD_LINES],
    odd_meta: &[odd::ODD_META, odd::AGREE_ODD_META, odd::PROXIED_META],
    admin: admin::ADMIN,
    flushes: admin::FLUSHES,
    closing: odd::CLOSING,
};

const AGREE_MODES: &[&[u8]] = &[b"E", b"A", b"P", b"R", b"S", b"I", b"D", b"+", b"-", b"X"];

/// Words to which memcached 1.6.18 replies as 1.6.45 does. Its parser differed:
/// - a NUL ended a line, and blanks before a command were skipped
/// - a line had at most 24 tokens
/// - numbers could have a sign or leading blanks
/// - replies to malformed lines were others
/// - it had no E, x, C on mg, s on ms, or abbreviated subcommands
/// - `exp` in `me` could be negative
/// - it answered a quiet `ma` that created its item
/// - it looked for a minus sign behind the end of values from 2^63 on
pub const AGREE: Vocabulary = Vocabulary {
    keys: 11,
    short_keys: 11,
    base64_keys: &[b"Zm9v", b"c29tZSBrZXk=", b"AP8NIEE=", b"Zg=="],
    flags: &[b"0", b"0", b"0", b"0", b"12345", b"4294967295"],
    ttls: &[
        b"0",
        b"0",
        b"0",
        b"0",
        b"1000",
        b"1000",
        b"100000",
        b"2592000",
        b"-1",
        b"2592001",
        b"2000000000",
        b"2147483647",
    ],
    recaches: &[b"30", b"30", b"5000", b"500000", b"-1", b"0"],
    deltas: &[b"0", b"1", b"1", b"1", b"5", b"10", b"100", b"999999"],
    explicit_cas: &[b"1000000000001", b"1000000000002", b"9223372036854775807", b"18446744073709551615"],
    numbers: &[
        b"0",
        b"1",
        b"5",
        b"9",
        b"10",
        b"99",
        b"100",
        b"-1",
        b"+5",
        b" 5",
        b"5 ",
        b"5x",
        b"00012",
        b"0x10",
        b"3.5",
        b"",
        b"5\n7",
        b"5\r\n",
        b"123456789012345678901234567890",
    ],
    values: VALUES,
    opaques: &[b"123", b"abc", b"k", b"!~", b"0123456789012345678901234567890"],
    modes: AGREE_MODES,
    delta_modes: AGREE_MODES,
    get_flags: &[
        (b'v', 70),
        (b'c', 35),
        (b'f', 25),
        (b'h', 20),
        (b'k', 25),
        (b'l', 10),
        (b'O', 15),
        (b'q', 10),
        (b's', 25),
        (b't', 35),
        (b'u', 5),
        (b'N', 12),
        (b'R', 15),
        (b'T', 10),
    ],
    set_flags: &[
        (b'c', 30),
        (b'k', 20),
        (b'O', 15),
        (b'q', 10),
        (b'T', 35),
        (b'F', 25),
        (b'M', 30),
        (b'C', 18),
        (b'I', 12),
    ],
    delete_flags: &[(b'q', 12), (b'k', 20), (b'O', 15), (b'I', 35), (b'T', 25), (b'C', 20)],
    arithmetic_flags: &[
        (b'v', 55),
        (b't', 30),
        (b'c', 30),
        (b'k', 20),
        (b'O', 15),
        (b'N', 35),
        (b'J', 25),
        (b'D', 40),
        (b'M', 40),
        (b'T', 15),
        (b'C', 12),
    ],
    odd_lines: &[odd::AGREE_ODD_LINES],
    odd_meta: &[odd::AGREE_ODD_META, odd::PROXIED_META],
    admin: admin::AGREE_ADMIN,
    flushes: admin::FLUSHES,
    closing: odd::CLOSING,
};

/// Words that reach a backend through memcached's proxy, and that the backend does not refuse.
/// memcached's proxy answers malformed lines itself, in other words, and closes after unknown ones.
/// Both proxies close the connection of a backend that answers `ERROR` or `CLIENT_ERROR`.
pub const PROXIED: Vocabulary = Vocabulary {
    modes: &[b"E", b"A", b"P", b"R", b"S"],
    delta_modes: &[b"I", b"D", b"+", b"-"],
    odd_lines: &[&[b"version", b"get k0 k1 k2 k3 foo", b"gets k0 missing k"]],
    odd_meta: &[odd::PROXIED_META],
    admin: &[b"version", b"mn"],
    flushes: &[b"version"],
    closing: &[b"quit"],
    ..AGREE
};
