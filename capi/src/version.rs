//! The versions of this library, to compare with those in a program's header.

use std::ffi::c_char;

use memcache_core::internal::admin;

/// `MCRS_VERSION_NUMBER` of the header.
const NUMBER: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
    + number(env!("CARGO_PKG_VERSION_MINOR")) * 1000
    + number(env!("CARGO_PKG_VERSION_PATCH"));

/// Parses digits at compile time.
const fn number(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut at, mut number) = (0, 0);
    while at < bytes.len() {
        assert!(bytes[at].is_ascii_digit());
        number = number * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    number
}

// mcrs_memcached_version() returns what clients of a server see.
const _: () = {
    let (ours, theirs) = (c"1.6.45".to_bytes(), admin::VERSION.as_bytes());
    assert!(ours.len() == theirs.len());
    let mut at = 0;
    while at < ours.len() {
        assert!(ours[at] == theirs[at]);
        at += 1;
    }
};

/// Returns the version of the library as a text.
///
/// ```c
/// if (mcrs_abi_version() != MCRS_ABI_VERSION) {
///     fprintf(stderr, "compiled for another ABI than that of version %s\n", mcrs_version());
/// }
/// ```
///
/// @return Static text, never NULL. It is MCRS_VERSION of the library's own header.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the version of the library as a number.
///
/// @return MCRS_VERSION_NUMBER of the library's own header.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_version_number() -> u32 {
    NUMBER
}

/// Returns the version of the library's ABI.
///
/// A program needs a library with the MCRS_ABI_VERSION that it was compiled with.
///
/// @return MCRS_ABI_VERSION of the library's own header.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_abi_version() -> u32 {
    const { number(env!("MCRS_ABI")) }
}

/// Returns the version of memcached whose behaviour the library has.
///
/// @return Static text, never NULL, as the command `version` reports it.
#[unsafe(no_mangle)]
pub extern "C" fn mcrs_memcached_version() -> *const c_char {
    c"1.6.45".as_ptr()
}
