//! Tests that need a process of their own.

use std::env;
use std::process::Command;

/// Runs `body` in a process in which nothing else runs; `name` is the test's.
pub fn alone(name: &str, body: impl FnOnce()) {
    const CHOSEN: &str = "MEMCACHE_TEST_ALONE";
    if env::var(CHOSEN).is_ok_and(|chosen| chosen == name) {
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHOSEN, name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "no test is called {name}");
}
