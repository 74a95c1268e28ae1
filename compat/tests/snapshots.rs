//! Short runs of the checks of snapshots. `make snapshots` runs the long ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::path::Path;

use memcache_compat::snapshots::{Length, kill_save, stress};

#[test]
fn snapshots_of_a_cache_in_use_have_only_what_it_held() {
    let settings =
        stress::Settings { directory: &env::temp_dir(), length: Length::Rounds(20), keys: 500, seed: 1 };
    stress::run(&settings).unwrap();
}

#[test]
fn a_kill_during_a_save_leaves_a_whole_file() {
    let settings = kill_save::Settings {
        program: Path::new(env!("CARGO_BIN_EXE_snapshots")),
        directory: &env::temp_dir(),
        length: Length::Rounds(10),
        seed: 1,
    };
    kill_save::run(&settings).unwrap();
}
