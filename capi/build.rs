//! What the linker has to know: the SONAME, which carries the version of the
//! ABI, and that the library stays once it is loaded.

/// Version of the ABI: one more whenever something is taken away or changed.
const ABI: &str = "1";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=MCRS_ABI={ABI}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmemcache_rs.so.{ABI}");
        // After dlclose a thread of a server would run code that is gone.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
