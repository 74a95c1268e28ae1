//! Servers that are killed or stopped under load, and what the next one loads. `make snapshots`
//! makes more rounds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::path::Path;

use memcache_compat::snapshots::Length;
use memcache_compat::snapshots::kill_server::{End, Report, Settings, run};

fn rounds(end: End, rounds: u64) -> Report {
    let settings = Settings {
        daemon: Path::new(env!("CARGO_BIN_EXE_memcached-rs")),
        arguments: &[],
        directory: &env::temp_dir(),
        length: Length::Rounds(rounds),
        end,
        seed: 1,
    };
    run(&settings).unwrap()
}

#[test]
fn a_killed_server_starts_again_without_a_wrong_item() {
    rounds(End::Killed, 5);
}

#[test]
fn a_stopped_server_loses_nothing_that_it_answered() {
    let report = rounds(End::Stopped, 3);
    assert!(report.found > 0);
    assert_eq!(report.lost, 0);
}
