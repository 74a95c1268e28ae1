//! `include/memcache_rs.h` is what this crate says. `make header` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cbindgen::{Builder, Config};

/// What the header says of versions: made, so that they are written down once.
fn versions() -> String {
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    format!(
        r#"
/**
 * The version of this header. mcrs_version() and its kin tell that of the library.
 */
#define MCRS_VERSION_MAJOR {major}
#define MCRS_VERSION_MINOR {minor}
#define MCRS_VERSION_PATCH {patch}
#define MCRS_VERSION "{version}"
#define MCRS_VERSION_NUMBER (MCRS_VERSION_MAJOR * 1000000 + MCRS_VERSION_MINOR * 1000 + MCRS_VERSION_PATCH)

/**
 * The version of the ABI, which the SONAME ends in.
 */
#define MCRS_ABI_VERSION {abi}
"#,
        version = env!("CARGO_PKG_VERSION"),
        abi = env!("MCRS_ABI"),
    )
}

#[test]
fn the_header_is_what_the_crate_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = Config::from_file(here.join("cbindgen.toml")).unwrap();
    config.after_includes = Some(versions());
    let mut made = Vec::new();
    Builder::new().with_crate(here).with_config(config).generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = here.join("../include/memcache_rs.h");
    if std::env::var_os("WRITE_HEADER").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    for (number, (one, other)) in committed.lines().zip(made.lines()).enumerate() {
        assert_eq!(one, other, "include/memcache_rs.h:{}: run `make header`", number + 1);
    }
    assert!(committed == made, "include/memcache_rs.h ends too early or too late: run `make header`");
}
