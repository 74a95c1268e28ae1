//! Tells the linker the SONAME, which ends in the version of the ABI, and that the
//! library stays in memory.

/// Version of the ABI: goes up by one when something is removed or changed.
const ABI: &str = "1";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=MCRS_ABI={ABI}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmemcache_rs.so.{ABI}");
        // A thread of a server may still run after dlclose.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
