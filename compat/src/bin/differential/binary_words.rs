//! The words of random requests of the binary protocol.

/// Number of short [`KEYS`].
pub const SHORT_KEYS: usize = 16;

/// The key space. The first keys are used most. No prefix, up to a `:`, has a NUL, because
/// memcached sometimes takes prefixes that are equal up to it for the same.
pub const KEYS: &[&[u8]] = &[
    b"k0",
    b"k1",
    b"p:2",
    b"p:3",
    b"foo",
    b"k",
    b"q:a:b",
    b"some-longer-key/with.punctuation?x=1",
    b"two words",
    b" ",
    b"ctl\x01\x7f\x1b",
    b"caf\xc3\xa9",
    b"line\r\nset k0 0 0 1\r\nx",
    b"nul\0key",
    b"\x80\x0a\0\0",
    b"\xff",
    &[b'a'; 250],
    &[b'b'; 249],
];

/// Client flags.
pub const FLAGS: &[u32] = &[0, 0, 0, 1, 5, 0x1234_5678, 0x8000_0000, u32::MAX];

/// Times: never, later, at a moment long past or far ahead. Nothing expires during a run.
pub const TIMES: &[u32] = &[
    0,
    0,
    0,
    0,
    1000,
    100_000,
    2_592_000,
    // From here on Unix times: long past, ...
    2_592_001,
    1_500_000_000,
    // ... or far ahead, even if negative as signed numbers.
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
];

/// The expiry with which a missing number is not created.
pub const NO_NUMBER: u32 = 0xffff_ffff;

/// Times of a flush that is pending, or has no effect because it is long past.
pub const FLUSHES: &[u32] = &[1000, 100_000, 2_592_000, 2_592_001, 0x7fff_ffff, 0xffff_ffff];

/// Number of small [`DELTAS`]. memcached 1.6.18 looks for a minus sign behind the end of numbers
/// from 2^63 on.
pub const SMALL_DELTAS: usize = 8;

/// Deltas and initial numbers.
pub const DELTAS: &[u64] =
    &[0, 1, 1, 5, 10, 100, 999_999, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];

/// CAS numbers that no counter reaches.
pub const CHOSEN_CAS: &[u64] = &[1_000_000_000_001, (1 << 63) - 1, u64::MAX];

/// Statistics: groups, groups with more text, and unknown ones. None is the beginning of `reset`,
/// `settings` or `detail …`, because memcached compares those with the bytes behind the key.
pub const STATISTICS: &[&[u8]] = &[
    b"",
    b"",
    b"settings",
    b"settings",
    b"items",
    b"slabs",
    b"sizes",
    b"reset",
    b"resettle",
    b"settings and more",
    b"settings\0",
    b"detail on",
    b"detail off",
    b"detail dump",
    b"detail dump",
    b"detail only",
    b"detail offset",
    b"detail dumpling",
    b"detail nothing",
    b"detailed",
    b"detail  on",
    b"detail\0on",
    b"conns",
    b"cachedump",
    b"cachedump 1 1",
    b"item",
    b"itemsx",
    b"items ",
    b"items\0",
    b"Items",
    b"slabs 1",
    b"sizesx",
    b"unknown",
    b" ",
    b"\xff",
    &[b's'; 250],
];

/// Names that memcached compares with the beginning of a key of any length.
pub const COMPARED_BLINDLY: &[&[u8]] = &[b"reset", b"settings", b"detail on", b"detail off", b"detail dump"];

/// Opcodes that memcached does not know: verbosity, those of ranges, vbuckets and TAP, and others.
pub const UNKNOWN: &[u8] = &[
    0x1b, 0x1b, 0x1f, 0x25, 0x2a, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b,
    0x3c, 0x3d, 0x40, 0x45, 0x7f, 0x80, 0x81, 0xff,
];
